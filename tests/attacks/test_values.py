"""The published or derived values of each attack."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from robustfl.attacks import (
    ALIE,
    IPM,
    Dropout,
    Gaussian,
    LabelFlip,
    NonFinite,
    OptALIE,
    SignFlip,
    SparseHybrid,
)
from robustfl.attacks.updates.alie import alie_z
from robustfl.errors import ParameterError
from tests.attacks.table import Matrix, updates

H3: Matrix = np.arange(1.0, 10.0).reshape(3, 3)


def test_sign_flip_of_the_mean() -> None:
    np.testing.assert_allclose(SignFlip(mode="mean")(H3, f=2), [[-4, -5, -6]] * 2)
    np.testing.assert_allclose(SignFlip(mode="mean", scale=0.5)(H3, f=1), [[-2, -2.5, -3]])


def test_sign_flip_of_own_updates_row_by_row() -> None:
    np.testing.assert_allclose(SignFlip(scale=2.0)(H3, f=2, own=H3[:2]), -2 * H3[:2])


def test_sign_flip_cancels_the_mean() -> None:
    rows = SignFlip(mode="cancel")(H3, f=2)
    np.testing.assert_allclose(rows, [[-6, -7.5, -9]] * 2)
    np.testing.assert_allclose(np.vstack([rows, H3]).mean(axis=0), 0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(h=st.integers(1, 12), f=st.integers(1, 12), d=st.integers(1, 8))
def test_cancel_makes_any_mean_zero(h: int, f: int, d: int) -> None:
    honest = updates(h, d)
    rows = SignFlip(mode="cancel")(honest, f=f)
    np.testing.assert_allclose(np.vstack([rows, honest]).mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "f", "z"),
    [
        (50, 12, 0.33603814),
        (50, 10, 0.25334710),
        (51, 12, 0.36120164),
        (50, 24, 1.42607687),
        (20, 4, 0.15731068),
        (25, 5, 0.25334710),
        (25, 11, 1.06757052),
        (10, 4, 0.43072730),
        (11, 5, 0.96742157),
        (10, 2, 0.0),
        (8, 2, 0.0),
        (4, 1, -0.43072730),
        (10, 6, 3.09023231),
        (10, 9, 3.09023231),
    ],
)
def test_published_z(n: int, f: int, z: float) -> None:
    assert alie_z(n, f) == pytest.approx(z, abs=1e-7)


@pytest.mark.parametrize(
    ("n", "f", "supporters", "share"),
    [
        (50, 12, 14, 0.63157895),
        (50, 10, 16, 0.6),
        (51, 12, 14, 0.64102564),
        (50, 24, 2, 0.92307692),
        (20, 4, 7, 0.5625),
        (25, 5, 8, 0.6),
        (25, 11, 2, 0.85714286),
        (10, 4, 2, 0.66666667),
        (11, 5, 1, 0.83333333),
    ],
)
def test_z_leaves_the_supporters_that_a_majority_needs(n: int, f: int, supporters: int, share: float) -> None:
    assert norm.cdf(alie_z(n, f)) == pytest.approx(share, abs=1e-8)
    assert (n - f) * norm.sf(alie_z(n, f)) == pytest.approx(supporters)


def test_z_is_a_quantile_not_a_probability() -> None:
    assert alie_z(50, 10) == pytest.approx(norm.ppf(0.6))
    assert abs(alie_z(50, 10) - norm.cdf(0.6)) > 0.4


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 200), data=st.data())
def test_z_rises_with_the_attackers_and_stays_in_the_clamp(n: int, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, n - 2))
    assert -3.0902324 <= alie_z(n, f) <= alie_z(n, f + 1) <= 3.0902324


@pytest.mark.parametrize(
    ("attack", "row"),
    [
        (ALIE(z=1.5, sign="plus", ddof=1), [8.5, 9.5, 10.5]),
        (ALIE(z=1.5, sign="minus", ddof=1), [-0.5, 0.5, 1.5]),
        (ALIE(), [0.32576539, 1.32576539, 2.32576539]),
    ],
)
def test_alie_on_three_rows(attack: ALIE, row: list[float]) -> None:
    np.testing.assert_allclose(attack(H3, f=2), [row, row], atol=1e-8)


def test_alie_against_works_per_coordinate() -> None:
    honest: Matrix = H3 * np.array([1.0, -1.0, 1.0])
    sigma = H3.std(axis=0)
    expected = [4 - 1.5 * sigma[0], -5 + 1.5 * sigma[1], 6 - 1.5 * sigma[2]]
    np.testing.assert_allclose(ALIE(sign="against")(honest, f=1), [expected])


def test_alie_may_estimate_from_own_updates_alone() -> None:
    own = updates(4, 3, seed=5)
    expected = own.mean(axis=0) - 1.5 * own.std(axis=0)
    np.testing.assert_allclose(ALIE(estimate="own")(H3, f=4, own=own), np.tile(expected, (4, 1)))


def test_alie_with_a_single_honest_row_has_no_spread_to_hide_in() -> None:
    for ddof in (0, 1):
        np.testing.assert_array_equal(ALIE(ddof=ddof)(H3[:1], f=1), H3[:1])


def test_alie_takes_z_from_the_formula() -> None:
    honest = updates(38)
    expected = honest.mean(axis=0) - 0.33603814 * honest.std(axis=0)
    np.testing.assert_allclose(ALIE(z="formula")(honest, f=12), np.tile(expected, (12, 1)), atol=1e-7)


def test_averaging_shrinks_the_spread_that_alie_hides_in() -> None:
    """Client momentum beta leaves sqrt((1 - beta)/(1 + beta)) of the spread: 0.2294 for 0.9."""
    rng, beta = np.random.default_rng(0), 0.9
    momenta = np.zeros((2_000, 3))
    for _ in range(200):
        momenta = beta * momenta + (1 - beta) * rng.normal(size=momenta.shape)
    shift = np.abs(ALIE(z=1.0)(momenta, f=1) - momenta.mean(axis=0))
    np.testing.assert_allclose(shift, 0.22941573, rtol=0.05)


@pytest.mark.parametrize(("epsilon", "share"), [(1.5, 0.0), (2.0, -0.2), (0.1, 0.56)])
def test_ipm_moves_the_plain_mean_by_the_formula(epsilon: float, share: float) -> None:
    honest = updates(6)
    everybody = np.vstack([IPM(epsilon=epsilon)(honest, f=4), honest])
    np.testing.assert_allclose(everybody.mean(axis=0), share * honest.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 2.0, 10.0])
def test_ipm_reverses_the_mean(epsilon: float) -> None:
    np.testing.assert_allclose(IPM(epsilon=epsilon)(H3, f=2), -epsilon * np.array([[4, 5, 6]] * 2))


def test_gaussian_noise_differs_between_attackers_and_has_its_scale() -> None:
    rows = Gaussian(scale=3.0)(np.zeros((4, 20_000)), f=3)
    np.testing.assert_allclose(rows.std(axis=1), 3.0, rtol=0.03)
    np.testing.assert_allclose(rows.mean(axis=1), 0.0, atol=0.1)
    assert np.abs(np.corrcoef(rows) - np.eye(3)).max() < 0.05


def test_gaussian_additive_and_matched() -> None:
    own = np.full((2, 20_000), 5.0)
    noise = Gaussian(mode="additive", scale=0.5)(np.zeros((4, 20_000)), f=2, own=own) - own
    np.testing.assert_allclose(noise.std(axis=1), 0.5, rtol=0.03)
    matched = Gaussian(mode="matched", scale=2.0)(np.full((4, 20_000), 3.0), f=2) - 3.0
    np.testing.assert_allclose(np.linalg.norm(matched, axis=1), 2.0 * 3.0 * np.sqrt(20_000), rtol=0.03)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_payloads(dtype: type[np.floating]) -> None:
    honest: npt.NDArray[np.floating] = np.zeros((4, 1_000), dtype)
    assert np.isnan(NonFinite()(honest, f=2)).all()
    assert (NonFinite(payload="inf")(honest, f=2) == np.inf).all()
    assert (NonFinite(payload="-inf")(honest, f=2) == -np.inf).all()
    huge = NonFinite(payload="huge")(honest, f=4)
    assert np.isfinite(huge).all()
    with np.errstate(over="ignore"):
        assert np.isinf(huge.sum(axis=0)).all()


def test_huge_is_1e38_in_single_precision() -> None:
    assert NonFinite(payload="huge")(np.zeros((1, 1), np.float32), f=1)[0, 0] == pytest.approx(1e38, rel=0.05)


@pytest.mark.parametrize(("density", "count"), [(1e-3, 2), (1e-9, 1), (0.25, 500), (1.0, 2_000)])
def test_sprinkled_nan_counts(density: float, count: int) -> None:
    rows = NonFinite(payload="sparse_nan", density=density)(np.zeros((3, 2_000)), f=2)
    assert np.isnan(rows).sum(axis=1).tolist() == [count, count]
    assert (rows[~np.isnan(rows)] == 0).all()
    if count < 2_000:
        assert (np.isnan(rows[0]) != np.isnan(rows[1])).any()


LABELS = np.array([0, 1, 2, 3, 4, 2])


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (LabelFlip(), [4, 3, 2, 1, 0, 2]),
        (LabelFlip(mode="cyclic"), [1, 2, 3, 4, 0, 3]),
        (LabelFlip(mode="targeted", source=2, target=0), [0, 1, 0, 3, 4, 0]),
    ],
)
def test_label_flips(attack: LabelFlip, expected: list[int]) -> None:
    assert attack.poison_labels(LABELS, 5, np.random.default_rng(0)).tolist() == expected


def test_random_labels_are_uniform() -> None:
    labels = LabelFlip(mode="random").poison_labels(np.zeros(10_000, np.int64), 5, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(labels, minlength=5) / 10_000, 0.2, atol=0.02)


@settings(max_examples=20, deadline=None)
@given(fraction=st.floats(0.05, 1.0))
def test_a_fraction_of_the_labels_is_touched(fraction: float) -> None:
    labels = np.zeros(5_000, np.int64)
    poisoned = LabelFlip(mode="cyclic", fraction=fraction).poison_labels(labels, 3, np.random.default_rng(0))
    assert (poisoned != labels).mean() == pytest.approx(fraction, abs=0.04)


def test_label_flip_refuses_what_would_do_nothing_or_leave_the_classes() -> None:
    with pytest.raises(ParameterError, match="differ from `source`"):
        LabelFlip(mode="targeted", source=3, target=3)
    with pytest.raises(ParameterError, match=r"classes of the data\. Found source=0, target=7 with 5 classes"):
        LabelFlip(mode="targeted", target=7).poison_labels(LABELS, 5, np.random.default_rng(0))


def test_dropout_loses_its_share_of_the_messages() -> None:
    messages = updates(20_000, 1)
    _, senders = Dropout(probability=0.3)(messages)
    assert len(senders) == pytest.approx(14_000, abs=400)
    np.testing.assert_array_equal(Dropout(probability=0.0)(messages)[0], messages)


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (lambda: ALIE(z=0.0), "z > 0"),
        (lambda: ALIE(ddof=2), "ddof <= 1"),
        (lambda: OptALIE(ddof=2), "ddof <= 1"),
        (lambda: SparseHybrid(ddof=-1), "ddof >= 0"),
        (lambda: ALIE(sign="up"), "'minus', 'plus', 'against'"),  # type: ignore[arg-type]
        (lambda: IPM(epsilon=-1.0), "epsilon > 0"),
        (lambda: IPM(epsilon=float("nan")), "a number"),
        (lambda: IPM(diversify="spread"), "'none', 'jitter', 'pairs'"),  # type: ignore[arg-type]
        (lambda: NonFinite(density=0.0), "density > 0"),
        (lambda: Dropout(probability=1.0), "probability < 1"),
        (lambda: LabelFlip(fraction=1.5), "fraction <= 1"),
    ],
)
def test_parameters_out_of_range_are_refused(build: object, found: str) -> None:
    assert callable(build)
    with pytest.raises(ParameterError, match=found):
        build()
