"""Parts that a third party could write: each small, each in nothing but the contracts."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from robustfl.aggregation import Aggregation
from robustfl.attacks import IPM
from robustfl.defenses import FRL, Mean, Median, MoNNA, TrimmedMean
from robustfl.errors import ParameterError, RobustflError
from robustfl.federation import Round, assemble, assembly, observers
from robustfl.federation.channels.contract import Channel
from robustfl.federation.clients.training import predict
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Ids, Lesson, Receiver
from robustfl.federation.streams import stream
from robustfl.federation.topologies.contract import Topology
from robustfl.federation.trace import Trace
from robustfl.federation.transforms import Transform
from robustfl.measures import Measure
from robustfl.threats import Knowledge, UpdateAttack, View
from tests.federation.worlds import CLIENTS, SMALL_MLP, gradient, population, rules, simulation


class Rounds(Observer):
    """Keeps all rounds."""

    def __init__(self) -> None:
        self.kept: list[Round] = []

    def hear(self, round: Round) -> None:
        self.kept.append(round)


class ClipAndNoise(Transform):
    """What honest clients send is clipped to length `clip` and gets Gaussian noise; the same when it is asked again."""

    def __init__(self, clip: float, noise: float) -> None:
        self.clip, self.noise = clip, noise

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        clipped = messages * (self.clip / messages.norm(dim=1, keepdim=True)).clamp(max=1.0)
        draws = [stream(round.number, f"noise of {i}").standard_normal(messages.shape[1]) for i in ids.tolist()]
        return clipped + self.noise * messages.new_tensor(np.array(draws))


def test_a_transform_clips_and_noises_what_honest_clients_send() -> None:
    kept, attack = Rounds(), IPM(epsilon=1e3)
    simulation(attack=attack, f=2, transforms=[ClipAndNoise(0.01, 0.0)], observers=[kept], rounds=2).run()
    for round in kept.kept:
        assert float(round.sent.norm(dim=1).max()) <= 0.01 + 1e-6
        server = round.receivers[0]
        bad = np.isin(server.ids, server.malicious)
        assert float(server.arrived[bad].norm(dim=1).min()) > 0.02, "malicious clients need not obey"
    noisy = [simulation(transforms=[ClipAndNoise(0.01, 0.1)], rounds=3).run().loss for _ in range(2)]
    assert noisy[0] == noisy[1] != simulation(transforms=[ClipAndNoise(0.01, 0.0)], rounds=3).run().loss


def test_a_transform_is_refused_with_messages_that_it_is_not_made_for() -> None:
    class Rounded(Transform):
        channels = ("dense", "rewards")

    with pytest.raises(ParameterError, match=r"Rounded can .* dense, rewards\. Found the channel 'rankings', for FRL"):
        simulation(FRL(), transforms=[Rounded()])
    assert simulation(transforms=[Rounded()], rounds=1).run().accuracy


class Spy(Observer):
    """Sees the model, the message and the batch of one client."""

    measures = (Measure("spied", "messages that were seen", unit="rows"),)

    def __init__(self, victim: int) -> None:
        self.victim, self.seen = victim, []  # type: ignore[var-annotated]

    def hear(self, round: Round) -> None:
        sight = round.sight(self.victim)
        self.seen += [] if sight is None else [sight]

    def report(self, trace: Trace) -> None:
        self.tell(trace, spied=len(self.seen))


@pytest.mark.parametrize("participation", [1.0, 0.5])
def test_an_observer_sees_model_message_and_batch_of_a_client(participation: float) -> None:
    spy = Spy(victim=3)
    sim = simulation(model=SMALL_MLP, observers=[spy], participation=participation)
    assert sim.run().more["spied"] == len(spy.seen) > 0
    for sight in spy.seen:
        expected = gradient(sim.setup.population, sight.model, sight.features[0], sight.labels[0])
        torch.testing.assert_close(sight.message, expected, atol=1e-6, rtol=1e-4)


def test_every_observer_that_declares_measures_watches_some_simulation() -> None:
    chosen = inspect.getsource(assembly)
    modules = [import_module(info.name) for info in iter_modules(observers.__path__, f"{observers.__name__}.")]
    classes = {value for module in modules for value in vars(module).values() if inspect.isclass(value)}
    own = {cls.__name__ for cls in classes if issubclass(cls, Observer) and cls.measures}
    assert own >= {"Detection", "Staleness"}
    assert {name for name in own if f"{name}(" not in chosen} == set(), "Name these in `observers_for`."


def test_a_measure_that_is_not_declared_is_an_error() -> None:
    class Careless(Observer):
        def report(self, trace: Trace) -> None:
            self.tell(trace, surprise=1)

    with pytest.raises(RobustflError, match="Careless reports surprise, which it does not declare"):
        simulation(observers=[Careless()], rounds=1).run()


class SecureSum(Transform):
    """Whoever looks at the network only sees the sum of all honest messages."""

    def shown(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        return messages.sum(dim=0, keepdim=True)


def test_an_observer_sees_the_sum_of_the_messages_only() -> None:
    kept, spy = Rounds(), Spy(victim=3)
    trace = simulation(transforms=[SecureSum()], observers=[kept, spy]).run()
    assert trace.accuracy == simulation().run().accuracy, "the defense still gets the messages"
    for round, sight in zip(kept.kept, spy.seen, strict=True):
        assert round.seen is not None
        torch.testing.assert_close(round.seen, round.sent.sum(dim=0, keepdim=True))
        assert sight.message is None


class Ring(Topology):
    """Every peer hears its two neighbours and moves its own model by what its own defense makes of their messages."""

    def __init__(self, setup: Any, channel: Channel) -> None:
        super().__init__(setup, channel)
        self.peers = [channel.model() for _ in range(setup.settings.clients)]
        self.defenses = [copy.deepcopy(channel.defense) for _ in self.peers]

    def sample(self, number: int) -> Round:
        malicious, honest = self.setup.malicious, self.setup.honest
        receivers = []
        for peer in honest.tolist():
            heard = np.sort([(peer - 1) % len(self.peers), (peer + 1) % len(self.peers)])
            bad, good = np.intersect1d(heard, malicious), np.intersect1d(heard, honest)
            receivers.append(
                Receiver(who=peer, defense=self.defenses[peer], model=self.peers[peer], malicious=bad, honest=good)
            )
        return Round(number=number, malicious=malicious, honest=honest, receivers=tuple(receivers))

    def models(self, round: Round, ids: Ids) -> Tensor:
        return torch.stack([self.peers[peer].state for peer in ids.tolist()])

    def trust(self, round: Round, receiver: Receiver) -> None:
        receiver.trusted = round.sent[int(np.searchsorted(round.honest, receiver.who))]

    def advance(self, round: Round) -> None:
        for receiver in round.receivers:
            if receiver.aggregate is not None:
                receiver.model.step(receiver.aggregate)

    def served(self) -> Tensor:
        return torch.stack([self.peers[peer].weights for peer in self.setup.honest.tolist()])


@dataclass(frozen=True, kw_only=True)
class Dissent(UpdateAttack):
    """Sends every receiver something else: its number in all coordinates."""

    def craft(self, view: View) -> Tensor:
        assert isinstance(view.receiver, int)
        return view.full(float(view.receiver)).repeat(view.f, 1)


def test_every_peer_is_a_receiver_with_its_own_rows_trusted_row_defense_and_answer() -> None:
    kept, settings = Rounds(), rules(rounds=2)
    sim = assemble(population(), settings, MoNNA(f=1), attack=Dissent(), f=1, topology=Ring, observers=[kept], seed=1)
    trace = sim.run()
    (bad,) = sim.setup.malicious.tolist()
    first = kept.kept[0]
    assert [receiver.who for receiver in first.receivers] == [peer for peer in range(CLIENTS) if peer != bad]
    for receiver in first.receivers:
        assert isinstance(receiver.who, int)
        neighbours = {(receiver.who - 1) % CLIENTS, (receiver.who + 1) % CLIENTS}
        assert set(receiver.ids.tolist()) == neighbours
        if bad in neighbours:
            assert bool((receiver.arrived[receiver.ids == bad] == receiver.who).all()), "crafted for this receiver"
        assert receiver.trusted is not None
        assert receiver.answer is not None
        expected = MoNNA(f=1)(receiver.arrived, trusted=receiver.trusted)
        torch.testing.assert_close(receiver.aggregate, expected)
    models = sim.topology.served()
    assert len(models) == CLIENTS - 1
    assert len({tuple(model.tolist()) for model in models}) == CLIENTS - 1, "models differ"
    assert len(trace.accuracy) == 1


class Beliefs(Channel):
    """Clients send the probabilities that they give to public samples, and models learn the aggregate of these."""

    name: ClassVar[str] = "beliefs"

    def model(self) -> Any:
        return Distilled(self)

    def public(self) -> Tensor:
        return self.setup.population.test_features

    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        local = models - self.setup.settings.server.learning_rate * self.work.gradients(models, lesson)
        made = self.setup.population
        return torch.stack([predict(made, model, self.public()).softmax(dim=1).flatten() for model in local])

    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> None:
        return None

    def ask(self, receiver: Receiver, rows: Tensor, names: list[Any], *, preview: bool = False) -> Aggregation:
        asked = receiver.defense.preview if preview else receiver.defense.aggregate
        answer: Aggregation = asked(rows, ids=names)
        return answer

    def vector(self, answer: Aggregation) -> Tensor:
        value: Tensor = answer.value
        return value

    def message_bytes(self) -> tuple[float, float]:
        size = 4.0 * len(self.public()) * self.setup.population.classes
        return size, size


class Distilled:
    """A model that learns what probabilities it should give."""

    def __init__(self, channel: Beliefs) -> None:
        self._channel, self.previous = channel, None
        self.state = self.weights = channel.setup.population.initial

    def step(self, aggregate: Tensor) -> None:
        weights = self.weights.clone().requires_grad_()
        made = self._channel.setup.population
        logits = predict(made, weights, self._channel.public())
        loss = cross_entropy(logits, aggregate.reshape(logits.shape))
        self.state = self.weights = self.weights - torch.autograd.grad(loss, weights)[0]


def test_a_channel_of_other_messages_learns_behind_the_same_defenses() -> None:
    settings = rules(rounds=40, batch_size=16, evaluate_every=40)
    trace = assemble(population(), settings, Median(), channel=Beliefs).run()
    assert trace.accuracy[-1][1] > 0.8
    assert trace.bytes_up == 4.0 * 30 * 3
    with pytest.raises(Exception, match="cannot meet Median: clients speak the channel 'beliefs'"):
        assemble(population(), settings, Median(), channel=Beliefs, attack=IPM(), f=1)


@dataclass(frozen=True, kw_only=True)
class Foresight(UpdateAttack):
    """Plays the training out to the end on its own data, and pushes along the gradient of the final loss."""

    knowledge: ClassVar[Knowledge] = Knowledge.HISTORY | Knowledge.OWN

    def craft(self, view: View) -> Tensor:
        training, (features, labels) = view.training, view.samples("own")
        push = torch.zeros(view.d, requires_grad=True)
        model, memory = view.weights, training.memory
        for _ in range(view.round, training.rounds):
            model, memory = training.step(model, training.update(model, features, labels) + push, memory)
        loss = cross_entropy(training.predict(model, features), labels)
        (slope,) = torch.autograd.grad(loss, push)
        return (3 * slope / slope.norm()).repeat(view.f, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"server": {"momentum": 0.9, "learning_rate": 0.1}},
        {"server": {"optimizer": "adam", "learning_rate": 0.01}},
        {"algorithm": "fedavg", "local_steps": 2},
    ],
    ids=["sgd", "momentum", "adam", "fedavg"],
)
def test_an_attack_plays_the_training_out_to_its_end(settings: dict[str, Any]) -> None:
    values = {"model": SMALL_MLP, "f": 2, "rounds": 8, **settings}
    hurt = simulation(Mean(), attack=Foresight(), **values).run()
    plain = simulation(Mean(), **{**values, "f": 0}).run()
    assert hurt.loss[-1][1] > plain.loss[-1][1] + 0.1


def test_what_an_attack_imagines_is_what_happens() -> None:
    """Without anybody attacking, the roll-out of one client on all its data is the training of that client."""
    found: list[Tensor] = []

    @dataclass(frozen=True, kw_only=True)
    class Watching(UpdateAttack):
        knowledge: ClassVar[Knowledge] = Knowledge.HISTORY | Knowledge.PEERS

        def craft(self, view: View) -> Tensor:
            step = view.training.step(view.weights, view.honest.mean(dim=0), view.training.memory)
            found.append(step[0])
            return view.honest.mean(dim=0).repeat(view.f, 1)

    kept = Rounds()
    simulation(TrimmedMean(f=0), attack=Watching(), f=1, rounds=3, observers=[kept]).run()
    after = [round.receivers[0].model for round in kept.kept]
    torch.testing.assert_close(found[-1], after[-1].weights)
