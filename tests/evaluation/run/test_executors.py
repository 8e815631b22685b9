"""The same records from every executor; a part that fails, exits or dies costs its own trial and no other."""

from __future__ import annotations

import heapq
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robustfl.attacks import ALIE, PlannedDrift, WhiteBox
from robustfl.errors import WorkerError
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run import executors
from robustfl.evaluation.run.executors import Executor, Processes, Serial, dear_first
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from tests.conftest import environment, interruptible

SUITE = """\
name: tiny
task: {data: digits, model: {mlp: {hidden: [8]}}, partition: {dirichlet: {alpha: 0.5}}}
federation: {clients: 5, rounds: 4, client_momentum: 0.9, evaluate_every: 2}
adversary: {f: [1]}
faults: [{dropout: {probability: 0.2}}]
defenses: [mean, "nnm >> trimmed_mean"]
attacks: [{gaussian: {scale: 10}}, non_finite]
seeds: 1
"""
HOSTILE = """
    import os, signal, sys
    from dataclasses import dataclass
    from robustfl.threats import UpdateAttack

    @dataclass(frozen=True, kw_only=True)
    class Raises(UpdateAttack):
        '''Fails with an exception.'''
        def craft(self, view):
            raise RuntimeError("no <b>idea</b>")

    @dataclass(frozen=True, kw_only=True)
    class Quits(UpdateAttack):
        '''Leaves as a script does.'''
        def craft(self, view):
            sys.exit("enough")

    @dataclass(frozen=True, kw_only=True)
    class Vanishes(UpdateAttack):
        '''Ends its process without a word.'''
        def craft(self, view):
            os._exit(0)

    @dataclass(frozen=True, kw_only=True)
    class Dies(UpdateAttack):
        '''Is killed, as by a system without memory.'''
        def craft(self, view):
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_the_records_are_the_same_whatever_the_executor(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE)
    jobs = [(trial, "print") for trial in Plan(read_experiment(str(path))).trials]

    def records(executor: Executor) -> dict[str, Any]:
        found = list(executor.run(jobs, Resources()))
        assert len(found) == len(jobs)
        return {record["trial"]: {**record, "time": None} for record in found}

    serial = records(Serial())
    assert {record["status"] for record in serial.values()} == {"ok"}
    assert records(Processes(1)) == serial
    assert records(Processes(2)) == serial


ATTACKS: dict[str, Any] = {"none": None, "light": ALIE(), "searches": WhiteBox(), "plans": PlannedDrift()}
SECONDS = {"none": 0.3, "light": 0.4, "searches": 2.0, "plans": 12.0}
KINDS = ["none", *["light"] * 10, *["searches"] * 4, *["plans"] * 2, "light"] * 40
"""The attacks of the trials of a suite, in its order."""


def job(kind: str, number: int) -> Any:
    return SimpleNamespace(kind=kind, number=number, scenario=SimpleNamespace(attack=ATTACKS[kind])), "print"


def duration(kinds: list[str], workers: int) -> float:
    """How long workers need for trials that they take in this order."""
    free = [0.0] * workers
    for kind in kinds:
        heapq.heappush(free, heapq.heappop(free) + SECONDS[kind])
    return max(free)


@pytest.mark.parametrize("workers", [2, 4, 8, 16, 32])
def test_no_worker_is_idle_at_the_end_of_a_suite(workers: int) -> None:
    ordered = dear_first([job(kind, number) for number, kind in enumerate(KINDS)], workers)
    assert sorted(trial.number for trial, _ in ordered) == list(range(len(KINDS)))
    least = sum(SECONDS[kind] for kind in KINDS) / workers
    assert duration([trial.kind for trial, _ in ordered], workers) < 1.02 * least + SECONDS["light"]
    assert workers < 32 or duration(KINDS, workers) > 1.1 * least  # as they come, many workers wait for one


def test_only_the_last_trials_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "KEPT_BACK", 2)
    kinds = ["plans", "light", "searches", "light", "none", "searches", "plans", "light", "searches", "light", "plans"]
    jobs = [job(kind, number) for number, kind in enumerate(kinds)]
    assert [trial.number for trial, _ in dear_first(jobs, 2)] == [0, 1, 2, 6, 10, 5, 8, 3, 4, 7, 9]
    assert dear_first(jobs, 1) == jobs
    assert dear_first([], 2) == []
    for same in ("plans", "light"):
        jobs = [job(same, number) for number in range(9)]
        assert dear_first(jobs, 3) == jobs


def test_serial_leaves_the_threads_of_its_process_as_they_were() -> None:
    import torch

    before = torch.get_num_threads()
    assert list(Serial().run([], Resources())) == []
    assert torch.get_num_threads() == before


def test_the_environment_is_as_before_once_the_workers_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with executors._single_threaded():
        assert {os.environ[name] for name in executors.THREAD_VARIABLES} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_processes_that_are_started_as_workers_are_never_interrupted() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('still here')"

    def said() -> str:
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, capture_output=True, text=True, check=False, preexec_fn=interruptible)
        return done.stdout

    with executors._interrupts_held():
        assert said() == "still here\n"
    assert said() == ""


@pytest.mark.slow
def test_parts_that_die_cost_their_own_trials_only(
    command: Callable[..., Any], plugin: Callable[..., Path], tmp_path: Path
) -> None:
    site = plugin("hostile_parts", HOSTILE, {"robustfl.attacks": ["Raises", "Quits", "Vanishes", "Dies"]})
    (tmp_path / "tiny.yaml").write_text(
        SUITE.replace("[{gaussian: {scale: 10}}, non_finite]", "[raises, vanishes, dies, sign_flip, quits]").replace(
            '[mean, "nnm >> trimmed_mean"]', "[mean]"
        )
    )
    done = command("run", "tiny.yaml", "--out", "out", "--workers", "1", cwd=tmp_path, plugins=(site,))
    assert done.returncode == 3, done.stderr
    records = {record["labels"]["attack"]: record for record in read_records(tmp_path / "out" / "records.jsonl")}
    assert {attack: record["status"] for attack, record in records.items()} == {
        "none": "ok",
        "Raises": "failed",
        "Quits": "failed",
        "Vanishes": "failed",
        "Dies": "failed",
        "SignFlip": "ok",
    }
    errors = {attack: record["error"] for attack, record in records.items() if record["error"]}
    assert {attack: error["type"] for attack, error in errors.items()} == {
        "Raises": "RuntimeError",
        "Quits": "SystemExit",
        "Vanishes": "WorkerDied",
        "Dies": "WorkerDied",
    }
    assert errors["Raises"]["message"] == "no <b>idea</b>"
    assert "hostile_parts.py" in errors["Raises"]["traceback"]
    assert "4 trials failed; the report shows the tracebacks." in done.stderr
    assert "failed: Mean / Raises / f=1 / seed 0: RuntimeError: no <b>idea</b>" in done.stderr
    report = (tmp_path / "out" / "report.html").read_text()
    assert "hostile_parts.py" in report
    assert "<b>idea</b>" not in report
    assert "Mean" in done.stdout


SCRIPT = """\
from pathlib import Path
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.suite.reading import read_experiment

