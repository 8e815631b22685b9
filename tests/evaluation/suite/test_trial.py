"""The identity of a trial: what decides the result is in it, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl import registry
from robustfl.evaluation.run import play
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.run.provenance import data_fingerprint
from robustfl.evaluation.suite import trial as module
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment, Scenario, TaskSettings
from robustfl.evaluation.suite.sources import Sources
from robustfl.evaluation.suite.trial import Trial
from robustfl.federation.data.data_sets import NPZ
from robustfl.federation.settings import Federation, Peers, Server, Settings

SCENARIO: dict[str, Any] = {
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 2, "algorithm": "fedavg", "local_steps": 2},
    "defense": "trimmed_mean(f=1)",
    "attack": "sign_flip",
    "f": 1,
}
CHANGES: dict[str, Any] = {
    "task.data": {"digits": {"test_fraction": 0.5}},
    "task.model": {"mlp": {"hidden": [8]}},
    "task.partition": "dirichlet(alpha=0.5)",
    "federation.clients": 6,
    "federation.rounds": 3,
    "federation.algorithm": "fedsgd",
    "federation.local_steps": 3,
    "federation.local_learning_rate": 0.2,
    "federation.batch_size": 8,
    "federation.message": "gradient",
    "federation.client_momentum": 0.9,
    "federation.participation": 0.5,
    "federation.participation_sampling": "poisson",
    "federation.malicious_per_round": "sampled",
    "federation.augment": {"noise": 0.1},
    "federation.adversarial_training": {"epsilon": 0.1},
    "federation.sharpness_radius": 0.1,
    "federation.distillation": {"steps": 3},
    "federation.virtual_data": {"steps": 3},
    "federation.server.optimizer": "adam",
    "federation.server.learning_rate": 0.25,
    "federation.server.momentum": 0.9,
    "federation.server.trusted_samples": 50,
    "federation.server.mode": "asynchronous",
    "federation.server.buffer": 3,
    "federation.server.staleness": "constant",
    "federation.server.staleness_exponent": 0.75,
    "federation.server.staleness_grace": 2,
    "federation.server.speed_spread": 0.5,
    "federation.topology": "ring",
    "federation.peers.weights": "uniform",
    "federation.peers.allow": "declared",
    "federation.peers.gossip_steps": 2,
    "federation.peers.mix_every": 2,
    "federation.peers.merge": "all",
    "federation.peers.order": "combine_then_adapt",
    "federation.peers.read": "by_chance",
    "federation.peers.start": "own",
    "federation.peers.malicious_mixing": "never",
    "federation.peers.arrange": "along",
    "federation.peers.redraw": "round",
    "federation.peers.bound": 1,
    "federation.peers.short": "own",
    "federation.peers.train_per_class": 2,
    "federation.peers.evaluate_samples": 10,
    "federation.peers.score_by": "mean",
    "federation.evaluate_every": 1,
    "federation.client_mode": "loop",
    "faults": ["dropout"],
    "defense": "trimmed_mean(f=2)",
    "attack": "sign_flip(start_round=1)",
    "f": 2,
    "declared": 1,
    "equivocation": False,
    "aims": ["bad_nets"],
    "evasion": ["fgsm"],
    "evasion_samples": 50,
    "privacy": {"attacks": ["analytic"]},
    "reference": True,
}
"""One change for every field of a scenario."""


ASYNCHRONOUS = {f"federation.server.{name}" for name in ("buffer", "speed_spread")} | {
    f"federation.server.staleness{what}" for what in ("", "_exponent", "_grace")
}
"""What only an asynchronous server has."""


def changed(path: str, value: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(SCENARIO))
    if value == "fedsgd":
        values["federation"]["local_steps"] = 1
    if value == "poisson":
        values["federation"]["malicious_per_round"] = "sampled"
    if path in ASYNCHRONOUS:
        values["federation"].setdefault("server", {})["mode"] = "asynchronous"
    if path == "federation.server.staleness_grace":
        values["federation"]["server"]["staleness"] = "hinge"
    if path.startswith("federation.peers."):
        values["federation"]["topology"] = "ring"
    *sections, key = path.split(".")
    target = values
    for section in sections:
        target = target.setdefault(section, {})
    target[key] = value
    return values


def trial(values: dict[str, Any], seed: int = 0, world: str = "w", defense: str = "d", attack: str = "a") -> Trial:
    return Trial(Scenario.model_validate(values), seed, world, defense, attack)


def test_every_field_of_a_scenario_changes_the_id() -> None:
    models: dict[str, type[Settings]] = {
        "task.": TaskSettings,
        "federation.": Federation,
        "federation.server.": Server,
        "federation.peers.": Peers,
        "": Scenario,
    }
    fields = {prefix + name for prefix, model in models.items() for name in model.model_fields}
    assert set(CHANGES) == fields - {"task", "federation", "federation.server", "federation.peers"}, (
        "a new field needs a change here"
    )
    ids = {path: trial(changed(path, value)).id for path, value in CHANGES.items()}
    ids["nothing"] = trial(SCENARIO).id
    assert len(set(ids.values())) == len(ids)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_id_follows_the_seed(first: int, second: int) -> None:
    assert (trial(SCENARIO, first).id == trial(SCENARIO, second).id) == (first == second)


def test_the_id_follows_the_schema_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    before = trial(SCENARIO).id
    monkeypatch.setattr(module, "SCHEMA", module.SCHEMA + 1)
    assert trial(SCENARIO).id != before


def shuffled(value: Any, chance: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = chance.sample(list(value), len(value))
    return {key: shuffled(value[key], chance) for key in keys}


@given(st.randoms(use_true_random=False))
def test_the_id_ignores_the_order_of_keys(chance: random.Random) -> None:
    assert trial(shuffled(SCENARIO, chance)).id == trial(SCENARIO).id


def test_the_id_ignores_labels_and_how_values_are_written() -> None:
    same = changed("defense", {"TrimmedMean": {"f": 1}})
    same["federation"] |= {"message": "delta", "batch_size": 16, "server": {}}
    assert trial(same, world="x", defense="y", attack="z").id == trial(SCENARIO).id


def test_a_description_reads_back_as_the_scenario() -> None:
    for path, value in CHANGES.items():
        one = trial(changed(path, value))
        description = json.loads(json.dumps(one.description, allow_nan=False))
        assert trial(description).id == one.id, path


HALF = '''
from dataclasses import dataclass
from robustfl.defenses import Mean

@dataclass(frozen=True, kw_only=True)
class {name}(Mean):
    """A mean by another name."""
'''


def test_the_fingerprint_follows_the_source_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = tmp_path / "third_party_of_a_trial.py"
    source.write_text(HALF.format(name="OtherMean"))
    registry.find("defense")["other_mean"] = __import__("third_party_of_a_trial").OtherMean
    one, own = trial(changed("defense", "other_mean")), trial(SCENARIO)
    before, own_before = one.fingerprint("data"), own.fingerprint("data")
    assert one.fingerprint("data") == before
    source.write_text(source.read_text() + "# edited\n")
    monkeypatch.setattr(module, "SOURCES", Sources())
    assert one.fingerprint("data") != before
    assert own.fingerprint("data") == own_before, "an edited plug-in is nothing to other trials"


def test_the_fingerprint_follows_what_a_part_inherits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    base = tmp_path / "base_of_a_trial.py"
    base.write_text(HALF.format(name="Base"))
    (tmp_path / "child_of_a_trial.py").write_text("from base_of_a_trial import Base\nclass Child(Base): pass\n")
    values = changed("defense", "mean")
    scenario = Scenario.model_validate(values)
    child = __import__("child_of_a_trial").Child()
    one = Trial(scenario.model_copy(update={"defense": child}), 0, "w", "d", "a")
    before = one.fingerprint("data")
    base.write_text(base.read_text() + "# edited\n")
    monkeypatch.setattr(module, "SOURCES", Sources())
    assert one.fingerprint("data") != before


def test_the_fingerprint_follows_data_versions_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trial(SCENARIO)
    found = [one.fingerprint("data"), one.fingerprint("other data")]
    monkeypatch.setattr(module, "versions", lambda: {"numpy": "0"})
    found.append(one.fingerprint("data"))
    monkeypatch.setattr(module.SOURCES, "machine", lambda: "edited")
    found.append(one.fingerprint("data"))
    assert len(set(found)) == 4


def test_the_fingerprint_of_data_is_of_their_content(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"x_train": rng.random((12, 3), np.float32), "y_train": np.arange(12) % 2}
    arrays |= {"x_test": rng.random((4, 3), np.float32), "y_test": np.arange(4) % 2}
    found = []
    for number, change in enumerate([{}, {}, {"y_test": np.array([0, 1, 1, 0])}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        np.savez(folder / "data.npz", **{**arrays, **change})
        found.append(data_fingerprint(NPZ(path="data.npz"), folder))
    assert found[0] == found[1] != found[2]


def test_a_class_without_a_file_has_a_fingerprint_all_the_same() -> None:
    from robustfl.defenses import Mean

    typed = dataclasses.make_dataclass(
        "Typed", [], bases=(Mean,), frozen=True, kw_only=True, namespace={"__module__": "nowhere"}
    )
    scenario = Scenario.model_validate(SCENARIO).model_copy(update={"defense": typed()})
    assert len(Trial(scenario, 0, "w", "d", "a").fingerprint("data")) == 16


def test_a_record_says_everything_and_is_reproducible() -> None:
    (one,) = (t for t in tiny_plan().trials if t.attack == "SignFlip")
    record, again = run_trial(one, Resources(), "print"), run_trial(one, Resources(), "print")
    assert {**record, "time": {}} == {**again, "time": {}}
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["trial"], record["status"], record["error"]) == (one.id, "ok", None)
    assert record["fingerprint"] == "print"
    assert record["labels"] == {"world": one.world, "defense": "Mean", "attack": "SignFlip"}
    metrics = record["metrics"]
    assert [number for number, _ in metrics["accuracy"]] == [2]
    assert 0 <= metrics["tail_accuracy"] <= 1
    assert len(metrics["malicious"]) == record["f"] == 1
    assert record["bytes"]["up_per_client_round"] == 4 * metrics["parameters"]
    assert record["time"]["total_s"] > 0


def tiny_plan() -> Plan:
    values = {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 5, "rounds": 2},
        "adversary": {"f": [1]},
        "defenses": ["mean"],
        "attacks": ["sign_flip"],
        "seeds": 1,
    }
    return Plan(Experiment(values))


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(7), ValueError()])
def test_an_exception_becomes_a_record(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(play, "_played", broken)
    record = run_trial(trial(SCENARIO), Resources(), "print")
    assert (record["status"], record["metrics"]) == ("failed", None)
    assert record["error"]["type"] == type(error).__name__
    assert record["error"]["message"] == (str(error) or type(error).__name__)
    assert "in broken" in record["error"]["traceback"]
    json.dumps(record, allow_nan=False)
