"""Scenario files: strict YAML 1.2, errors that name the key, and files that mean harm."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl import registry
from robustfl.errors import RobustflError
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment, Suite
from robustfl.evaluation.suite.sections import sections_below
from robustfl.evaluation.suite.yaml import read_yaml
from tests.evaluation.suite.files import SUITE, Write, refusal


@pytest.mark.parametrize("name", list(registry.scenario_files()))
def test_the_catalogue_loads(name: str) -> None:
    experiment = read_experiment(name)
    assert experiment.suite.name == name
    assert experiment.worlds
    assert experiment.suite.description == dict(registry.catalogue("scenario"))[name]


def test_yaml_is_version_1_2(write: Write) -> None:
    path = write(SUITE + "description: no\nscore: {margin: 1e-3}\n")
    suite = read_experiment(path).suite
    assert suite.description == "no"
    assert suite.score.margin == 0.001


def test_a_suite_without_a_name_is_called_after_its_file(write: Write) -> None:
    assert read_experiment(write(SUITE.replace("name: tiny\n", ""), "mine.yaml")).suite.name == "mine"


@pytest.mark.parametrize(
    "form",
    [
        "nnm(f=1) >> krum(f=1)",
        "[nnm(f=1), krum(f=1)]",
        "[{nnm: {f: 1}}, {krum: {f: 1}}]",
        "[{name: nnm, f: 1}, {name: krum, f: 1}]",
    ],
)
def test_forms_of_one_defense(form: str, write: Write) -> None:
    (template,) = read_experiment(
        write(SUITE.replace("[mean]", f"[{form!r}]" if ">>" in form else f"[{form}]"))
    ).suite.defenses
    assert template.label == "NNM(f=1) > Krum(f=1)"
    assert repr(template.build(0)) == "NNM(f=1) >> Krum(f=1, neighbours='n-f-2', squared=True)"


def test_overrides_are_read_as_yaml_before_anything_is_checked(write: Write) -> None:
    path = write(SUITE.replace("rounds: 2", "rounds: wrong"))
    experiment = read_experiment(
        path,
        (
            "federation.rounds=[3, 4]",
            "federation.server.learning_rate=1e-2",
            "defenses=[krum]",
            "adversary.fractions=[0.2]",
        ),
    )
    assert [world.federation.rounds for world in experiment.worlds] == [3, 4]
    assert experiment.worlds[0].federation.server.learning_rate == 0.01
    assert [template.label for template in experiment.suite.defenses] == ["Krum"]
    assert experiment.suite.adversary.f == (), "`fractions` takes the place of `f`"


NESTED: dict[str, tuple[str, dict[str, Any], str, Any]] = {
    "TaskSettings": ("task", {"data": "digits", "model": "softmax", "partition": "iid"}, "partition", "shards"),
    "Federation": ("federation", {"clients": 5, "batch_size": 4}, "rounds", 3),
    "Server": ("federation.server", {"learning_rate": 0.25, "momentum": 0.5}, "momentum", 0.75),
    "Augmentation": ("federation.augment", {"flip": 0.5, "crop": 2}, "noise", 0.1),
    "AdversarialTraining": ("federation.adversarial_training", {"epsilon": 0.1, "steps": 3}, "steps", 2),
    "Distillation": ("federation.distillation", {"public_share": 0.2, "steps": 3}, "steps", 2),
    "VirtualData": ("federation.virtual_data", {"samples": 4, "steps": 3}, "steps", 2),
    "Peers": ("federation.peers", {"start": "own", "gossip_steps": 2}, "gossip_steps", 3),
    "Privacy": ("privacy", {"attacks": ["analytic"], "rounds": ["first"], "targets": 2}, "targets", 3),
    "AdversarySettings": ("adversary", {"f": [1], "declared": 1}, "declared", 2),
    "Scoring": ("score", {"threshold": 0.25, "margin": 0.5}, "margin", 0.125),
}
"""For every section of a suite: where it is, what it holds, and a change of one value."""


def test_every_section_has_an_example() -> None:
    assert set(NESTED) == {section.__name__ for section in sections_below(Suite)}, "a new section needs one here"


def with_section(values: dict[str, Any], path: str, section: dict[str, Any]) -> dict[str, Any]:
    """Values of a suite with a section at a path."""
    key, _, rest = path.partition(".")
    return {**values, key: with_section(values.get(key, {}), rest, section) if rest else section}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("way", ["a path", "a mapping", "a suite that extends"])
def test_a_change_in_a_section_keeps_its_other_values(name: str, way: str, write: Write) -> None:
    path, section, key, value = NESTED[name]
    values = read_yaml(SUITE, "")
    if name == "Peers":  # only a network has them
        values["federation"]["topology"] = "ring"
    base = write(json.dumps(with_section(values, path, section)), "base.yaml")
    if way == "a path":
        found = read_experiment(base, (f"{path}.{key}={json.dumps(value)}",))
    elif way == "a mapping":
        found = read_experiment(base, (f"{path}={json.dumps({key: value})}",))
    else:
        found = read_experiment(write(json.dumps(with_section({"extends": "base.yaml"}, path, {key: value}))))
    whole = Experiment(with_section(values, path, {**section, key: value}))
    assert found.suite.model_copy(update={"extends": None}) == whole.suite
    assert found.worlds == whole.worlds


@pytest.mark.parametrize(
    ("model", "override", "expected"),
    [
        ("{cnn: {channels: [4], norm: group}}", "task.model.cnn.channels=[2]", {"channels": [2], "norm": "group"}),
        ("cnn(norm='group')", "task.model.cnn.channels=[2]", {"channels": [2], "norm": "group"}),
        ("{name: cnn, norm: group}", "task.model.CNN.channels=[2]", {"channels": [2], "norm": "group"}),
        ("{mlp: {hidden: [5]}}", "task.model.cnn.norm=group", {"norm": "group"}),
        ("softmax", "task.model.cnn.channels=[2]", {"channels": [2]}),
        ("{cnn: {norm: group}}", "task.model={cnn: {channels: [2]}}", {"channels": [2]}),
        ("{cnn: {norm: group}}", "task={model: {cnn: {channels: [2]}}}", {"channels": [2]}),
        ("{cnn: {norm: group}}", "task.model=cnn", {}),
    ],
)
def test_a_path_reaches_into_a_component_and_a_written_one_is_complete(
    model: str, override: str, expected: dict[str, Any], write: Write
) -> None:
    found = read_experiment(write(SUITE.replace("softmax", model)), (override,)).worlds[0].task.model
    assert found == registry.build("model", {"cnn": expected})


def test_a_component_of_the_extended_suite_is_replaced_as_a_whole(write: Write) -> None:
    write(SUITE.replace("softmax", "{cnn: {norm: group}}"), "base.yaml")
    found = read_experiment(write("extends: base.yaml\ntask: {model: {cnn: {channels: [2]}}}\n"))
    assert found.worlds[0].task.model == registry.build("model", {"cnn": {"channels": [2]}})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds", "--set takes key.path=value. Found 'seeds'"),
        ("=3", "--set takes key.path=value. Found '=3'"),
        ("seeds=[", "--set seeds=[ is not valid YAML"),
        ("seeds=&a 3", "anchors and aliases"),
        ("seed=3", "seed: unknown key. Did you mean 'seeds'"),
        ("federation..rounds=3", "unknown key"),
        ("federation.rounds=", "federation.rounds: should be an integer. Found None"),
        ("adversary=3", "adversary: should be a mapping of keys to values. Found 3"),
    ],
)
def test_overrides_that_are_refused(override: str, message: str, write: Write) -> None:
    assert message in refusal(write(SUITE), override)


def test_extends_takes_what_is_not_given_from_the_catalogue(write: Write) -> None:
    path = write("extends: smoke\nadversary: {fractions: [0.25]}\nfederation: {rounds: 3}\ndefenses: [median]\n")
    experiment, base = read_experiment(path), read_experiment("smoke")
    (world,), (base_world,) = experiment.worlds, base.worlds
    assert world.federation == base_world.federation.model_copy(update={"rounds": 3})
    assert [template.label for template in experiment.suite.defenses] == ["Median"]
    assert experiment.suite.attacks == base.suite.attacks
    assert experiment.suite.adversary.grid(8) == (2,)


def test_extends_reaches_files_beside_the_suite_from_any_folder(
    write: Write, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SUITE, "base.yaml")
    path = write("extends: base.yaml\nseeds: 2\n", "child.yaml")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert read_experiment(path).suite.seeds == 2


def test_extends_is_one_level(write: Write) -> None:
    write(SUITE, "a.yaml")
    write("extends: a.yaml\n", "b.yaml")
    assert "'b.yaml' itself extends another suite; one level is the limit" in refusal(write("extends: b.yaml\n"))


@pytest.mark.parametrize(
    "base", ["../base.yaml", "/etc/passwd", "sub/base.yaml", "..", ".", "''", "[1]", "{a: 1}", "smok"]
)
def test_extends_reaches_nothing_else(base: str, write: Write, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(SUITE, "base.yaml")
    write(SUITE, "sub/base.yaml")
    path = write(f"extends: {base}\n", "sub/suite.yaml" if base == "../base.yaml" else "suite.yaml")
    assert "`extends` should name a suite of the catalogue or a file in the same folder" in refusal(path)


@pytest.mark.parametrize("section", ["task", "federation", "adversary", "score"])
@pytest.mark.parametrize("value", ["3", "[1]", "null", "text"])
def test_extending_with_a_section_of_the_wrong_type(section: str, value: str, write: Write) -> None:
    assert f"  {section}: " in refusal(write(f"extends: smoke\n{section}: {value}\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "should hold a mapping of keys to values. Found NoneType"),
        ("# nothing\n", "Found NoneType"),
        ("- 1\n", "Found list"),
        ("text", "Found str"),
        ("a: 1\na: 2\n", 'found duplicate key "a" with value "2" (original value: "1") (line 2, column 1).'),
        ("task: {data: 1, data: 2}\n", 'found duplicate key "data"'),
        ("a: 1\n---\nb: 2\n", "found another document"),
        ("a: [1\n", "is not valid YAML"),
        ("? {a: 1}\n: 2\n", "found unhashable key"),
        ("a: 2001-99-99\n", "month must be in 1..12"),
        ("a: " + "9" * 5000, "is not valid YAML"),
        ("!!python/object/apply:os.system ['exit 1']\n", "tags are not supported"),
        ("a: !!python/name:os.system\n", "tags are not supported"),
        ("a: !!int ''\n", "tags are not supported. Found 'tag:yaml.org,2002:int'"),
        ("a: !mine 1\n", "tags are not supported. Found '!mine'"),
        ("a: &x 1\nb: *x\n", "anchors and aliases are not supported"),
        ("[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        ("[" * 50_000, "nested more than 50 levels deep"),
        ("- " * 40_000, "nested more than 50 levels deep"),
        ("a: 1\n" + "#" * 100_000, "is larger than 100000 bytes"),
        (b"name: \xff\xfe", "is not UTF-8 text"),
        ("name: x".encode("utf-16"), "is not UTF-8 text"),
        (b"name: \x00", "unacceptable character"),
    ],
)
def test_hostile_and_broken_files(content: str | bytes, message: str, write: Write) -> None:
    path = write(content)
    told = refusal(path)
    assert told.startswith(path)
    assert message in told
    assert len(told) < 1000


def test_billion_laughs(write: Write) -> None:
    lines = ["a0: &a0 [lol, lol]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    assert "anchors and aliases" in refusal(write("\n".join(lines)))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=60), position=st.integers(0, len(SUITE)))
def test_no_file_crashes_the_reader(text: str, position: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_text(SUITE[:position] + text + SUITE[position:], encoding="utf-8")
    try:
        experiment = read_experiment(str(path))
    except RobustflError:
        return
    assert experiment.worlds


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smok", "There is no scenario named 'smok'. Did you mean 'smoke'?"),
        ("nowhere.yaml", "There is no scenario file at nowhere.yaml."),
        ("", "There is no scenario file at ."),
        ("a\0b", "There is no scenario named"),
        ("x" * 5000, "File name too long"),
        ("/dev/zero", "There is no scenario file at /dev/zero."),
    ],
)
def test_names_of_nothing(name: str, message: str) -> None:
    told = refusal(name)
    assert message in told
    assert len(told) < 500


def test_unreadable_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = write(SUITE)
    monkeypatch.setattr(Path, "open", refused)
    assert refusal(path) == f"{path} cannot be read: Permission denied."


def test_a_named_pipe_is_no_scenario(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "There is no scenario file at" in refusal(str(tmp_path / "pipe.yaml"))
