"""The Flag Aggregator: published numbers, the same in the space of the parameters, bounds, and rows that lie."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Gram, Rows
from robustfl.aggregation.updates.readers import Dense
from robustfl.aggregation.updates.source import Source
from robustfl.defenses import NNM, Flag
from robustfl.defenses.flag_subspace import Pairs, Span, coordinates, leading, subspaces
from robustfl.errors import ParameterError
from tests.aggregation import oracles
from tests.aggregation.cases import GOLDEN, gaussian
from tests.aggregation.flag_rules import Direct
from tests.aggregation.oracles import Matrix, length

REGULARISATION = 1e-7

walk = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32)


def copies(x: Matrix) -> Matrix:
    x[1], x[3] = x[0], x[2]
    return x


def huge(x: Matrix) -> Matrix:
    x[0] *= 1e30
    x[1] *= -1e15
    return x


def flipped(x: Matrix) -> Matrix:
    x[0], x[1] = -10.0 * x[2:].mean(axis=0), -x[2]
    return x


def colluding(x: Matrix) -> Matrix:
    x[:2] = x[2:].mean(axis=0) - 1.5 * x[2:].std(axis=0)
    return x


def with_zeros(x: Matrix) -> Matrix:
    x[1] = x[3] = 0.0
    return x


INPUTS = {
    "in general position": lambda x: x,
    "of low rank": lambda x: x @ np.linalg.qr(x[:3].T)[0] @ np.linalg.qr(x[:3].T)[0].T,
    "with copies": copies,
    "with huge ones": huge,
    "with flipped ones": flipped,
    "with colluding ones": colluding,
    "with zeros": with_zeros,
    "of many lengths": lambda x: x * 10.0 ** np.random.default_rng(len(x)).uniform(-2, 2, size=(len(x), 1)),
    "around a distant point": lambda x: x + 1e4 * np.random.default_rng(len(x)).normal(size=x.shape[1]),
}


def gram_of(x: Matrix) -> Gram:
    return Rows(Source(Dense(x, str(x.dtype)), tuple(range(len(x))))).gram


def units_of(x: Matrix) -> Matrix:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# ----------------------------------------------------------------------------------------------------- the same rule


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Flag(dimension=2, mode="paper"), [2.331071, 0.117051, 0.550395]),
        (Flag(dimension=2, rescale="none"), [1.697316, 1.921806, -0.929871]),
        (Flag(dimension=2, pairwise=1.0, mode="paper"), [2.360438, 0.017754, 0.408514]),
        (Flag(dimension=2, pairwise=1.0, rescale="none"), [1.716808, 1.878212, -0.988168]),
        (Flag(mode="paper"), GOLDEN.mean(axis=0).tolist()),  # m = 4 is more than the rank
        (Flag(rescale="none"), [0.861814, 0.925925, -0.513214]),
    ],
    ids=repr,
)
def test_golden_vectors(rule: Flag, expected: list[float]) -> None:
    np.testing.assert_allclose(rule(GOLDEN), expected, rtol=0, atol=5.1e-7)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("pair_rows", ["unit", "raw"])
@pytest.mark.parametrize("strength", [0.0, 1.0, 12.0])
@given(
    seed=seeds,
    n=st.integers(5, 12),
    d=st.sampled_from([4, 9, 40, 200]),
    dimension=st.sampled_from([None, 1, 2]),
    mode=st.sampled_from(["paper", "reference"]),
    rescale=st.booleans(),
    iterations=st.sampled_from([1, 2, 5, 12]),
)
@settings(deadline=None, max_examples=6)
def test_inner_products_tell_what_singular_vectors_of_all_columns_tell(
    kind: str, pair_rows: str, strength: float, seed: int, n: int, d: int, mode: str, rescale: bool, **given: Any
) -> None:
    x = INPUTS[kind](gaussian(seed, n, d))
    direct = Direct(pairwise=strength, raw=pair_rows == "raw", mode=mode, rescale=rescale, **given)
    scaled = "median_norm" if rescale else "none"
    rule = Flag(pairwise=strength, pair_rows=pair_rows, mode=mode, rescale=scaled, **given)
    expected = direct(x)
    error = length(rule(x) - expected) / length(expected)
    if error > 1e-8:  # differences around a distant point: then the singular vectors have no more digits either
        ends = np.random.default_rng(seed).choice([-1.0, 1.0], size=(4, *x.shape)) * np.finfo(np.float64).eps
        assert error <= 50 * max(length(direct(x * (1 + end)) - expected) for end in ends) / length(expected)


@walk
@given(seed=seeds, n=st.integers(2, 9), power=st.sampled_from([0, 3, 6]))
def test_coordinates_keep_the_digits_of_differences(seed: int, n: int, power: int) -> None:
    x = gaussian(seed, n, 30)
    y = coordinates(gram_of(x + 10.0**power * np.random.default_rng(seed).normal(size=30)))
    for i in range(n):
        for j in range(i):
            assert length(y[i] - y[j]) == pytest.approx(length(x[i] - x[j]), rel=1e-14 * 100**power + 1e-9)


def test_single_precision_costs_what_the_answer_is_rounded_to() -> None:
    x = (gaussian(3, 15, 20_000) + 1e2).astype(np.float32)
    expected = Direct()(x.astype(np.float64))
    assert length(Flag()(x) - expected) / length(expected) < 1e-7


def test_before_it_rows_may_be_mixed() -> None:
    x = gaussian(4, 11, 30)
    expected = Direct(pairwise=2.0)(oracles.nnm(x, 3))
    np.testing.assert_allclose((NNM(f=3) >> Flag(pairwise=2.0))(x), expected, rtol=0, atol=1e-9)


def test_one_step_is_a_principal_component_analysis_of_the_directions() -> None:
    x = gaussian(5, 9, 40)
    basis = np.linalg.svd(units_of(x), full_matrices=False)[2][:3]
    expected = basis.T @ (basis @ x.mean(axis=0))
    np.testing.assert_allclose(Flag(dimension=3, iterations=1, mode="paper")(x), expected, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------ the objective


def objective(x: Matrix, projection: Matrix, weight: float, raw: bool, smooth: float) -> float:
    """The objective in the space of the parameters, pair by pair."""
    units = units_of(x)
    points = x if raw else units
    total = sum(np.sqrt(max(1.0 - u @ projection @ u, 0.0) + smooth) for u in units)
    for i, j in np.argwhere(~np.eye(len(x), dtype=bool)):
        y = (points[i] - points[j]) / length(points[i] - points[j])
        total += weight * np.sqrt(max(1.0 - y @ projection @ y, 0.0) + smooth)
    return float(total)


@walk
@given(seed=seeds, n=st.integers(4, 10), d=st.sampled_from([3, 8, 60]), weight=st.sampled_from([0, 0.2, 5]))
@pytest.mark.parametrize("raw", [False, True])
def test_the_objective_never_grows(raw: bool, seed: int, n: int, d: int, weight: float) -> None:
    x = gaussian(seed, n, d)
    units = Span(units_of(x)).units
    points = np.linalg.norm(x, axis=1, keepdims=True) * units if raw else units
    pairs = Pairs(points, np.zeros(n), weight) if weight else None
    steps = list(islice(subspaces(units, 2, pairs, REGULARISATION), 30))
    for before, after in pairwise(steps):
        assert after.objective <= before.objective + 1e-12 * n * (1 + weight * n)
    assert steps[-1].objective < n * (1 + weight * (n - 1)) * np.sqrt(1 + REGULARISATION)


@pytest.mark.parametrize(("weight", "raw"), [(0.0, False), (0.5, False), (0.5, True)])
def test_the_objective_is_that_of_the_definition(weight: float, raw: bool) -> None:
    x = gaussian(6, 8, 6)
    vectors, roots, axes = np.linalg.svd(units_of(x), full_matrices=False)
    units = vectors * roots
    points = np.linalg.norm(x, axis=1, keepdims=True) * units if raw else units
    pairs = Pairs(points, np.zeros(8), weight) if weight else None
    for step in islice(subspaces(units, 3, pairs, REGULARISATION), 4):
        inside = axes.T @ step.directions
        projection = (inside * step.shares) @ inside.T
        assert np.trace(projection) == pytest.approx(3)
        assert step.objective == pytest.approx(objective(x, projection, weight, raw, REGULARISATION), rel=1e-12)
        np.testing.assert_allclose(step.missed, 1 - ((units_of(x) @ projection) * units_of(x)).sum(axis=1), atol=1e-12)


def reaper(units: Matrix, dimension: int) -> float:
    """The least sum of distances to a relaxed subspace of the dimension, by a solver for cone programs."""
    cp: Any = cvxpy
    r = units.shape[1]
    p = cp.Variable((r, r), symmetric=True)
    distances = cp.sum([cp.norm(u - p @ u) for u in units])
    constraints = [p >> 0, np.eye(r) - p >> 0, cp.trace(p) == dimension]
    return float(cp.Problem(cp.Minimize(distances), constraints).solve(solver="CLARABEL"))


@pytest.mark.parametrize(("n", "d", "dimension", "seed"), [(5, 20, 2, 0), (6, 5, 3, 1), (7, 50, 4, 2), (8, 6, 1, 3)])
def test_a_convex_relaxation_bounds_what_is_missed_from_below(n: int, d: int, dimension: int, seed: int) -> None:
    x = gaussian(seed, n, d)
    span = Span(units_of(coordinates(gram_of(x))))
    assert span.rank == min(n, d), "the program is small: one coordinate a row at most"
    least = reaper(span.units, dimension)
    found = [np.sqrt(step.missed).sum() for step in islice(subspaces(span.units, dimension, None, REGULARISATION), 5)]
    assert least <= found[-1] + 1e-6
    assert found[-1] <= least / 0.8, "the steps end far from the bound"


# ------------------------------------------------------------------------------------------------- ties and few rows


@walk
@given(
    values=st.lists(st.sampled_from([0.0, 1e-20, 1.0, 1.0 + 1e-15, 2.0, 3.0]), min_size=1, max_size=8),
    dimension=st.integers(1, 9),
)
def test_directions_that_tie_share_alike(values: list[float], dimension: int) -> None:
    ordered = np.sort(np.array([*values, 4.0]))
    shares = leading(ordered, dimension)
    assert shares.sum() == pytest.approx(min(dimension, len(ordered)))
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (np.diff(shares) >= 0).all(), "larger eigenvalues come first"
    for a, b in pairwise(range(len(ordered))):
        if ordered[b] - ordered[a] < 1e-14:
            assert shares[a] == shares[b]


def test_rows_without_anything_in_common_are_treated_alike() -> None:
    np.testing.assert_allclose(Flag(dimension=2)(np.eye(4)), np.full(4, 0.125), rtol=1e-12)
    np.testing.assert_allclose(Flag(dimension=2, pairwise=1.0)(np.eye(4)).std(), 0.0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (6, 4), (9, 3), (40, 1)])
def test_a_subspace_of_all_directions_changes_nothing(shape: tuple[int, int]) -> None:
    x = gaussian(7, *shape)
    answer = Flag(mode="paper", dimension=min(shape), pairwise=2.0).aggregate(x)
    np.testing.assert_allclose(answer.value, x.mean(axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(answer.weights, np.full(len(x), 1 / len(x)), rtol=1e-12)
    published = Flag(dimension=min(shape), rescale="none")(x)
    np.testing.assert_allclose(published, units_of(x).sum(axis=0) / min(shape), rtol=0, atol=1e-12)


def test_zero_rows_count_in_n_and_nowhere_else() -> None:
    x = gaussian(8, 6, 20)
    padded = np.vstack([x, np.zeros((2, 20))])
    for rule in (Flag(dimension=2, mode="paper"), Flag(dimension=2, mode="paper", pairwise=0.0, pair_rows="raw")):
        answer = rule.aggregate(padded)
        np.testing.assert_allclose(answer.value, rule(x) * 6 / 8, rtol=1e-12)
        assert answer.weights is not None
        assert (answer.weights[6:] == 0).all()
    np.testing.assert_array_equal(Flag()(np.zeros((4, 3))), np.zeros(3))


def test_rows_too_short_to_have_a_direction_count_like_zero_rows() -> None:
    x = gaussian(9, 7, 20)
    short, zero = x.copy(), x.copy()
    short[[1, 4]] *= 1e-8
    zero[[1, 4]] = 0.0
    for shift in (1e-9, 1e-12, 1e-100):
        short[1] = shift
        np.testing.assert_allclose(Flag(pairwise=1.0)(short), Flag(pairwise=1.0)(zero), rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------ lengths


@walk
@given(seed=seeds, power=st.sampled_from([0.1, 1, 2]), strength=st.sampled_from([0.0, 1.0]))
def test_the_published_step_knows_no_lengths(seed: int, power: float, strength: float) -> None:
    x = gaussian(seed, 9, 30)
    factors = 10.0 ** (power * np.random.default_rng(seed).uniform(-1, 1, size=(9, 1)))
    rule = Flag(rescale="none", pairwise=strength)
    np.testing.assert_allclose(rule(x * factors), rule(x), rtol=0, atol=1e-8)
    assert length(rule(x)) <= 9 / 5


def test_rescaled_it_has_the_length_of_a_mean_of_rows_of_median_length() -> None:
    x = gaussian(10, 9, 30) * np.arange(1.0, 10.0)[:, None]
    middle = np.median(np.linalg.norm(x, axis=1))
    np.testing.assert_allclose(Flag()(x), Flag(rescale="none")(x) * middle * 5 / 9, rtol=1e-12)
    np.testing.assert_allclose(Flag()(x), Flag(mode="paper")(units_of(x) * middle), rtol=0, atol=1e-9)


@walk
@given(
    seed=seeds,
    f=st.integers(1, 4),
    size=st.sampled_from([-1.0, 1e3, -1e15, 1e30, 1e100, 1e-100]),
    strength=st.sampled_from([0.0, 9.0]),
)
def test_less_than_half_of_the_rows_cannot_make_it_longer_than_the_others(
    seed: int, f: int, size: float, strength: float
) -> None:
    x = gaussian(seed, 9, 20)
    x[:f] *= size
    value = Flag(pairwise=strength)(x)
    assert length(value) <= np.median(np.linalg.norm(x, axis=1)) * (1 + 1e-9)
    assert length(value) <= np.linalg.norm(x[f:], axis=1).max() * (1 + 1e-9)


def cosine(a: Matrix, b: Matrix) -> float:
    return float(a @ b) / (length(a) * length(b))


def test_reversed_rows_turn_the_answer_of_the_paper_and_not_the_default() -> None:
    x = gaussian(11, 15, 1000)
    honest = x[3:].mean(axis=0)
    x[:3] = -10.0 * honest
    assert cosine(Flag()(x), honest) > 0.95
    assert cosine(Flag(mode="paper")(x), honest) < -0.95


def test_large_weights_of_pairs_push_the_common_direction_out() -> None:
    x = gaussian(12, 15, 1000, offset=0.3)
    honest = x.mean(axis=0)
    shares = [length(Flag(pairwise=strength)(x)) for strength in (0.0, 1000.0)]
    assert cosine(Flag()(x), honest) > 0.95
    assert shares[1] < 0.5 * shares[0]


def test_a_row_may_count_against_its_own_direction() -> None:
    answer = Flag(dimension=1).aggregate([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-1.0, 1.0]])
    assert answer.weights is not None
    assert answer.weights.min() < 0
    np.testing.assert_allclose(answer.weights @ [[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-1.0, 1.0]], answer.value)


# -------------------------------------------------------------------------------------------------------- rows that lie


@pytest.mark.parametrize("apart", [0.0, 1e-300, 1e-16, 1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-3])
@pytest.mark.parametrize("strength", [1.0, 1e6])
@pytest.mark.parametrize("pair_rows", ["unit", "raw"])
def test_rows_however_close_to_each_other_do_no_harm(apart: float, strength: float, pair_rows: str) -> None:
    x = gaussian(13, 9, 40)
    x[1:4] = x[0] + apart * gaussian(14, 3, 40)
    rule = Flag(pairwise=strength, pair_rows=pair_rows)
    value = rule(x)
    assert length(value) <= np.median(np.linalg.norm(x, axis=1)) * (1 + 1e-9)
    if apart < 1e-7:  # closer than a millionth of the typical distance: as good as copies
        x[1:4] = x[0]
        np.testing.assert_allclose(value, rule(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_huge_row_takes_no_digits_from_the_others(strength: float, dtype: str) -> None:
    x = gaussian(15, 9, 40).astype(dtype)
    expected = Direct(pairwise=strength)(x.astype(np.float64))
    x[0] *= 1e30
    unscaled = (
        Flag(pairwise=strength, rescale="none")(x) * np.median(np.linalg.norm(gaussian(15, 9, 40), axis=1)) * 5 / 9
    )
    np.testing.assert_allclose(unscaled, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dimension": 0}, "dimension >= 1"),
        ({"pairwise": -1.0}, "pairwise >= 0"),
        ({"pairwise": float("inf")}, "pairwise <= 1000000"),
        ({"regularisation": 0.0}, "regularisation > 0"),
        ({"iterations": 0}, "iterations >= 1"),
        ({"mode": "code"}, "one of 'reference', 'paper'"),
        ({"rescale": "mean"}, "one of 'none', 'median_norm'"),
    ],
)
def test_parameters_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Flag(**given)
