"""The round when something is wrong with it: attacks, faults, divergence; and what a run leaves behind."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustfl.aggregation import Aggregator
from robustfl.attacks import IPM, Dropout, Gaussian, LabelFlip, NonFinite
from robustfl.defenses import CenteredClipping, Krum, Mean, Median, TrimmedMean
from robustfl.errors import AttackError, KnowledgeError
from robustfl.federation.models.architectures import CNN, Model, Softmax
from robustfl.federation.streams import stream
from robustfl.threats import Attack, DataPoisoning, Delivery, Fault, FaultView, Knowledge, UpdateAttack, View
from tests.federation.worlds import (
    ATTACKS,
    CLIENTS,
    SMALL_MLP,
    batches,
    computed,
    gradient,
    simulation,
    task,
    weights,
)

# -- attacks inside the round


def test_attacks_do_harm_and_defenses_help() -> None:
    values: dict[str, Any] = {"clients": 10, "rounds": 40, "batch_size": 16, "f": 2, "attack": IPM(epsilon=10.0)}
    broken, defended = simulation(Mean(), **values).run(), simulation(TrimmedMean(f=2), **values).run()
    assert broken.accuracy[-1][1] < 0.5
    assert defended.accuracy[-1][1] > 0.9


def test_label_flips_reach_malicious_clients_only() -> None:
    clean, flipped = (simulation(f=2, attack=attack) for attack in (None, LabelFlip()))
    results = [computed(sim) for sim in (clean, flipped)]
    assert torch.equal(results[0].sent, results[1].sent)
    own = [round.own for round in results if round.own is not None]
    assert (own[0] != own[1]).any(dim=1).tolist() == [True, True]


def test_label_flips_train_on_the_flipped_labels() -> None:
    sim = simulation(f=2, attack=LabelFlip(mode="cyclic"))
    own = computed(sim).own
    assert own is not None
    for row, client in zip(own, sim.setup.malicious, strict=True):
        x, y = batches(sim.setup.population, rounds=1, steps=1, size=4)[0][client]
        expected = gradient(sim.setup.population, sim.setup.population.initial, x[0], (y[0] + 1) % 3)
        assert torch.allclose(row, expected, atol=1e-6)


def test_label_flips_outside_their_window_do_nothing() -> None:
    late, never = (simulation(f=2, attack=attack) for attack in (LabelFlip(start_round=4), None))
    for number in range(4):
        late.play(number)
        never.play(number)
    assert torch.equal(weights(late), weights(never))
    late.play(4)
    never.play(4)
    assert not torch.equal(weights(late), weights(never))


@dataclass(frozen=True, kw_only=True)
class BadLabels(DataPoisoning):
    """Poisoned labels that are none."""

    bad: object

    def poison_labels(self, labels: NDArray[np.int64], classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
        assert callable(self.bad)
        answer: NDArray[np.int64] = self.bad(labels)
        return answer


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (lambda labels: labels + 1, "0 to 2. Found int64 .*, 1 to 3"),
        (lambda labels: labels - 1, "0 to 2. Found int64 .*, -1 to 1"),
        (lambda labels: labels[1:], r"should return \d+ labels"),
        (lambda labels: labels.astype(float), "Found float64"),
        (lambda labels: None, "Found object"),
    ],
)
def test_poisoned_labels_have_to_be_labels(bad: object, found: str) -> None:
    with pytest.raises(AttackError, match=found):
        simulation(f=2, attack=BadLabels(bad=bad))


@dataclass(frozen=True, kw_only=True)
class Spy(UpdateAttack):
    """Sends zeros; what it sees, and what it does besides, is the test's."""

    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.HISTORY | Knowledge.PEERS | Knowledge.DEFENSE

    what: object

    def craft(self, view: View) -> Tensor:
        assert callable(self.what)
        self.what(view)
        return view.full(0.0).repeat(view.f, 1)


@dataclass(frozen=True, kw_only=True)
class Blind(Spy):
    """Declares nothing."""

    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING


def test_attacks_see_the_truth() -> None:
    seen: list[dict[str, Any]] = []

    def look(view: View) -> None:
        everybody = torch.cat([view.own, view.honest])
        model, previous = view.weights.clone(), view.previous_weights
        seen.append(
            {
                "sizes": (view.round, view.n, view.f, view.h, view.d, view.declared_f, view.message),
                "ids": view.honest_ids,
                "own": view.own.clone(),
                "honest": view.honest.clone(),
                "weights": model,
                "previous": None if previous is None else previous.clone(),
                "aggregate": view.aggregate(everybody),
            }
        )

    sim = simulation(TrimmedMean(f=1), f=2, attack=Spy(what=look), rounds=3)
    plain = simulation(f=2)
    expected = computed(plain)
    own, honest = expected.own, expected.sent
    sim.run()
    assert own is not None
    assert [entry["sizes"] for entry in seen] == [(t, 6, 2, 4, sim.setup.population.d, 1, "gradient") for t in range(3)]
    assert seen[0]["ids"] == tuple(i for i in range(6) if i not in sim.setup.malicious)
    assert torch.equal(seen[0]["own"], own)
    assert torch.equal(seen[0]["honest"], honest)
    assert torch.equal(seen[0]["weights"], sim.setup.population.initial)
    assert seen[0]["previous"] is None
    assert torch.equal(seen[2]["previous"], seen[1]["weights"])
    assert torch.equal(seen[0]["aggregate"], TrimmedMean(f=1)(torch.cat([own, honest])))


