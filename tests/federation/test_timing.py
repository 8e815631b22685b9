"""When an attack strikes, and what is measured of the model before it and after it."""

from __future__ import annotations

from typing import Any

import pytest

from robustfl.attacks import IPM, LabelFlip, SignFlip
from robustfl.federation.observers.timing import Timing
from robustfl.federation.strike import Strike, strike_of
from robustfl.threats import Attack
from tests.federation.worlds import SMALL_MLP, simulation


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (None, None),
        (SignFlip(), (0, None)),
        (SignFlip(start_round=12), (12, None)),
        (SignFlip(start_round=20), None),  # after the training
        (SignFlip(start_round=4, stop_round=9), (4, 9)),
        (SignFlip(start_round=4, stop_round=5), (4, 5)),
        (SignFlip(stop_round=99), (0, None)),
        (SignFlip(every=3), (0, None)),  # it only pauses: the last attacked round is 18
        (SignFlip(every=3, stop_round=10), (0, 10)),
        (LabelFlip(stop_round=7) >> IPM(start_round=3), (3, 7)),
    ],
    ids=repr,
)
def test_the_rounds_of_an_attack(attack: Attack | None, expected: tuple[int, int | None] | None) -> None:
    strike = strike_of(attack, 20)
    assert (None if strike is None else (strike.first, strike.stopped)) == expected


def test_an_attack_from_the_first_round_to_the_last_has_no_edges() -> None:
    assert Strike(first=0, stopped=None).edges == frozenset()
    assert Strike(first=3, stopped=7).edges == {3, 7}


def played(**window: Any) -> tuple[dict[str, Any], dict[int, float]]:
    """The measures of a training that is measured rarely, and the balanced accuracy after every round."""
    values: dict[str, Any] = {"model": SMALL_MLP, "rounds": 40, "attack": SignFlip(**window), "f": 2}
    values["server"] = {"learning_rate": 1.0}
    every = simulation(**values, evaluate_every=1).run()
    curve = dict(zip([number for number, _ in every.accuracy], every.more["balanced_accuracy_curve"], strict=True))
    return simulation(**values, evaluate_every=100).run().more, curve


def test_what_an_attack_that_stops_leaves() -> None:
    more, curve = played(stop_round=17)
    assert more["after_attack"] == curve[17]
    assert more["final_accuracy"] == curve[40]
    assert more["recovered"] == pytest.approx(curve[40] - curve[17])
    assert more["attacked_until"] == 17
    assert "before_attack" not in more


def test_what_an_attack_that_strikes_late_takes() -> None:
    more, curve = played(start_round=37)
    assert more["before_attack"] == curve[37]
    assert more["taken_by_attack"] == pytest.approx(curve[37] - curve[40])
    assert more["attacked_from"] == 37
    assert "recovered" not in more
    # the additional measurement lies in the tail, and does not count twice there
    assert more["balanced_accuracy"] == pytest.approx(sum(curve[number] for number in range(36, 41)) / 5)


@pytest.mark.parametrize("attack", [None, SignFlip()], ids=str)
def test_other_attacks_have_no_such_measures(attack: Attack | None) -> None:
    more = simulation(model=SMALL_MLP, attack=attack, f=1).run().more
    assert not {measure.name for measure in Timing.measures} & set(more)
