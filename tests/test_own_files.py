"""Parts of one's own in a file beside the suite run like registered ones, in workers and in isolation as well."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.errors import ParameterError, RobustflError, ScenarioError, UnknownNameError
from robustfl.evaluation.run.checking import Checks
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.sources import Sources
from robustfl.isolation import isolated
from robustfl.own_files import files_in, module_name, named

PARTS = '''
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from robustfl.aggregation import CoordinateWise
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.partitions import Partition
from robustfl.federation.models.architectures import Softmax
from robustfl.threats import Knowledge, UpdateAttack


@dataclass(frozen=True, kw_only=True)
class Rings(Data):
    """Two rings."""

    tabular: ClassVar[bool] = True

    def _read(self, roots):
        x = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
        y = (np.linalg.norm(x, axis=1) > 1.5).astype(np.int64)
        return Dataset(name=self.name, train_x=x[:60], train_y=y[:60], test_x=x[60:], test_y=y[60:], classes=("a", "b"))


@dataclass(frozen=True, kw_only=True)
class Mine(Softmax):
    """A model of mine."""


@dataclass(frozen=True, kw_only=True)
class Sorted(Partition):
    """By the first feature."""

    def _deal(self, samples, clients, rng):
        return np.array_split(np.argsort(samples.features[:, 0]), clients)


@dataclass(frozen=True, kw_only=True)
class Shrunk(CoordinateWise):
    """The median, made smaller."""

    requires: ClassVar[tuple[int, int]] = (2, 1)
    factor: Annotated[float, Gt(0), Doc("what the median is multiplied by")] = 0.5

    def columns(self, block, ops):
        return self.factor * ops.median(block)


@dataclass(frozen=True, kw_only=True)
class Push(UpdateAttack):
    """Sends ones."""

    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    def craft(self, view):
        return view.own * 0 + 1.0


NUMBER = 1
'''
SUITE: dict[str, Any] = {
    "task": {"data": "parts.py:Rings", "model": "parts.py:Mine", "partition": "sub/parts.py:Sorted"},
    "federation": {"clients": 5, "rounds": 2},
    "adversary": {"f": [1]},
    "defenses": [["nnm", {"parts.py:Shrunk": {"factor": 0.9}}]],
    "attacks": ["parts.py:Push"],
    "seeds": 1,
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    home = tmp_path / "my suites"
    (home / "sub").mkdir(parents=True)
    for place in (home, home / "sub"):
        (place / "parts.py").write_text(PARTS)
    (home / "mine.yaml").write_text(json.dumps(SUITE))
    return home / "mine.yaml"


def test_all_kinds_of_parts_run_from_files(command: Callable[..., Any], suite: Path, tmp_path: Path) -> None:
    done = command("run", str(suite), "--out", "out", "--workers", "1", "--replays", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["trials"]["failed"] == 0
    assert {row["defense"] for row in summary["scores"]["ranking"]} == {"NNM > Shrunk(factor=0.9)"}
    records = (tmp_path / "out" / "records.jsonl").read_text()
    scenario = json.loads(records.splitlines()[-1])["scenario"]
    assert scenario["task"]["partition"] == {"name": "sub/parts.py:Sorted"}
    assert "my suites" not in records  # trials have the same names on every machine


def test_trials_and_hashes_do_not_depend_on_the_folder(suite: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(suite.parent, other)
    moved, here = read_experiment(str(other / "mine.yaml")), read_experiment(str(suite))
    assert moved.hash == here.hash
    assert [t.id for t in Plan(moved).trials] == [t.id for t in Plan(here).trials]
    data = zip(Plan(moved).trials, Plan(here).trials, strict=True)
    assert all(one.fingerprint("data") == two.fingerprint("data") for one, two in data)


def test_a_fingerprint_follows_the_file(suite: Path) -> None:
    (trial, *_) = Plan(read_experiment(str(suite))).trials
    before, unchanged = Sources().part(trial.scenario.task.model), Sources().part(trial.scenario.task.partition)
    (suite.parent / "parts.py").write_text(PARTS + "# an edit\n")
    assert Sources().part(trial.scenario.task.model) != before
    assert Sources().part(trial.scenario.task.partition) == unchanged


def test_a_process_that_has_never_seen_the_file_unpickles_its_parts(suite: Path) -> None:
    rule = registry.build("defense", f"{suite.parent}//parts.py:Shrunk")
    content = pickle.dumps(rule)
    assert files_in(content) == (str(suite.parent / "parts.py"),)
    del sys.modules[type(rule).__module__]
    assert repr(pickle.loads(content)) == "Shrunk(factor=0.5)"


def test_an_isolated_defense_reads_its_file_and_no_other(suite: Path) -> None:
    (suite.parent / "secret.py").write_text("ANSWER = 1\n")
    spying = PARTS.replace("return self.factor", f"open({str(suite.parent / 'secret.py')!r}); return self.factor")
    (suite.parent / "spy.py").write_text(spying)
    rows = np.array([[1.0], [2.0], [9.0]])
    with isolated(registry.build("defense", f"{suite.parent}//parts.py:Shrunk")) as rule:
        assert rule.aggregate(rows).value.tolist() == [1.0]
    with (
        isolated(registry.build("defense", f"{suite.parent}//spy.py:Shrunk")) as rule,
        pytest.raises(RobustflError, match=r"may not do this: reads .*secret\.py"),
    ):
        rule.aggregate(rows)


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("model", "no.py:Net", None, r"There is no file .*no\.py"),
        ("model", "../a.py:Net", "", "should lie in the folder"),
        ("model", "a.py:Net", "", "defines no `Net`"),
        ("model", "a.py:Net", "x = 1\n1 / 0\n", r"cannot be run, line 2: ZeroDivisionError"),
        ("model", "a.py:Net", "x = (\n", r"cannot be run, line 1: SyntaxError"),
        ("model", "a.py:Net", "raise SystemExit(3)\n", "SystemExit: 3"),
        ("model", "a.py:Net", "import nowhere_at_all\n", "ModuleNotFoundError.*imports installed packages"),
        ("model", "a.py:NUMBER", PARTS, r"should be a concrete .*Model\. Found 1"),
        ("model", "a.py:Shrunk", PARTS, r"should be a concrete .*Model\."),
        (
            "defense",
            "a.py:CoordinateWise",
            PARTS,
            r"concrete .*Defense\. Found a class that lacks columns\.",
        ),
        (
            "defense",
            "a.py:Push",
            PARTS,
            r"concrete .*Defense\. Found a class that derives from UpdateAttack",
        ),
        ("defense", "a.py:f", "def f(rows):\n    return rows[0]\n", r"should be a concrete .* Found a function\."),
        ("defense", "a.py:Shrink", PARTS, r"defines no `Shrink`\. Did you mean 'Shrunk'\?"),
        ("defense", "a.py", PARTS, "no defense named 'a.py'. A class of a file is `file.py:Class`, with parameters"),
        ("defense", "a.py:Shrunk(factor=1)", PARTS, "`{file.py:Class: {parameter: value}}`"),
        (
            "defense",
            "a.py:Bare",
            f"{PARTS}\nclass Bare(Shrunk):\n    kind: ClassVar[int] = 1\n    f: int = 0\n",
            "a.py: `Bare` has the parameters f, which only a dataclass tells. Write @dataclass",
        ),
        (
            "defense",
            "a.py:Old",
            f"{PARTS}\nclass Old(Shrunk):\n    def __init__(self, f=0):\n        self.f = f\n",
            "a.py: `Old` has an __init__ of its own, which only a dataclass tells",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, content: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "a.py").write_text(content)
    with pytest.raises((ParameterError, UnknownNameError), match=message):
        registry.build(kind, name)


def test_a_class_without_parameters_of_its_own_needs_no_decorator(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"{PARTS}\nclass Other(Shrunk):\n    kind: ClassVar[int] = 1\n")
    assert registry.build("defense", {f"{tmp_path}//a.py:Other": {"factor": 0.25}}).factor == 0.25


def test_a_suite_names_the_key_of_a_file_that_is_missing(suite: Path) -> None:
    with pytest.raises(ScenarioError, match=r"task\.model: There is no file .*none\.py"):
        read_experiment(str(suite), ("task.model=none.py:Net",))
    with pytest.raises(UnknownNameError, match="no kind 'suite' of component"):
        registry.get("suite", "parts.py:Mine")


@pytest.mark.parametrize("folder", ["/home/me", "C:\\my folder", "/a__b/_c_/\u00e4.\u4e2d", "."])
def test_names_of_modules_say_where_the_file_is(folder: str) -> None:
    name = module_name(Path(folder), "sub/x_.py")
    assert name.isidentifier()
    assert named(name, "Net") == "sub/x_.py:Net"
    assert files_in(pickle.dumps(name)) == (str(Path(folder) / "sub/x_.py"),)


def test_a_path_in_a_suite_is_relative_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    rows = "".join(f"{row},{row % 3},{row % 2},{'abc'[row % 3]}\n" for row in range(60))
    (tmp_path / "s" / "flows.csv").write_text(f"x,z,y,who\n{rows}")
    table = {"csv": {"path": "flows.csv", "label_column": "y", "client_column": "who"}}
    task = {"data": table, "model": "softmax", "partition": "by_client"}
    own = {**SUITE, "task": task, "federation": {"clients": 3, "rounds": 2}, "defenses": ["mean"], "attacks": []}
    (tmp_path / "s" / "t.yaml").write_text(dedent(json.dumps({**own, "adversary": {"f": [0]}})))
    experiment = read_experiment(str(tmp_path / "s" / "t.yaml"))
    summary = run_experiment(experiment, RunOptions(out=tmp_path / "out", workers=0, checks=Checks(replays=0)))
    assert (summary["trials"]["ok"], summary["trials"]["failed"]) == (1, 0)
