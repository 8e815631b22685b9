"""The door of the evaluation is light to import, and enough to run a suite, to read its results and to judge them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from robustfl import evaluation
from robustfl.evaluation import (
    RunOptions,
    RunResults,
    judge,
    load_stored,
    read_experiment,
    read_records,
    run_experiment,
    save_stored,
)
from robustfl.evaluation.run.checking import NO_CHECKS
from tests.conftest import environment


def test_importing_the_door_loads_nothing_behind_it() -> None:
    code = (
        "import sys, robustfl.evaluation; "
        "print([m for m in sys.modules if m in ('numpy', 'torch', 'pydantic') or m.startswith('robustfl.evaluation.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_is_there_and_documented() -> None:
    listed = [name for names in evaluation._HOMES.values() for name in names]
    assert sorted(listed) == evaluation.__all__
    assert set(evaluation.__all__) <= set(dir(evaluation))
    for name in evaluation.__all__:
        value = getattr(evaluation, name)
        assert value.__doc__
        assert value.__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'run_suite'"):
        _ = evaluation.run_suite


def test_a_suite_is_run_read_and_judged_in_python(tmp_path: Path) -> None:
    changes = ("seeds=2", "federation.rounds=2", "defenses=[mean]", "attacks=[sign_flip]", "adversary.f=[1]")
    summary = run_experiment(
        read_experiment("smoke", changes), RunOptions(out=tmp_path / "run", workers=0, checks=NO_CHECKS)
    )
    results = RunResults.load(tmp_path / "run")
    assert results.summary == summary
    assert list(results.records) == read_records(tmp_path / "run" / "records.jsonl")
    save_stored(load_stored(tmp_path / "run"), tmp_path / "baseline.json")
    verdicts = judge(load_stored(tmp_path / "baseline.json"), load_stored(tmp_path / "run")).cells
    assert {verdict.verdict for verdict in verdicts} == {"PASS"}
