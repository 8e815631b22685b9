"""Batches that trials with the same clients and seed keep for each other: the same as those that are drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import IPM, LabelFlip
from robustfl.federation import Simulation
from robustfl.federation.clients import batches
from robustfl.federation.round import Lesson
from tests.federation.worlds import computed, population, simulation

ROUNDS = 6


def lessons(sim: Simulation) -> list[Lesson]:
    found = [computed(sim, number).lesson for number in range(ROUNDS)]
    return [lesson for lesson in found if lesson is not None]


def same(one: Lesson, other: Lesson) -> bool:
    pairs = ((one.index, other.index), (one.features, other.features), (one.labels, other.labels))
    return one.ids.tolist() == other.ids.tolist() and all(torch.equal(mine, theirs) for mine, theirs in pairs)


def fresh(**values: Any) -> Simulation:
    """A simulation whose clients have never drawn before."""
    return simulation(world=population(), **{"rounds": ROUNDS, **values})


@pytest.mark.parametrize("room", [0, 3000, 20_000, 1 << 25])
def test_what_is_kept_is_what_is_drawn_anew(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    expected = {f: lessons(fresh(f=f, attack=IPM())) for f in (0, 1, 2)}
    monkeypatch.setattr(batches, "KEPT_BYTES", room)
    world = population()
    for f in (0, 1, 2, 0, 2, 1):
        found = lessons(simulation(world=world, rounds=ROUNDS, f=f, attack=IPM()))
        assert all(map(same, found, expected[f])), f
    kept = [course for course in world.kept.values() if isinstance(course, batches.Course)]
    assert len(kept) == 1
    held = sum(batches._bytes(taken) for rounds in kept[0]._taken.values() for taken, _ in rounds.values())
    assert held == room - kept[0]._room <= room
    assert room < 1 << 25 or held > 0


def test_simulations_that_alternate_draw_the_same() -> None:
    expected = lessons(fresh())
    world = population()
    first, second = (simulation(world=world, rounds=ROUNDS) for _ in range(2))
    for number in range(ROUNDS):
        for sim in (first, second):
            lesson = computed(sim, number).lesson
            assert lesson is not None
            assert same(lesson, expected[number])


def test_what_somebody_has_changed_is_gathered_again() -> None:
    world = population()
    before = lessons(simulation(world=world, rounds=ROUNDS))
    features = before[2].features.clone()
    before[2].features.zero_()
    again = lessons(simulation(world=world, rounds=ROUNDS))
    assert torch.equal(again[2].features, features)
    assert again[1].features is before[1].features


def test_attackers_with_samples_of_their_own_choice_leave_nothing_behind() -> None:
    expected, world = lessons(fresh()), population()
    lessons(simulation(world=world, rounds=ROUNDS, f=2, attack=LabelFlip()))
    assert all(map(same, lessons(simulation(world=world, rounds=ROUNDS)), expected))


def test_batches_do_not_depend_on_f_nor_on_who_takes_part() -> None:
    sims = [fresh(f=f, participation=share, attack=IPM()) for f, share in ((0, 1.0), (2, 1.0), (2, 0.5))]
    drawn = [lessons(sim) for sim in sims]
    for everybody, *others in zip(*drawn, strict=True):
        places = dict(zip(everybody.ids.tolist(), everybody.index, strict=True))
        for lesson in others:
            assert len(lesson.ids)
            for member, index in zip(lesson.ids.tolist(), lesson.index, strict=True):
                assert torch.equal(index, places[member])
    assert not np.array_equal(drawn[0][0].index.numpy(), drawn[0][1].index.numpy())
