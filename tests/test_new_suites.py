"""`robustfl init` writes a suite that is valid and runs, and shells complete names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from robustfl import completion, registry
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.new_suites import SUITE
from tests.conftest import environment

Command = Callable[..., Any]


def test_a_new_suite_is_valid_for_robustfl_and_for_editors(inside: Command, tmp_path: Path) -> None:
    done = inside("init", "of ours/2nd try.yaml", "--json", cwd=tmp_path)
    path, schema = (tmp_path / name for name in json.loads(done.stdout))
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={schema.name}\n")
    assert schema.parent == path.parent
    values = YAML(typ="safe").load(text)
    jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(values)
    experiment = read_experiment(str(path))
    assert experiment.suite.name == "2nd_try"
    assert [template.label for template in experiment.suite.defenses][-1] == "NNM > TrimmedMean"


def test_the_comments_of_a_new_suite_are_true(tmp_path: Path) -> None:
    text = SUITE.format(file="suite.yaml", name="suite", schema="suite.schema.json")
    standard = text.replace("# standard: standard-v2", "standard: standard-v2")
    path = tmp_path / "suite.yaml"
    dropped = ("attacks:", "  - sign", "  - alie", "  - {ipm", "  - label")
    path.write_text("\n".join(line for line in standard.splitlines() if not line.startswith(dropped)))
    played = {trial.attack for trial in Plan(read_experiment(str(path))).trials}
    assert len(played) > 20
    path.write_text(text.replace("fractions: [0, 0.2]", "f: [0, 2]"))
    assert read_experiment(str(path))


def test_a_file_that_exists_is_kept(inside: Command, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("mine")
    done = inside("init", cwd=tmp_path)
    assert done.returncode == 2
    assert "suite.yaml exists already" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["suite.yaml"]
    assert (tmp_path / "suite.yaml").read_text() == "mine"
    assert inside("init", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "suite.yaml").read_text() != "mine"


def test_a_name_that_is_no_yaml_file_is_refused(inside: Command, tmp_path: Path) -> None:
    done = inside("init", "suite.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "try 'suite.yaml'" in done.stderr


@pytest.mark.parametrize(
    ("complete", "typed", "offered"),
    [
        (completion.named, "trimmed", ["trimmed_mean"]),
        (completion.named, "standard-v2", ["standard-v2"]),
        (completion.kinds, "me", ["measures"]),
        (completion.kinds, "to", ["topologies"]),
        (completion.codes, "few", ["few_seeds"]),
        (completion.codes, "FEW", ["FEW_SEEDS"]),
        (completion.formats, "mark", ["markdown"]),
        (completion.scenarios, "quick", ["quickstart"]),
        (completion.scenarios, "nothing like it", []),
    ],
    ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else None),
)
def test_names_are_completed(complete: Callable[[str], list[str]], typed: str, offered: list[str]) -> None:
    assert complete(typed) == offered


def test_files_are_completed_beside_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke_here.yaml").write_text("")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "below.yaml").write_text("")
    assert completion.scenarios("smoke") == ["smoke", "smoke_here.yaml"]
    assert completion.scenarios("deep/") == ["deep/below.yaml"]
    assert set(completion.scenarios("")) == {*registry.scenario_files(), "smoke_here.yaml"}


def test_a_shell_gets_the_names(tmp_path: Path) -> None:
    """As the script of `--show-completion bash` asks for them."""
    code = "import sys; sys.argv[0] = 'robustfl'; from robustfl.cli import main; main()"
    typed = {"COMP_WORDS": "robustfl describe tri", "COMP_CWORD": "2"}
    env = environment(_ROBUSTFL_COMPLETE="complete_bash", **typed)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["trimmed_mean"], done.stderr
