"""What the README shows is true: its Python runs, its suite is valid, its own defense is a complete one."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import numpy as np
import pytest

from robustfl import registry
from robustfl.evaluation.suite.reading import read_experiment

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def own_rules(tmp_path: Path) -> ModuleType:
    """The README's defense as a module of its own."""
    (code,) = [block for block in blocks("python") if block.startswith("# my_rules.py")]
    path = tmp_path / "my_rules.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("my_rules", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_rules"] = module
    spec.loader.exec_module(module)
    return module


def test_the_library_examples_run() -> None:
    namespace: dict[str, object] = {}
    for block in blocks("python"):
        if not block.startswith("#"):
            exec(block, namespace)
    answer = namespace["answer"]
    assert answer.info["reasons"] == {0: "not finite"}  # type: ignore[attr-defined]
    assert namespace["malicious"].shape == (3, 1000)  # type: ignore[attr-defined]


def test_the_suite_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "my_suite.yaml"
    path.write_text(text)
    experiment = read_experiment(str(path))
    assert [world.federation.client_momentum for world in experiment.worlds] == [0.0, 0.9]
    assert [template.label for template in experiment.suite.defenses][2] == "NNM > Krum(neighbours=n-f-1)"


def test_the_defense_of_the_readme_works(own_rules: ModuleType) -> None:
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [30.0, 40.0]])
    assert own_rules.Smallest(f=1)(rows).tolist() == [0.5, 1.0]


def test_the_modules_of_the_readme_exist() -> None:
    assert (ROOT / "CONTRIBUTING.md").is_file()
    for target in ("demo", "test"):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    groups = {f"robustfl.{word}" for word in ("data", "suites")}  # entry points, not modules
    named = set(re.findall(r"\brobustfl(?:\.[A-Za-z_]+)+", README)) - groups
    assert len(named) >= 8
    adapters = {name for name in named if name.startswith("robustfl.adapters.")}  # their frameworks may be absent
    for name in named - adapters:
        assert resolve_name(name) is not None
    assert adapters
    for name in adapters:
        _, _, module, what = [*name.split("."), ""][:4]
        source = (ROOT / "robustfl" / "adapters" / f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^class {what}\b", source, flags=re.MULTILINE)


def test_the_scenarios_that_the_readme_runs_exist() -> None:
    named = set(re.findall(r"robustfl run (\w+)(?![\w.])", README))
    assert {"quickstart", "faults", "asynchronous"} <= named
    assert named <= set(registry.scenario_files()) | set(re.findall(r"^name: (\w+)", README, flags=re.MULTILINE))


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:robustfl|attacks|defenses|scenarios|reports|tests)/[\w/.]*)`", text))
    shown = {name for name in named if re.search(r"/(my_|MY_|ROOM)|standard_v2", name)}  # those still to be written
    assert len(named - shown) > 25
    assert [name for name in sorted(named - shown) if not (ROOT / name).exists()] == []
    assert [name for name in sorted(shown) if not (ROOT / name.replace("ROOM", "updates")).parent.is_dir()] == []
