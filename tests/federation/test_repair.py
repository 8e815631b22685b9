"""Updates of old models that the server corrects: by first order, and by the samples that it finds behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from robustfl.attacks import IPM
from robustfl.defenses import RFFL, GradientNoise, Mean
from robustfl.errors import ParameterError
from robustfl.federation import Simulation, Task
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import Shards
from robustfl.federation.models.architectures import MLP
from robustfl.federation.repair import FirstOrderRepair, InversionRepair
from robustfl.federation.round import Round
from tests.federation.worlds import CLIENTS, SMALL_MLP, Kept, rules, simulation, weights

FIRST = {"method": "first_order", "strength": 2.0}
INVERT = {"method": "inversion", "iterations": 40, "unexplained": 0.9}
LOCAL = {"algorithm": "fedavg", "local_steps": 2, "local_learning_rate": 0.2}


def asynchronous(staleness: Any, *, defense: Any = None, **values: Any) -> Simulation:
    server = {"mode": "asynchronous", "buffer": 3, "learning_rate": 1.0, "staleness": staleness}
    given = {"model": SMALL_MLP, "rounds": 8, "batch_size": 2, "server": server, **values}
    return simulation(defense or Mean(), **given)


class Told(Kept):
    """Keeps the rounds, and the server's model in each of them before its step."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Tensor] = []
        self.sim: Simulation | None = None

    def hear(self, round: Round) -> None:
        super().hear(round)
        previous = round.receivers[0].model.previous
        assert previous is not None
        self.models.append(previous)


def played(staleness: Any, **values: Any) -> tuple[Simulation, Told]:
    watch = Told()
    sim = asynchronous(staleness, observers=[watch], **values)
    sim.run()
    return sim, watch


def honest(round: Round) -> tuple[Tensor, Tensor]:
    """What the honest members computed, and the models at which they did."""
    assert round.computed is not None
    assert round.models is not None
    return round.computed[-len(round.honest) :], round.models[-len(round.honest) :]


@pytest.mark.parametrize("local", [{}, LOCAL, {**LOCAL, "message": "gradient"}], ids=["fedsgd", "delta", "gradient"])
def test_first_order_adds_the_squared_gradient_times_the_way(local: dict[str, Any]) -> None:
    watch = played(FIRST, **local)[1]
    stale = 0
    for round, newest in zip(watch.rounds, watch.models, strict=True):
        computed, begun = honest(round)
        unit = -0.2 * 2 if local.get("message", "delta") == "delta" and local else 1.0
        gradients = computed / unit
        expected = (gradients + 2.0 * gradients**2 * (newest - begun)) * unit
        torch.testing.assert_close(round.sent, expected)
        old = round.ages(round.honest) > 0
        assert torch.equal(round.sent[torch.as_tensor(~old)], computed[torch.as_tensor(~old)])
        stale += int(old.sum())
    assert stale > 5


def errors(watch: Told, sim: Simulation) -> tuple[list[float], list[float]]:
    """How far old updates, and corrected ones, are from the updates of the same batches at the newest model."""
    before, after = [], []
    for round, newest in zip(watch.rounds, watch.models, strict=True):
        computed, _ = honest(round)
        lesson = round.lesson
        assert lesson is not None
        rows = torch.as_tensor(lesson.place[-len(round.honest) :])
        total = sim.channel.work.trainer(newest, lesson.features[rows], lesson.labels[rows])
        truth = sim.channel.as_messages(total)  # type: ignore[attr-defined]
        for age, old, new, true in zip(round.ages(round.honest), computed, round.sent, truth, strict=True):
            if age > 0 and not torch.equal(old, new):
                before.append(float((old - true).norm() / true.norm()))
                after.append(float((new - true).norm() / true.norm()))
    return before, after


