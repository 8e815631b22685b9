"""Many Grams at once: what they and rules tell about each set of rows is what its own Gram tells, to the last bit."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest

from robustfl.aggregation import GramAggregator, Grams
from robustfl.aggregation.kernels.choice import MOST_POINTS, compiles
from robustfl.defenses import CAF, MDA, SMEA, GeometricMedian, Krum, MultiKrum
from robustfl.defenses.smea import MOST_SUBSETS

Points = np.ndarray[Any, Any]

RULES: list[GramAggregator] = [
    GeometricMedian(),
    GeometricMedian(iterations=3),
    GeometricMedian(start="mean"),
    GeometricMedian(start="origin"),
    GeometricMedian(start="origin", smoothing=1e-3),
    GeometricMedian(tolerance=0.0, iterations=50),
    MultiKrum(f=1),
    MultiKrum(f=1, k=2),
    MultiKrum(f=1, neighbours="n-f-1", squared=False),
    CAF(f=0),
    CAF(f=1),
    CAF(f=2),
    SMEA(f=0),
    SMEA(f=1),
    SMEA(f=2),
]
MIXED = [*RULES, Krum(f=1), Krum(f=1, squared=False), GeometricMedian(smoothing=1e-3)]


def grams_of(points: Points) -> Grams:
    """The Grams of points [g, n, d]."""
    squared = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=-1)
    norms = (points**2).sum(axis=-1)
    return Grams.between(points.shape[1], lambda: squared, lambda: norms, lambda: (squared, norms))


def sets_of(n: int, seed: int = 0) -> Points:
    """Sets of n points of all sorts: of any size, far from the origin, with copies and distant points, on a line."""
    rng = np.random.default_rng([seed, n])
    points = rng.standard_normal((14, n, 5))
    points[1] *= 1e-12
    points[2] *= 1e12
    points[3] += 1e6
    points[4] = points[4, 0]
    points[5] = 0.0
    points[6, n // 2 :] = points[6, 0]
    points[7, 0] *= 1e15
    points[8, : n // 2] = -1e3 * points[8, n // 2 : 2 * (n // 2)]
    points[9] = np.arange(n)[:, None]
    points[10] = rng.integers(0, 2, (n, 5))
    points[11, 0] = points[11, 1:].mean(axis=0) if n > 1 else 1.0
    points[12] = np.repeat(points[12, : -(-n // 2)], 2, axis=0)[:n]
    return np.asarray(points)


def matrices(g: int, m: int, n: int) -> Points:
    """Means of some rows, as a nearest-neighbour mixing makes them, and any sums of rows."""
    rng = np.random.default_rng([g, m, n])
    found = (rng.random((g, m, n)) < 0.6).astype(float)
    found[..., 0] = 1.0
    found /= found.sum(axis=2, keepdims=True)
    found[: g // 2] += rng.standard_normal((g // 2, m, n))
    return np.asarray(found)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 33])
def test_each_set_has_the_gram_of_its_own(n: int) -> None:
    points = sets_of(n)
    together, maps = grams_of(points), matrices(len(points), max(n - 1, 1), n)
    mixed = together.mixed(maps)
    for place in range(len(points)):
        alone = grams_of(points).of(place)
        np.testing.assert_array_equal(together.centred[place], alone.centred)
        np.testing.assert_array_equal(together.squared_distances[place], alone.squared_distances)
        np.testing.assert_array_equal(together.of(place).squared_norms, (points[place] ** 2).sum(axis=-1))
        np.testing.assert_array_equal(mixed.centred[place], alone.mix(maps[place]).centred)
        np.testing.assert_array_equal(mixed.squared_distances[place], alone.mix(maps[place]).squared_distances)


@pytest.mark.parametrize("n", [1, 6, 9])
def test_distances_between_rows_take_no_norms(n: int) -> None:
    def refused() -> Any:
        raise AssertionError("nobody needs these")

    full, points = grams_of(sets_of(n)), sets_of(n)
    squared = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=-1)
    without = Grams.between(n, lambda: squared, refused, refused)
    np.testing.assert_array_equal(without.inner, full.centred[:, :n, :n])
    np.testing.assert_array_equal(without.squared_distances, full.squared_distances)
    assert without.measured is squared
    assert full.mixed(matrices(len(points), n, n)).measured is None


@pytest.mark.parametrize("rule", RULES, ids=[repr(rule) for rule in RULES])
@pytest.mark.parametrize("n", [5, 7, 8, 9, 12, 20])
def test_weights_of_all_are_those_of_each_set(rule: GramAggregator, n: int) -> None:
    for seed in range(3):
        grams = grams_of(sets_of(n, seed))
        together = rule.weights_of_all(grams)
        if together is None:
            assert not compiles() or (isinstance(rule, SMEA) and comb(n, rule.f) > MOST_SUBSETS)
            return
        for place in range(len(together)):
            np.testing.assert_array_equal(together[place], rule.weights(grams.of(place)), str(place))


@pytest.mark.parametrize("rule", MIXED, ids=[repr(rule) for rule in MIXED])
def test_weights_of_all_mixtures_are_those_of_each_set(rule: GramAggregator) -> None:
    for n in (6, 9):
        points = sets_of(n)
        grams = grams_of(points).mixed(matrices(len(points), n, n))
        together = rule.weights_of_all(grams)
        if together is None:
            assert not compiles()
            return
        for place in range(len(together)):
            np.testing.assert_array_equal(together[place], rule.weights(grams.of(place)), str(place))


def test_rules_without_a_quicker_way_say_so() -> None:
    assert MDA(f=1).weights_of_all(grams_of(sets_of(5))) is None
    assert SMEA(f=3).weights_of_all(grams_of(sets_of(20))) is None
    assert SMEA(f=2, budget=30).weights_of_all(grams_of(sets_of(9))) is None, "the search may take more than its budget"
    many = grams_of(np.random.default_rng(0).standard_normal((1, MOST_POINTS, 2)))
    for rule in (GeometricMedian(), CAF(f=1)):
        assert rule.weights_of_all(many) is None
