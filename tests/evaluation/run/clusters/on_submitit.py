"""Trials as an array of jobs; `make executor-submitit` builds an environment with submitit and runs these tests.

The array runs as processes on this machine, which is what submitit does where there is no Slurm.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from robustfl.errors import ParameterError, WorkerError
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.clusters.contract import Wanted
from robustfl.evaluation.run.clusters.submitit import SubmititExecutor
from tests.evaluation.run.clusters.elsewhere import DEADLY, experiment, ledgers, play, suite_of


def test_an_array_gives_the_same_records_and_ledgers(tmp_path: Path) -> None:
    suite = experiment(tmp_path)
    expected = play(suite, tmp_path / "alone")
    executor = SubmititExecutor(tmp_path / "elsewhere" / "submitted", tasks=2, cluster="local")
    assert play(suite, tmp_path / "elsewhere", executor) == expected
    assert ledgers(tmp_path / "elsewhere") == ledgers(tmp_path / "alone") != {}
    assert list((tmp_path / "elsewhere" / "submitted").iterdir()) == [], "what has been merged is removed"


def test_a_task_that_is_killed_loses_no_trial_but_one_that_kills_its_task_twice(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    executor = SubmititExecutor(tmp_path / "submitted", tasks=1, cluster="local")
    suite = experiment(tmp_path, suite_of("deadly.py:KillsOnce", "deadly.py:KillsAlways", "sign_flip"))
    play(suite, tmp_path / "out", executor)
    errors = {
        record["labels"]["attack"]: (record.get("error") or {}).get("type")
        for record in read_records(tmp_path / "out" / "records.jsonl")
    }
    assert errors == {"none": None, "KillsOnce": None, "KillsAlways": "WorkerDied", "SignFlip": None}


def test_tasks_that_cannot_begin_stop_the_run_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    suite = experiment(tmp_path, suite_of("deadly.py:KillsOnce", "sign_flip", "non_finite"))
    (tmp_path / "deadly.py").unlink()  # this process has read it, and no task can
    executor = SubmititExecutor(tmp_path / "submitted", tasks=1, cluster="local")
    with pytest.raises(WorkerError, match=r"3 trials failed on workers for the same reason.*deadly"):
        play(suite, tmp_path / "out", executor, None)


def test_the_address_names_the_cluster_and_its_parameters(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="'nowhere'"):
        SubmititExecutor.wanted(Wanted(workers=2, address="nowhere", out=tmp_path))
    with pytest.raises(ParameterError, match="name=value"):
        SubmititExecutor.wanted(Wanted(workers=2, address="local,timeout_min", out=tmp_path))
    executor = SubmititExecutor.wanted(Wanted(workers=2, address="local,no_such=1", out=tmp_path))
    with pytest.raises(WorkerError, match="no_such"):
        play(experiment(tmp_path), tmp_path / "out", executor)
