"""Suites whose clients are peers: what they name, what is refused, and which trials they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustfl.errors import ScenarioError
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment, Scenario
from robustfl.evaluation.suite.trial import SOURCES, Trial

SUITE: dict[str, Any] = {
    "name": "ring",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 8, "rounds": 3, "batch_size": 4, "topology": {"regular": {"degree": 4}}},
    "adversary": {"f": [1], "space": ["models", "steps"]},
    "defenses": ["gossip", "nna", "trimmed_mean"],
    "attacks": ["sign_flip", "echo", "label_flip", ["cut", "alie"]],
    "seeds": 1,
}


def suite(**values: Any) -> Experiment:
    return Experiment({**SUITE, **values})


def test_attacks_on_updates_are_played_in_every_space_and_others_once() -> None:
    played = [str(attack) for attack in suite().suite.played]
    assert played == [
        "SignFlip",
        "InSteps > SignFlip",
        "Echo",
        "LabelFlip",
        "Cut > ALIE(z=1.5)",
        "Cut > InSteps > ALIE(z=1.5)",
    ]
    steps = suite(adversary={"f": [1], "space": ["steps"]}).suite.played
    assert [str(attack) for attack in steps][:2] == ["InSteps > SignFlip", "Echo"]


def test_the_plan_names_the_network_the_plain_rule_and_what_is_declared() -> None:
    plan = Plan(suite())
    assert plan.experiment.suite.baseline == "gossip"
    assert [world.label for world in plan.experiment.worlds] == ["Digits, Softmax, IID, Regular(degree=4)"]
    assert {cell.invalid or cell.unfit for cell in plan.cells} == {""}
    told = {(trial.attack, trial.scenario.f, trial.scenario.declared) for trial in plan.trials}
    assert ("none", 0, 1) in told, "rules are told the same number whether anybody attacks or not"
    assert ("Echo", 1, 1) in told


def test_worlds_differ_by_their_network_and_by_how_peers_mix() -> None:
    federation = {
        **SUITE["federation"],
        "topology": ["ring", {"regular": {"degree": 4}}],
        "peers": {"gossip_steps": [1, 2]},
    }
    labels = [world.label for world in suite(federation=federation).worlds]
    assert labels == [
        "Digits, Softmax, IID, Ring, gossip_steps=1",
        "Digits, Softmax, IID, Ring, gossip_steps=2",
        "Digits, Softmax, IID, Regular(degree=4), gossip_steps=1",
        "Digits, Softmax, IID, Regular(degree=4), gossip_steps=2",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("federation.topology=rings", "federation.topology: There is no topology named 'rings'. Did you mean 'ring'"),
        ("federation.topology={regular: {degree: -1}}", "federation.topology: Regular: `degree`"),
        ("federation.topology={regular: {degrees: 4}}", "Regular has no parameter 'degrees'. Did you mean 'degree'"),
        ("federation.peers.gossip_step=2", "federation.peers.gossip_step: unknown key. Did you mean 'gossip_steps'"),
        ("federation.peers.bound=half", "peers.bound: should be 'max', 'share' or 'local' or an integer. Found 'half'"),
        ("federation.peers.mix_every=0", "peers.mix_every: should be at least 1 or 'last'. Found 0"),
        ("federation.peers.weights=equal", "'max_degree' or 'fastest'. Found 'equal'"),
        ("federation.topology={regular: 4}", "a mapping, as in `{regular: {parameter: value}}`. Found 4."),
        ("federation.server.momentum=0.5", "there is no server. Found server.momentum"),
        ("adversary.space=[models, models]", "`space` should name each space once"),
        ("privacy={attacks: [analytic]}", "`privacy` says who watches clients of a server"),
        ("attacks=[in_steps]", "InSteps says in which space letters are crafted: list it with an attack"),
        ("attacks=[cut]", "Cut says where attackers are"),
    ],
    ids=[
        "name",
        "range",
        "parameter",
        "key",
        "kinds",
        "limit",
        "choice",
        "mapping",
        "server",
        "spies",
        "spaces",
        "steps alone",
        "place alone",
    ],
)
def test_what_is_wrong_is_said_at_its_key(tmp_path: Path, text: str, told: str) -> None:
    import json

    file = tmp_path / "suite.yaml"
    file.write_text(json.dumps(SUITE), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        read_experiment(str(file), (text,))
    assert told in " ".join(str(caught.value).split())


def test_what_only_peers_can_do_is_refused_with_a_server() -> None:
    federation = {"clients": 8, "rounds": 3}
    for adversary in ({"f": [1], "space": ["steps"]}, {"f": [1], "equivocation": False}):
        with pytest.raises(ValueError, match="Give the federation a `topology`, or leave them out"):
            suite(federation=federation, adversary=adversary, defenses=["mean"], attacks=["sign_flip"])
    plan = Plan(suite(federation=federation, adversary={"f": [1]}, defenses=["nna", "mean"], attacks=["echo"]))
    reasons = {(cell.defense, cell.attack): cell.invalid or cell.unfit for cell in plan.cells}
    assert "which have no server" in reasons["NNA", "none"]
    assert "makes other messages than Mean gets" in reasons["Mean", "Echo"]


def test_a_trial_of_peers_is_played_described_and_read_again() -> None:
    found = {trial.attack: trial for trial in Plan(suite()).trials if trial.defense == "TrimmedMean"}
    trial = found["Cut > InSteps > ALIE(z=1.5)"]
    record = run_trial(trial, Resources(), "")
    assert record["error"] is None
    assert record["metrics"] is not None
    more = record["metrics"]["more"]
    assert more["worst_peer"] <= more["mean_peer"]
    assert more["declared_bound"] == more["local_bound"] == 1
    again = Scenario.model_validate(record["scenario"])
    assert Trial(again, trial.seed, "", "", "").id == trial.id
    assert again.federation.topology == trial.scenario.federation.topology


def test_a_graph_from_a_file_is_found_by_every_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial that also measures what peers reach alone looks for the file once more."""
    monkeypatch.delenv("ROBUSTFL_DATA", raising=False)
    (tmp_path / "net.csv").write_text("\n".join(f"{peer},{(peer + 1) % 8}" for peer in range(8)))
    federation = {**SUITE["federation"], "topology": {"edges": {"file": "net.csv"}}}
    plan = Plan(suite(federation=federation, attacks=["echo"], defenses=["gossip"]))
    assert {trial.scenario.reference for trial in plan.trials} == {True, False}
    for trial in plan.trials:
        record = run_trial(trial, Resources(data_root=tmp_path), "")
        assert record["error"] is None


def test_the_code_of_graphs_and_placements_is_part_of_what_decides_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(SOURCES, "part", lambda part: asked.append(part) or "")
    trial = next(trial for trial in Plan(suite()).trials if trial.attack == "Cut > ALIE(z=1.5)")
    trial.fingerprint("")
    assert trial.scenario.federation.topology in asked
    assert trial.scenario.attack in asked
