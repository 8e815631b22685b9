"""Defenses that cheat are seen at it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robustfl.aggregation import Aggregation, Aggregator, Outcome, Rows
from robustfl.aggregation.votes.counting import Counts
from robustfl.attacks import ALIE, IPM
from robustfl.defenses import (
    FLAME,
    FRL,
    NNM,
    Bucketing,
    CenteredClipping,
    DnC,
    FoolsGold,
    Krum,
    Mean,
    Median,
    MeritRank,
)
from robustfl.federation.observers.conduct import _GENERATORS, CHANGES, DRAWS, NAMES, ORDER, TWIN, VARIES, Conduct
from robustfl.federation.round import Receiver, Round
from tests.federation.worlds import SMALL_MLP, simulation, topology


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


def numpy_noise_later(rows: Rows) -> Any:
    weights = np.full(rows.n, 1.0 / rows.n)
    return numpy_noise(rows) if float(rows.combine(weights).mean()) > 2 else weights


def torch_noise(rows: Rows) -> Any:
    return torch.rand(rows.n).double().numpy() / rows.n


def own_noise(rows: Rows) -> Any:
    return np.random.default_rng().random(rows.n) / rows.n


def first_rows(rows: Rows) -> Any:
    weights = (np.arange(rows.n) >= 2).astype(np.float64)
    return weights / weights.sum()


def knows_who(rows: Rows) -> Any:
    honest = np.array([name not in (0, 1) for name in rows.source.ids], dtype=np.float64)
    return honest / honest.sum()


TRICKS: dict[str, Callable[[Rows], Any]] = {
    "numpy's generator": numpy_noise,
    "numpy's generator, later": numpy_noise_later,
    "torch's generator": torch_noise,
    "entropy of its own": own_noise,
    "a list of attackers": knows_who,
    "places of rows": first_rows,
}
CHEATS = {
    "numpy's generator": [VARIES, DRAWS.format("numpy")],
    "torch's generator": [VARIES, DRAWS.format("torch")],
    "entropy of its own": [VARIES],
    "a list of attackers": [NAMES],
    "places of rows": [ORDER],
}


NOBODY = np.empty(0, dtype=np.int64)
MODEL = topology(simulation()).ownership.server
"""That of any simulation: nobody looks at it."""


class Talk:
    """Asks the defense of a receiver, as a channel does."""

    def ask(self, receiver: Receiver, rows: torch.Tensor, names: Any, *, preview: bool = False) -> Aggregation:
        asked = receiver.defense.preview if preview else receiver.defense.aggregate
        answer: Aggregation = asked(rows, ids=names)
        return answer

    def admissible(self, rows: torch.Tensor) -> torch.Tensor:
        return rows

    def vector(self, answer: Aggregation) -> torch.Tensor:
        value: torch.Tensor = answer.value
        return value


def ask(watch: Conduct, defense: Any, rows: torch.Tensor, number: int) -> Aggregation:
    """The answer of a defense to rows [n, d] of clients 0, 1, ... in a round, under observation."""
    ids = np.arange(len(rows))
    receiver = Receiver(
        who="server", defense=defense, model=MODEL, malicious=NOBODY, honest=ids, rows=rows, ids=ids, names=ids.tolist()
    )
    return watch.ask(receiver, Round(number=number, malicious=NOBODY, honest=ids, receivers=(receiver,)))


def observed(rule: Any, rounds: int = 3) -> list[str]:
    generator, watch = torch.Generator().manual_seed(0), Conduct(Talk(), rounds)
    rows = torch.randn(9, 40, generator=generator)
    for number in range(rounds):
        ask(watch, rule, rows + number, number)
    return watch.seen


@pytest.mark.parametrize("label", CHEATS)
def test_a_cheat_is_seen(label: str) -> None:
    expected = CHEATS[label]
    seen = observed(Cheat(trick=label))
    assert set(expected) <= set(seen)
    if label in ("entropy of its own", "a list of attackers"):
        assert {DRAWS.format("numpy"), CHANGES} & set(seen) == set()


@dataclass(frozen=True, kw_only=True)
class Notes(Aggregator):
    """Drops those who were first in the first round: `undeclared` memory is the class's."""

    state_keys: ClassVar[tuple[str, ...]] = ("bad",)
    undeclared: ClassVar[dict[int, list[Any]]] = {}

    declared: bool

    def _aggregate(self, rows: Rows) -> Outcome:
        first = list(rows.source.ids[:2])
        known = self._state.get("bad") if self.declared else self.undeclared.setdefault(id(self), first)
        weights = np.array([1.0 if known is None or name not in known else 0.0 for name in rows.source.ids])
        weights /= weights.sum()
        return Outcome(rows.combine(weights), weights, state={"bad": known or first} if self.declared else None)


