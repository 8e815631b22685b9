"""Backdoors in a federation: who trains on what, what is sent, and what honest clients notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import (
    ALIE,
    DBA,
    AlternatingMinimisation,
    BadNets,
    Clones,
    EdgeCase,
    LabelFlip,
    ModelReplacement,
    Neurotoxin,
    PGDConstrained,
)
from robustfl.defenses import Mean
from robustfl.errors import ParameterError
from robustfl.federation import Simulation
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import Softmax
from robustfl.federation.observers.aims import Trigger, aim_of
from robustfl.federation.task import Task
from robustfl.threats import LocalAttack
from robustfl.threats.updates.local_training import Start
from tests.federation.worlds import (
    CLIENTS,
    SMALL_MLP,
    Blobs,
    batches,
    computed,
    gradient,
    population,
    simulation,
    topology,
    weights,
)

MARK = BadNets(target=2, size=2, ratio=0.5, value=4.0)
TRAINED: dict[str, Any] = {
    "message": "delta",
    "algorithm": "fedavg",
    "local_steps": 2,
    "server": {"learning_rate": 0.5},
}


@dataclass(frozen=True, kw_only=True)
class Obedient(LocalAttack):
    """Trains as every client does."""


@dataclass(frozen=True, kw_only=True)
class Columns(Data):
    """A table of three classes."""

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        x, y = np.random.default_rng(0).normal(size=(60, 11)).astype(np.float32), np.arange(60) % 3
        return Dataset(name="columns", train_x=x, train_y=y, test_x=x[:30], test_y=y[:30], classes=("a", "b", "c"))


def place(features: Tensor, image: Tensor) -> int:
    """Where a sample is among others."""
    return int((features == image).flatten(1).all(dim=1).nonzero()[0])


def first_messages(sim: Simulation) -> tuple[Tensor | None, Tensor]:
    return computed(sim)


def own_messages_of(sim: Simulation) -> Tensor:
    own = computed(sim).own
    assert own is not None
    return own


def own_messages(attack: Any, **values: Any) -> Tensor:
    return own_messages_of(simulation(attack=attack, f=2, **values))


# -- what attackers train on


def test_marked_samples_are_learnt_with_the_wanted_label() -> None:
    sim = simulation(attack=MARK, f=2)
    assert sim.setup.poisoning is not None
    own = own_messages_of(sim)
    relabelled = 0
    for row, client in zip(own, sim.setup.malicious, strict=True):
        x, y = (part[0] for part in batches(sim.setup.population, rounds=1, steps=1, size=4)[0][client])
        wrong = sim.setup.poisoning.labels[[place(sim.setup.population.features, image) for image in x]]
        x[wrong != y] = MARK.stamp(x[wrong != y])
        relabelled += int((wrong != y).sum())
        assert torch.allclose(row, gradient(sim.setup.population, sim.setup.population.initial, x, wrong), atol=1e-6)
    assert relabelled


def test_the_training_data_stay_as_they_are() -> None:
    made = population()
    before = made.features.clone()
    simulation(attack=MARK, f=3, world=made).run()
    assert torch.equal(made.features, before)


def test_each_malicious_identity_shows_its_own_part() -> None:
    attack = DBA(target=2, ratio=1.0, length=1, gap=2, value=9.0)
    sim = simulation(attack=Clones(count=2, shared="data") >> attack, f=2)
    assert sim.setup.poisoning is not None
    blank = torch.zeros(len(sim.setup.members), 1, 1, 1, 4, 4)
    labels = torch.zeros(len(sim.setup.members), 1, 1, dtype=torch.int64)
    held = {m: sim.setup.population.parts[sim.setup.members.leaders[m]] for m in sim.setup.malicious.tolist()}
    index = torch.zeros(len(sim.setup.members), 1, 1, dtype=torch.int64)
    for member, samples in held.items():
        index[member] = int(samples[(sim.setup.population.labels[samples] != 2).numpy()][0])
    features, _ = sim.setup.poisoning(blank, labels, index, np.arange(len(sim.setup.members)))
    pixels = {member: features[member, 0, 0, 0].nonzero().tolist() for member in sim.setup.malicious.tolist()}
    assert sorted(pixels.values()) == [[[0, 0]], [[0, 3]], [[3, 0]], [[3, 3]]]
    assert not features[~sim.setup.members.malicious].any()
    assert not blank.any()


def test_rare_samples_take_the_place_of_the_attackers_own() -> None:
    sim = simulation(attack=EdgeCase(source=1, target=0, count=6, ratio=1.0), f=2)
    assert sim.setup.poisoning is not None
    index = torch.tensor(sim.setup.population.parts[sim.setup.malicious[0]][:5])[None, None]
    features, labels = sim.setup.poisoning(
        sim.setup.population.features[index], sim.setup.population.labels[index], index, sim.setup.malicious[:1]
    )
    tests = sim.setup.population.test_features
    known = [place(tests, image) for image in features[0, 0]]
    assert set(sim.setup.population.test_labels[known].tolist()) == {1}
    assert labels.unique().tolist() == [0]
    aim = aim_of(sim.setup.population, EdgeCase(source=1, target=0, count=6))
    assert isinstance(aim, Trigger)
    assert not set(known) & set(aim._rows.tolist())


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (MARK, r"BadNets marks images .* samples of shape \[11\]"),
        (BadNets(target=2, size=5), "size=5 with images of 4 x 4"),
        (BadNets(target=3), "`target` should be a class of the data, 0 to 2"),
        (EdgeCase(source=1, target=0, count=40), "Found count=40"),
    ],
)
def test_triggers_that_do_not_fit_are_refused_before_the_first_round(attack: Any, message: str) -> None:
    data = Columns() if "samples of shape" in message else Blobs()
    made = Task(data=data, model=Softmax(), partition=IID()).prepare(clients=CLIENTS, seed=0)
    for given in ({"attack": attack, "f": 1}, {"aims": [attack]}):
        with pytest.raises(ParameterError, match=message):
            simulation(Mean(), world=made, **given)  # type: ignore[arg-type]


def test_tables_have_edge_cases() -> None:
    made = Task(data=Columns(), model=Softmax(), partition=IID()).prepare(clients=CLIENTS, seed=0)
    sim = simulation(Mean(), world=made, attack=EdgeCase(source=1, target=0, count=4), f=1)
    assert 0 <= sim.run().more["attack_success"] <= 1


# -- how they train


@pytest.mark.parametrize(
    "values",
    [{}, TRAINED, {**TRAINED, "message": "gradient"}, {**TRAINED, "client_mode": "loop"}],
    ids=["fedsgd", "delta", "fedavg", "loop"],
)
def test_attackers_who_obey_send_what_clients_would(values: dict[str, Any]) -> None:
    expected, found = own_messages(MARK, **values), own_messages(MARK >> Obedient(), **values)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "attack",
    [
        MARK >> Obedient(local_steps=5),
        MARK >> Neurotoxin(local_steps=3, learning_rate=0.9),
        MARK >> AlternatingMinimisation(),
        Clones(count=2) >> MARK >> ModelReplacement(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("values", [{"augment": {"noise": 0.3}}, {**TRAINED, "client_momentum": 0.5}])
def test_honest_clients_send_the_same_bits_however_attackers_train(attack: Any, values: dict[str, Any]) -> None:
    plain, busy = (simulation(attack=a, f=2, model=SMALL_MLP, **values) for a in (MARK, attack))
    for number in range(3):
        rows = []
        for sim in (plain, busy):
            rows.append(computed(sim, number).sent)
        assert torch.equal(*rows)


@pytest.mark.parametrize("values", [{}, TRAINED, {**TRAINED, "message": "gradient"}], ids=["fedsgd", "delta", "fedavg"])
@pytest.mark.parametrize("f", [1, 2])
def test_replacement_ends_at_the_attackers_mean_model_when_honest_messages_are_zero(
    values: dict[str, Any], f: int
) -> None:
    sim = simulation(attack=MARK >> ModelReplacement(), f=f, **values)
    rate = 0.1 if values else 0.5  # the clients' step, or the server's in fedsgd
    round = computed(sim)
    plain = own_messages_of(simulation(attack=MARK, f=f, **values))
    steps = values.get("local_steps", 1)
    change = plain if values.get("message") == "delta" else -plain * rate * steps
    round.messages = torch.zeros_like(round.sent)
    sim.channel.craft(round)
    before = weights(sim).clone()
    topology(sim).ownership.server.step(round.receivers[0].arrived.mean(dim=0))
    assert torch.allclose(weights(sim), before + change.mean(dim=0), atol=1e-5)


def test_constrained_attackers_stay_near_and_take_their_own_steps() -> None:
    near = own_messages(MARK >> PGDConstrained(radius=0.01, local_steps=4, learning_rate=2.0), **TRAINED)
    assert torch.allclose(near.norm(dim=1), torch.full((2,), 0.01))
    seen: list[tuple[int, float]] = []

    @dataclass(frozen=True, kw_only=True)
    class Watching(LocalAttack):
        """Notes the steps that it is asked for."""

        def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
            seen.append((step, start.rate))
            return super().follow(change, gradient, step, start)

    own_messages(MARK >> Watching(local_steps=3, learning_rate=0.7))
    own_messages(MARK >> Watching(), **TRAINED)
    assert seen == [(0, 0.7), (1, 0.7), (2, 0.7), (0, 0.1), (1, 0.1)]


def test_what_attackers_know_when_they_begin() -> None:
    starts: list[Start] = []

    @dataclass(frozen=True, kw_only=True)
    class Watching(LocalAttack):
        """Keeps what it was given."""

        def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
            starts.append(start)
            return super().follow(change, gradient, step, start)

    sim = simulation(attack=MARK >> Watching(), f=2, rounds=2)
    made, first = sim.setup.population, weights(sim).clone()
    answer = sim.play(0).receivers[0].answer
    sim.play(1)
    assert answer is not None
    assert starts[0].previous_aggregate is None
    known = starts[1].previous_aggregate
    assert known is not None
    assert torch.allclose(known, answer.value, atol=1e-5)
    held = torch.tensor(sim.setup.members.samples())
    clean = gradient(made, first, made.features[held], made.labels[held])
    assert torch.allclose(starts[0].clean_gradient(), clean, atol=1e-6)
    assert [place.stop for place in starts[0].layers][-1] == made.d


def test_only_malicious_steps_see_poisoned_data() -> None:
    """An attacker that takes benign steps alone learns what an honest client would."""

    @dataclass(frozen=True, kw_only=True)
    class Tame(LocalAttack):
        """Never learns from poisoned data."""

        def poisons(self, step: int) -> bool:
            return False

    honest = own_messages(LabelFlip(start_round=9))
    assert torch.allclose(own_messages(MARK >> Tame()), honest, atol=1e-6)


def test_outside_the_window_they_are_honest_clients() -> None:
    late = simulation(attack=BadNets(target=2, size=2, start_round=2) >> ModelReplacement(boost=9.0), f=2, rounds=4)
    never = simulation(f=2, attack=LabelFlip(start_round=9), rounds=4)
    same = []
    for number in range(3):
        late.play(number)
        never.play(number)
        same.append(torch.equal(weights(late), weights(never)))
    assert same == [True, True, False]


def test_update_attacks_that_do_not_train_take_the_poisoned_updates() -> None:
    alone, paired = own_messages(MARK), own_messages(MARK >> ALIE(estimate="own"))
    assert torch.equal(alone, paired)


def test_identities_of_one_client_send_the_update_that_it_trained() -> None:
    sim = simulation(attack=Clones(count=3) >> MARK >> PGDConstrained(), f=2)
    own = own_messages_of(sim)
    leaders = sim.setup.members.leaders[sim.setup.malicious]
    assert len(own) == 6
    for row, leader in zip(own, leaders, strict=True):
        assert torch.equal(row, own[int(np.flatnonzero(leaders == leader)[0])])