@pytest.mark.parametrize("defense", [CenteredClipping(), CenteredClipping(iterations=3)], ids=repr)
def test_asking_the_defense_leaves_its_state_alone(defense: Aggregator) -> None:
    def ask(view: View) -> None:
        for factor in (1.0, -50.0, float("nan")):
            view.aggregate(factor * torch.cat([view.own, view.honest]) if factor == factor else spoilt(view))

    def spoilt(view: View) -> Tensor:
        return torch.cat([view.full(float("nan")).repeat(view.f, 1), view.honest])

    sims = [simulation(copy.deepcopy(defense), f=2, attack=Spy(what=what)) for what in (ask, lambda view: None)]
    traces = [sim.run() for sim in sims]
    assert torch.equal(weights(sims[0]), weights(sims[1]))
    assert traces[0].rejected_rows == 0
    states = [sim.channel.defense.state_dict() for sim in sims]
    assert states[0].keys() == states[1].keys() == {"center"}


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (lambda view: view.honest, "the honest updates"),
        (lambda view: view.own, "own updates"),
        (lambda view: view.weights, "the global model"),
        (lambda view: view.aggregate(torch.zeros(6, 51)), "the defense"),
    ],
)
def test_undeclared_looks_end_the_run(what: object, found: str) -> None:
    with pytest.raises(KnowledgeError, match=found):
        simulation(f=2, attack=Blind(what=what)).run()


@pytest.mark.parametrize(
    "what",
    [
        lambda view: view.honest.zero_(),
        lambda view: view.own.zero_(),
        lambda view: view.weights.zero_(),
        lambda view: view.honest.numpy().fill(0.0),
    ],
)
def test_writing_to_the_world_ends_the_run(what: object) -> None:
    with pytest.raises(AttackError, match="which it may only read"):
        simulation(f=2, attack=Spy(what=what)).run()


# -- faults, held rounds, divergence


@dataclass(frozen=True, kw_only=True)
class Spoil(Fault):
    """Every message, or the first of them, arrives as NaN."""

    rows: int = 1_000

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        spoilt = messages.clone()
        spoilt[: self.rows] = float("nan")
        return spoilt


def arrivals(number: int) -> NDArray[np.bool_]:
    """Whose messages survive a dropout of 40 % in round `number`."""
    return stream(0, f"fault dropout 0:  in round {number}").random(CLIENTS) >= 0.4


def test_dropout_loses_messages_and_counts_them() -> None:
    sim = simulation(faults=[Dropout(probability=0.4)], rounds=20)
    trace = sim.run()
    assert trace.lost_rows == sum(int((~arrivals(number)).sum()) for number in range(20)) > 20
    assert trace.rejected_rows == 0


def test_aggregation_is_over_the_messages_that_arrive() -> None:
    sim = simulation(faults=[Dropout(probability=0.4)], rounds=1, server={"learning_rate": 1.0})
    messages = computed(sim).sent
    arrived = arrivals(0)
    assert 0 < arrived.sum() < CLIENTS
    fresh = simulation(faults=[Dropout(probability=0.4)], rounds=1, server={"learning_rate": 1.0})
    fresh.run()
    expected = sim.setup.population.initial - messages[torch.as_tensor(arrived)].mean(dim=0)
    assert torch.allclose(weights(fresh), expected, atol=1e-6)


def test_faults_follow_one_another() -> None:
    trace = simulation(faults=[Dropout(probability=0.5), Dropout(probability=0.5)], rounds=50).run()
    assert trace.lost_rows / (50 * CLIENTS) == pytest.approx(0.75, abs=0.08)


def test_rounds_that_nothing_usable_reaches_are_held() -> None:
    sim = simulation(faults=[Spoil()], server={"momentum": 0.9})
    trace = sim.run()
    assert (trace.held_rounds, trace.rejected_rows, trace.lost_rows) == (6, 36, 0)
    assert torch.equal(weights(sim), sim.setup.population.initial)
    assert not trace.diverged
    assert trace.accuracy[0][1] == trace.accuracy[-1][1]


def test_rounds_that_too_few_messages_reach_are_held() -> None:
    sim = simulation(TrimmedMean(f=2), faults=[Dropout(probability=0.999)], rounds=10)
    trace = sim.run()
    assert trace.held_rounds == 10
    assert trace.rejected_rows == 0
    assert torch.equal(weights(sim), sim.setup.population.initial)


class Wrecked(Fault):
    """The first message is spoilt, and only two others arrive."""

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        spoilt = messages.clone()
        spoilt[0] = float("nan")
        return spoilt

    def network(self, moment: FaultView) -> Delivery:
        return Delivery(lost=np.arange(len(moment.ids)) > 2)


