"""Rules that measure the rows against an update of the server's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import ColumnBlocks
from robustfl.defenses import NNM, Bucketing, ClientMomentum, FLTrust, Median, MoNNA
from robustfl.errors import UpdatesError
from tests.aggregation import column_oracles as naive
from tests.aggregation import oracles
from tests.aggregation.cases import GOLDEN, gaussian
from tests.aggregation.oracles import Matrix

BOTH: list[Any] = [FLTrust(), MoNNA(f=2)]
each = pytest.mark.parametrize("rule", BOTH, ids=repr)
seeds = st.integers(0, 2**32)
walk = settings(deadline=None, max_examples=25)


def test_golden_fltrust() -> None:
    answer = FLTrust().aggregate(GOLDEN, trusted=[1.0, 1.5, -1.0])
    np.testing.assert_allclose(answer.value, [0.983106, 1.475896, -0.902860], rtol=0, atol=5.1e-7)
    expected = [0.990148, 0.932568, 0.937715, 0.936, 0.0, 0.987579, 0.998856]
    np.testing.assert_allclose(answer.info["trust"], expected, rtol=0, atol=5.1e-7)


def test_golden_monna() -> None:
    value = MoNNA(f=1)(GOLDEN, trusted=GOLDEN[0])
    np.testing.assert_allclose(value, [1.066667, 1.766667, -1.075], rtol=0, atol=5.1e-7)


@walk
@given(seed=seeds, n=st.integers(1, 12), d=st.integers(1, 6), f=st.integers(0, 3))
def test_both_equal_their_oracles(seed: int, n: int, d: int, f: int) -> None:
    x, trusted = gaussian(seed, n + f, d), gaussian(seed + 1, 1, d)[0]
    np.testing.assert_allclose(FLTrust()(x, trusted=trusted), naive.fltrust(x, trusted), atol=1e-10)
    np.testing.assert_allclose(MoNNA(f=f)(x, trusted=trusted), naive.monna(x, f, trusted), atol=1e-10)


@walk
@given(seed=seeds, size=st.sampled_from([1e-30, 1e-3, 1.0, 1e10, 1e36]), bad=st.integers(1, 9))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fltrust_bounds_what_any_number_of_rows_can_do(dtype: str, seed: int, size: float, bad: int) -> None:
    rng = np.random.default_rng(seed)
    trusted = rng.normal(size=6).astype(dtype)
    x = (trusted + 0.1 * rng.normal(size=(9, 6))).astype(dtype)
    x[:bad] = size * rng.normal(size=(bad, 6))
    value = FLTrust()(x, trusted=trusted).astype(np.float64)
    wide = trusted.astype(np.float64)
    assert oracles.length(value) <= oracles.length(wide) * (1 + 1e-6)
    assert value @ wide >= -1e-6 * wide @ wide
    np.testing.assert_allclose(value, naive.fltrust(x.astype(np.float64), wide), atol=1e-5)


def test_a_majority_of_giants_cannot_blur_the_angles_of_the_others() -> None:
    trusted = np.array([1.0, 2.0, 3.0])
    honest = trusted + 0.1 * gaussian(0, 3, 3, offset=0.0)
    giants = np.array([-1e100 * trusted] * 5)
    value = FLTrust()(np.vstack([giants, honest]), trusted=trusted)
    np.testing.assert_allclose(value, naive.fltrust(honest, trusted), rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "trusted"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], [0.0, 0.0]),
        ([[-1.0, -2.0], [-3.0, 0.0]], [1.0, 1.0]),
        ([[0.0, 0.0], [0.0, 0.0]], [1.0, 1.0]),
        ([[1e-200, 0.0], [0.0, 1e-180]], [1.0, 1.0]),  # squared norms without digits
    ],
    ids=["the server has nothing to say", "all against it", "nobody has anything to say", "next to nothing"],
)
def test_where_nobody_is_trusted_the_answer_is_zero(x: list[list[float]], trusted: list[float]) -> None:
    answer = FLTrust().aggregate(x, trusted=trusted)
    assert answer.value.tolist() == [0.0, 0.0]
    assert answer.weights is not None
    assert not answer.weights.any()


@walk
@given(seed=seeds, bad=st.integers(0, 6), size=st.sampled_from([0.0, 1.0, 1e30]))
def test_monna_stays_within_the_largest_honest_distance(seed: int, bad: int, size: float) -> None:
    x, trusted = gaussian(seed, 7, 4), gaussian(seed + 1, 1, 4)[0]
    x[:bad] = size * gaussian(seed + 2, bad, 4)
    value = MoNNA(f=bad)(x, trusted=trusted)
    assert oracles.length(value - trusted) <= max(oracles.length(row - trusted) for row in x[bad:]) * (1 + 1e-9)


def test_monna_with_one_honest_row_takes_the_nearest() -> None:
    assert MoNNA(f=2)([[5.0], [1.0], [-7.0]], trusted=[0.0]).tolist() == [1.0]
    assert MoNNA(f=1)([[1.0], [-1.0]], trusted=[0.0]).tolist() == [1.0], "of two equally near the lower row"


@each
def test_rows_and_trusted_update_turn_and_grow_together(rule: Any) -> None:
    x, trusted = gaussian(3, 7, 4), gaussian(4, 1, 4)[0]
    turn = np.linalg.qr(gaussian(5, 4, 4))[0]
    expected = rule(x, trusted=trusted)
    np.testing.assert_allclose(rule(x @ turn, trusted=trusted @ turn), expected @ turn, atol=1e-10)
    np.testing.assert_allclose(rule(1e6 * x, trusted=1e6 * trusted), 1e6 * expected, rtol=1e-9)
    order = np.random.default_rng(0).permutation(7)
    np.testing.assert_allclose(rule(x[order], trusted=trusted), expected, atol=1e-12)


@each
def test_a_trusted_update_is_asked_for_and_checked(rule: Any) -> None:
    x = gaussian(0, 5, 3)
    with pytest.raises(UpdatesError, match=r"measures the rows against an update.* Pass it: `trusted=update`"):
        rule(x)
    with pytest.raises(
        UpdatesError, match=r"should look like the updates, array of shape \[3\]\. Found array of shape"
    ):
        rule(x, trusted=x[0, :2])
    for hole in (np.nan, np.inf, 1e300):
        with pytest.raises(UpdatesError, match="`trusted` should be finite"):
            rule(x, trusted=np.array([1.0, hole, 0.0]))


def as_states(x: Matrix) -> list[dict[str, Any]]:
    return [{"weight": torch.tensor(row[:2].reshape(1, 2)), "bias": torch.tensor(row[2:])} for row in x]


@each
def test_a_trusted_update_comes_in_the_form_of_the_others(rule: Any) -> None:
    x, trusted = gaussian(1, 6, 3), gaussian(2, 1, 3)[0]
    expected = rule(x, trusted=trusted)
    state = rule(as_states(x), trusted=as_states(trusted[None])[0])
    np.testing.assert_allclose(
        np.concatenate([state["weight"].numpy()[0], state["bias"].numpy()]), expected, atol=1e-12
    )
    tensor = rule(torch.tensor(x).float(), trusted=torch.tensor(trusted).float())
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-5)
    holed = np.vstack([x, np.full((1, 3), np.nan)])
    np.testing.assert_allclose(rule(holed, trusted=trusted), expected, atol=1e-12)


def test_fltrust_reads_the_data_twice() -> None:
    x, trusted, readings = gaussian(6, 8, 1000), gaussian(7, 1, 1000)[0], []

    def blocks() -> Any:
        readings.append(1)
        return (x[:, at : at + 64] for at in range(0, 1000, 64))

    value = FLTrust()(ColumnBlocks(blocks, shape=x.shape, dtype="float64"), trusted=trusted)
    np.testing.assert_allclose(value, naive.fltrust(x, trusted), atol=1e-10)
    assert len(readings) == 2


def test_pipelines_hand_the_trusted_update_on() -> None:
    x, trusted = gaussian(8, 9, 4), gaussian(9, 1, 4)[0]
    mixed, grouped = oracles.nnm(x, 2), oracles.buckets(oracles.nnm(x, 2), 2)
    for pipeline, expected in (
        (NNM(f=2) >> FLTrust(), naive.fltrust(mixed, trusted)),
        (NNM(f=2) >> MoNNA(f=2), naive.monna(mixed, 2, trusted)),
        (NNM(f=2) >> Bucketing(size=2) >> FLTrust(), naive.fltrust(grouped, trusted)),
        (ClientMomentum(beta=0.5) >> FLTrust(), naive.fltrust(x / 2, trusted)),
        (ClientMomentum(beta=0.5) >> NNM(f=2) >> MoNNA(f=2), naive.monna(oracles.nnm(x / 2, 2), 2, trusted)),
    ):
        assert pipeline.wants_trusted
        answer = pipeline.aggregate(x, trusted=trusted)
        np.testing.assert_allclose(answer.value, expected, atol=1e-10)
        assert answer.weights is not None
        np.testing.assert_allclose(answer.weights @ x, expected, atol=1e-10)


def test_rules_without_trust_take_no_notice_of_it() -> None:
    assert not Median().wants_trusted
    np.testing.assert_array_equal(Median()(GOLDEN, trusted="nonsense"), Median()(GOLDEN))
