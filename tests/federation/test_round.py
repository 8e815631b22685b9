"""The round as a value: transforms on its way, what observers hear and may tell, and what is to be seen of a client."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import IPM, Clones, LabelFlip, SignFlip
from robustfl.defenses import FRL, RFFL, Mean
from robustfl.errors import ParameterError, RobustflError
from robustfl.federation import Trace, assemble
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Receiver, Round
from robustfl.federation.transforms import Transform
from robustfl.measures import Measure
from tests.federation.worlds import SMALL_MLP, Kept, computed, population, rules, simulation, topology, weights

# -- transforms


class Scaled(Transform):
    """Multiplies what honest members send, what malicious ones craft, and what the defense answers."""

    def __init__(self, sent: float = 1.0, crafted: float = 1.0, answered: float = 1.0) -> None:
        self._factors = sent, crafted, answered

    def sent(self, messages: Tensor, ids: Any, round: Round) -> Tensor:
        return messages * self._factors[0]

    def crafted(self, messages: Tensor, names: Any, round: Round) -> Tensor:
        return messages * self._factors[1]

    def answered(self, receiver: Receiver, round: Round) -> Tensor | None:
        return None if receiver.aggregate is None else receiver.aggregate * self._factors[2]


def test_transforms_change_what_each_side_sends_and_what_moves_the_model() -> None:
    values: dict[str, Any] = {"f": 2, "attack": IPM(epsilon=0.5), "server": {"learning_rate": 0.3}}
    plain = simulation(**values).play(0).receivers[0]
    sim = simulation(transforms=[Scaled(2.0, 3.0, 0.25)], **values)
    changed = sim.play(0).receivers[0]
    bad = np.isin(plain.ids, plain.malicious)
    assert changed.ids.tolist() == plain.ids.tolist()
    torch.testing.assert_close(changed.arrived[~bad], 2.0 * plain.arrived[~bad])
    torch.testing.assert_close(changed.arrived[bad], 3.0 * 2.0 * plain.arrived[bad])  # crafted from what is sent
    assert changed.answer is not None
    torch.testing.assert_close(changed.aggregate, 0.25 * changed.answer.value)
    torch.testing.assert_close(weights(sim), sim.setup.population.initial - 0.3 * 0.25 * changed.answer.value)


def test_transforms_follow_one_another() -> None:
    class Shifted(Transform):
        def sent(self, messages: Tensor, ids: Any, round: Round) -> Tensor:
            return messages + 1.0

    plain = simulation().play(0).receivers[0].arrived
    both = simulation(transforms=[Shifted(), Scaled(sent=2.0)]).play(0).receivers[0].arrived
    torch.testing.assert_close(both, 2.0 * (plain + 1.0))


def test_a_held_round_moves_nothing_whatever_transforms_do() -> None:
    sim = simulation(transforms=[Scaled(sent=float("nan"), answered=2.0)])
    assert sim.run().held_rounds == 6
    assert torch.equal(weights(sim), sim.setup.population.initial)


# -- observers


class Count(Observer):
    """Counts rounds under a name of its own."""

    measures: ClassVar[tuple[Measure, ...]] = (Measure("rounds_heard", "rounds", unit="rounds"),)

    def __init__(self, name: str) -> None:
        self._name, self._heard = name, 0

    def hear(self, round: Round) -> None:
        self._heard += 1

    def report(self, trace: Trace) -> None:
        self.tell(trace, **{self._name: self._heard})


def test_observers_tell_what_they_declare_and_nothing_else() -> None:
    assert simulation(observers=[Count("rounds_heard")]).run().more["rounds_heard"] == 6
    with pytest.raises(RobustflError, match=r"Count reports something, which it does not declare\. Add a Measure"):
        simulation(observers=[Count("something")]).run()


@pytest.mark.parametrize("defense", [Mean(), FRL(), RFFL()], ids=str)
def test_whatever_the_usual_observers_tell_is_declared(defense: Any) -> None:
    sim = simulation(defense, model=SMALL_MLP, f=1, attack=LabelFlip(mode="targeted", source=0, target=1))
    declared = {measure.name for observer in sim.observers for measure in observer.measures}
    assert set(sim.run().more) <= declared


def test_observers_hear_the_models_after_measured_rounds_alone() -> None:
    kept = Kept()
    sim = simulation(rounds=7, evaluate_every=3, observers=[kept])
    sim.run()
    assert [round.measured for round in kept.rounds] == [False, False, True, True, True, True, True]
    assert [round.last for round in kept.rounds] == [False] * 6 + [True]
    assert [round.served is not None for round in kept.rounds] == [round.measured for round in kept.rounds]
    assert torch.equal(topology(sim).served(), weights(sim)[None])
    assert kept.rounds[-1].served is not None
    assert torch.equal(kept.rounds[-1].served, weights(sim)[None])


# -- what is to be seen of a client


@pytest.mark.parametrize("attack", [SignFlip(), IPM(), Clones(count=2) >> LabelFlip()], ids=str)
def test_a_client_is_seen_with_its_own_batches_and_message(attack: Any) -> None:
    """Whether the malicious clients' own messages are computed beside or not."""
    sim = simulation(f=2, attack=attack)
    round = computed(sim)
    for place, member in enumerate(round.honest.tolist()):
        sight = round.sight(member)
        assert sight is not None
        assert sight.member == member
        assert torch.equal(sight.model, sim.setup.population.initial)
        assert torch.equal(sight.message, round.sent[place])
        found = sim.channel.work.trainer(sight.model, sight.features[None], sight.labels[None], None)
        torch.testing.assert_close(found[0], sight.message, rtol=1e-4, atol=1e-6)
    assert round.sight(int(round.malicious[0])) is None


def test_a_client_with_its_own_model_is_seen_with_that() -> None:
    sim = simulation(RFFL(), f=1, attack=SignFlip(), participation=0.6)
    for number in range(3):
        sim.play(number)
    round = computed(sim, 3)
    assert round.models is not None
    assert round.lesson is not None
    for member in round.honest.tolist():
        sight = round.sight(member)
        assert sight is not None
        assert torch.equal(sight.model, round.models[round.lesson.ids.tolist().index(member)])
    absent = np.setdiff1d(np.arange(6), np.concatenate([round.honest, round.malicious]))
    assert round.sight(int(absent[0])) is None


# -- which parts


def test_the_parts_can_be_given_instead_of_chosen() -> None:
    sim = simulation()
    trainer = sim.channel.work.trainer
    asked: list[int] = []

    def counting(models: Tensor, features: Tensor, labels: Tensor, starts: Tensor | None = None) -> Tensor:
        asked.append(len(features))
        return trainer(models, features, labels, starts)

    other = assemble(population(), rules(), Mean(), trainer=counting)
    assert other.run().accuracy == sim.run().accuracy
    assert asked == [6] * 6


def test_a_defense_of_another_channel_is_refused_by_it() -> None:
    with pytest.raises(ParameterError, match=r"cannot meet FRL: .*'rankings'"):
        simulation(FRL(), f=1, attack=IPM())
