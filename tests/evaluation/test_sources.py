"""What a stored result depends on: an edit of any file behind a trial makes it stale, and no other edit does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from robustfl import registry
from robustfl.components import Component
from robustfl.evaluation.suite.sources import MACHINE, ROOT, Sources
from tests.conftest import ROOT as CHECKOUT
from tests.conftest import environment

Folder = Callable[[dict[str, str]], None]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, as a checkout has it, that tests may edit."""
    folder = tmp_path_factory.mktemp("copy")
    unwanted = shutil.ignore_patterns("__pycache__", "published", "benchmarks")
    for name in ("robustfl", "attacks", "defenses", "scenarios", "reports"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=unwanted)
    return folder


def ran(folder: Path, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What Python did with the package in `folder`."""
    variables = {**environment(), "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    run = [sys.executable, *command]
    done = subprocess.run(run, capture_output=True, text=True, env=variables, cwd=cwd or folder, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


EVERY_EDIT = """
import json, pathlib, sys
from robustfl import registry
from robustfl.evaluation.suite.sources import MACHINE, ROOT, Sources

sources = Sources()
roots = {kind + " " + name: sorted({base.__module__ for base in cls.__mro__ if base.__module__.startswith(ROOT)})
         for kind in ("defense", "attack", "data", "model", "partition") for name, cls in registry.find(kind).items()}
roots["the machine"] = [MACHINE]
closures = {part: sources.closure(found, [ROOT]) for part, found in roots.items()}

def digests():
    return {part: sources.digest(found, [ROOT]) for part, found in roots.items()}

before, wrong = digests(), []
for name in sorted(set().union(*closures.values())):
    file = pathlib.Path(sources._spec(name).origin)
    assert pathlib.Path.cwd() in file.parents, file
    content = file.read_bytes()
    file.write_bytes(content + b"# edited\\n")
    del sources._sources[name]
    sources._digests.clear()
    wrong += [(name, part) for part, now in digests().items() if (now != before[part]) != (name in closures[part])]
    file.write_bytes(content)
    del sources._sources[name]
sources._digests.clear()
assert digests() == before
print(json.dumps({"parts": len(roots), "modules": len(set().union(*closures.values())), "wrong": wrong}))
"""


@pytest.mark.slow
def test_an_edit_of_any_module_behind_a_part_changes_its_hash_and_no_other(copy: Path) -> None:
    found = json.loads(ran(copy, "-c", EVERY_EDIT).stdout)
    assert found["wrong"] == []
    assert found["parts"] > 100
    assert found["modules"] > 200


LOADED = """
import json, sys
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.suite.sources import MACHINE, ROOT, Sources

suite = {"name": "x", "task": {"data": "digits", "model": "softmax", "partition": "iid"},
         "federation": {"clients": 6, "rounds": 2}, "adversary": {"f": [1]}, "seeds": 1,
         "defenses": ["nnm >> flag", "frl", "rffl"], "faults": ["dropout"], "evasion": ["fgsm"],
         "attacks": ["white_box", "clones >> alie"]}
allowed = Sources().closure([MACHINE], [ROOT])
for trial in Plan(Experiment(suite)).trials:
    assert run_trial(trial, Resources(), "")["status"] == "ok"
floors = ("aggregation", "threats", "federation", "reputation")
print(json.dumps(sorted(m for m in sys.modules if m.split(".")[0] == ROOT and m.split(".")[1:2] and
                        m.split(".")[1] in floors and m not in allowed)))
"""


@pytest.mark.slow
def test_all_that_trials_load_is_in_the_closures() -> None:
    """Loaded and not in the closure of the machine are only doors of packages and helpers of parts."""
    left = json.loads(ran(CHECKOUT, "-c", LOADED).stdout)
    sources, parts = Sources(), set[str]()
    for kind in registry.component_kinds():
        for cls in registry.find(kind).values():
            parts |= sources.closure({base.__module__ for base in cls.__mro__}, [ROOT])
    assert set(left) <= parts


def test_what_cannot_decide_a_result_is_not_in_the_closure_of_the_machine() -> None:
    found = Sources().closure([MACHINE], [ROOT])
    assert {name for name in found if name.startswith("robustfl.evaluation.")} == {
        "robustfl.evaluation.labels",
        "robustfl.evaluation.run",
        "robustfl.evaluation.run.ledgers",
        "robustfl.evaluation.run.play",
    }
    outside = ("registry", "cli", "console", "lookups", "testing", "attacks", "defenses", "reports", "scenarios")
    assert not {name for name in found if name.split(".")[1:2] and name.split(".")[1] in outside}
    assert {"robustfl", "robustfl.federation.task", "robustfl.aggregation.kernels.compiled"} <= found


@pytest.mark.parametrize(
    ("name", "others"), [("flag", {"flag_subspace"}), ("krum", set()), ("multi_krum", {"krum"}), ("mean", set())]
)
def test_a_defense_depends_on_no_defense_but_those_it_imports(name: str, others: set[str]) -> None:
    cls = registry.get("defense", name)
    found = Sources().closure([cls.__module__], [ROOT])
    own = {module.rpartition(".")[2] for module in found if module.startswith("robustfl.defenses.")}
    assert own == {name, *others}


SUITE = """\
name: stale
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 5, rounds: 2}
adversary: {f: [0]}
defenses: [mean, flag]
seeds: 1
"""


@pytest.mark.slow
def test_an_edited_helper_runs_the_trials_of_its_defense_again(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "stale.yaml").write_text(SUITE)
    run = ("-m", "robustfl", "run", "stale.yaml", "--out", "out", "--workers", "0")

    def played() -> tuple[str, dict[str, Any]]:
        messages = ran(copy, *run, cwd=tmp_path).stderr
        lines = (tmp_path / "out" / "records.jsonl").read_text().splitlines()
        return messages, {record["labels"]["defense"]: record for record in map(json.loads, lines)}

    _, before = played()
    helper = copy / "defenses" / "flag_subspace.py"
    helper.write_text(helper.read_text() + "\n# edited\n")
    messages, after = played()
    assert "1 of 2 trials are stored already" in messages
    assert after["Mean"] == before["Mean"]
    assert after["Flag"]["fingerprint"] != before["Flag"]["fingerprint"]
    messages, _ = played()
    assert "2 of 2 trials are stored already" in messages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Writes modules into a folder from which Python imports."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))

    return written


def test_what_counts_as_an_import(folder: Folder) -> None:
    folder(
        {
            "closed_one/__init__.py": "from .listed import x",
            "closed_one/listed.py": "x = 1",
            "closed_one/start.py": """
                from __future__ import annotations
                from typing import TYPE_CHECKING
                import typing
                import json
                import closed_one.plain
                import closed_other
                from . import sibling, x
                from .inner import deep
                from .star import *
                TABLE = {"late": "closed_one.late:Class", "text": "closed_one.late is no module here"}
                if TYPE_CHECKING:
                    from closed_one import types_only
                else:
                    from closed_one import at_run_time
                if typing.TYPE_CHECKING:
                    import closed_one.types_only
                def later():
                    if True:
                        from closed_one.inner import in_function
                """,
            **{
                f"closed_one/{name}.py": ""
                for name in ("plain", "sibling", "star", "late", "types_only", "at_run_time", "unused")
            },
            "closed_one/inner/__init__.py": "",
            "closed_one/inner/deep.py": "from ..behind import a  # a file may climb in other people's packages",
            "closed_one/inner/in_function.py": "",
            "closed_one/behind.py": "a = 1",
            "closed_other.py": "",
        }
    )
    found = Sources().closure(["closed_one.start"], ["closed_one"])
    names = "start listed plain sibling inner inner.deep star late at_run_time inner.in_function behind"
    assert found == {"closed_one", *(f"closed_one.{name}" for name in names.split())}


def test_nothing_is_imported_to_find_what_is_imported(folder: Folder) -> None:
    folder(
        {
            "closed_two/__init__.py": "raise RuntimeError('imported')",
            "closed_two/start.py": "import closed_two.broken",
            "closed_two/broken.py": "this is no Python",
        }
    )
    sources = Sources()
    assert sources.closure(["closed_two.start"], ["closed_two"]) == {
        "closed_two",
        "closed_two.start",
        "closed_two.broken",
    }
    assert "closed_two" not in sys.modules


THIRD_PARTY = """
    from dataclasses import dataclass
    from robustfl.defenses import Median
    {imports}

    @dataclass(frozen=True, kw_only=True)
    class Own(Median):
        '''A median by another name.'''
