"""Every rule against its naive oracle, and against numbers worked out by hand or by others."""

from __future__ import annotations

from typing import Any

import cvxpy
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregator, PreAggregation
from robustfl.defenses import (
    NNM,
    Bucketing,
    CenteredClipping,
    Clipping,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    TrimmedMean,
)
from tests.aggregation import oracles
from tests.aggregation.cases import GOLDEN, Case, each_rule, gaussian
from tests.aggregation.oracles import Matrix

NINE = np.arange(1.0, 10.0).reshape(3, 3)


@each_rule
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), f=st.integers(0, 3), more=st.integers(0, 4), d=st.integers(2, 6))
@example(seed=418740, f=0, more=3, d=5)  # two clusters of signs that share two rows, at equal distances
def test_every_rule_equals_its_oracle(case: Case, seed: int, f: int, more: int, d: int) -> None:
    x = gaussian(seed, max(case.least(f), 3) + more, d)
    rule = case.make(f)
    np.testing.assert_allclose(rule(x), case.oracle(x, f), rtol=0, atol=20 * case.tolerance)


@each_rule
def test_every_rule_equals_its_oracle_in_single_precision(case: Case) -> None:
    x = gaussian(5, case.least(2) + 3, 40).astype(np.float32)
    expected = case.oracle(x.astype(np.float64), 2)
    np.testing.assert_allclose(case.make(2)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Mean(), [2.342857, 0.085714, 0.507143]),
        (Median(), [1.2, 1.6, -1.0]),
        (TrimmedMean(f=1), [1.18, 1.57, -0.94]),
        (Krum(f=1), GOLDEN[5].tolist()),
        (Krum(f=1, neighbours="n-f-1"), GOLDEN[0].tolist()),
        (MultiKrum(f=1), [1.175, 1.7625, -0.9]),
        (MultiKrum(f=1, k=6, neighbours="n-f-1"), [1.066667, 1.766667, -1.075]),
        (NNM(f=1) >> TrimmedMean(f=1), [1.066667, 1.766667, -1.075]),
        (GeometricMedian(), [1.107661, 1.642448, -0.877034]),
        (GeometricMedian(iterations=3, smoothing=0.1, start="origin"), [1.157386, 1.557815, -0.847518]),
        (GeometricMedian(iterations=3, smoothing=1e-6, start="mean"), [1.186753, 1.521095, -0.829554]),
        (CenteredClipping(radius=1.0), [0.492465, 0.529100, -0.293265]),
        (CenteredClipping(radius=1.0, iterations=3), [1.132456, 1.387187, -0.795878]),
        (Clipping(radius=2.0) >> Mean(), [0.965024, 1.042362, -0.568604]),
    ],
    ids=repr,
)
def test_golden_vectors(rule: Aggregator, expected: list[float]) -> None:
    np.testing.assert_allclose(rule(GOLDEN), expected, rtol=0, atol=5.1e-7)


def test_golden_centered_clipping_from_a_center_of_its_own() -> None:
    rule = CenteredClipping(radius=1.0)
    rule.load_state_dict({"center": np.median(GOLDEN, axis=0)})
    np.testing.assert_allclose(rule(GOLDEN), [1.189717, 1.594363, -0.940553], rtol=0, atol=5.1e-7)


