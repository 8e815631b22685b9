"""The kit for attacks: each promise is found broken by an attack that breaks it, and attacks of the folder keep all."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from robustfl.attacks import ALIE, IPM, MPAF, Crash, Gaussian, MinMax, NonFinite, SignFlip
from robustfl.errors import ParameterError
from robustfl.testing import ConformanceError, check_attack
from robustfl.testing.attacks import OF_ATTACKS
from robustfl.threats import Knowledge, UpdateAttack, View


@pytest.mark.parametrize("attack", [SignFlip(), ALIE(), IPM(), MinMax(), NonFinite()], ids=lambda attack: attack.name)
def test_attacks_of_the_folder_keep_all_promises(attack: UpdateAttack) -> None:
    assert check_attack(attack, max_examples=3).conforms


def test_an_attack_with_a_length_of_its_own_skips_scaling() -> None:
    report = check_attack(Gaussian(), max_examples=5, raise_on_violation=False)
    assert report.violated == ("scaling",)
    assert check_attack(Gaussian(), max_examples=5, skip=["scaling"]).conforms


@dataclass(frozen=True, kw_only=True)
class Broken(UpdateAttack):
    """Does one thing wrong."""

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS
    how: str

    def craft(self, view: View) -> Any:
        return _WRONG[self.how](view)


def _changing(view: View) -> Any:
    view.honest[0, 0] += 1.0
    return view.mean().repeat(view.f, 1)


_calls: list[int] = []


def _counting(view: View) -> Any:
    _calls.append(1)
    return view.full(float(len(_calls))).repeat(view.f, 1)


_WRONG: dict[str, Callable[[View], Any]] = {
    "shape": lambda view: view.mean().repeat(view.f + 1, 1),
    "dtype": lambda view: view.mean().repeat(view.f, 1).half(),
    "knowledge": lambda view: view.own.clone(),
    "mutation": _changing,
    "deterministic": _counting,
    "generators": lambda view: view.full(random.random()).repeat(view.f, 1),
    "finite": lambda view: view.honest.mean(dim=0).repeat(view.f, 1),
    "scaling": lambda view: view.full(1.0).repeat(view.f, 1),
}


@pytest.mark.parametrize("how", _WRONG)
def test_a_broken_promise_is_found_with_a_question_that_shows_it(how: str) -> None:
    report = check_attack(Broken(how=how), max_examples=6, raise_on_violation=False)
    assert how in report.violated
    assert "honest = np.array(" in report[how].counterexample or "honest = torch.tensor(" in report[how].counterexample
    with pytest.raises(ConformanceError, match=how):
        check_attack(Broken(how=how), claims=[how], max_examples=6)


@dataclass(frozen=True, kw_only=True)
class Always(SignFlip):
    """Never behaves honestly."""

    def active(self, number: int) -> bool:
        return True


def test_an_attack_that_never_stops_is_found() -> None:
    report = check_attack(Always(), max_examples=2, raise_on_violation=False)
    assert report.violated == ("window",)


def test_functions_are_attacks_too() -> None:
    def opposite(honest: Any) -> Any:
        return -np.median(honest, axis=0)

    report = check_attack(opposite, max_examples=6, raise_on_violation=False)
    assert report.violated == ("finite",)
    assert set(report.named("held")) == set(OF_ATTACKS) - {"finite"}


@pytest.mark.parametrize(
    ("attack", "options", "found"),
    [
        (SignFlip, {}, "should be an attack on updates"),
        (7, {}, "should be an attack on updates"),
        (Crash(), {}, "should be an attack on updates"),
        (MPAF(), {}, "cannot be examined by questions"),
        (SignFlip(), {"f": 0}, "f >= 1"),
        (SignFlip(), {"max_examples": 0}, "max_examples >= 1"),
        (SignFlip(), {"skip": ["scale"]}, "scaling"),
    ],
    ids=["class", "number", "fault", "federation", "nobody", "no examples", "unknown"],
)
def test_what_cannot_be_examined_is_an_error(attack: Any, options: dict[str, Any], found: str) -> None:
    with pytest.raises(ParameterError, match=found):
        check_attack(attack, **options)
