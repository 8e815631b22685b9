"""Rules whose weights follow from geometry: published numbers, exact searches and their limits, rows that lie."""

from __future__ import annotations

from itertools import pairwise
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustfl.aggregation import Aggregator
from robustfl.aggregation.updates import gram as gram_module
from robustfl.defenses import ARC, CAF, CGE, MDA, NNM, SMEA, Mean, MultiKrum
from robustfl.defenses import caf as caf_module
from robustfl.errors import InfeasibleError
from tests.aggregation.cases import GOLDEN, gaussian
from tests.aggregation.gram_rules import diameter, subsets, top_variance, with_distant_rows
from tests.aggregation.oracles import Matrix, length, mean

NINE = np.arange(1.0, 10.0).reshape(3, 3)

walk = settings(deadline=None, max_examples=60)
each_filter = pytest.mark.parametrize("rule", [MDA, SMEA, CAF, CGE], ids=lambda rule: rule.name)


def kept(rule: Aggregator, x: Matrix) -> list[int]:
    """The rows that count, which should all count alike."""
    weights = rule.aggregate(x).weights
    assert weights is not None
    chosen = np.flatnonzero(weights)
    np.testing.assert_allclose(weights[chosen], 1.0 / len(chosen), rtol=1e-12)
    return [int(row) for row in chosen]


def grids(rows: int, columns: int) -> st.SearchStrategy[Matrix]:
    """Rows of small whole numbers: many ties, and distances without rounding."""
    return arrays(np.float64, (rows, columns), elements=st.integers(-3, 3).map(float))


# ------------------------------------------------------------------------------------------------ published numbers


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (MDA(f=1), [1.066667, 1.766667, -1.075]),
        (SMEA(f=1), [1.066667, 1.766667, -1.075]),
        (CGE(f=1), [1.066667, 1.766667, -1.075]),
        (CAF(f=1), [1.071009, 1.756590, -1.068805]),
        (ARC(f=1) >> Mean(), [1.186278, 1.242294, -0.649437]),
    ],
    ids=repr,
)
def test_golden_vectors(rule: Aggregator, expected: list[float]) -> None:
    np.testing.assert_allclose(rule(GOLDEN), expected, rtol=0, atol=5.1e-7)


def test_minimum_diameter_averaging_on_the_example_of_another_library() -> None:
    np.testing.assert_allclose(MDA(f=1)(NINE), [2.5, 3.5, 4.5], rtol=0, atol=1e-12)


@each_filter
def test_nothing_is_filtered_without_byzantine_rows(rule: Any) -> None:
    assert kept(rule(f=0), GOLDEN) == list(range(7))


# ----------------------------------------------------------------------------------------- adaptive robust clipping


def test_adaptive_clipping_on_the_example_of_another_library() -> None:
    expected = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [4.41004009, 5.04004582, 5.67005155]]
    np.testing.assert_allclose(ARC(f=1)(NINE), expected, rtol=0, atol=5.1e-9)


def test_adaptive_clipping_clips_the_attacker_to_the_golden_threshold() -> None:
    norms = np.linalg.norm(ARC(f=1)(GOLDEN), axis=1)
    assert norms[4] == pytest.approx(3.297726, abs=5.1e-7)
    np.testing.assert_allclose(norms[:4], np.linalg.norm(GOLDEN[:4], axis=1), rtol=1e-12)


@pytest.mark.parametrize(("n", "f"), [(242, 33), (3, 1), (10, 4), (50, 24), (121, 11)])
def test_adaptive_clipping_counts_in_integers(n: int, f: int) -> None:
    lengths = np.arange(1.0, n + 1.0)[:, None]
    clipped = next(k for k in range(n) if k * n > 2 * f * (n - f) - n)  # the quotient, by its definition
    np.testing.assert_allclose(ARC(f=f)(lengths), np.minimum(lengths, n - clipped), rtol=1e-12)
    if (n, f) == (242, 33):
        assert (clipped, int(2 * f / n * (n - f))) == (57, 56), "the trap: the quotient in floating point"


@given(seed=st.integers(0, 2**32), n=st.integers(3, 12), power=st.integers(-30, 30))
@walk
def test_adaptive_clipping_never_lengthens_or_turns_a_row(seed: int, n: int, power: int) -> None:
    x = gaussian(seed, n, 4) * 10.0**power
    f = (n - 1) // 2
    y = ARC(f=f)(x)
    before, after = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    assert (after <= before * (1 + 1e-12)).all()
    assert after.max() <= np.sort(before)[n - 1 - f] * (1 + 1e-12), "not one of the f longest rows sets the radius"
    np.testing.assert_allclose(y * before[:, None], x * after[:, None], rtol=1e-9)