def test_sound_rows_of_held_rounds_do_not_count_as_refused() -> None:
    trace = simulation(TrimmedMean(f=2), faults=[Wrecked()]).run()
    assert (trace.held_rounds, trace.lost_rows, trace.rejected_rows) == (6, 6 * 3, 6)


def test_spoilt_messages_are_rejected_and_the_rest_is_used() -> None:
    trace = simulation(TrimmedMean(f=1), faults=[Spoil(rows=2)]).run()
    assert (trace.held_rounds, trace.rejected_rows) == (0, 12)


def test_rounds_in_which_spoilt_messages_leave_too_few_for_f_are_held() -> None:
    trace = simulation(TrimmedMean(f=2), faults=[Spoil(rows=2)]).run()
    assert (trace.held_rounds, trace.rejected_rows) == (6, 12)


@pytest.mark.parametrize("payload", ["nan", "inf", "-inf", "sparse_nan", "huge"])
def test_payloads_are_rejected_by_the_plain_mean(payload: Any) -> None:
    """The mean of the others: as if the malicious clients had stayed at home."""
    attack = NonFinite(payload=payload)
    sim = simulation(f=2, attack=attack, server={"learning_rate": 0.3})
    trace = sim.run()
    assert trace.rejected_rows == 2 * 6
    assert trace.held_rounds == 0
    expected = sim.setup.population.initial.clone()
    for clients in batches(sim.setup.population, rounds=6, steps=1, size=4):
        honest = [clients[i] for i in range(CLIENTS) if i not in sim.setup.malicious]
        x, y = (torch.cat([data[part][0] for data in honest]) for part in (0, 1))
        expected -= 0.3 * gradient(sim.setup.population, expected, x, y)
    assert torch.allclose(weights(sim), expected, atol=1e-5)


@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP], ids=repr)
def test_a_model_that_diverges_is_noticed_and_stopped(model: Model) -> None:
    trace = simulation(model=model, rounds=60, evaluate_every=10, server={"learning_rate": 1e38}).run()
    assert trace.diverged
    assert trace.accuracy == []
    assert trace.loss == []
    assert trace.held_rounds < 10


def test_a_large_step_alone_is_no_divergence() -> None:
    trace = simulation(rounds=6, server={"learning_rate": 1e6}).run()
    assert not trace.diverged
    assert [number for number, _ in trace.accuracy] == [3, 4, 5, 6]


# -- what is left behind


@pytest.mark.parametrize(
    ("rounds", "every", "measured"),
    [
        (20, 4, [4, 8, 12, 16, 17, 18, 19, 20]),
        (8, 4, [4, 5, 6, 7, 8]),
        (3, 100, [2, 3]),
        (3, 1, [1, 2, 3]),
        (1, 1, [1]),
    ],
)
def test_the_end_is_measured_often_enough(rounds: int, every: int, measured: list[int]) -> None:
    trace = simulation(rounds=rounds, evaluate_every=every).run()
    assert [number for number, _ in trace.accuracy] == measured
    assert [number for number, _ in trace.loss] == measured
    assert all(0.0 <= value <= 1.0 for _, value in trace.accuracy)


def test_seconds_add_up() -> None:
    seconds = simulation(f=2, attack=IPM()).run().seconds
    assert set(seconds) == {"total_s", "compute_s", "attack_s", "aggregate_s", "evaluate_s", "other_s"}
    assert all(value >= 0.0 for value in seconds.values())
    assert sum(value for name, value in seconds.items() if name != "total_s") == pytest.approx(seconds["total_s"])


def test_the_share_of_the_malicious_in_the_aggregate() -> None:
    values: dict[str, Any] = {"f": 2, "attack": IPM(epsilon=3.0)}
    assert simulation(Mean(), **values).run().malicious_share == pytest.approx(2 / 6)
    assert simulation(Median(), **values).run().malicious_share is None
    huge: dict[str, Any] = {"f": 1, "attack": Gaussian(scale=1e4)}
    assert simulation(Krum(f=1), **huge).run().malicious_share == 0.0
    assert simulation(Mean(), f=2, attack=NonFinite()).run().malicious_share == 0.0


def test_malicious_clients_are_named() -> None:
    sim = simulation(f=3, attack=IPM())
    trace = sim.run()
    assert trace.malicious == sim.setup.malicious.tolist()
    assert len(set(trace.malicious)) == 3


# -- accelerators


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("attack", [None, *ATTACKS], ids=repr)
@pytest.mark.parametrize("model", [SMALL_MLP, CNN(channels=(2,))], ids=repr)
def test_an_accelerator_computes_what_the_cpu_computes(model: Model, attack: Attack | None) -> None:
    sims = [
        simulation(
            TrimmedMean(f=2),
            world=task(model).prepare(clients=CLIENTS, seed=0, device=device),
            client_momentum=0.5,
            attack=attack,
            f=2,
        )
        for device in ("cpu", "cuda")
    ]
    traces = [sim.run() for sim in sims]
    assert weights(sims[1]).device.type == "cuda"
    assert torch.allclose(weights(sims[0]), weights(sims[1]).cpu(), atol=1e-3)
    assert traces[0].rejected_rows == traces[1].rejected_rows