@pytest.mark.parametrize("declared", [True, False])
def test_a_twin_shows_what_a_rule_took_from_the_order_of_the_first_round(declared: bool) -> None:
    seen = {}
    for twin in (None, Notes(declared=declared)):
        sim = simulation(Notes(declared=declared), f=1, attack=IPM(epsilon=5.0), rounds=12, twin=twin)
        seen[twin is not None] = sim.run().more.get("conduct", [])
    assert TWIN in seen[True]
    assert TWIN not in seen[False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: NNM(f=2) >> Krum(f=2),
        lambda: Bucketing() >> Median(),
        lambda: CenteredClipping(),
        lambda: FoolsGold(),
        lambda: MeritRank(),
        lambda: FLAME(),
        lambda: DnC(f=2),
    ],
    ids=lambda make: str(make()),
)
def test_twins_of_honest_rules_answer_alike(make: Callable[[], Any]) -> None:
    values: dict[str, Any] = {"f": 2, "clients": 9, "rounds": 15, "model": SMALL_MLP, "client_momentum": 0.5}
    for attack in (IPM(epsilon=3.0), ALIE()):
        assert "conduct" not in simulation(make(), attack=attack, twin=make(), **values).run().more


def test_ties_between_rows_are_no_misconduct() -> None:
    """A rule that picks one row picks the one or the other of two equally good ones, as they come."""

    @dataclass(frozen=True, kw_only=True)
    class Longest(Aggregator):
        def _aggregate(self, rows: Rows) -> Outcome:
            weights = np.zeros(rows.n)
            weights[np.argmax(rows.squared_norms.round(6))] = 1.0
            return Outcome(rows.combine(weights), weights)

    watch = Conduct(Talk(), 1)
    tied = torch.eye(9) * 2.0  # all rows are equally long
    ask(watch, Longest(), tied, 0)
    assert watch.seen == []


def test_groups_that_follow_the_ids_are_declared_and_no_cheating() -> None:
    assert observed(Bucketing() >> Median(), rounds=1) == []


def test_a_rule_that_says_that_names_matter_may_still_not_know_who_is_who() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Sly(Cheat):
        unclaimed: ClassVar[frozenset[str]] = frozenset({"names"})  # type: ignore[assignment]

    assert observed(Sly(trick="a list of attackers")) == [NAMES]


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
    watch = Conduct(Talk(), 1)
    ask(watch, rule, torch.ones(4, 8), 0)
    assert watch.seen == [CHANGES]
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
    trace = simulation(Cheat(trick="entropy of its own"), rounds=2).run()
    assert trace.more["conduct"] == [VARIES]
    sound = simulation(Mean(), rounds=2).run()
    assert "conduct" not in sound.more


# -- votes


@dataclass(frozen=True, kw_only=True)
class Lottery(FRL):
    """Votes, and lets chance decide about the edges now and then."""

    trick: str

    def elect(self, sums: Counts) -> Counts:
        drawn: Counts = LOTTERIES[self.trick](super().elect(sums))
        return drawn