"""


def test_of_other_distributions_the_own_package_counts(folder: Folder) -> None:
    folder(
        {
            "closed_three/__init__.py": "",
            "closed_three/rule.py": THIRD_PARTY.format(
                imports="from .mathematics import helper\n    import closed_far"
            ),
            "closed_three/mathematics.py": "def helper(): ...",
            "closed_far.py": "",
        }
    )
    own = __import__("closed_three.rule", fromlist=["Own"]).Own()
    before = Sources().part(own)

    def edited(name: str) -> bool:
        folder({name: f"{(Path(sys.path[0]) / name).read_text()}\n# edited\n"})
        nonlocal before
        before, changed = (now := Sources().part(own)), now != before
        return changed

    assert edited("closed_three/mathematics.py")
    assert edited("closed_three/__init__.py")
    assert not edited("closed_far.py")
    closure = Sources().closure(["closed_three.rule"], ["closed_three", ROOT])
    assert {name for name in closure if name.startswith("robustfl.defenses")} == {"robustfl.defenses.median"}


@pytest.mark.parametrize(
    ("kind", "spec", "modules"),
    [
        ("defense", "nnm >> arc >> krum", ("defenses.nnm", "defenses.arc", "defenses.krum")),
        ("attack", "clones >> bad_nets >> ipm", ("attacks.identities.clones", "attacks.data.bad_nets")),
    ],
)
def test_every_stage_counts(kind: str, spec: str, modules: tuple[str, ...]) -> None:
    whole: Component = registry.build(kind, spec, f=1)

    class Edited(Sources):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def source(self, name: str) -> Any:
            return None if name == self.name else super().source(name)

    assert (
        len({Sources().part(whole), *(Edited(f"robustfl.{name}").part(whole) for name in modules)}) == len(modules) + 1
    )


def test_the_hash_does_not_depend_on_where_the_package_lies(copy: Path) -> None:
    code = "from robustfl.evaluation.suite.sources import Sources; print(Sources().machine())"
    assert ran(copy, "-c", code).stdout.strip() == Sources().machine()
