"""What the README shows is true: its suite is valid, its own defense and attack are complete ones.

That each of its blocks runs by itself is tested with the other pages, in `tests/docs`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import numpy as np
import pytest

from robustfl import registry
from robustfl.evaluation.run.preflight import unplayable
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from tests.docs.markdown import PAGES, Page

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def own(name: str, folder: Path) -> ModuleType:
    """A file that the README shows, as a module of its own."""
    (code,) = [block for block in blocks("python") if block.startswith(f"# {name}.py")]
    path = folder / f"{name}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def own_rules(tmp_path: Path) -> Iterator[ModuleType]:
    """The README's defense; its module is forgotten afterwards, since the pages show others of that name."""
    yield own("my_rules", tmp_path)
    del sys.modules["my_rules"]


@pytest.fixture
def own_attacks(tmp_path: Path) -> Iterator[ModuleType]:
    """The README's attack."""
    yield own("my_attacks", tmp_path)
    del sys.modules["my_attacks"]


def test_the_suite_is_valid(tmp_path: Path) -> None:
    (text,) = (block for block in blocks("yaml") if block.startswith("name: my_suite"))
    path = tmp_path / "my_suite.yaml"
    path.write_text(text)
    experiment = read_experiment(str(path))
    assert [world.federation.client_momentum for world in experiment.worlds] == [0.0, 0.9]
    assert [template.label for template in experiment.suite.defenses][2] == "NNM > Krum(neighbours=n-f-1)"


def test_the_defense_of_the_readme_works(own_rules: ModuleType) -> None:
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [30.0, 40.0]])
    assert own_rules.Smallest(f=1)(rows).tolist() == [0.5, 1.0]


def test_the_defense_beside_a_suite_of_the_catalogue_is_found_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_rules.py").write_text(next(block for block in blocks("python") if block.startswith("# my_rules")))
    monkeypatch.chdir(tmp_path)
    assert "--set 'defenses=[\"my_rules.py:Smallest\"]'" in README
    experiment = read_experiment("leaderboard_digits", ('defenses=["my_rules.py:Smallest"]',))
    assert [template.label for template in experiment.suite.defenses] == ["Smallest"]


def test_the_model_of_the_page_on_tasks_can_be_trained(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "extending" / "task.md").read_text()
    (code,) = re.findall(r"```python\n(# my_models.py\n.*?)```", page, flags=re.DOTALL)
    (tmp_path / "my_models.py").write_text(code)
    task = {"data": {"flows": {"rows": 600}}, "model": "my_models.py:Normed", "partition": "iid"}
    suite = {"name": "s", "task": task, "federation": {"clients": 4, "rounds": 2}, "defenses": ["mean"]}
    (tmp_path / "s.yaml").write_text(json.dumps({**suite, "adversary": {"f": [0]}}))
    plan = Plan(read_experiment(str(tmp_path / "s.yaml")))
    assert unplayable(plan, tmp_path) == {}


def test_the_attack_of_the_readme_works(own_attacks: ModuleType) -> None:
    malicious = own_attacks.Opposite()(np.array([[1.0, 2.0], [3.0, 4.0]]), f=2)
    assert malicious.tolist() == [[-40.0, -60.0], [-40.0, -60.0]]


def test_what_the_readme_and_the_pages_name_exists() -> None:
    assert (ROOT / "CONTRIBUTING.md").is_file()
    for target in ("demo", "docs", "dist", "test"):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    groups = {f"robustfl.{registry.plural(kind)}" for kind in registry.kinds()} | {"robustfl.executors"}
    named = {name for page in PAGES for name in re.findall(r"\brobustfl(?:\.[A-Za-z_]+)+", Page(page).text)} - groups
    assert len(named) >= 20
    adapters = {name for name in named if name.startswith("robustfl.adapters.")}  # their frameworks may be absent
    for name in named - adapters:
        assert resolve_name(name) is not None
    assert adapters
    for name in adapters:
        _, _, module, what = [*name.split("."), ""][:4]
        source = (ROOT / "robustfl" / "adapters" / f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {what}\b", source, flags=re.MULTILINE)


def test_the_scenarios_that_the_readme_and_the_pages_run_exist() -> None:
    texts = [Page(page).text for page in PAGES]
    named = {name for text in texts for name in re.findall(r"robustfl run (\w+)(?![\w.])", text)}
    assert {"smoke", "quickstart", "faults", "asynchronous", "backdoors", "membership"} <= named
    suites = {name for text in texts for name in re.findall(r"^name: (\w+)", text, flags=re.MULTILINE)}
    assert named <= set(registry.scenario_files()) | suites


def test_the_first_commands_of_the_readme_take_seconds_and_then_minutes() -> None:
    run = re.findall(r"^\$ robustfl run (\w+)", README, flags=re.MULTILINE)
    assert run[:2] == ["smoke", "quickstart"]


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:robustfl|attacks|defenses|docs|scenarios|reports|tests)/[\w/.]*)`", text))
    shown = {name for name in named if re.search(r"/(my_|MY_|ROOM)|standard_v2", name)}  # those still to be written
    assert len(named - shown) > 25
    assert [name for name in sorted(named - shown) if not (ROOT / name).exists()] == []
    assert [name for name in sorted(shown) if not (ROOT / name.replace("ROOM", "updates")).parent.is_dir()] == []
