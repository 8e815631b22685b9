"""Planning ahead: the roll-out is the training that happens, its slopes are right, and plans are kept and improved."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.defenses import Mean, NormBound, SignMajority
from robustfl.errors import InfeasibleError, KnowledgeError
from robustfl.federation import Task, assemble
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import MLP, Model
from robustfl.threats import Facts, Knowledge, UpdateAttack, View
from robustfl.threats.updates.planning import rollout as rolling
from robustfl.threats.updates.planning.aims import Named, balanced, wrong
from robustfl.threats.updates.planning.imagined import drawn, imagined
from robustfl.threats.updates.planning.planner import Objective, Planner, first_plans, improved
from robustfl.threats.updates.planning.rollout import Lessons, Rollout
from robustfl.threats.updates.planning.rows import leading, sign_keeping
from robustfl.threats.updates.planning.surrogates import Shifted, Votes, surrogate
from tests.federation.worlds import rules, simulation

CLIENTS, ROUNDS = 5, 6
SMALL = MLP(hidden=(4,))
ALL = Knowledge.OWN | Knowledge.HISTORY | Knowledge.PEERS | Knowledge.DATA | Knowledge.DEFENSE

SETTINGS: list[dict[str, Any]] = [
    {},
    {"client_momentum": 0.9},
    {"server": {"momentum": 0.9, "learning_rate": 0.1}},
    {"server": {"optimizer": "adam", "learning_rate": 0.01}, "client_momentum": 0.5},
    {"algorithm": "fedavg", "local_steps": 3},
    {"sharpness_radius": 0.3, "client_momentum": 0.5},
    {"algorithm": "fedavg", "local_steps": 3, "sharpness_radius": 0.3},
]
NAMES = ["sgd", "client momentum", "server momentum", "adam", "fedavg", "sharpness", "sharpness and fedavg"]


@dataclass(frozen=True, kw_only=True)
class OneSampleEach(Data):
    """One training sample for each client: every batch is this sample, so chance decides nothing."""

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        rng = np.random.default_rng(5)
        x, y = rng.normal(size=(2 * CLIENTS, 1, 3, 3)).astype(np.float32), np.arange(2 * CLIENTS) % 3
        return Dataset(
            name="one sample each",
            train_x=x[:CLIENTS],
            train_y=y[:CLIENTS],
            test_x=x[CLIENTS:],
            test_y=y[CLIENTS:],
            classes=("a", "b", "c"),
        )


def settled(model: Model, **settings: Any) -> Any:
    """A simulation without chance, in which one of five clients is malicious."""
    task = Task(data=OneSampleEach(), model=model, partition=IID())
    values = {"clients": CLIENTS, "rounds": ROUNDS, "batch_size": 2, "evaluate_every": 1, **settings}
    return task.prepare(clients=CLIENTS, seed=0), rules(**values)


@dataclass(frozen=True, kw_only=True)
class Spying(UpdateAttack):
    """Sends the mean of the honest updates, which changes nothing under a mean, and keeps its views."""

    knowledge: ClassVar[Knowledge] = ALL

    def craft(self, view: View) -> Tensor:
        now = view.training  # asked for later, it would know the server's memory of later
        view._facts.training = lambda: now
        SEEN.append(view)
        return view.mean().repeat(view.f, 1)


SEEN: list[View] = []


def spied(model: Model = SMALL, **settings: Any) -> tuple[list[View], Any]:
    """The views of a training that goes on as if nobody attacked, and the simulation after it."""
    SEEN.clear()
    made, values = settled(model, **settings)
    sim = assemble(made, values, Mean(), attack=Spying(), f=1, seed=1)
    sim.run()
    return list(SEEN), sim


def planned(view: View, *, reach: float = 0.0, counted: tuple[int, ...] = (-1,), **changes: Any) -> Rollout:
    """The roll-out of the rest of a training on all honest data."""
    found = drawn(view, "peers", 1000)
    assert found is not None
    features, labels = found
    rest = view.training.rounds - view.round
    values: dict[str, Any] = {
        "training": view.training,
        "model": view.weights,
        "sent": view.mean(),
        "lessons": Lessons(features=features, labels=labels, judged=features.flatten(0, 1)),
        "aim": wrong(labels.flatten()),
        "defense": Shifted(share=1.0, reach=reach),
        "rounds": rest,
        "counted": [place % rest for place in counted],
    }
    return Rollout(**{**values, **changes})


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
@pytest.mark.parametrize("number", [0, 2])
def test_what_is_imagined_without_pushes_is_the_training_that_happens(settings: dict[str, Any], number: int) -> None:
    views, sim = spied(**settings)
    models: list[Tensor] = []

    def judge(logits: Tensor) -> Tensor:
        return logits.flatten(1).sum(dim=1)

    view = views[number]
    training = replace(view.training, predict=lambda w, x: models.append(w) or w[..., :1, None])  # type: ignore[func-returns-value]
    rolled = planned(view, training=training, aim=judge, counted=tuple(range(ROUNDS - number)))
    rolled.values(torch.zeros(1, ROUNDS - number, view.d))
    happened = [seen.weights for seen in views[number + 1 :]] + [sim.topology.served()[0]]
    for imagined_model, model in zip(models, happened, strict=True):
        torch.testing.assert_close(imagined_model[0], model, atol=2e-6, rtol=2e-5)


def doubled(rolled: Rollout) -> Rollout:
    """The same roll-out in double precision."""

    def wide(values: Tensor) -> Tensor:
        return values.double()

    training, lessons = rolled.training, rolled.lessons
    memory = rolling._each(training.memory, wide)
    return replace(
        rolled,
        training=replace(training, memory=memory),
        model=wide(rolled.model),
        sent=wide(rolled.sent),
        lessons=Lessons(features=wide(lessons.features), labels=lessons.labels, judged=wide(lessons.judged)),
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
def test_slopes_are_those_of_finite_differences(settings: dict[str, Any]) -> None:
    view = spied(**settings)[0][1]
    rolled = doubled(planned(view, reach=0.3, counted=(-1, -2)))
    generator = torch.Generator().manual_seed(0)
    plans = torch.randn(2, rolled.rounds, view.d, generator=generator, dtype=torch.float64)
    values, slopes = rolled.slopes(plans)
    torch.testing.assert_close(values, rolled.values(plans))
    for _ in range(4):
        way = torch.randn(plans.shape, generator=generator, dtype=torch.float64)
        step = 1e-5
        measured = (rolled.values(plans + step * way) - rolled.values(plans - step * way)) / (2 * step)
        torch.testing.assert_close((slopes * way).sum(dim=(1, 2)), measured, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("settings", SETTINGS, ids=NAMES)
def test_with_little_memory_slopes_are_the_same(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    view = spied(**settings)[0][0]
    rolled = planned(view, reach=0.3, counted=(-1, 2))
    plans = torch.randn(2, ROUNDS, view.d, generator=torch.Generator().manual_seed(0))
    whole = rolled.slopes(plans)
    monkeypatch.setattr(rolling, "KEPT_NUMBERS", 0)
    assert rolled._stretch(2) == 2
    in_parts = rolled.slopes(plans)
    torch.testing.assert_close(in_parts, whole)


def test_memory_of_a_long_roll_out_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rolled = planned(spied()[0][0], rounds=10_000)
    a_round = rolled._kept_by_a_round
    inputs = rolled.lessons.features.numel()
    assert inputs + rolled.model.numel() < a_round < 100 * (inputs + rolled.model.numel())
    for room, rounds in ((3 * 200 * a_round, 200), (3 * 20_000 * a_round, 10_000), (0, 100)):
        monkeypatch.setattr(rolling, "KEPT_NUMBERS", room)
        assert rolled._stretch(3) == rounds, "what fits, but at least the root of the number of rounds"


def test_a_plan_is_better_than_what_it_starts_from() -> None:
    view = spied()[0][1]
    rolled = planned(view, reach=0.3)
    starts = first_plans(view, rolled.rounds)
    torch.testing.assert_close(starts.norm(dim=2), torch.ones(3, rolled.rounds))
    best, value = improved(rolled, starts, steps=6)
    assert value > float(rolled.values(starts).max()) + 0.01
    torch.testing.assert_close(rolled.values(best[None])[0], torch.tensor(value))
    torch.testing.assert_close(best.norm(dim=1), torch.ones(rolled.rounds))
    rounding = 4 * torch.finfo(torch.float32).eps  # one plan and three at once are computed in other orders
    assert improved(rolled, starts[:1], steps=6)[1] <= value + rounding, "more starts are never worse"


def test_the_third_start_moves_all_but_the_last_layer() -> None:
    view = spied()[0][0]
    stopping = first_plans(view, 1)[2, 0]
    last = view.layers[-2].start
    assert bool((stopping[:last] > 0).all()), "clients send gradients, which the server subtracts"
    assert not stopping[last:].any()


def test_aims() -> None:
    logits = torch.tensor([[[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]])
    right = torch.tensor([0, 0, 1])
    assert float(wrong(right)(logits)) == pytest.approx(-1.0, abs=1e-3)
    assert float(wrong(torch.tensor([0, 1, 1]))(logits)) == pytest.approx(-0.75, abs=1e-3), "each class weighs the same"
    assert float(Named(torch.zeros(3, dtype=torch.long), torch.full((3,), 1 / 3))(logits)) == pytest.approx(
        2 / 3, abs=1e-3
    )
    assert balanced(torch.tensor([4, 4, 7])).tolist() == [0.25, 0.25, 0.5]


@pytest.mark.parametrize("special", [None, 1.0, math.inf, math.nan], ids=str)
def test_slopes_of_an_aim_have_the_bits_of_autograd(special: float | None) -> None:
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    if special is not None:
        logits[1, 2, 1:] = logits[0, 0, 0] = special  # equal ones, none of which is the class, and the class itself
    aim = wrong(torch.tensor([0, 1, 0, 3, 2, 1]))
    values, slopes = aim.sloped(logits, 1 / 3)
    logits.requires_grad_()
    expected = aim(logits)
    torch.testing.assert_close(values, expected, rtol=0, atol=0, equal_nan=True)
    (gradient,) = torch.autograd.grad((expected / 3).sum(), logits)
    torch.testing.assert_close(slopes, gradient, rtol=0, atol=0, equal_nan=True)
    assert bool(slopes.any())


@pytest.mark.parametrize(
    ("tail", "number", "rounds", "places"),
    [
        (0.0, 0, 40, [39]),
        (0.1, 0, 40, [36, 37, 38, 39]),
        (0.1, 38, 40, [0, 1]),
        (0.5, 0, 40, [20, 25, 30, 34, 39]),
        (1.0, 0, 2, [0, 1]),
        (0.1, 39, 40, [0]),
        (None, 0, 40, [37, 38, 39]),
    ],
)
def test_the_models_that_count_are_those_of_the_tail(
    tail: float | None, number: int, rounds: int, places: list[int]
) -> None:
    objective = Objective(learns="peers", judges="peers", tail=tail)
    assert objective.counted(number, rounds, scored=3) == places


def test_every_client_weighs_the_same_in_what_is_learnt() -> None:
    view = spied()[0][0]
    sizes = {"a": 7, "b": 2}
    held = [(torch.full((size, 1), float(place)), torch.zeros(size)) for place, size in enumerate(sizes.values())]
    view._facts.holdings = lambda whose: held
    found = drawn(view, "peers", 100)
    assert found is not None
    assert found[0].flatten().tolist() == [0.0] * 7 + [1.0] * 7
    few = drawn(view, "own", 4)
    assert few is not None
    assert few[0].flatten().tolist() == [0.0] * 2 + [1.0] * 2
    view._facts.holdings = lambda whose: []
    assert drawn(view, "own", 4) is None


def test_imagined_updates_are_those_of_clients_with_the_attackers_data() -> None:
    views, _ = spied()
    rows = imagined(views[0])
    assert rows.shape == views[0].honest.shape
    (features, labels) = views[0].samples("own")
    expected = views[0].training.update(views[0].weights, features, labels)
    torch.testing.assert_close(rows, expected.expand_as(rows), atol=1e-6, rtol=1e-4)  # it has one sample


def test_imagined_momentum_begins_with_that_of_the_attackers() -> None:
    views, _ = spied(client_momentum=0.9)
    view = views[3]
    (features, labels) = view.samples("own")
    learnt = view.training.update(view.weights, features, labels)
    torch.testing.assert_close(imagined(view)[0], 0.9 * view.own[0] + 0.1 * learnt, atol=1e-6, rtol=1e-4)
    again = imagined(view)
    torch.testing.assert_close(again[0], 0.81 * view.own[0] + 0.19 * learnt, atol=1e-6, rtol=1e-4)


def test_rows_that_lead_and_rows_that_keep_their_signs() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, -4.0], [-5.0, 6.0]])
    unit = torch.tensor([1.0, 0.0])
    assert leading(rows, unit, 2).tolist() == [[3.0, -4.0], [1.0, 2.0]]
    assert leading(rows, unit, 4).tolist() == [[3.0, -4.0], [1.0, 2.0], [-5.0, 6.0], [3.0, -4.0]]
    kept = sign_keeping(rows, torch.tensor([2.0, -3.0]))  # 2 - 3 would turn
    torch.testing.assert_close(kept, torch.tensor([[3.0, 0.02], [5.0, -7.0], [-3.0, 3.0]]))
    assert torch.equal(kept.sign(), rows.sign())


@dataclass(frozen=True, kw_only=True)
class Looking(UpdateAttack):
    """Plans with the data of honest clients, and declares this or not."""

    open: bool = True

    def required_knowledge(self) -> Knowledge:
        return ALL if self.open else ALL & ~Knowledge.DATA

    def craft(self, view: View) -> Tensor:
        objective = Objective(learns="peers", judges="peers")
        planner = Planner(objective=objective, every=2, steps=1, samples=20)
        return planner.direction(view, view.honest).repeat(view.f, 1)


def test_the_data_of_honest_clients_have_to_be_declared() -> None:
    assert simulation(attack=Looking(), f=1, rounds=2).run().accuracy
    with pytest.raises(KnowledgeError, match="needs the knowledge 'data'"):
        simulation(attack=Looking(open=False), f=1, rounds=2).run()


def test_reach_and_share_follow_what_the_defense_answers() -> None:
    planner = Planner(
        objective=Objective(learns="peers", judges="peers"), every=None, steps=1, samples=20, open_loop=True
    )
    view = spied()[0][0]
    before = planner.direction(view, view.honest)
    assert torch.equal(planner.direction(view, view.honest), before), "a plan is kept"
    distances = (view.honest - view.mean()).norm(dim=1)
    first = planner.reach
    assert first is not None
    assert first == pytest.approx(float(distances.mean()) / 4)
    mean, unit = torch.tensor([3.0, 0.0, 4.0]), torch.tensor([0.6, 0.8, 0.0])
    rest = torch.tensor([-0.8, 0.6, 0.6])  # at a right angle to both
    planner.answered(0.5 * mean + 2.0 * unit + rest, mean, unit)
    assert planner.share == pytest.approx(0.5, abs=1e-6)
    assert planner.reach == pytest.approx(0.7 * first + 0.3 * 2.0)
    planner.answered(1.5 * mean - 9.0 * unit, mean, unit)
    assert planner.share == pytest.approx(0.7 * 0.5 + 0.3 * 1.5), "it may move the other way, which is no reach"
    assert planner.reach == pytest.approx(0.7 * (0.7 * first + 0.6))
    known = planner.reach, planner.share
    for answer, push in ((float("inf") * mean, unit), (mean, mean / 5), (mean, 0 * unit)):
        planner.answered(answer, mean, push)
        assert (planner.reach, planner.share) == known, "nothing can be learnt from this"


def asked_view(rule: Any, honest: Tensor, f: int = 3) -> View:
    """The view of an attacker that knows the honest updates and the rule."""

    def aggregate(rows: Tensor) -> Tensor:
        answer: Tensor = rule.preview(rows, ids=list(range(len(rows)))).value
        return answer

    facts = Facts(round=0, f=f, honest=honest, own=lambda: honest[:f], aggregate=aggregate)
    return View(facts, Knowledge.PEERS | Knowledge.DEFENSE, "Spy()", {})


def asked_of(rule: Any, honest: Tensor) -> tuple[Any, Tensor]:
    """The surrogate that an attacker makes of a rule, and the rule's own answer to harmless malicious updates."""
    view = asked_view(rule, honest)
    harmless = torch.cat([honest.mean(dim=0).repeat(view.f, 1), honest])
    return surrogate(view, honest, reach=0.5), view.aggregate(harmless)


