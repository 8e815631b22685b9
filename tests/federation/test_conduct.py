"""Defenses that cheat are seen at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.defenses import FLAME, NNM, Bucketing, CenteredClipping, DnC, FoolsGold, Krum, Mean, Median, MeritRank
from robustfl.federation.observers.conduct import CHANGES, DRAWS, NAMES, VARIES, Conduct
from tests.federation.worlds import population, rules


@dataclass(frozen=True, kw_only=True)
class Cheat(Aggregator):
    """The mean, and something that is not allowed."""

    trick: str

    def _aggregate(self, rows: Rows) -> Outcome:
        weights = np.full(rows.n, 1.0 / rows.n)
        changed = TRICKS[self.trick](rows)
        return Outcome(rows.combine(weights if changed is None else changed))


def numpy_noise(rows: Rows) -> Any:
    return np.random.random(rows.n) / rows.n  # noqa: NPY002 - the fault under test


def torch_noise(rows: Rows) -> Any:
    return torch.rand(rows.n).double().numpy() / rows.n


def own_noise(rows: Rows) -> Any:
    return np.random.default_rng().random(rows.n) / rows.n


def knows_who(rows: Rows) -> Any:
    honest = np.array([name not in (0, 1) for name in rows.source.ids], dtype=np.float64)
    return honest / honest.sum()


TRICKS: dict[str, Callable[[Rows], Any]] = {
    "numpy's generator": numpy_noise,
    "torch's generator": torch_noise,
    "entropy of its own": own_noise,
    "a list of attackers": knows_who,
}
CHEATS = {
    "numpy's generator": [VARIES, DRAWS.format("numpy")],
    "torch's generator": [VARIES, DRAWS.format("torch")],
    "entropy of its own": [VARIES],
    "a list of attackers": [NAMES],
}


def observed(rule: Aggregator, rounds: int = 3) -> list[str]:
    generator, watched = torch.Generator().manual_seed(0), Conduct(rule, rounds)
    rows = torch.randn(9, 40, generator=generator)
    for number in range(rounds):
        watched.aggregate(rows + number, list(range(9)), None, number)
    return watched.seen


@pytest.mark.parametrize("label", CHEATS)
def test_a_cheat_is_seen(label: str) -> None:
    expected = CHEATS[label]
    seen = observed(Cheat(trick=label))
    assert set(expected) <= set(seen)
    if label in ("entropy of its own", "a list of attackers"):
        assert {DRAWS.format("numpy"), CHANGES} & set(seen) == set()


def test_groups_that_follow_the_ids_are_declared_and_no_cheating() -> None:
    rows = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))
    watched = Conduct(Bucketing() >> Median(), 1)
    watched.aggregate(rows, list(range(9)), None, 0)
    assert watched.seen == []


def test_changing_the_updates_is_seen_and_does_not_spread_from_the_questions() -> None:
    class Careless:
        stateful = False
        unclaimed: frozenset[str] = frozenset()

        def __init__(self) -> None:
            self.calls: list[torch.Tensor] = []

        def aggregate(self, rows: torch.Tensor, **given: Any) -> Any:
            self.calls.append(rows.clone())
            rows *= 0
            return Mean().aggregate(rows)

        preview = aggregate

        def state_dict(self) -> dict[str, Any]:
            return {}

    rule: Any = Careless()
    watched, rows = Conduct(rule, 1), torch.ones(4, 8)
    watched.aggregate(rows, [0, 1, 2, 3], None, 0)
    assert watched.seen == [CHANGES]
    assert all(bool((seen == 1).all()) for seen in rule.calls)


SOUND = [
    Mean(),
    Median(),
    Krum(f=2),
    CenteredClipping(),
    FoolsGold(),
    DnC(f=2),
    FLAME(),
    MeritRank(),
    NNM(f=2) >> Bucketing(size=2) >> Median(),
]


@pytest.mark.parametrize("rule", SOUND, ids=str)
def test_a_sound_defense_is_not_suspected(rule: Aggregator) -> None:
    assert observed(rule, rounds=5) == []


def test_a_simulation_reports_misconduct() -> None:
    from robustfl.federation.simulation import Simulation

    settings = rules(rounds=2)
    trace = Simulation(population(clients=settings.clients), settings, Cheat(trick="entropy of its own")).run()
    assert trace.more["conduct"] == [VARIES]
    sound = Simulation(population(clients=settings.clients), settings, Mean()).run()
    assert "conduct" not in sound.more