@pytest.mark.parametrize(
    "local", [{}, LOCAL, {**LOCAL, "sharpness_radius": 0.1}], ids=["fedsgd", "fedavg", "sharpness-aware"]
)
def test_inversion_comes_nearer_to_what_the_same_samples_say_of_the_newest_model(local: dict[str, Any]) -> None:
    """Clients hold a class each, so that what a stale update lacks is what its own samples say of the newest model."""
    digits = Task(data=Digits(), model=MLP(hidden=(24,)), partition=Shards(per_client=1))
    world = digits.prepare(clients=CLIENTS, seed=0)
    sim, watch = played({**INVERT, "patience": 100}, world=world, batch_size=4, rounds=6, **local)
    before, after = errors(watch, sim)
    assert len(before) >= 5
    assert np.median(after) < 0.7 * np.median(before)
    repair = sim.transforms[0]
    assert isinstance(repair, InversionRepair)
    assert repair.comparisons > 0
    assert repair.worse < 0, "and looking back says so without the truth"


def test_messages_that_cannot_be_repaired_are_weighted_and_others_stay_as_they_are() -> None:
    sim, watch = played({**INVERT, "otherwise": "polynomial", "patience": 100})
    repair = sim.transforms[0]
    assert isinstance(repair, InversionRepair)
    round = next(r for r in watch.rounds[::-1] if (r.ages(r.honest) > 0).sum() >= 2)
    computed, _ = honest(round)
    stale = np.flatnonzero(round.ages(round.honest) > 0)
    given = computed.clone()
    given[int(stale[0])] = float("nan")
    given[int(stale[1])] = 0
    found = repair.sent(given, round.honest, round)
    assert not found[int(stale[0])].isfinite().any()
    assert not found[int(stale[1])].any()
    for place, age in enumerate(round.ages(round.honest).tolist()):
        if age == 0:
            assert torch.equal(found[place], given[place])


def test_what_the_samples_do_not_explain_is_weighted() -> None:
    values: dict[str, Any] = {"otherwise": "polynomial", "unexplained": 1e-9}
    watch = played({**INVERT, **values, "iterations": 1})[1]
    for round in watch.rounds:
        computed, _ = honest(round)
        factors = computed.new_tensor((1.0 + round.ages(round.honest)) ** -0.5)
        torch.testing.assert_close(round.sent, computed * factors[:, None])


def test_the_server_gives_up_when_it_looks_back_on_worse_guesses_and_not_before() -> None:
    noisy: dict[str, Any] = {"defense": GradientNoise(ratio=3.0) >> Mean(), "rounds": 14}
    sim, watch = played({**INVERT, "unexplained": 0.999, "patience": 3}, **noisy)
    repair = sim.transforms[1]
    assert isinstance(repair, InversionRepair)
    assert repair.given_up
    assert repair.comparisons >= 3
    assert repair.worse > 0
    done = repair.comparisons
    last = next(round for round in watch.rounds[::-1] if (round.ages(round.honest) > 0).any())
    given = torch.randn(len(last.honest), sim.setup.population.d, generator=torch.Generator().manual_seed(0))
    assert torch.equal(repair.sent(given, last.honest, last), given), "with `otherwise: constant`, as they are"
    assert repair.comparisons == done


def test_asking_again_changes_nothing() -> None:
    runs = [played({**INVERT, "iterations": 5}, f=1, attack=IPM())[0] for _ in range(2)]
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    repair = runs[0].transforms[0]
    assert isinstance(repair, InversionRepair)
    watch = played({**INVERT, "iterations": 5})[1]
    before = (repair.comparisons, repair.worse)
    round = watch.rounds[-1]
    first = repair.sent(honest(round)[0], round.honest, round)
    assert torch.equal(first, repair.sent(honest(round)[0], round.honest, round))
    assert (repair.comparisons, repair.worse) == before, "that round had been heard"


def test_what_cannot_be_corrected_is_refused() -> None:
    assert isinstance(asynchronous(FIRST).transforms[0], FirstOrderRepair)
    with pytest.raises(ValidationError, match="mixes updates of several models"):
        asynchronous(FIRST, client_momentum=0.5)
    with pytest.raises(ValidationError, match="mode: asynchronous"):
        rules(server={"staleness": FIRST})
    with pytest.raises(ParameterError, match="corrects updates of one common model"):
        asynchronous(INVERT, defense=RFFL())
