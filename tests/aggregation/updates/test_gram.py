"""Gram space: every quantity equals the one computed from the rows themselves, and no digit is lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Gram, Rows
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.updates.readers import Dense
from robustfl.aggregation.updates.source import Source
from robustfl.defenses import Bucketing, Krum, Mean
from robustfl.errors import ParameterError
from tests.aggregation.cases import gaussian
from tests.aggregation.oracles import Matrix


def source(x: Matrix, extras: Matrix | None = None) -> Source:
    made = Source(Dense(x, str(x.dtype)), tuple(range(len(x))))
    made.extras.extend([] if extras is None else extras)
    return made


def squared_distances(x: Matrix, y: Matrix) -> Matrix:
    return np.asarray(((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2))


walk = settings(deadline=None, max_examples=40)
inputs = given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 9),
    d=st.integers(1, 12),
    extras=st.integers(0, 2),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)


@walk
@inputs
def test_distances_norms_and_products_are_those_of_the_rows(
    seed: int, n: int, d: int, extras: int, scale: float
) -> None:
    x = scale * gaussian(seed, n, d)
    gram = source(x, scale * gaussian(seed + 1, extras, d)).gram
    slack = 1e-12 * max(scale**2, float((x**2).sum()))
    assert (gram.n, gram.extras) == (n, extras)
    np.testing.assert_allclose(gram.squared_distances, squared_distances(x, x), atol=slack)
    np.testing.assert_allclose(gram.squared_norms, (x**2).sum(axis=1), atol=slack)
    np.testing.assert_allclose(gram.products, x @ x.T, atol=slack)
    assert (gram.squared_distances >= 0).all()
    assert (np.diag(gram.squared_distances) == 0).all()
    np.testing.assert_array_equal(gram.squared_distances, gram.squared_distances.T)


@walk
@inputs
def test_distances_from_any_combination_of_rows_and_extra_points(
    seed: int, n: int, d: int, extras: int, scale: float
) -> None:
    x, more = scale * gaussian(seed, n, d), scale * gaussian(seed + 1, extras, d)
    gram = source(x, more).gram
    rng = np.random.default_rng(seed)
    weights, shares = rng.normal(size=n), rng.normal(size=extras)  # the sum is not 1: the origin takes the rest
    point = weights @ x + shares @ more
    size = 1 + float(weights @ weights + shares @ shares)
    slack = 1e-11 * (scale**2 + float((x**2).sum() + (more**2).sum()) * size)
    expected = squared_distances(x, point[None])[:, 0]
    np.testing.assert_allclose(gram.squared_distances_from(np.append(weights, shares)), expected, atol=slack)
    assert gram.squared_length(weights) == pytest.approx(float(((weights @ x) ** 2).sum()), abs=slack)


@walk
@inputs
def test_mixing_the_gram_is_mixing_the_rows(seed: int, n: int, d: int, extras: int, scale: float) -> None:
    x, more = scale * gaussian(seed, n, d), scale * gaussian(seed + 1, extras, d)
    matrix = np.random.default_rng(seed).uniform(-1, 1, size=(n + 1, n))
    mixed, direct = source(x, more).gram.mix(matrix), source(matrix @ x, more).gram
    slack = 1e-11 * (scale**2 + float((x**2).sum() + (more**2).sum()) * n)
    np.testing.assert_allclose(mixed.squared_distances, direct.squared_distances, atol=slack)
    np.testing.assert_allclose(mixed.products, direct.products, atol=slack)
    weights = np.random.default_rng(seed + 1).normal(size=n + 1 + extras)
    slack *= 1 + float(weights @ weights)
    expected = direct.squared_distances_from(weights)
    np.testing.assert_allclose(mixed.squared_distances_from(weights), expected, atol=slack)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("common", [1e3, 1e6])
def test_a_large_common_part_costs_no_digit_and_no_negative_distance(dtype: str, common: float) -> None:
    x = (common + gaussian(0, 12, 500, offset=0.0)).astype(dtype)
    expected = squared_distances(x.astype(np.float64), x.astype(np.float64))
    np.testing.assert_allclose(source(x).gram.squared_distances, expected, rtol=1e-12)


@pytest.mark.parametrize("hostile", ["flipped", "huge", "zero"])
def test_no_minority_can_spoil_the_reference(hostile: str) -> None:
    x = 1e6 * gaussian(1, 1, 300) + 1e-4 * gaussian(2, 9, 300, offset=0.0)
    x[:4] = {"flipped": -x[5:], "huge": np.full((4, 300), 1e140), "zero": np.zeros((4, 300))}[hostile]
    squared = squared_distances(x[4:], x[4:])
    for order in (np.arange(9), np.arange(9)[::-1], np.roll(np.arange(9), 4)):
        found = source(x[order]).gram.squared_distances[np.ix_(np.argsort(order)[4:], np.argsort(order)[4:])]
        np.testing.assert_allclose(found, squared, rtol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8])
def test_short_rows_keep_their_digits_beside_long_ones(n: int) -> None:
    x = gaussian(3, n, 50) * 10.0 ** np.linspace(-3, 3, n)[:, None]
    np.testing.assert_allclose(source(x).gram.products, x @ x.T, rtol=1e-11)


@pytest.mark.parametrize(
    ("lengths", "reference"),
    [([1, 1.9, 9], 1), ([1, 2.1, 9], 3), ([9, 5, 1, 6], 1), ([9, 3, 1, 6], 4), ([9, 3, 2, 2, 1], 2), ([5], 0)],
)
def test_the_reference_is_a_row_only_where_a_majority_is_about_as_long(lengths: list[float], reference: int) -> None:
    gram = source(np.array(lengths)[:, None] * np.ones((1, 4))).gram
    assert gram.centred[reference, reference] == 0.0  # the origin comes after the rows


def test_equal_rows_have_distance_zero_exactly() -> None:
    x = gaussian(3, 40, 997)
    x[7] = x[31] = x[2]
    x[:2] = 1e12
    squared = source(x).gram.squared_distances
    for group in ([2, 7, 31], [0, 1]):
        assert (squared[np.ix_(group, group)] == 0).all()


@pytest.mark.parametrize(("gap", "expected"), [(0.0, 0.0), (2.0**-52, 0.0), (-(2.0**-52), 0.0), (1e-9, 2e-9)])
def test_what_rounding_leaves_of_a_distance_is_zero(gap: float, expected: float) -> None:
    centred = np.ones((3, 3))
    centred[0, 1] = centred[1, 0] = 1.0 - gap
    assert Gram(centred, n=2).squared_distances[0, 1] == pytest.approx(expected, rel=1e-6, abs=0)


@pytest.mark.parametrize("seed", range(5))
def test_equal_mixtures_have_distance_zero_exactly(seed: int) -> None:
    matrix = np.random.default_rng(seed).uniform(size=(4, 30))
    squared = source(gaussian(seed, 30, 50)).gram.mix(np.vstack([matrix, matrix])).squared_distances
    assert (np.diag(squared[:4, 4:]) == 0).all()
    assert (squared[:4, :4] > 0).sum() == 12


def test_the_central_row_is_among_the_majority() -> None:
    x = gaussian(4, 7, 3, offset=0.0)
    x[[0, 2, 5]] = 1e9
    assert source(x).gram.central in (1, 3, 4, 6)


def test_weights_of_another_length_are_refused() -> None:
    gram = Gram(np.eye(5), n=3)
    with pytest.raises(ParameterError, match=r"should have 3 or 4 entries\. Found 2"):
        gram.squared_distances_from(np.ones(2))


@walk
@inputs
def test_rows_are_lazy_but_say_the_same(seed: int, n: int, d: int, extras: int, scale: float) -> None:
    x, more = scale * gaussian(seed, n, d), scale * gaussian(seed + 1, extras, d)
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(size=(n + 1, n)), rng.uniform(size=(2, n + 1))
    rows = Rows(source(x, more)).mixed(first).mixed(second)
    expected, slack = second @ first @ x, 1e-11 * (scale + float(np.abs(x).sum() + np.abs(more).sum())) * n
    assert (rows.n, rows.d) == (2, d)
    np.testing.assert_allclose(rows.materialised(), expected, atol=slack)
    np.testing.assert_allclose(rows.columnwise(lambda block, _: block[1]), expected[1], atol=slack)
    np.testing.assert_allclose(
        rows.fold(lambda block: block @ block.T, np.arange(d)), expected @ expected.T, atol=slack**2
    )
    weights = rng.uniform(size=2 + extras)
    value = rows.combine(weights)
    np.testing.assert_allclose(value, weights[:2] @ expected + weights[2:] @ more, atol=slack)
    np.testing.assert_allclose(rows.source_weights(weights[:2]) @ x, weights[:2] @ expected, atol=slack)


def _folded(x: Any, seen: list[Any], columns: list[int]) -> Any:
    def work(block: Any) -> Any:
        seen.append(block)
        return block.sum(axis=1)

    return Rows(source(x, gaussian(1, 0, x.shape[1]))).fold(work, np.array(columns))


@pytest.mark.parametrize(("columns", "copied"), [([3, 4, 5, 6], False), ([3, 4, 6], True), ([11], False)])
def test_columns_without_a_gap_are_looked_at_where_they_lie(columns: list[int], copied: bool) -> None:
    x = gaussian(0, 4, 12)
    seen: list[Any] = []
    found = _folded(x, seen, columns)
    np.testing.assert_allclose(found, x[:, columns].sum(axis=1))
    np.testing.assert_array_equal(np.concatenate(seen, axis=1), x[:, columns])
    assert [not np.shares_memory(block, x) for block in seen] == [copied]


def test_a_rule_that_asks_nothing_of_the_geometry_does_not_pay_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the Gram was computed")

    monkeypatch.setattr(Host, "centred_gram", refuse)
    rows = np.arange(12.0).reshape(4, 3)
    assert Mean()(rows).tolist() == [4.5, 5.5, 6.5]
    assert (Bucketing(size=2) >> Mean())(rows).tolist() == [4.5, 5.5, 6.5]
    with pytest.raises(AssertionError, match="computed"):
        Krum(f=0)(rows)
