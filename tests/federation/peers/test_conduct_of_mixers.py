"""Rules of peers are questioned while they mix: those that cheat are seen, and the registered ones are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import Gathering, Mixer, Mixing
from robustfl.attacks import Attached, Clones, Echo, Framing, LabelFlip, RandomUpdates
from robustfl.defenses import Gossip, SybilWall
from robustfl.federation.graphs import Regular
from robustfl.federation.observers.conduct import CHANGES, DRAWS, NAMES, VARIES
from robustfl.federation.observers.peers.conduct import _nudged
from tests.federation.peers.networks import network

CALLS = iter(range(10**9))


@dataclass(frozen=True, kw_only=True)
class _Cheat(Gossip):
    def _mix(self, gathering: Gathering) -> Mixing:
        return Mixing(shares=[self.shares(group) for group in gathering.groups])

    def shares(self, group: Any) -> Floats:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class KnowsWho(_Cheat):
    """Hears only neighbours whose names are below four, as if it knew who is malicious."""

    def shares(self, group: Any) -> Floats:
        good = np.where(group.senders < 4, 1.0, 1e-3)
        return np.asarray(good / good.sum(axis=1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class FirstSlots(_Cheat):
    """Hears the neighbour with the lowest name alone."""

    def shares(self, group: Any) -> Floats:
        found = np.zeros(group.index.shape)
        found[:, :2] = 0.5
        return found


@dataclass(frozen=True, kw_only=True)
class Varies(_Cheat):
    """Takes another share in every call."""

    def shares(self, group: Any) -> Floats:
        found = np.ones(group.index.shape)
        found[:, 1] += next(CALLS) % 7
        return np.asarray(found / found.sum(axis=1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class Draws(_Cheat):
    """Takes shares from a global generator."""

    def shares(self, group: Any) -> Floats:
        found = np.random.random(group.index.shape)  # noqa: NPY002
        return np.asarray(found / found.sum(axis=1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class Forges(Gossip):
    """Writes to the letters although it is not allowed to."""

    def _mix(self, gathering: Gathering) -> Mixing:
        locked = gathering.rows
        assert locked.base is not None
        locked.base[...] = 0.0
        return Mixing(shares=[group.weights for group in gathering.groups])


def seen(rule: Mixer, **values: Any) -> list[str]:
    trace = network(rule, topology=Regular(degree=4), rounds=3, **values).run()
    return list(trace.more.get("conduct", []))


def test_a_rule_that_recognises_names_is_seen() -> None:
    assert seen(KnowsWho()) == [NAMES]


def test_a_rule_that_goes_by_the_order_of_names_is_seen() -> None:
    assert seen(FirstSlots()) == [NAMES]


def test_a_rule_that_draws_from_the_global_generator_is_seen() -> None:
    assert seen(Draws()) == [VARIES, DRAWS.format("numpy")]


def test_a_rule_that_gives_two_answers_is_seen() -> None:
    assert seen(Varies()) == [VARIES]


def test_a_rule_that_gets_around_the_lock_of_the_letters_is_seen() -> None:
    assert CHANGES in seen(Forges())


HONEST = [name for name, kind in registry.find("defense").items() if issubclass(kind, Mixer)]


@pytest.mark.parametrize("name", [*HONEST, "krum", "median", "geometric_median"])
def test_registered_rules_behave(name: str) -> None:
    kind = registry.get("defense", name)
    told = {p.name: 1 for p in kind.declared_parameters() if p.name == "f" or p.required}
    assert seen(kind(**told), attack=Echo(), f=1) == []


@pytest.mark.parametrize("quorum", [0, 2])
def test_rumours_are_told_under_the_new_names_as_well(quorum: int) -> None:
    """Sybils tell them from the first round on, when a rule that listens has no history yet."""
    attack = Attached(max_degree=6) >> Clones(count=2, outside=True) >> LabelFlip() >> Framing()
    assert seen(SybilWall(quorum=quorum), attack=attack, f=1) == []


@pytest.mark.parametrize("attack", [LabelFlip(), LabelFlip() >> RandomUpdates()], ids=str)
def test_what_peers_publish_follows_them_under_other_names(attack: Any) -> None:
    assert seen(SybilWall(history="updates"), attack=attack, f=1) == []


def test_letters_that_diverge_are_moved_as_others_are() -> None:
    """Squares of such numbers are none, and a warning about that would be shown to whoever plays a suite."""
    for scale in (1.0, 1e30):
        rows = (scale * np.array([[1.0, -1.0], [3.0, np.nan]])).astype(np.float32)
        for moved in _nudged(rows):
            apart = np.abs(moved - rows)[np.isfinite(rows)]
            assert (apart > 0).any()
            assert (apart < 3e-3 * scale).all()
    assert all(np.isfinite(moved).all() for moved in _nudged(np.zeros((2, 2), np.float32)))
