"""The scenario model: sweeps, laws between keys, identity, and the JSON schema that editors read."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from robustfl import registry
from robustfl.errors import ScenarioError
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.suite.scenario import MOST_WORLDS, Experiment, Scenario
from robustfl.evaluation.suite.schema import suite_schema
from robustfl.federation.settings import Federation

SUITE: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 2},
    "adversary": {"f": [0, 1]},
    "defenses": ["mean"],
    "attacks": ["sign_flip"],
}


def suite(**changes: Any) -> dict[str, Any]:
    """The tiny suite with other values at `section__key` or `key`."""
    values = copy.deepcopy(SUITE)
    for path, value in changes.items():
        *sections, key = path.split("__")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    return values


def catalogue() -> list[str]:
    return list(registry.scenario_files())


def values_of(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(registry.scenario_files()[name].read_text(encoding="utf-8"))


def test_lists_under_task_and_federation_make_a_world_for_every_combination() -> None:
    values = suite(
        task__model=["softmax", {"mlp": {"hidden": [8]}}],
        federation__rounds=[1, 2, 3],
        federation__server={"learning_rate": [0.1, 0.5]},
    )
    experiment = Experiment(values)
    settings = [(str(w.task.model), w.federation.rounds, w.federation.server.learning_rate) for w in experiment.worlds]
    assert len(set(settings)) == len(settings) == 12
    assert len({world.label for world in experiment.worlds}) == 12
    assert experiment.worlds[0].label == "Digits, Softmax, IID, rounds=1, learning_rate=0.1"


def test_a_list_of_one_is_a_single_value() -> None:
    (world,) = Experiment(suite(federation__rounds=[7])).worlds
    assert (world.label, world.federation.rounds) == ("Digits, Softmax, IID", 7)


def test_a_list_of_whole_servers_is_labelled_by_what_each_sets() -> None:
    worlds = Experiment(suite(federation__server=[{"learning_rate": 0.1}, {"optimizer": "adam"}])).worlds
    assert [world.label.removeprefix("Digits, Softmax, IID, ") for world in worlds] == [
        "server=(learning_rate=0.1)",
        "server=(optimizer=adam)",
    ]


@pytest.mark.parametrize(
    "changes", [{"federation__rounds": [2, 2]}, {"task__data": ["digits", {"digits": {"test_fraction": 0.25}}]}]
)
def test_a_world_that_is_listed_twice_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="listed twice: Digits, Softmax, IID"):
        Experiment(suite(**changes))


def test_sweeps_that_explode_are_refused_before_they_are_built() -> None:
    many = list(range(1, 10_001))
    with pytest.raises(ScenarioError, match=rf"rounds, federation.batch_size make 100000000 worlds; {MOST_WORLDS} is"):
        Experiment(suite(federation__rounds=many, federation__batch_size=many))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversary__fractions": [0.1]}, "give either `fractions` or `f`"),
        ({"adversary": {}}, "give either `fractions` or `f`"),
        ({"adversary": {"f": []}}, "give either `fractions` or `f`"),
        ({"adversary": {"fractions": [1.0]}}, "less than 1"),
        ({"adversary": {"f": [-1]}}, "greater than or equal to 0"),
        ({"defenses": []}, "at least 1 item"),
        ({"defenses": ["mean", "Mean"]}, "defenses that are listed twice: Mean"),
        ({"defenses": ["nnm"]}, "end it with an aggregator"),
        ({"attacks": ["ipm", {"ipm": {"epsilon": 0.5}}]}, "attacks that are listed twice: IPM"),
        ({"attacks": ["dropout"]}, "is a fault: list it under `faults`"),
        ({"faults": ["ipm"]}, "is an attack: list it under `attacks`"),
        ({"attacks": [{"ipm": {"epsilon": float("inf")}}]}, "should be a finite number"),
        ({"defenses": [{"centered_clipping": {"radius": float("inf")}}]}, "should be"),
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"baseline": "meen"}, "Did you mean 'mean'"),
        ({"baseline": "nnm"}, "end it with an aggregator"),
        ({"federation__algorithm": "fedsgd", "federation__local_steps": 3}, "Use fedavg"),
        ({"federation__participation": float("nan")}, "finite"),
        ({"name": "../elsewhere"}, "without slashes"),
        ({"name": ".hidden"}, "does not begin with a dot"),
        ({"name": "a\nb"}, "printable"),
        ({"name": " "}, "1 to 100"),
        ({"name": "x" * 101}, "1 to 100"),
    ],
)
def test_laws_of_a_suite(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Experiment(suite(**changes))


SYBILS = ["sign_flip", [{"clones": {"count": 4}}, "sign_flip"]]


@pytest.mark.parametrize(
    ("changes", "key", "found"),
    [
        ({"adversary__f": [0, 5]}, ("adversary", "f", 1), "Found f=5, clients=5"),
        ({"adversary__f": [7]}, ("adversary", "f", 0), "Found f=7, clients=5"),
        ({"federation__clients": [9, 4], "adversary__f": [3, 4]}, ("adversary", "f", 1), "Found f=4, clients=4"),
        ({"adversary__declared": 5}, ("adversary", "declared"), "Found declared=5, clients=5"),
        ({"adversary__f": [5], "attacks": SYBILS}, ("adversary", "f", 0), "Found f=5, clients=5"),
    ],
)
def test_somebody_has_to_be_honest(changes: dict[str, Any], key: tuple[str | int, ...], found: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Experiment(suite(**changes))
    (error,) = refused.value.errors()
    assert error["loc"] == key
    assert found in error["msg"]
    assert "at least one of them has to be honest" in error["msg"]


def test_identities_may_be_more_than_clients() -> None:
    assert Experiment(suite(adversary__declared=5, attacks=SYBILS)).suite.adversary.declared == 5


def test_a_single_scenario_needs_an_honest_client_too() -> None:
    parts = {"task": SUITE["task"], "federation": SUITE["federation"], "defense": "mean", "attack": "sign_flip"}
    assert Scenario.model_validate({**parts, "f": 4}).f == 4
    with pytest.raises(ValidationError, match="`f` should be less than the number of clients"):
        Scenario.model_validate({**parts, "f": 5})


def test_shares_become_numbers_of_clients_each_once() -> None:
    grid = Experiment(suite(adversary={"fractions": [0.4, 0, 0.3, 0.31, 0.1]})).suite.adversary.grid
    assert grid(10) == (0, 1, 3, 4), "0.3 x 10 is 3 although it is 2.9999999999999996 in floating point"
    assert grid(3) == (0, 1)


def test_messages_follow_the_algorithm() -> None:
    messages = [Federation.model_validate({"algorithm": name}).message for name in ("fedsgd", "fedavg")]
    assert messages == ["gradient", "delta"]


def test_the_hash_of_a_suite_ignores_its_name_and_key_order_and_nothing_else() -> None:
    base = Experiment(SUITE).hash
    assert Experiment(suite(name="other", description="other")).hash == base
    assert Experiment(dict(reversed(SUITE.items()))).hash == base
    assert Experiment(suite(attacks=[{"sign_flip": {}}])).hash == base
    changed: list[dict[str, Any]] = [
        {"seeds": 6},
        {"adversary": {"f": [0, 2]}},
        {"attacks": ["alie"]},
        {"defenses": ["median"]},
        {"baseline": "median"},
        {"faults": ["dropout"]},
        {"federation__rounds": 3},
        {"federation__rounds": [2, 3]},
        {"task__partition": {"dirichlet": {"alpha": 1.0}}},
        {"score": {"threshold": 0.6}},
    ]
    hashes = [Experiment(suite(**change)).hash for change in changed]
    assert len({base, *hashes}) == len(changed) + 1


def test_content_hashes_are_of_json_values() -> None:
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert len(content_hash(None)) == 16
    with pytest.raises(ValueError, match="Out of range float"):
        content_hash(float("nan"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The committed schema, of which the first test says that it is current."""
    found: dict[str, Any] = json.loads((files("robustfl.scenarios") / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schema_is_current(
    schema: dict[str, Any], fresh_registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [])  # plug-ins that happen to be installed here
    assert schema == json.loads(json.dumps(suite_schema())), (
        "write it again: robustfl schema --out scenarios/schema.json"
    )


@pytest.mark.parametrize("name", catalogue())
def test_the_schema_accepts_the_catalogue(name: str, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(values_of(name))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 3},
        {"federation__roundz": 3},
        {"federation__rounds": "many"},
        {"federation__rounds": ["many"]},
        {"federation__rounds": []},
        {"task__data": {"digitz": {}}},
        {"task__data": {"digits": {"test_share": 0.5}}},
        {"defenses": [{"krum": {"g": 1}}]},
        {"attacks": [{"ipm": {}, "alie": {}}]},
        {"adversary__declared": "two"},
    ],
)
def test_the_schema_refuses_what_reading_refuses(
    change: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    assert not validator.is_valid(suite(**change))
    with pytest.raises(ValidationError):
        Experiment(suite(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"federation__rounds": [1, 2]},
        {"federation__server": {"learning_rate": [0.1, 0.2]}},
        {"task__model": ["softmax", {"mlp": {"hidden": [8, 8]}}]},
        {"defenses": [["nnm", {"trimmed_mean": None}], "nnm >> krum"]},
        {"attacks": [{"ipm": {"epsilon": 1, "stop_round": None}}]},
        {"faults": [{"dropout": {}}]},
        {"evasion": ["fgsm", {"pgd": {"epsilon": 0.3}}], "evasion_samples": 50},
        {"federation__augment": [None, {"noise": 0.1}]},
        {"federation__adversarial_training": {"epsilon": [0.1, 0.2], "steps": 3}},
        {"federation__algorithm": "fedavg", "federation__distillation": [None, {"steps": 3}]},
        {"federation__virtual_data": [None, {"samples": 5}]},
    ],
)
def test_the_schema_accepts_what_reading_accepts(
    change: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate(suite(**change))
    Experiment(suite(**change))


def test_every_key_of_the_schema_is_described(schema: dict[str, Any]) -> None:
    named = (
        "Federation",
        "Server",
        "Augmentation",
        "AdversarialTraining",
        "VirtualData",
        "Distillation",
        "AdversarySettings",
        "Scoring",
        "TaskSettings",
    )
    for name in named:
        for key, value in schema["$defs"][name]["properties"].items():
            assert value.get("description"), f"{name}.{key}"
