"""The planned drift in a federation: what it knows, when it acts, what it plans, and how much it harms."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robustfl.attacks import BadNets, ConsistentWhiteBox, NaNClient, PlannedDrift
from robustfl.defenses import Median, SignMajority, TrimmedMean
from robustfl.errors import AttackError
from robustfl.federation import Simulation
from robustfl.federation.clients.training import predict
from robustfl.threats import View
from robustfl.threats.updates.planning.planner import Planner
from tests.federation.worlds import SMALL_MLP, simulation

QUICK: dict[str, Any] = {"samples": 60, "steps": 3, "plan_every": 2}


def attacked(attack: Any, defense: Any = None, **values: Any) -> Simulation:
    settings = {"model": SMALL_MLP, "rounds": 6, "f": 1, "evaluate_every": 6, **values}
    return simulation(defense or TrimmedMean(f=1), attack=attack, **settings)


def memory(played: Simulation) -> dict[Any, Any]:
    found: dict[Any, Any] = played.channel._adversary.memory  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("defense", [TrimmedMean(f=2), SignMajority(step=0.3)], ids=str)
def test_it_harms_more_than_the_same_search_without_a_plan(defense: Any) -> None:
    planned = attacked(PlannedDrift(**QUICK), defense, f=2).run()
    steady = [attacked(ConsistentWhiteBox(steady=way), defense, f=2).run() for way in ("ones", "minus_ones")]  # type: ignore[arg-type]
    assert planned.accuracy[-1][1] < min(found.accuracy[-1][1] for found in steady)


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        ({}, {"server": {"optimizer": "adam", "learning_rate": 0.02}}),
        ({"late": 0.5}, {"client_momentum": 0.9}),
        ({"data": "own", "estimate": "own"}, {"client_momentum": 0.9}),
        ({"data": "own"}, {"algorithm": "fedavg", "local_steps": 2}),
        ({"open_loop": True, "diversify": "pairs"}, {"server": {"momentum": 0.9, "learning_rate": 0.1}}),
        ({}, {"server": {"mode": "asynchronous", "buffer": 5}}),
    ],
    ids=str,
)
def test_every_form_harms_and_comes_out_the_same_again(values: dict[str, Any], settings: dict[str, Any]) -> None:
    found = [attacked(PlannedDrift(**QUICK, **values), **settings).run() for _ in range(2)]
    assert found[0].loss == found[1].loss
    assert found[0].loss[-1][1] > attacked(None, **{**settings, "f": 0}).run().loss[-1][1]


KNOWN = [
    ({}, {"history", "peers", "data", "defense"}),
    ({"data": "own"}, {"own", "history", "peers", "defense"}),
    ({"data": "own", "estimate": "own"}, {"own", "history", "defense"}),
    ({"estimate": "own"}, {"own", "history", "data", "defense"}),
    ({"late": 0.5}, {"own", "history", "peers", "data", "defense"}),
    ({"data": "own", "aim": "victim"}, {"own", "history", "peers", "data", "defense"}),
]


@pytest.mark.parametrize(("values", "knowledge"), KNOWN, ids=[str(values) for values, _ in KNOWN])
def test_it_declares_what_it_looks_at_and_no_more(values: dict[str, Any], knowledge: set[str]) -> None:
    """A look at anything else would raise an error."""
    attack = PlannedDrift(**QUICK, **values)
    assert set(attack.required_knowledge().names()) == knowledge
    assert attacked(attack, rounds=3, client_momentum=0.5).run().accuracy


def test_without_honest_updates_the_search_asks_about_imagined_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(View, "honest", property(lambda view: pytest.fail("it looked")))
    asked = View.aggregate

    def aggregate(view: View, rows: Any) -> Any:
        seen.append(rows[view.f :].clone())
        return asked(view, rows)

    monkeypatch.setattr(View, "aggregate", aggregate)
    attack = PlannedDrift(**QUICK, data="own", estimate="own", candidates=3)
    played = attacked(attack, Median(), rounds=2)
    played.run()
    assert len({float(rows.sum()) for rows in seen}) == 2, "one set of updates for each round"
    assert seen[0].shape == (5, played.setup.population.d)


def test_a_late_attack_is_honest_until_then() -> None:
    honest = attacked(ConsistentWhiteBox(start_round=6), evaluate_every=1, client_momentum=0.5).run()
    late = attacked(PlannedDrift(**QUICK, late=0.5), evaluate_every=1, client_momentum=0.5).run()
    assert late.loss[:3] == honest.loss[:3]
    assert late.loss[3] != honest.loss[3]


@pytest.mark.parametrize(
    ("values", "plans"),
    [({"plan_every": 9}, [0, 9, 18]), ({"open_loop": True}, [0]), ({}, [*range(0, 19, 2), *range(19, 24)])],
    ids=str,
)
def test_plans_are_made_when_they_are_due(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], plans: list[int]
) -> None:
    made: list[int] = []
    replan = Planner._replan

    def counted(planner: Planner, view: View, rows: torch.Tensor) -> None:
        made.append(view.round)
        replan(planner, view, rows)

    monkeypatch.setattr(Planner, "_replan", counted)
    attacked(PlannedDrift(samples=20, steps=1, candidates=3, **values), rounds=24).run()
    assert made == plans


@pytest.mark.parametrize("aim", ["target", "victim"])
def test_other_aims_are_reached_better_than_by_chance(aim: Any) -> None:
    attack = PlannedDrift(**QUICK, aim=aim, target=2, victim=1)
    assert attack.goal == f"planned {aim}"
    played = attacked(attack, rounds=10)
    plain = attacked(None, f=0, rounds=10)
    models = []
    for sim in (played, plain):
        sim.run()
        models.append(sim.topology.served()[0])
    population = played.setup.population
    client = played.setup.honest[1]
    if aim == "target":
        features, labels = population.test_features, torch.full_like(population.test_labels, 2)
    else:
        places = torch.as_tensor(population.parts[client])
        features, labels = population.features[places], population.labels[places]
    right = [float((predict(population, model, features).argmax(dim=1) == labels).float().mean()) for model in models]
    assert right[0] > right[1] if aim == "target" else right[0] < right[1]


def test_clients_that_fail_are_left_out_of_the_plan() -> None:
    found = attacked(PlannedDrift(**QUICK), faults=[NaNClient(share=0.4)], rounds=4).run()
    assert found.accuracy
    assert not found.diverged


def test_attackers_without_data_push_in_a_steady_direction() -> None:
    played = attacked(PlannedDrift(**QUICK, data="own"), rounds=2)
    played.setup.members._population.parts[played.setup.malicious_clients[0]] = played.setup.population.parts[0][:0]
    played.run()
    (planner,) = memory(played)["planners"].values()
    assert planner._directions is None


def test_a_backdoor_before_it_becomes_its_aim() -> None:
    trigger = BadNets(target=2, size=2)
    settings: dict[str, Any] = {"rounds": 10, "aims": (trigger,)}
    found = [
        attacked(attack, **settings).run()
        for attack in (trigger >> PlannedDrift(**QUICK, aim="backdoor"), trigger >> PlannedDrift(**QUICK))
    ]
    success = [trace.more["attack_success"] for trace in found]
    assert success[0] > 0.8
    assert found[0].accuracy[-1][1] > found[1].accuracy[-1][1], "the main task is kept"
    with pytest.raises(AttackError, match="needs a backdoor before it"):
        attacked(PlannedDrift(**QUICK, aim="backdoor")).run()