{before}
suite = read_experiment({suite!r})
{guard}run_experiment(suite, RunOptions(out=Path("out"), workers={workers}, checks=NO_CHECKS), Quiet())
"""


def script(folder: Path, **parts: Any) -> subprocess.CompletedProcess[str]:
    """What a script does that runs a suite at its top level."""
    (folder / "tiny.yaml").write_text(SUITE.replace('[mean, "nnm >> trimmed_mean"]', "[mean]"))
    given = {"before": "", "guard": "", "workers": 2, "suite": str(folder / "tiny.yaml"), **parts}
    (folder / "script.py").write_text(SCRIPT.format(**given))
    run = [sys.executable, "script.py"]
    return subprocess.run(run, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=180)


@pytest.mark.slow
def test_a_script_without_a_guard_is_refused_once_with_the_guard_to_write(tmp_path: Path) -> None:
    done = script(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert "script.py starts a run whenever it is imported" in done.stderr
    assert len(done.stderr.splitlines()) < 40
    assert (tmp_path / "out" / "records.jsonl").read_text() == ""


@pytest.mark.slow
def test_a_script_whose_workers_cannot_import_it_is_refused_once(tmp_path: Path) -> None:
    done = script(tmp_path, before="if __name__ != '__main__':\n    raise SystemExit(7)", guard="if True: ")
    assert done.returncode == 1
    assert "with the exit code 7" in done.stderr
    assert done.stderr.count("Traceback") == 1


@pytest.mark.slow
@pytest.mark.parametrize("parts", [{"guard": 'if __name__ == "__main__": '}, {"workers": 0}])
def test_a_script_with_a_guard_or_without_workers_runs(parts: dict[str, Any], tmp_path: Path) -> None:
    done = script(tmp_path, **parts)
    assert done.returncode == 0, done.stderr
    assert {record["status"] for record in read_records(tmp_path / "out" / "records.jsonl")} == {"ok"}


def test_a_run_that_somebody_elses_worker_would_start_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    executors.require_guard()
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(WorkerError, match="Put the run under a guard"):
        executors.require_guard()
