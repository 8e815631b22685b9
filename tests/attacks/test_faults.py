"""What each fault does, by its definition: rates, values, and what stays as it was."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.attacks import (
    AWGN,
    BitFlip,
    Churn,
    Compress,
    Crash,
    DuplicateClient,
    DuplicateSamples,
    EmptyClient,
    FeatureNoise,
    LabelNoise,
    NaNClient,
    OutOfOrder,
    Partial,
    Replay,
    Stale,
    Straggler,
)
from robustfl.errors import AttackError, ParameterError
from robustfl.threats import Fault, FaultView, LocalData
from robustfl.threats.bits import bit_masks, flipped
from robustfl.threats.faults import FaultRun
from tests.attacks.table import updates

N = 2_000


def course(fault: Fault, clients: int = N, seed: int = 0) -> FaultRun:
    return FaultRun(fault, clients, lambda purpose: np.random.default_rng([seed, *purpose.encode()]))


def lost(played: FaultRun, number: int, clients: int = N) -> npt.NDArray[np.bool_]:
    fate = played.fate(number, np.arange(clients)).lost
    return np.zeros(clients, dtype=np.bool_) if fate is None else fate


def local(labels: Any, classes: int = 4, features: Any = None) -> LocalData:
    y = np.asarray(labels)
    x = torch.zeros(len(y), 2) if features is None else torch.as_tensor(features, dtype=torch.float32)
    return LocalData(features=x, labels=y, classes=classes, drawn=np.arange(len(y)))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- messages


@pytest.mark.parametrize(
    ("bit", "value"),
    [(31, -1.0), (30, np.inf), (29, 5.42101086e-20), (24, 0.25), (23, 0.5), (22, 1.5), (0, 1.00000012)],
)
def test_the_bits_of_one(bit: int, value: float) -> None:
    one = torch.ones(1, dtype=torch.float32)
    assert float(flipped(one, bit_masks(one)[[bit]])) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize(("dtype", "width"), [(np.float32, 32), (np.float64, 64), (np.float16, 16)])
def test_bits_flip_at_their_rate(dtype: Any, width: int) -> None:
    before = np.ones((4, 20_000), dtype=dtype)
    after, _ = BitFlip(rate=1e-3)(before)
    turned = np.unpackbits(before.view(np.uint8) ^ after.view(np.uint8), axis=1).sum(axis=1)
    np.testing.assert_allclose(turned, 20_000 * width * 1e-3, rtol=0.25)
    assert after.dtype == before.dtype


def test_every_bit_flips_at_rate_one_and_hardly_any_at_a_small_one() -> None:
    ones = np.ones((2, 3), dtype=np.float32)
    assert (BitFlip(rate=1.0)(ones)[0].view(np.uint32) == ~ones.view(np.uint32)).all()
    assert (BitFlip(rate=1e-9)(ones)[0] == ones).all()


@pytest.mark.parametrize("snr", [20.0, 10.0, 0.0])
def test_noise_has_the_signal_to_noise_ratio(snr: float) -> None:
    messages = updates(3, 20_000) * np.array([[1e-6], [1.0], [1e6]])
    noise = AWGN(snr=snr)(messages)[0] - messages
    ratio = (messages**2).sum(axis=1) / (noise**2).sum(axis=1)
    np.testing.assert_allclose(10 * np.log10(ratio), snr, atol=0.15)


def test_noise_leaves_alone_what_is_not_finite_and_what_is_nothing() -> None:
    rows = np.array([[np.nan, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(AWGN()(rows)[0], rows)


def test_top_k_keeps_the_largest() -> None:
    rows = updates(5, 200)
    sent, _ = Compress(keep=0.05)(rows)
    assert ((sent != 0).sum(axis=1) == 10).all()
    for row, kept in zip(rows, sent, strict=True):
        np.testing.assert_array_equal(kept[kept != 0], row[kept != 0])
        assert np.abs(row[kept != 0]).min() >= np.abs(row[kept == 0]).max()
    assert ((Compress(keep=1e-6)(rows)[0] != 0).sum(axis=1) == 1).all()


def test_qsgd_is_unbiased_and_sends_levels() -> None:
    row = updates(1, 6)
    rows = np.repeat(row, 40_000, axis=0)
    sent, _ = Compress(method="qsgd", levels=4)(rows)
    steps = sent / np.linalg.norm(row) * 4
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    np.testing.assert_allclose(sent.mean(axis=0), row[0], atol=0.01 * np.linalg.norm(row))
    assert not Compress(method="qsgd")(np.zeros((2, 3)))[0].any()


def test_signs_keep_the_mean_length_of_an_entry() -> None:
    rows = updates(4, 50)
    sent, _ = Compress(method="sign")(rows)
    np.testing.assert_allclose(sent, np.sign(rows) * np.abs(rows).mean(axis=1, keepdims=True))


def test_half_precision_overflows_above_65504() -> None:
    rows = np.array([[65504.0, 65536.0, -1e6, 1.0 + 2.0**-12]], dtype=np.float32)
    np.testing.assert_array_equal(Compress(method="fp16")(rows)[0], [[65504.0, np.inf, -np.inf, 1.0]])


@pytest.mark.parametrize("method", ["top_k", "qsgd", "sign", "fp16"])
def test_feedback_loses_nothing_in_the_long_run(method: Any) -> None:
    played = course(Compress(method=method, keep=0.2, feedback=True), 3)
    sent, given = torch.zeros(3, 10, dtype=torch.float64), torch.zeros(3, 10, dtype=torch.float64)
    for number in range(6):
        messages = torch.as_tensor(updates(3, 10, seed=number))
        given += messages
        sent += played.messages(messages, number, np.arange(3))
    left = torch.stack([played.memory[client] for client in range(3)])
    torch.testing.assert_close(sent + left, given)
    assert bool(left.any())


def test_feedback_forgets_what_is_not_finite() -> None:
    played = course(Compress(method="fp16", feedback=True), 1)
    played.messages(torch.full((1, 2), 1e6), 0, np.arange(1))
    after = played.messages(torch.ones(1, 2), 1, np.arange(1))
    assert after.tolist() == [[1.0, 1.0]]


def test_a_diverging_client_sends_long_messages_and_a_broken_one_nan() -> None:
    rows = updates(10)
    broken, diverging = NaNClient()(rows)[0], NaNClient(mode="diverging", share=1.0)(rows)[0]
    assert np.isnan(broken).all(axis=1).sum() == 1
    np.testing.assert_array_equal(broken[~np.isnan(broken)], rows[~np.isnan(broken)])
    np.testing.assert_allclose(diverging, 1000 * rows)


def test_replayed_messages_are_as_old_as_said() -> None:
    played, sent = course(Replay(share=1.0, rounds=2), 3), []
    for number in range(5):
        ids = np.array([0, 2]) if number == 1 else np.arange(3)
        messages = torch.full((len(ids), 1), float(number))
        sent.append(dict(zip(ids.tolist(), played.messages(messages, number, ids)[:, 0].tolist(), strict=True)))
    assert sent == [
        {0: 0, 1: 0, 2: 0},
        {0: 1, 2: 1},
        {0: 0, 1: 0, 2: 0},
        {0: 1, 1: 3, 2: 1},  # client 1 sent nothing in round 1
        {0: 2, 1: 2, 2: 2},
    ]


def test_a_fault_may_not_change_what_a_message_is() -> None:
    class Halve(Fault):
        def message(self, messages: torch.Tensor, moment: FaultView) -> torch.Tensor:
            return messages[:, ::2]

    with pytest.raises(AttackError, match=r"should leave messages of torch.float64 \[7, 5\]"):
        Halve()(updates())


# -- who arrives


def test_crashes_for_a_round() -> None:
    played = course(Crash(probability=0.2))
    first, second = lost(played, 0), lost(played, 1)
    assert first.mean() == pytest.approx(0.2, abs=0.03)
    assert (first & second).mean() == pytest.approx(0.04, abs=0.015)


def test_crashes_for_good() -> None:
    played = course(Crash(probability=0.2, permanent=True))
    rounds = [lost(played, number) for number in range(4)]
    for number, (before, after) in enumerate(pairwise(rounds)):
        assert (after >= before).all()
        assert after.mean() == pytest.approx(1 - 0.8 ** (number + 2), abs=0.04)


def test_four_of_five_are_gone_from_a_round_on() -> None:
    played = course(Crash(probability=1.0, permanent=True, share=0.8, start_round=3), 10)
    assert [int(lost(played, number, 10).sum()) for number in range(6)] == [0, 0, 0, 8, 8, 8]
    np.testing.assert_array_equal(lost(played, 3, 10), lost(played, 5, 10))


def test_churn_is_a_markov_chain_with_its_stationary_rate() -> None:
    played, ids = course(Churn()), np.arange(N)
    on = np.array([~lost(played, number) for number in range(30)])
    assert on.mean() == pytest.approx(0.8, abs=0.02)
    assert on[0].mean() == pytest.approx(0.8, abs=0.03)
    left, joined = on[:-1] & ~on[1:], ~on[:-1] & on[1:]
    assert left.sum() / on[:-1].sum() == pytest.approx(0.05, abs=0.01)
    assert joined.sum() / (~on[:-1]).sum() == pytest.approx(0.2, abs=0.02)
    assert len(played.ages(30, ids)) == N


def test_who_comes_back_has_the_model_it_left_with() -> None:
    played, ids = course(Churn(leave=0.4, join=0.4), 300), np.arange(300)
    away = np.zeros(300, dtype=np.int64)
    for number in range(12):
        ages, on = played.ages(number, ids), ~lost(played, number, 300)
        expected = np.where(on & (away > 0), away + 1, 0) if number else np.zeros(300)
        np.testing.assert_array_equal(ages, expected)
        away = np.where(on, 0, away + 1)
    assert played.fault.reach() == 2 + 14
    assert Churn(join=1.0).reach() == 2


@pytest.mark.parametrize("on_time", [0.4, 0.7, 1.0])
@pytest.mark.parametrize("lasting", [0.0, 0.5, 1.0])
def test_as_many_meet_the_deadline_as_said(on_time: float, lasting: float) -> None:
    played = course(Straggler(on_time=on_time, lasting=lasting))
    first, second = lost(played, 0), lost(played, 1)
    assert 1 - first.mean() == pytest.approx(on_time, abs=0.035)
    if lasting == 1.0:
        np.testing.assert_array_equal(first, second)
    elif on_time < 1:
        both = float((first & second).mean())
        chance = (1 - on_time) ** 2
        assert both == pytest.approx(chance, abs=0.03) if lasting == 0.0 else both > chance + 0.03


def test_stragglers_that_are_waited_for_begin_nothing_new_meanwhile() -> None:
    played, ids = course(Straggler(late="stale", on_time=0.5, spread=2.0), 200), np.arange(200)
    until = np.full(200, -1)
    for number in range(8):
        fate = played.fate(number, ids)
        assert fate.lost is not None
        assert fate.late is not None
        np.testing.assert_array_equal(fate.lost, until >= number)
        assert not fate.late[fate.lost].any()
        until = np.where(fate.late > 0, number + fate.late, until)
    assert until.max() > 10


def test_habits_are_lasting_and_have_their_distribution() -> None:
    played = course(Partial(alpha=1.0, beta=3.0), 500)
    here = np.array([~lost(played, number, 500) for number in range(400)])
    rates = here.mean(axis=0)
    assert rates.mean() == pytest.approx(0.25, abs=0.03)
    assert rates.std() == pytest.approx(np.sqrt(3 / 80), abs=0.03)  # of Beta(1, 3)
    np.testing.assert_allclose(here[:200].mean(axis=0), here[200:].mean(axis=0), atol=0.2)


def test_late_and_copied_messages_come_within_the_rounds() -> None:
    fate = course(OutOfOrder(probability=0.3, copies=0.6, rounds=4)).fate(0, np.arange(N))
    for delays, share in ((fate.late, 0.3), (fate.again, 0.6)):
        assert delays is not None
        assert (delays > 0).mean() == pytest.approx(share, abs=0.04)
        assert set(delays.tolist()) == {0, 1, 2, 3, 4}


def test_stale_and_doubled_clients() -> None:
    assert course(Stale(rounds=3), 4).ages(0, np.arange(4)).tolist() == [3] * 4
    rows, senders = DuplicateClient(share=0.5)(updates(4))
    assert len(senders) == len(rows) == 6
    assert len(set(senders.tolist())) == 4


# -- data


@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_wrong_labels_are_other_labels(rate: float) -> None:
    before = local(np.arange(20_000) % 4)
    symmetric = LabelNoise(rate=rate).data(before, rng()).labels
    wrong = symmetric != before.labels
    assert wrong.mean() == pytest.approx(rate, abs=0.015)
    steps = (symmetric - before.labels)[wrong] % 4
    np.testing.assert_allclose(np.bincount(steps, minlength=4) / wrong.sum(), [0, 1 / 3, 1 / 3, 1 / 3], atol=0.02)
    shifted = LabelNoise(rate=rate, mode="asymmetric").data(before, rng()).labels
    assert set(((shifted - before.labels) % 4).tolist()) == {0, 1}
    assert (shifted != before.labels).mean() == pytest.approx(rate, abs=0.015)


def test_of_a_single_class_no_label_is_wrong() -> None:
    before = local([0, 0], classes=1)
    assert LabelNoise(rate=1.0).data(before, rng()).labels.tolist() == [0, 0]


def test_gaussian_features_and_swapped_normalisation() -> None:
    x = 0.3 + 0.2 * rng(1).random((3_000, 4))
    before = local(np.zeros(3_000, dtype=np.int64), features=x)
    noise = (FeatureNoise(scale=0.1).data(before, rng()).features - before.features).numpy()
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    mean, spread = before.features.mean(), before.features.std(correction=0)
    seen = FeatureNoise(mode="swapped").data(before, rng()).features
    torch.testing.assert_close((seen - mean) / spread, (before.features - spread) / mean)


def test_features_around_zero_cannot_be_normalised_the_other_way_round() -> None:
    with pytest.raises(ParameterError, match=r"divides by the mean .* Found a mean of 0 and a standard deviation of 1"):
        FeatureNoise(mode="swapped").data(local([0, 0], features=[[1.0], [-1.0]]), rng())


def test_repeated_samples_stand_there_as_often_as_said() -> None:
    drawn = DuplicateSamples(times=10, fraction=0.1).data(local(np.zeros(5_000, dtype=np.int64)), rng()).drawn
    counts = np.bincount(drawn, minlength=5_000)
    assert set(counts.tolist()) == {1, 10}
    assert (counts == 10).mean() == pytest.approx(0.1, abs=0.015)


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=12), classes=st.integers(0, 5))
def test_only_the_most_frequent_classes_stay(labels: list[int], classes: int) -> None:
    before = local(labels)
    kept = EmptyClient(classes=classes).data(before, rng()).drawn
    counts = sorted(np.bincount(labels, minlength=4).tolist(), reverse=True)
    assert len(kept) == sum(counts[:classes])
    assert len(set(before.labels[kept].tolist())) == min(classes, len(set(labels)))


def test_faults_in_the_data_compose() -> None:
    data = local(np.zeros(50, dtype=np.int64))
    for _ in range(2):
        data = DuplicateSamples(times=3, fraction=1.0).data(data, rng())
    assert (np.bincount(data.drawn) == 9).all()


# -- whom, and when


def test_a_share_of_the_clients_is_always_the_same_and_never_nobody() -> None:
    played = course(Crash(probability=1.0, share=0.3), 10)
    assert int(lost(played, 0, 10).sum()) == 3
    np.testing.assert_array_equal(lost(played, 0, 10), lost(played, 7, 10))
    assert int(lost(course(Crash(probability=1.0, share=0.01), 10), 0, 10).sum()) == 1
    other = lost(course(Crash(probability=1.0, share=0.3), 10, seed=1), 0, 10)
    assert (other != lost(played, 0, 10)).any()


def test_what_happens_to_a_client_does_not_depend_on_who_else_is_there() -> None:
    for fault in (Crash(probability=0.5), Partial(), Straggler(), Churn(leave=0.5, join=0.5)):
        everybody = lost(course(fault, 40), 0, 40)
        few = np.array([3, 17, 31])
        alone = course(fault, 40).fate(0, few).lost
        assert alone is not None
        np.testing.assert_array_equal(alone, everybody[few])


def test_identities_that_an_adversary_adds_are_hit_as_often() -> None:
    played = course(Crash(probability=1.0, share=0.25), 8)
    ids = np.arange(4_008)
    hit = played.happens_to(ids)
    assert hit[:8].sum() == 2
    assert hit[8:].mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LabelNoise(start_round=2), "is in the data from the first round to the last"),
        (lambda: EmptyClient(stop_round=2), "is in the data from the first round to the last"),
        (lambda: Crash(start_round=5, stop_round=5), r"stop_round > start_round.* Found start_round=5, stop_round=5"),
        (lambda: Crash(share=0.0), "share > 0"),
        (lambda: Crash(probability=0.0), "probability > 0"),
        (lambda: Churn(join=0.0), "join > 0"),
        (lambda: BitFlip(rate=1.5), "rate <= 1"),
        (lambda: Stale(rounds=0), "rounds >= 1"),
        (lambda: Straggler(late="never"), "'absent', 'stale'"),  # type: ignore[arg-type]
        (lambda: AWGN(snr=float("nan")), "a number"),
        (lambda: Compress(method="zip"), "'top_k', 'qsgd', 'sign', 'fp16'"),  # type: ignore[arg-type]
    ],
)
def test_parameters_out_of_range_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build()