def honest_rows(d: int = 400) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(d, generator=generator) + 3 * torch.randn(12, d, generator=generator)


def test_a_rule_that_keeps_a_share_of_the_mean_is_known_by_its_share() -> None:
    honest = honest_rows()
    found, _ = asked_of(NormBound(radius=1.0), honest)
    assert isinstance(found, Shifted)
    direction = torch.nn.functional.normalize(torch.ones(1, honest.shape[1]))
    answer = found(honest.mean(dim=0)[None], direction)
    assert 0 < found.share < 0.1
    torch.testing.assert_close(answer, found.share * honest.mean(dim=0)[None] + 0.5 * direction)
    assert asked_of(Mean(), honest)[0] == Shifted(share=pytest.approx(1.0), reach=0.5)
    assert asked_of(Mean(), torch.zeros(4, 5))[0].share == 0.0
    assert surrogate(asked_view(Mean(), honest), honest, 0.5, share=0.25) == Shifted(share=0.25, reach=0.5)


def test_a_rule_that_counts_signs_is_known_by_its_step() -> None:
    honest = honest_rows()
    found, answer = asked_of(SignMajority(step=0.25), honest)
    assert isinstance(found, Votes)
    assert (found.step, found.honest, found.malicious) == (pytest.approx(0.25), 12, 3)
    alone = found(honest.mean(dim=0)[None], torch.zeros(1, honest.shape[1]))[0]
    assert float((alone.sign() == answer.sign()).float().mean()) > 0.9
    direction = torch.nn.functional.normalize(torch.ones(1, honest.shape[1]))
    pushed = found(honest.mean(dim=0)[None], direction)[0] - alone
    agreeing = honest.sign().sum(dim=0).abs() >= 10
    split = honest.sign().sum(dim=0).abs() <= 2
    assert float(pushed[agreeing].mean()) < 0.2 * float(pushed[split].mean()), "what clients agree on cannot be moved"


def test_a_rule_that_cannot_answer_is_thought_to_be_a_mean() -> None:
    def refuse(rows: Tensor) -> Tensor:
        raise InfeasibleError("There are too few rows.")

    facts = Facts(round=0, f=1, honest=torch.ones(3, 2), own=lambda: torch.ones(1, 2), aggregate=refuse)
    view = View(facts, Knowledge.PEERS | Knowledge.DEFENSE, "Spy()", {})
    assert surrogate(view, torch.ones(3, 2), reach=2.0) == Shifted(share=1.0, reach=2.0)