def test_golden_rows_of_nearest_neighbour_mixing() -> None:
    expected = np.tile([1.066667, 1.766667, -1.075], (7, 1))
    expected[4] = [2.65, -0.358333, 0.883333]
    np.testing.assert_allclose(NNM(f=1)(GOLDEN), expected, rtol=0, atol=5.1e-7)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (GeometricMedian(iterations=3, smoothing=0.1, start="origin"), [3.78788764, 4.78788764, 5.78788764]),
        (Clipping(radius=2.0) >> NNM(f=1) >> TrimmedMean(f=1), [0.95841302, 1.14416941, 1.32992580]),
        (Krum(f=1, neighbours="n-f-1"), [1.0, 2.0, 3.0]),
        (MultiKrum(f=1, k=2, neighbours="n-f-1"), [2.5, 3.5, 4.5]),
    ],
    ids=repr,
)
def test_examples_of_other_libraries(rule: Aggregator, expected: list[float]) -> None:
    np.testing.assert_allclose(rule(NINE), expected, rtol=0, atol=5.1e-9)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (NNM(f=1), [[2.5, 3.5, 4.5], [2.5, 3.5, 4.5], [5.5, 6.5, 7.5]]),
        (Clipping(radius=np.sqrt(77.0)), [[1, 2, 3], [4, 5, 6], [4.41004009, 5.04004582, 5.67005155]]),
        (Bucketing(size=1), NINE[np.random.default_rng([0, 0]).permutation(3)].tolist()),
    ],
    ids=repr,
)
def test_examples_of_pre_aggregations(rule: PreAggregation, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(rule(NINE), expected, rtol=0, atol=5.1e-9)


@pytest.mark.parametrize(("n", "f"), [(4, 1), (5, 1), (7, 2), (9, 3), (11, 5)])
def test_the_trimmed_mean_attains_its_constant_and_never_exceeds_it(n: int, f: int) -> None:
    honest = np.array([1.0] * (n - 2 * f) + [-(n - 2 * f) / f] * f)[:, None]
    worst = TrimmedMean(f=f)(np.vstack([honest, np.full((f, 1), 1e12)]))
    assert worst[0] ** 2 == pytest.approx(f / (n - 2 * f) * honest.var())
    rng = np.random.default_rng(n)
    for _ in range(50):
        honest, hostile = rng.normal(size=(n - f, 3)), rng.normal(scale=10.0, size=(f, 3))
        error = TrimmedMean(f=f)(np.vstack([honest, hostile])) - honest.mean(axis=0)
        assert (error @ error) <= f / (n - 2 * f) * honest.var(axis=0).sum() * (1 + 1e-12)


# ------------------------------------------------------------------------------------------- the geometric median


def least_sum(x: Matrix, pull: Matrix) -> float:
    """The least sum of distances to the rows minus `pull @ y`, by a solver for cone programs."""
    cp: Any = cvxpy
    y = cp.Variable(x.shape[1])
    objective = cp.sum([cp.norm(y - row) for row in x]) - pull @ y
    return float(cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL"))


@pytest.mark.parametrize(("n", "d", "seed"), [(3, 2, 0), (4, 3, 1), (6, 2, 2), (9, 5, 3), (12, 1, 4)])
def test_the_geometric_median_solves_the_cone_program(n: int, d: int, seed: int) -> None:
    x = gaussian(seed, n, d)
    found = GeometricMedian()(x)
    assert sum(oracles.length(found - row) for row in x) == pytest.approx(least_sum(x, np.zeros(d)), rel=1e-8)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_the_geometric_median_of_one_coordinate_is_the_median(n: int) -> None:
    x = gaussian(n, n, 1)
    np.testing.assert_allclose(GeometricMedian()(x), Median()(x), rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([[0, 0], [2, 0]], [1, 0]),  # every point between is a minimiser: the middle
        ([[0, 0], [1, 1], [3, 3], [9, 9]], [2, 2]),  # on a line with n even: the middle two
        ([[0, 0], [1, 1], [9, 9]], [1, 1]),  # on a line with n odd: the middle row
        ([[1, 1], [1, 1], [1, 1], [5, 0], [0, 7]], [1, 1]),  # most rows alike
        ([[0, 0], [1, 0], [0, 1], [-1, -1]], [0, 0]),  # a row whose pulls cancel
        ([[0, 0], [2, 0], [0, 2], [2, 2]], [1, 1]),  # no row at all
    ],
)
@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("start", ["central", "mean", "origin"])
def test_the_geometric_median_on_lines_and_at_rows(
    x: list[list[float]], expected: list[float], shift: float, start: str
) -> None:
    found = GeometricMedian(start=start)(np.array(x, dtype=np.float64) + shift)
    np.testing.assert_allclose(found - shift, expected, rtol=0, atol=1e-7)


def test_the_geometric_median_leaves_a_row_that_its_start_falls_on() -> None:
    x = np.array([[0.0, 0.0], [1.0, 0.1], [1.0, -0.1], [1.1, 0.0], [-3.1, 0.0]])  # the mean is the first row
    expected = oracles.geometric_median(x)
    assert expected[0] > 0.9
    for start in ("central", "mean", "origin"):
        np.testing.assert_allclose(GeometricMedian(start=start)(x), expected, atol=1e-7)


@pytest.mark.parametrize("seed", range(40))
def test_the_sum_of_distances_never_grows_from_the_first_row_on(seed: int) -> None:
    x = gaussian(seed, 5, 2)
    sums = [sum(oracles.length(GeometricMedian(iterations=i)(x) - row) for row in x) for i in range(1, 8)]
    central = int(np.argmin(np.median([[oracles.length(a - b) for b in x] for a in x], axis=1)))
    sums.insert(0, sum(oracles.length(x[central] - row) for row in x))
    assert (np.diff(sums) <= 1e-12).all()


@pytest.mark.parametrize("size", [1e6, 1e12, 1e30])
@pytest.mark.parametrize("start", ["central", "mean"])
def test_the_geometric_median_converges_whatever_a_minority_holds(size: float, start: str) -> None:
    x = gaussian(8, 9, 3)
    x[6:] = size
    pull = 3 * np.full(3, 1 / np.sqrt(3))  # rows that far away are a constant force
    found = GeometricMedian(start=start)(x)
    reached = sum(oracles.length(found - row) for row in x[:6]) - pull @ found
    assert reached == pytest.approx(least_sum(x[:6], pull), abs=1e-7)


# ------------------------------------------------------------------------------------------------ single precision


def with_common_part(seed: int, n: int, scale: float) -> Matrix:
    """Rows like model weights: a common part of the given size, and a spread of 1e-4, rounded to float32."""
    rng = np.random.default_rng(seed)
    x = scale * rng.normal(size=2000) + 1e-4 * rng.normal(size=(n, 2000)) * rng.uniform(0.5, 2.0, size=(n, 1))
    return x.astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e4])
@pytest.mark.parametrize("n", [12, 40])
@pytest.mark.parametrize("flipped", [0, 2])
def test_krum_picks_the_right_row_of_float32_weights_with_a_large_common_part(
    scale: float, n: int, flipped: int
) -> None:
    for seed in range(3):
        x = with_common_part(seed, n, scale)
        x[n - flipped :] *= -1.0  # of the same norm as the honest rows, and far away
        exact = x.astype(np.float64)
        squared = np.array([((exact - row) ** 2).sum(axis=1) for row in exact])
        scores = np.sort(squared, axis=1)[:, 1 : n - 2 - 2 + 1].sum(axis=1)
        answer = Krum(f=2).aggregate(x)
        assert answer.weights is not None
        assert int(np.argmax(answer.weights)) == int(np.argmin(scores))
        np.testing.assert_array_equal(answer.value, x[int(np.argmin(scores))])
