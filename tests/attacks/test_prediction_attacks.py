"""Attacks on predictions: what they claim, and what it does behind rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import ALIE, IPM, HiddenShift, NonFinite, PredictionSearch, ReversedBeliefs, WrongClass
from robustfl.defenses import Krum, Mean, Median, TrimmedMean
from robustfl.errors import AttackError
from robustfl.threats import UpdateAttack
from tests.attacks.table import PREDICTIONS, Row, walk

N, F, SAMPLES, CLASSES = 10, 3, 40, 4


def honest(seed: int = 0, sharpness: float = 1.0) -> Any:
    """Predictions [h, m, C] of clients that agree on most samples, more or less surely."""
    rng = np.random.default_rng(seed)
    truth = np.eye(CLASSES)[rng.integers(CLASSES, size=SAMPLES)]
    noisy = sharpness * (2.0 * truth + rng.normal(size=(N - F, SAMPLES, CLASSES)))
    return np.exp(noisy) / np.exp(noisy).sum(axis=2, keepdims=True)


def claims(attack: UpdateAttack, known: Any, rule: Any = None, own: Any = None) -> Any:
    """The malicious probabilities [f, m, C]."""
    given: dict[str, Any] = {} if rule is None else {"aggregate": rule}
    rows = (known - 1 / CLASSES).reshape(len(known), -1)
    mine = rows[:F] if own is None else (own - 1 / CLASSES).reshape(len(own), -1)
    crafted = attack(rows, f=F, own=mine, classes=CLASSES, **given)
    return crafted.reshape(F, *known.shape[1:]) + 1 / CLASSES


def flips(rule: Any, known: Any, claimed: Any) -> int:
    """On how many samples the rule takes another class than the honest mean does."""
    rows = np.concatenate([claimed, known]).reshape(len(claimed) + len(known), -1)
    answer = rule(rows - 1 / CLASSES).reshape(known.shape[1:])
    return int((answer.argmax(axis=1) != known.mean(axis=0).argmax(axis=1)).sum())


@walk(PREDICTIONS)
def test_claims_are_distributions_and_follow_the_generator_alone(row: Row) -> None:
    assert isinstance(row.attack, UpdateAttack)
    known = honest()
    first = claims(row.attack, known, Median())
    if getattr(row.attack, "diversify", "none") == "none":
        assert (first >= -1e-12).all()
        np.testing.assert_allclose(first.sum(axis=2), 1.0, atol=1e-9)
    np.testing.assert_array_equal(first, claims(row.attack, known, Median()))
    order = np.random.default_rng(0).permutation(N - F)
    np.testing.assert_allclose(claims(row.attack, known[order], Median(), own=known[:F]), first, atol=1e-6)


@walk(PREDICTIONS)
def test_one_sample_of_one_client_and_rows_of_nan(row: Row) -> None:
    attack = row.attack
    assert isinstance(attack, UpdateAttack)
    one = torch.tensor([[0.2, -0.2]])
    assert attack(one, f=1, own=one, classes=2, aggregate=Median()).isfinite().all()
    broken = torch.cat([one, torch.full_like(one, torch.nan)])
    assert attack(broken, f=1, own=one, classes=2, aggregate=Mean()).isfinite().all()
    with pytest.raises(AttackError, match="needs predictions: the number of classes"):
        attack(one, f=1, own=one, aggregate=Median())


def test_wrong_classes_are_wrong() -> None:
    known = honest()
    mean = known.mean(axis=0)
    right, ordered = mean.argmax(axis=1), np.argsort(-mean, axis=1)
    for choice, expected in (("next", (right + 1) % CLASSES), ("runner_up", ordered[:, 1]), ("least", ordered[:, -1])):
        attack = WrongClass(choice=choice, confidence=0.7, estimate="peers")  # type: ignore[arg-type]
        found = claims(attack, known)
        np.testing.assert_array_equal(found[0].argmax(axis=1), expected)
        np.testing.assert_allclose(np.sort(found[0], axis=1)[:, -2:], [[0.1, 0.7]] * SAMPLES)
    assert flips(Mean(), known, claims(WrongClass(choice="runner_up", estimate="peers"), known)) > flips(
        Mean(), known, claims(WrongClass(choice="least", estimate="peers"), known)
    )


def test_a_mean_is_turned_over_exactly_where_its_margin_says() -> None:
    known = honest()
    ordered = np.sort(known.mean(axis=0), axis=1)
    expected = int((ordered[:, -1] - ordered[:, -2] < F / (N - F)).sum())
    assert 0 < expected < SAMPLES
    assert flips(Mean(), known, claims(WrongClass(choice="runner_up", estimate="peers"), known)) == expected


def test_reversed_beliefs_are_as_long_and_as_sure_as_the_mean() -> None:
    known = honest()
    mean = known.mean(axis=0)
    found = claims(ReversedBeliefs(estimate="peers"), known)[0]
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(mean, axis=1))
    np.testing.assert_array_equal(found.argmax(axis=1), mean.argmin(axis=1))


@pytest.mark.parametrize("z", [0.5, 1.5])
def test_hidden_shifts_stay_within_the_spread_and_are_spent_where_a_mean_turns_over(z: float) -> None:
    known = honest()
    mean, spread = known.mean(axis=0), known.std(axis=0)
    bold = claims(HiddenShift(z=z, spare=False), known)
    assert (np.abs(bold[0] - mean) <= z * spread + 1e-9).all()
    thrifty = claims(HiddenShift(z=z), known)
    moved = (np.abs(thrifty[0] - mean) > 1e-9).any(axis=1)
    assert moved.sum() == flips(Mean(), known, bold) == flips(Mean(), known, thrifty)
    assert flips(Mean(), known, claims(HiddenShift(z=3.0), known)) > 0


def test_clients_that_are_sure_leave_no_room_to_hide() -> None:
    sure = honest(sharpness=20.0)
    assert flips(Mean(), sure, claims(HiddenShift(z=0.5), sure)) <= 1


@pytest.mark.parametrize("rule", [Mean(), Median(), TrimmedMean(f=F), Krum(f=F)], ids=repr)
def test_the_search_turns_over_no_fewer_samples_than_what_it_tries(rule: Any) -> None:
    known = honest()
    fixed = [WrongClass(choice="runner_up", estimate="peers"), ReversedBeliefs(estimate="peers"), HiddenShift(z=3.0)]
    most = max(flips(rule, known, claims(attack, known)) for attack in fixed)
    found = flips(rule, known, claims(PredictionSearch(harm="flips"), known, rule))
    assert found >= most
    assert found > 0


def test_the_search_by_samples_finds_more_than_any_one_direction() -> None:
    """A column-wise rule can be turned over sample by sample, so that what is put together turns over their union."""
    known, rule = honest(), TrimmedMean(f=F)
    whole = flips(rule, known, claims(PredictionSearch(harm="flips", steps=8), known, rule))
    lines = PredictionSearch(harm="flips", steps=1, candidates=9)
    assert whole >= flips(rule, known, claims(lines, known, rule))


def test_other_attacks_on_updates_meet_predictions_unless_they_need_a_model() -> None:
    from robustfl.attacks import MPAF, LabelFlip, Neurotoxin, PlannedDrift, PoisonedFL, WhiteBox

    fitting = [ALIE(), IPM(), NonFinite(), LabelFlip(), WhiteBox(), WhiteBox(harm="l2"), WrongClass()]
    assert all(attack.fits("predictions") for attack in fitting)
    unfit = [MPAF(), Neurotoxin(), PlannedDrift(), PoisonedFL(), WhiteBox(harm="loss"), WhiteBox(steady="base")]
    assert not any(attack.fits("predictions") for attack in unfit)
    assert all(attack.fits("dense") for attack in unfit)
    assert not any(attack.fits("dense") for attack in (WrongClass(), HiddenShift(), PredictionSearch()))
