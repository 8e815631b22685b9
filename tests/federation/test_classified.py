"""Measures of accuracy: equal to loops over samples, with rare classes that count, and the chance of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustfl.federation.classified import Classified, classified
from robustfl.federation.clients.training import predict
from robustfl.federation.data.dataset import Dataset
from robustfl.federation.observers.accuracy import tail_mean
from tests.federation.worlds import SMALL_MLP, population, rules, simulation


def counted(truth: list[int], guess: list[int], classes: int) -> Classified:
    pairs = list(zip(truth, guess, strict=True))
    return Classified(
        tested=np.array([truth.count(c) for c in range(classes)]),
        right=np.array([pairs.count((c, c)) for c in range(classes)]),
        found=np.array([guess.count(c) for c in range(classes)]),
        loss=0.0,
    )


def f1(truth: list[int], guess: list[int], c: int) -> float:
    """The harmonic mean of precision and recall, from their definitions."""
    hits = sum(t == g == c for t, g in zip(truth, guess, strict=True))
    if not hits:
        return 0.0
    precision, recall = hits / guess.count(c), hits / truth.count(c)
    return 2 / (1 / precision + 1 / recall)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_measures_are_those_of_their_definitions(pairs: list[tuple[int, int]]) -> None:
    truth, guess = [t for t, _ in pairs], [g for _, g in pairs]
    found, present = counted(truth, guess, 5), sorted(set(truth))
    recalls = [np.mean([g == c for t, g in pairs if t == c]) for c in present]
    assert found.plain == pytest.approx(np.mean([t == g for t, g in pairs]))
    assert found.balanced == pytest.approx(np.mean(recalls))
    assert found.macro_f1 == pytest.approx(np.mean([f1(truth, guess, c) for c in present]))


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_a_model_is_classified_in_chunks_of_any_size(chunk: int) -> None:
    made = population(SMALL_MLP)
    guess = predict(made, made.initial, made.test_features).argmax(dim=1)
    expected = counted(made.test_labels.tolist(), guess.tolist(), made.classes)
    found = classified(made, made.initial, chunk)
    for name in ("tested", "right", "found"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


def flows(*counts: int) -> Dataset:
    y = np.repeat(np.arange(len(counts)), counts)
    return Dataset(
        name="flows",
        train_x=np.zeros((len(y), 1)),
        train_y=y,
        test_x=np.zeros((len(y), 1)),
        test_y=y,
        classes=tuple(map(str, range(len(counts)))),
    )


def test_what_guessing_reaches() -> None:
    data = flows(90, 8, 2)
    assert data.guessing("plain_accuracy") == data.chance == pytest.approx(0.9)
    assert data.guessing("balanced_accuracy") == data.guessing("macro_f1") == pytest.approx(1 / 3)
    assert flows(5, 0, 5).guessing("balanced_accuracy") == 0.5  # a class without test samples is not there
    always = counted([0] * 90 + [1] * 8 + [2] * 2, [0] * 100, 3)
    assert (always.plain, always.balanced) == (pytest.approx(0.9), pytest.approx(1 / 3))
    assert always.macro_f1 < 1 / 3


@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=5),
    st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(any),
)
def test_no_way_to_guess_has_a_higher_macro_f1(shares: list[float], answers: list[float]) -> None:
    p, q = np.array(shares) / sum(shares), np.array(answers[: len(shares)])
    if not q.any():
        return
    q /= q.sum()
    assert (2 * p * q / (p + q)).mean() <= 1 / len(p) + 1e-12
    assert (2 * p * p / (p + p)).mean() == pytest.approx(1 / len(p))


def test_the_effective_size_of_a_test_set_gives_the_sampling_error_of_balanced_accuracy() -> None:
    data, recall, rng = flows(900, 80, 20), 0.7, np.random.default_rng(0)
    hits = rng.binomial(data.tested, recall, size=(20_000, 3)) / data.tested
    expected = np.sqrt(recall * (1 - recall) / data.effective_test_size("balanced_accuracy"))
    assert hits.mean(axis=1).std() == pytest.approx(expected, rel=0.03)
    assert data.effective_test_size("plain_accuracy") == 1000
    assert flows(10, 10).effective_test_size("balanced_accuracy") == pytest.approx(20)


# -- the end of the training


@given(st.integers(1, 3000), st.integers(1, 400))
def test_the_tail_is_the_last_tenth_with_five_measurements(rounds: int, every: int) -> None:
    settings = rules(rounds=rounds, evaluate_every=every)
    measured = [finished for finished in range(1, rounds + 1) if settings.measured(finished)]
    tail = [finished for finished in measured if rounds - finished < settings.tail]
    assert settings.measurements == len(measured)
    assert measured[-1] == rounds
    assert settings.tail >= rounds / 10
    assert settings.tail <= max(-(-rounds // 2), 1)
    assert len(tail) >= min(5, -(-rounds // 2))
    assert len(set(np.diff(tail))) <= 1  # no round has more weight than the others
    assert len(tail) <= 9 + settings.tail / every
    before = [finished for finished in measured if finished not in tail]
    assert before == list(range(every, rounds - settings.tail + 1, every))


def test_the_accuracy_of_a_trial_is_the_mean_of_its_tail() -> None:
    trace = simulation(model=SMALL_MLP, rounds=30, evaluate_every=7).run()
    tail = [value for finished, value in trace.accuracy if finished > 25]
    assert len(tail) == 5
    assert trace.more["plain_accuracy"] == pytest.approx(np.mean(tail))
    assert trace.more["balanced_accuracy"] == pytest.approx(np.mean(trace.more["balanced_accuracy_curve"][-5:]))
    assert trace.more["macro_f1"] == pytest.approx(np.mean(trace.more["macro_f1_curve"][-5:]))
    assert len(trace.more["macro_f1_curve"]) == len(trace.accuracy)


def test_a_training_that_ended_before_its_tail_has_no_such_mean() -> None:
    assert tail_mean([(10, 0.5), (20, 0.7)], rules(rounds=100, evaluate_every=10)) is None
    assert torch.isfinite(torch.tensor(tail_mean([(95, 0.5), (100, 0.7)], rules(rounds=100)) or 0.0))
