"""The key `privacy` of a suite: which trials are watched, and which suites are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment

SUITE: dict[str, Any] = {
    "name": "watched",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 10},
    "adversary": {"f": [1]},
    "defenses": ["mean", "median"],
    "attacks": ["sign_flip"],
    "seeds": 1,
}


def suite(**privacy: Any) -> dict[str, Any]:
    return {**SUITE, "privacy": {"attacks": ["analytic"], **privacy}}


def watched(**privacy: Any) -> set[str]:
    """The attacks whose trials somebody watches."""
    cells = Plan(Experiment(suite(**privacy))).cells
    return {cell.attack for cell in cells if cell.trial is not None and cell.trial.scenario.privacy is not None}


def test_trials_without_an_attack_are_watched_and_others_on_request() -> None:
    assert watched() == {"none"}
    assert watched(under_attack=True) == {"none", "SignFlip"}


def test_watching_does_not_change_what_the_score_hangs_on() -> None:
    assert Experiment(suite()).hash == Experiment(SUITE).hash
    plain, seen = (Plan(Experiment(values)).trials for values in (SUITE, suite()))
    assert len(plain) == len(seen)
    assert {trial.id for trial in plain} & {trial.id for trial in seen} == {t.id for t in plain if t.scenario.f}


@pytest.mark.parametrize(
    ("privacy", "message"),
    [
        ({"observer": "sum"}, "Analytic watches as server or wire. Found the observer 'sum'"),
        ({"observer": "nobody"}, "Input should be 'server'"),
        ({"attacks": ["sign_flip"]}, "SignFlip is no attack on privacy"),
        ({"attacks": []}, "at least 1 item"),
        ({"attacks": ["analytic", "analytic"]}, "listed twice: Analytic"),
        ({"attacks": ["analitic"]}, "Did you mean"),
        ({"attacks": [{"inverting_gradients": {"restarts": 0}}]}, "restarts >= 1"),
        ({"rounds": [10]}, r"0 <= round < 10.*Found 10"),
        ({"rounds": [-1]}, "greater than or equal to 0"),
        ({"rounds": ["often"]}, "Input should be 'first'"),
        ({"targets": 0}, "greater than or equal to 1"),
    ],
    ids=str,
)
def test_suites_that_make_no_sense_are_refused(privacy: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Experiment(suite(**privacy))


def test_attacks_on_privacy_have_a_key_of_their_own() -> None:
    with pytest.raises(ValidationError, match="Analytic is an attack on privacy: list it under `privacy`"):
        Experiment({**SUITE, "attacks": ["analytic"]})