def test_adaptive_clipping_leaves_zero_rows_alone() -> None:
    x = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(ARC(f=1)(x), np.zeros((3, 2)))
    np.testing.assert_array_equal(ARC(f=0)(x), x)


# -------------------------------------------------------------------------------------- minimum diameter averaging


@given(data=st.data(), n=st.integers(3, 9), d=st.integers(1, 3))
@walk
def test_minimum_diameter_averaging_keeps_the_first_of_equally_good_subsets(data: Any, n: int, d: int) -> None:
    x = data.draw(grids(n, d))
    f = data.draw(st.integers(0, (n - 1) // 2))
    squared = ((x[:, None] - x[None, :]) ** 2).sum(axis=2)
    best = min(subsets(n, f), key=lambda chosen: squared[np.ix_(chosen, chosen)].max())
    assert kept(MDA(f=f), x) == best


def most_rows_closer_than(squared: Matrix, threshold: float) -> int:
    """The size of the largest set of rows within a squared distance of each other, by integer programming."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    n = len(squared)
    apart = np.argwhere(np.triu(squared >= threshold, 1))
    pairs = np.zeros((len(apart), n))
    np.put_along_axis(pairs, apart, 1.0, axis=1)
    constraint = LinearConstraint(pairs, -np.inf, 1.0)
    found = milp(-np.ones(n), constraints=constraint, integrality=np.ones(n), bounds=Bounds(0, 1))
    assert found.success, found.message
    return round(-float(found.fun))


@pytest.mark.parametrize(("n", "f", "d"), [(20, 6, 3), (30, 12, 4), (50, 20, 5), (50, 20, 100)])
def test_an_integer_program_finds_no_smaller_diameter(n: int, f: int, d: int) -> None:
    x = gaussian(n + d, n, d)
    chosen = kept(MDA(f=f), x)
    assert len(chosen) == n - f
    squared = ((x[:, None] - x[None, :]) ** 2).sum(axis=2)
    assert most_rows_closer_than(squared, squared[np.ix_(chosen, chosen)].max() * (1 - 1e-9)) < n - f


def test_minimum_diameter_averaging_finds_a_planted_majority_among_many_rows() -> None:
    x = gaussian(1, 50, 30)
    x[::5] += 40.0
    x[1::5] *= -3.0
    honest = [row for row in range(50) if row % 5 > 1]
    assert kept(MDA(f=20), x) == honest
    np.testing.assert_allclose(MDA(f=20)(x), x[honest].mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize(("n", "f"), [(5, 1), (7, 2), (7, 3), (8, 3)])
@given(data=st.data())
@walk
def test_minimum_diameter_averaging_stays_within_its_bound_for_every_choice_of_honest_rows(
    data: Any, n: int, f: int
) -> None:
    x = data.draw(grids(n, 2))
    value = MDA(f=f)(x)
    for honest in subsets(n, f):
        assert length(value - mean(x[honest])) <= 2 * f / (n - f) * diameter(x[honest]) + 1e-9


def test_a_search_beyond_its_budget_is_refused_with_the_numbers() -> None:
    x = gaussian(0, 50, 1000)
    assert len(kept(MDA(f=24), x)) == 26
    with pytest.raises(InfeasibleError, match=r"MDA .*budget=1 trials\. Found n=50, f=24\. Raise `budget`, lower `f`"):
        MDA(f=24, budget=1)(x)


# ------------------------------------------------------------------------------ smallest maximum eigenvalue averaging


@given(data=st.data(), n=st.integers(3, 8), d=st.integers(1, 3))
@walk
def test_no_subset_has_a_smaller_largest_eigenvalue(data: Any, n: int, d: int) -> None:
    x = data.draw(grids(n, d))
    f = data.draw(st.integers(0, (n - 1) // 2))
    chosen = kept(SMEA(f=f), x)
    assert len(chosen) == n - f
    least = min(top_variance(x[other]) for other in subsets(n, f))
    assert top_variance(x[chosen]) == pytest.approx(least, rel=1e-9, abs=1e-12)


def test_two_shifted_rows_of_eight_are_never_kept_and_the_answer_is_always_the_same() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(8, 50))
        x[6:] += 3.0
        assert kept(SMEA(f=2), x) == [0, 1, 2, 3, 4, 5]
        np.testing.assert_array_equal(SMEA(f=2)(x), SMEA(f=2)(x))


@pytest.mark.parametrize(
    ("n", "f", "d", "shift", "budget"), [(16, 5, 5, 0.0, 1000), (20, 5, 1000, 1.0, 20), (50, 10, 1000, 3.0, 20)]
)
def test_few_parts_of_subsets_are_looked_at(n: int, f: int, d: int, shift: float, budget: int) -> None:
    assert budget < comb(n, f) / 4
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(n, d))
        x[:f] += shift
        chosen = kept(SMEA(f=f, budget=budget), x)
        assert len(chosen) == n - f
        assert not shift or chosen == list(range(f, n))


def test_a_search_among_rows_much_alike_is_refused_with_the_numbers() -> None:
    x = gaussian(0, 30, 1000)
    with pytest.raises(InfeasibleError, match=r"SMEA .*budget=200 parts .* Found n=30, f=10\. Raise `budget`, lower"):
        SMEA(f=10, budget=200)(x)
    assert len(kept(SMEA(f=1, budget=200), x)) == 29


@pytest.mark.parametrize("rule", [SMEA, CAF], ids=lambda rule: rule.name)
@pytest.mark.parametrize(("n", "f"), [(3, 1), (5, 1), (5, 2), (7, 2), (7, 3)])
@given(data=st.data())
@walk
def test_spectral_filters_stay_within_the_bound_for_every_choice_of_honest_rows(
    data: Any, rule: Any, n: int, f: int
) -> None:
    """The published constant of SMEA; CAF has kept to it in every search as well."""
    x = data.draw(grids(n, 2))
    x[data.draw(st.integers(0, n - 1))] *= data.draw(st.sampled_from([1.0, 3.0, 100.0]))
    value, bound = rule(f=f)(x), 4 * f / (n - f) * (1 + f / (n - 2 * f)) ** 2
    for honest in subsets(n, f):
        error = length(value - mean(x[honest])) ** 2
        assert error <= bound * top_variance(x[honest]) + 1e-9


# ------------------------------------------------------------------------- the covariance-bound-agnostic filter


@pytest.fixture
def variances(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The largest eigenvalue of every round of CAF, as they come; rounds in compiled loops cannot be watched."""
    seen: list[float] = []
    inner = caf_module.widest_direction

    def recorded(*arguments: Any) -> tuple[float, Matrix]:
        answer = inner(*arguments)
        seen.append(answer[0])
        return answer

    monkeypatch.setattr(gram_module, "gram_loops", lambda points: None)
    monkeypatch.setattr(caf_module, "widest_direction", recorded)
    return seen


def test_the_golden_rounds_of_the_filter(variances: list[float]) -> None:
    CAF(f=1)(GOLDEN)
    np.testing.assert_allclose(variances, [42.193309, 0.556693], rtol=0, atol=5.1e-7)


far_away = pytest.mark.parametrize("scale", [1e2, 1e4, 1e8, 1e30])
spreads = pytest.mark.parametrize("spread", ["one place", "one line", "apart"])


def require_no_say(x: Matrix, scale: float) -> None:
    """Distant rows leave the answer of the filter among the others."""
    answer = CAF(f=3).aggregate(x)
    assert length(answer.value - mean(x[3:])) <= length(x[3:].std(axis=0))
    if scale >= 1e8:
        assert answer.weights is not None
        assert (answer.weights[:3] == 0.0).all(), "a tiny weight times a huge row is no small thing"


@far_away
@spreads
def test_distant_rows_have_no_say_in_the_filter(scale: float, spread: str) -> None:
    for x in with_distant_rows(scale, spread):
        require_no_say(x, scale)


@far_away
@spreads
def test_distant_rows_cannot_keep_the_filter_busy(scale: float, spread: str, variances: list[float]) -> None:
    for x in with_distant_rows(scale, spread):
        variances.clear()
        require_no_say(x, scale)
        assert 1 <= len(variances) <= 12


@given(seed=st.integers(0, 2**32), n=st.integers(3, 20), powers=st.lists(st.integers(0, 40), min_size=9, max_size=9))
@walk
def test_every_round_of_the_filter_takes_a_row(seed: int, n: int, powers: list[int]) -> None:
    f = (n - 1) // 2
    x = gaussian(seed, n, 3)
    x[:f] *= 10.0 ** np.array(powers[:f])[:, None]
    active: list[int] = []
    inner = caf_module.widest_direction

    def counted(gram: Matrix, share: Matrix) -> tuple[float, Matrix]:
        active.append(len(share))
        return inner(gram, share)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gram_module, "gram_loops", lambda points: None)
        patch.setattr(caf_module, "widest_direction", counted)
        value = CAF(f=f)(x)
    assert all(later < earlier for earlier, later in pairwise(active))
    for found in (value, CAF(f=f)(x)):
        assert length(found) <= 10 * max(length(row) for row in x[f:])


@given(data=st.data(), n=st.integers(2, 5), times=st.integers(2, 3))
@walk
def test_copies_of_a_row_are_filtered_alike(data: Any, n: int, times: int) -> None:
    x = np.repeat(data.draw(grids(n, 2)) * 0.1, times, axis=0)
    weights = CAF(f=(len(x) - 1) // 2).aggregate(x).weights
    assert weights is not None
    same = weights.reshape(n, times)
    np.testing.assert_allclose(same, same[:, :1].repeat(times, axis=1), atol=1e-7)


# ---------------------------------------------------------------------------------------------- rows that lie


@each_filter
@pytest.mark.parametrize("f", [1, 2, 5])
@pytest.mark.parametrize("shape", ["one place", "one line", "both ways", "apart"])
def test_giant_rows_of_single_precision_do_not_count_at_the_bound(rule: Any, f: int, shape: str) -> None:
    n = 2 * f + 1
    x = gaussian(f, n, 12).astype(np.float32)
    directions = {
        "one place": np.ones((f, 12)),
        "one line": np.outer(np.arange(1.0, f + 1.0), np.ones(12)),
        "both ways": np.outer((-1.0) ** np.arange(f), np.ones(12)),
        "apart": np.eye(f, 12),
    }[shape]
    x[:f] = 1e30 * directions
    answer = rule(f=f).aggregate(x)
    assert answer.weights is not None
    assert (answer.weights[:f] == 0.0).all()
    assert length(answer.value.astype(np.float64)) <= max(length(row) for row in x[f:].astype(np.float64))


@each_filter
def test_byzantine_rows_with_the_largest_numbers_of_double_precision_do_not_count(rule: Any) -> None:
    x = gaussian(3, 7, 5)
    x[:2] = [[1e150] * 5, [-1e150] * 5]
    answer = rule(f=2).aggregate(x)
    assert not answer.rejected.any()
    assert length(answer.value) <= max(length(row) for row in x[2:])


@each_filter
@pytest.mark.parametrize("row", [[0.0, 0.0], [1e-3, -7.0], [1e12, 1.0]])
def test_rows_that_are_all_the_same_are_their_own_mean(rule: Any, row: list[float]) -> None:
    for n in (5, 8):
        np.testing.assert_allclose(rule(f=2)(np.tile(row, (n, 1))), row, rtol=1e-12)


@each_filter
def test_zero_rows_are_rows_like_any_other(rule: Any) -> None:
    x = np.zeros((7, 3))
    x[5:] = [[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0]]
    np.testing.assert_allclose(rule(f=2)(x), np.zeros(3), atol=1e-12)


@pytest.mark.parametrize("rule", [MDA, SMEA], ids=lambda rule: rule.name)
def test_many_copies_do_not_make_a_search_long(rule: Any) -> None:
    x = np.repeat(gaussian(2, 4, 3), 15, axis=0)
    x[:15] += 50.0
    assert kept(rule(f=15, budget=200), x) == list(range(15, 60))


@pytest.mark.parametrize("rule", [MDA, SMEA], ids=lambda rule: rule.name)
def test_hundreds_of_rows_without_a_doubt_need_no_search(rule: Any) -> None:
    x = np.random.default_rng(0).normal(size=(300, 8))
    x[7] = 1e6
    assert kept(rule(f=1, budget=20), x) == [row for row in range(300) if row != 7]


@each_filter
def test_too_few_rows_are_refused(rule: Any) -> None:
    with pytest.raises(InfeasibleError, match=r"needs n >= 2f \+ 1 rows\. Found n=4, f=2"):
        rule(f=2)(gaussian(0, 4, 3))


def test_filters_after_mixing_or_clipping_agree_with_stages_by_hand() -> None:
    x = gaussian(4, 11, 6)
    x[:3] += 5.0
    for rule in (CAF(f=3), MultiKrum(f=3), SMEA(f=3)):
        np.testing.assert_allclose((NNM(f=3) >> rule)(x), rule(NNM(f=3)(x)), rtol=0, atol=1e-9)
        np.testing.assert_allclose((ARC(f=3) >> rule)(x), rule(ARC(f=3)(x)), rtol=0, atol=1e-9)
