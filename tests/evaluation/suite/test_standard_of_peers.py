"""The standard suite of networks without a server: what is in it, what it proves, and that it can be played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustfl import registry
from robustfl.aggregation.neighbourhoods import Mixer
from robustfl.attacks import Framing, RandomUpdates
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.suite.standard import PEERS, load_standard, made_for
from robustfl.evaluation.trust.evidence import DefenseFacts, Threat
from robustfl.evaluation.trust.status import missing
from robustfl.federation import Federation
from robustfl.federation.graphs import Ring

NETWORK = Federation.model_validate({"topology": Ring(), "message": "delta"})
SUITE: dict[str, Any] = {
    "name": "peers",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 6, "rounds": 12, "evaluate_every": 6, "topology": "complete"},
    "adversary": {"f": [0, 1]},
    "defenses": ["nna"],
    "attacks": ["gaussian"],
    "standard": PEERS,
    "seeds": 1,
}
WANTED = ["Echo", "Edge(direction=sign)", "Edge(direction=away)", "PeerWhiteBox(direction=sign)"]
WANTED += [f"{space}{name}" for space in ("", "InSteps > ") for name in ("SignFlip(mode=mean)", "IPM(epsilon=0.1)")]
WANTED += ["ALIE(z=1.5)", "InSteps > ALIE(z=1.5)", "Dissensus(strength=1.5)", "Spectral(amplitude=1)", "LabelFlip"]
WANTED += ["Cut > Echo", "Cut > Dissensus(strength=1.5)"]

MIXERS = [name for name, kind in registry.find("defense").items() if issubclass(kind, Mixer)]


def test_it_holds_what_an_evaluation_of_peers_needs() -> None:
    assert set(WANTED) <= {str(attack) for attack in load_standard(PEERS).attacks}


@pytest.mark.parametrize("name", [*MIXERS, "median", "krum", "signguard"])
def test_it_lacks_nothing_for_rules_of_peers_and_for_rules_that_are_lifted(name: str) -> None:
    kind = registry.get("defense", name)
    required = {p.name: 1 for p in kind.declared_parameters() if p.required and p.name != "f"}
    template, frozen = DefenseTemplate.read([{name: required}]), load_standard(PEERS)
    met = [*frozen.attacks, *(a for a in frozen.tailored if set(made_for(a)) & set(template.names))]
    assert missing([Threat.of(attack) for attack in met], DefenseFacts.of(template, NETWORK), rounds=20) == []


def test_whoever_compares_what_peers_say_of_their_training_has_to_meet_those_who_invent_it() -> None:
    met = [Threat.of(attack) for attack in (*load_standard(PEERS).attacks, Framing())]
    told = {"models": [], "updates": ["not met, though made for it: random_updates"]}
    for history, expected in told.items():
        template = DefenseTemplate.read([{"sybilwall": {"history": history}}])
        assert missing(met, DefenseFacts.of(template, NETWORK), rounds=20) == expected
        assert missing([*met, Threat.of(RandomUpdates())], DefenseFacts.of(template, NETWORK), rounds=20) == []


@pytest.mark.parametrize("label", WANTED)
def test_whatever_was_not_met_is_named(label: str) -> None:
    met = [Threat.of(attack) for attack in load_standard(PEERS).attacks if str(attack) != label]
    found = missing(met, DefenseFacts.of(DefenseTemplate.read("nna"), NETWORK), rounds=20)
    assert found[0] == f"not met, of {PEERS}: {label}"


def test_attacks_in_both_spaces_are_played_once() -> None:
    both = {**SUITE, "adversary": {"f": [1], "space": ["models", "steps"]}}
    labels = [str(attack) for attack in Experiment(both).suite.played]
    assert len(labels) == len(set(labels))
    assert {"Gaussian", "InSteps > Gaussian"} <= {label.split("(")[0] for label in labels}
    assert labels.count("InSteps > SignFlip(mode=mean)") == 1


@pytest.mark.slow
def test_a_rule_that_met_it_is_adaptive_and_one_that_met_less_is_not(tmp_path: Path) -> None:
    options = RunOptions(out=tmp_path / "all", workers=0, checks=NO_CHECKS)
    (row,) = (r for r in _ranking(SUITE, options) if r["defense"] == "NNA")
    assert (row["status"], row["why"]) == ("ADAPTIVE", [])
    less = {**SUITE, "standard": None, "attacks": ["echo", "dissensus"]}
    options = RunOptions(out=tmp_path / "few", workers=0, checks=NO_CHECKS)
    (row,) = (r for r in _ranking(less, options) if r["defense"] == "NNA")
    assert row["status"] == "UPPER_BOUND"
    assert "not met, of standard-peers-v1: LabelFlip, SignFlip(mode=mean)" in row["why"][0]


def _ranking(values: dict[str, Any], options: RunOptions) -> list[Any]:
    found: list[Any] = run_experiment(Experiment(values), options, Quiet())["scores"]["ranking"]
    return found