LOTTERIES: dict[str, Callable[[Any], Any]] = {
    "Python's generator": lambda ranking: np.array(random.sample(ranking.tolist(), len(ranking))),
    "numpy's generator": lambda ranking: np.random.permutation(ranking),  # noqa: NPY002 - the fault under test
    "torch's generator": lambda ranking: ranking[torch.randperm(len(ranking)).numpy()],
    "entropy of its own": lambda ranking: np.random.default_rng().permutation(ranking),
}
DRAWN = {label: [VARIES] + [DRAWS.format(label.split("'")[0])] * ("'" in label) for label in LOTTERIES}


@pytest.mark.parametrize("label", LOTTERIES)
def test_votes_are_watched_too(label: str) -> None:
    trace = simulation(Lottery(trick=label), model=SMALL_MLP, rounds=3).run()
    assert trace.more["conduct"] == DRAWN[label]


def test_sound_votes_are_not_suspected() -> None:
    assert "conduct" not in simulation(FRL(), model=SMALL_MLP, rounds=3).run().more


# -- whoever else draws


def test_a_defense_is_not_blamed_for_what_another_thread_draws() -> None:
    """Its answers do not follow the generators; those of a defense that draws itself do, whoever else draws."""

    class Disturbed(Talk):
        """Something that has nothing to do with the defense draws while it works."""

        def ask(self, receiver: Receiver, rows: torch.Tensor, names: Any, *, preview: bool = False) -> Aggregation:
            answer = super().ask(receiver, rows, names, preview=preview)
            others = threading.Thread(target=draw_from_all)
            others.start()
            others.join()
            return answer

    places = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - kept for later tests
    try:
        for rule, expected in ((Median(), []), (Cheat(trick="numpy's generator"), [VARIES, DRAWS.format("numpy")])):
            watch = Conduct(Disturbed(), 3)
            rows = torch.randn(9, 40, generator=torch.Generator().manual_seed(0))
            for number in range(3):
                ask(watch, rule, rows + number, number)
            assert watch.seen == expected
    finally:
        torch.set_rng_state(places[0])
        np.random.set_state(places[1])  # noqa: NPY002
        random.setstate(places[2])


def test_what_others_draw_between_the_rounds_is_nobodys_fault_and_hides_nothing() -> None:
    places = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - kept for later tests
    try:
        for rule, expected in ((Median(), []), (Cheat(trick="numpy's generator, later"), [DRAWS.format("numpy")])):
            watch = Conduct(Talk(), 12)  # the defense is also asked twice, but not in the rounds in which it draws
            rows = torch.randn(9, 40, generator=torch.Generator().manual_seed(0))
            for number in range(5):
                ask(watch, rule, rows + number, number)
                draw_from_all()
            assert watch.seen == expected
    finally:
        torch.set_rng_state(places[0])
        np.random.set_state(places[1])  # noqa: NPY002
        random.setstate(places[2])


def draw_from_all() -> None:
    random.random()
    np.random.random()  # noqa: NPY002
    torch.rand(1)


def test_watching_a_sound_defense_draws_nothing() -> None:
    def place() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index] # noqa: NPY002

    before = place()
    observed(Median())
    assert place() == before


def test_the_place_of_a_global_generator_moves_with_every_draw_and_comes_back() -> None:
    for generator in _GENERATORS.values():
        kept = generator.save()
        try:
            generator.seed(7)
            start = generator.place()
            assert generator.place() == start, "to look moves nothing"
            random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
            assert generator.place() != start
            generator.seed(7)
            assert generator.place() == start
        finally:
            generator.restore(kept)


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64], ids=["twister", "another kind"])
def test_another_global_generator_of_numpy_is_watched_too(kind: Any) -> None:
    place, before = _GENERATORS["numpy"].place, np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(kind(11))
        start = place()
        np.random.random()  # noqa: NPY002
        assert place() != start
    finally:
        np.random.set_bit_generator(before)


def test_the_place_of_pythons_generator_is_the_same_read_or_asked() -> None:
    place = _GENERATORS["Python"].place
    for count in (0, 1, 700):
        for _ in range(count):
            random.random()
        read = place()
        place._words, words = None, place._words
        assert place() == read
        place._words = words
