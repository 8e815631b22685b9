"""Rules on columns, signs and lengths: numbers worked out by hand, and what is special about each."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregator, ColumnBlocks
from robustfl.defenses import (
    FLAME,
    NNM,
    Bulyan,
    ClientMomentum,
    DnC,
    FLTrust,
    Meamed,
    Median,
    MoNNA,
    NormBound,
    Phocas,
    RobustLearningRate,
    SignGuard,
    SignMajority,
)
from robustfl.defenses.bulyan import select
from robustfl.defenses.dnc import outlier_scores
from robustfl.errors import InfeasibleError
from tests.aggregation import column_oracles as naive
from tests.aggregation import oracles
from tests.aggregation.cases import GOLDEN, gaussian
from tests.aggregation.oracles import Matrix

seeds = st.integers(0, 2**32)
walk = settings(deadline=None, max_examples=25)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Meamed(f=1), [1.066667, 1.766667, -1.075]),
        (Phocas(f=1), [1.066667, 1.766667, -1.075]),
        (Bulyan(f=1), [1.033333, 1.616667, -0.933333]),
        (DnC(f=1), [1.066667, 1.766667, -1.075]),
        (SignMajority(), [1.0, 1.0, -1.0]),
        (SignMajority(step=0.25), [0.25, 0.25, -0.25]),
        (RobustLearningRate(threshold=6), [2.342857, -0.085714, -0.507143]),
        (RobustLearningRate(threshold=6, base="median"), [1.2, -1.6, 1.0]),
        (RobustLearningRate(threshold=6, base="sign"), [1.0, -1.0, 1.0]),
        (RobustLearningRate(threshold=0), [2.342857, 0.085714, 0.507143]),
        (NormBound(radius=2.0), [0.965024, 1.042362, -0.568604]),
    ],
    ids=repr,
)
def test_golden_vectors(rule: Aggregator, expected: list[float]) -> None:
    np.testing.assert_allclose(rule(GOLDEN), expected, rtol=0, atol=5.1e-7)


@pytest.mark.parametrize("rule", [Meamed(f=0), Phocas(f=0), Bulyan(f=0), DnC(f=0), MoNNA(f=0)], ids=repr)
def test_without_byzantine_rows_the_answer_is_the_mean(rule: Aggregator) -> None:
    trusted = GOLDEN[0] if rule.wants_trusted else None
    np.testing.assert_allclose(rule(GOLDEN, trusted=trusted), oracles.mean(GOLDEN), rtol=1e-12)


STRANGE: dict[str, Matrix] = {
    "zeros": np.zeros((7, 5)),
    "alike": np.tile([3.0, -1e20, 0.0, 1e-30, 7.0], (7, 1)),
    "two places": np.repeat([[1.0, 2.0, 3.0, 4.0, 5.0], [-1.0, 2.0, 0.0, 1.0, 9.0]], [3, 4], axis=0),
    "one that is not zero": np.diag([0.0, 0.0, 0.0, 5.0, 0.0])[[0, 1, 2, 3, 4, 0, 1]],
    "opposite": np.outer([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0]),
    "giants": np.vstack([gaussian(0, 6, 5), np.full((1, 5), 1e30)]),
    "mostly giants": np.vstack([gaussian(0, 2, 5), np.diag([1e30, -1e30, 1e29, 1e28, 1e27])]),
    "tiny": gaussian(1, 7, 5) * 1e-42,
}
EVERY: list[Any] = [
    Meamed(f=1),
    Phocas(f=1),
    Bulyan(f=1),
    DnC(f=1, iterations=3, columns=2),
    SignMajority(),
    RobustLearningRate(threshold=2),
    NormBound(radius=1.0, noise=0.01),
    FLTrust(),
    MoNNA(f=1),
    FLAME(),
    SignGuard(),
    ClientMomentum() >> Median(),
]


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", EVERY, ids=repr)
def test_strange_rows_get_a_finite_answer_without_a_warning(rule: Any, dtype: str, kind: str) -> None:
    x = STRANGE[kind].astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = rule.preview(x, trusted=x[0] if rule.wants_trusted else None).value
    assert np.isfinite(value).all()
    if kind == "zeros":
        np.testing.assert_allclose(value, 0.0, atol=0.1)


# ---------------------------------------------------------------------------------- centres that float32 would round


@pytest.mark.parametrize("columns", [300, 2000])  # for the kernels in numpy, and for the compiled ones
@pytest.mark.parametrize(
    ("rule", "oracle", "n", "f"),
    [
        (Meamed, naive.meamed, 12, 3),
        (Meamed, naive.meamed, 13, 3),
        (Phocas, naive.phocas, 12, 4),
        (Phocas, naive.phocas, 13, 3),
        (Bulyan, naive.bulyan, 16, 3),
    ],
)
def test_a_large_common_part_costs_no_digits_of_a_centre(rule: Any, oracle: Any, n: int, f: int, columns: int) -> None:
    """Rows near a million, a few steps of float32 apart: the answer is that of float64, rounded once."""
    steps = np.random.default_rng(n).integers(-8, 9, size=(n, columns))
    x = (1e6 + steps / 16).astype(np.float32)
    wide = x.astype(np.float64)
    assert (wide == 1e6 + steps / 16).all()
    np.testing.assert_array_equal(rule(f=f)(x), oracle(wide, f).astype(np.float32))
    fine = 1e6 + 1e-2 * gaussian(n, n, columns)  # float64 keeps eight digits of this spread, float32 none
    np.testing.assert_allclose(rule(f=f)(fine) - 1e6, oracle(fine - 1e6, f), rtol=0, atol=1e-9)


# ---------------------------------------------------------------------------------------------------------- bulyan


def test_bulyan_tells_whom_it_selected_in_which_order() -> None:
    assert Bulyan(f=1).aggregate(GOLDEN).info["selected"] == [5, 0, 1, 2, 3]
    named = Bulyan(f=1).aggregate(dict(zip("abcdefg", GOLDEN, strict=True)))
    assert named.info["selected"] == ["f", "a", "b", "c", "d"]
    mixed = (NNM(f=1) >> Bulyan(f=1)).aggregate(dict(zip("abcdefg", GOLDEN, strict=True)))
    assert set(mixed.info["selected"]) < set(range(7)), "mixed rows have no client"


@pytest.mark.parametrize(("n", "f"), [(7, 1), (15, 3), (31, 7), (100, 24), (40, 0)])
def test_bulyan_selects_what_repeated_krum_selects(n: int, f: int) -> None:
    x = gaussian(n, n, 6)
    squared = np.array([[oracles.length(a - b) ** 2 for b in x] for a in x])
    if n < 50:
        assert select(squared, f, np.arange(len(x))) == naive.bulyan_selection(x, f)
    else:
        chosen = select(squared, f, np.arange(len(x)))
        assert len(set(chosen)) == n - 2 * f
        assert chosen[0] == oracles.best_rows(x, n - f - 2, 1)[0]


def test_bulyan_promises_that_order_does_not_matter_only_where_it_does_not() -> None:
    assert [sorted(Bulyan(f=f).unclaimed) for f in range(4)] == [
        [],
        ["names", "permutation"],
        ["names", "permutation"],
        [],
    ]
    for seed in range(20):
        x = gaussian(seed, 16, 3)
        order = np.random.default_rng(seed).permutation(16)
        np.testing.assert_allclose(Bulyan(f=3)(x[order]), Bulyan(f=3)(x), atol=1e-12)


# ------------------------------------------------------------------------------------------------------------- DnC


def test_golden_scores_of_dnc() -> None:
    expected = [7.695747, 3.076602, 15.55442, 3.882049, 250.465932, 5.697708, 8.980703]
    np.testing.assert_allclose(outlier_scores(GOLDEN @ GOLDEN.T), expected, rtol=0, atol=5.1e-6)


@walk
@given(seed=seeds, iterations=st.integers(1, 4), columns=st.integers(1, 40), removal=st.sampled_from([0.5, 1.0, 1.5]))
def test_dnc_looks_at_the_documented_columns_in_every_round(
    seed: int, iterations: int, columns: int, removal: float
) -> None:
    rule = DnC(f=3, iterations=iterations, columns=columns, removal=removal, seed=7)
    for number in range(3):
        x = gaussian(seed + number, 11, 30)
        answer = rule.aggregate(x)
        expected = naive.dnc_weights(x, 3, iterations, removal, columns, seed=7, number=number)
        np.testing.assert_allclose(answer.weights, expected, atol=1e-12)
        np.testing.assert_allclose(answer.value, expected @ x, atol=1e-12)


def test_dnc_falls_back_on_the_rows_that_most_filters_keep() -> None:
    fallen = 0
    for seed in range(20):
        x = gaussian(seed, 5, 12)
        expected = naive.dnc_weights(x, 2, 6, 1.5, 1)
        answer = DnC(f=2, iterations=6, removal=1.5, columns=1).aggregate(x)
        np.testing.assert_allclose(answer.weights, expected, atol=1e-12)
        fallen += np.count_nonzero(expected) == 2
    assert fallen > 5, "no question was hard enough"


def test_dnc_takes_out_what_is_told_in_exact_numbers() -> None:
    x = gaussian(0, 301, 3)
    answer = DnC(f=100, removal=0.29).aggregate(x)  # 0.29 * 100 is 28.999999999999996
    assert answer.weights is not None
    assert np.count_nonzero(answer.weights) == 301 - 29


@pytest.mark.parametrize("rule", [DnC(f=2, columns=300), SignGuard(), NormBound(radius=1.0, noise=0.1)], ids=repr)
def test_a_choice_of_columns_does_not_depend_on_how_they_come(rule: Aggregator) -> None:
    x = gaussian(3, 9, 5000)
    for width in (7, 640, 5000):
        blocks = ColumnBlocks([x[:, at : at + width] for at in range(0, 5000, width)], shape=(9, 5000), dtype="float64")
        np.testing.assert_allclose(rule.preview(blocks).value, rule.preview(x).value, atol=1e-12)


# ----------------------------------------------------------------------------------------------------------- signs


@walk
@given(seed=seeds, f=st.integers(0, 4), size=st.sampled_from([0.0, 1e-30, 1e30]))
def test_the_sign_that_more_than_half_of_all_rows_agree_on_stands(seed: int, f: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    n = 2 * f + 1 + int(rng.integers(4))
    x = rng.normal(size=(n, 50)).round(1)
    x[:f] = size * rng.choice([-1.0, 1.0], size=(f, 50))
    value, honest = SignMajority()(x), np.sign(x[f:])
    for sign in (-1.0, 1.0):
        sure = (honest == sign).sum(axis=0) > n / 2
        assert (value[sure] == sign).all()
    assert set(value.tolist()) <= {-1.0, 0.0, 1.0}


def test_ties_and_zeros_have_no_sign() -> None:
    x = [[1.0, 0.0, 0.0, -0.0], [-1.0, 0.0, 2.0, -3.0]]
    assert SignMajority()(x).tolist() == [0.0, 0.0, 1.0, -1.0]
    assert RobustLearningRate(threshold=2)(x).tolist() == [0.0, 0.0, -1.0, 1.5]


def test_a_threshold_beyond_the_rows_would_turn_everything() -> None:
    rule = RobustLearningRate(threshold=4)
    with pytest.raises(InfeasibleError, match=r"needs n >= 2f \+ 4 rows\. Found n=3, f=0"):
        rule(gaussian(0, 3, 2))
    assert rule.infeasible(10, 3) is None
    assert rule.infeasible(9, 3) is not None


# ------------------------------------------------------------------------------------------------- lengths and noise


@walk
@given(seed=seeds, f=st.integers(0, 4), size=st.sampled_from([1.0, 1e6, 1e100]))
def test_a_norm_bound_limits_what_rows_can_do(seed: int, f: int, size: float) -> None:
    x = gaussian(seed, 9, 5)
    other = x.copy()
    other[:f] = size * gaussian(seed + 1, f, 5)
    moved = NormBound(radius=0.5)(other) - NormBound(radius=0.5)(x)
    assert oracles.length(moved) <= 2 * f * 0.5 / 9 + 1e-12


@pytest.mark.parametrize("radius", [None, 2.0])
def test_noise_is_documented_fresh_in_every_round_and_the_same_in_every_run(radius: float | None) -> None:
    def rule(noise: float, seed: int = 3) -> Aggregator:
        return FLAME(noise=noise, seed=seed) if radius is None else NormBound(radius=radius, noise=noise, seed=seed)

    x = gaussian(1, 7, 4000)
    unit = float(np.median(np.linalg.norm(x, axis=1))) if radius is None else 1.0
    noisy, quiet = rule(0.1), rule(0.0)
    assert (noisy.stateful, quiet.stateful) == (True, False)
    drawn = [(noisy(x) - quiet(x)) / (0.1 * unit) for _ in range(3)]
    for number, z in enumerate(drawn):
        np.testing.assert_allclose(z, np.random.default_rng([3, number, 0]).standard_normal(1 << 16)[:4000], atol=1e-9)
    assert quiet.state_dict() == {}
    assert noisy.state_dict() == {"round": 3}
    assert not np.allclose(rule(0.1, seed=4)(x), rule(0.1)(x))
