"""Surroundings that are not as usual: terminals without letters, signals, archives, systems without locks."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing.synchronize
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import robustfl
from robustfl import cli
from robustfl.errors import StoreError, WorkerError
from robustfl.evaluation.results.store import Store, set_aside
from robustfl.evaluation.run.executors import Processes
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.reputation.ledger import Ledger
from tests.conftest import ROOT, environment
from tests.evaluation.run.tiny import SUITE

LONG = """
name: long
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 5, rounds: 2000}
defenses: [mean]
attacks: []
adversary: {f: [0]}
seeds: 50
"""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_systems_without_locks_are_named_with_a_remedy(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    store = tmp_path / "records.jsonl"
    store.write_bytes(b"")
    monkeypatch.setattr(fcntl, "flock", flock)
    for opened in (lambda: Store(store), lambda: set_aside(store), lambda: Ledger(tmp_path / "own.ledger")):
        with pytest.raises(StoreError, match=r"has no locks .* local disk") as refused:
            opened()
        assert str(tmp_path) in str(refused.value)


def test_a_torn_tail_is_cut_off_on_systems_that_cannot_read_at_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pread")
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"half a rec')
    Store(path).close()
    assert path.read_bytes() == b""


def test_without_shared_memory_workers_are_not_the_folders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
    (trial, *_) = Plan(Experiment(SUITE)).trials
    with pytest.raises(WorkerError, match=r"shared memory .* --workers 0"):
        next(Processes(2).run([(trial, "")], Resources()))


def test_errors_that_nobody_foresaw_have_an_exit_code_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == cli.UNEXPECTED == 70
    assert "ZeroDivisionError: nobody foresaw this" in capsys.readouterr().err


def test_letters_that_a_terminal_does_not_have_end_no_command(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "é.yaml").write_text("name: é\n", encoding="utf-8")
    told = command("run", "é.yaml", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert told.returncode == 2
    assert told.stderr.startswith(r"error: \xe9.yaml is not a valid suite")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["ended", "interrupted"]
)
def test_a_run_that_is_asked_to_end_says_how_to_go_on(
    number: signal.Signals, code: int, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "long.yaml").write_text(LONG)
    with start("run", "long.yaml", "--out", "o", "--workers", "0", cwd=tmp_path) as running:
        deadline = time.monotonic() + 120
        while not (tmp_path / "o" / "records.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        running.send_signal(number)
        _, told = running.communicate(timeout=60)
    assert running.returncode == code
    assert "run the same command again to continue" in told


def test_the_handler_of_a_caller_comes_back_after_a_run() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(cli.Terminated), cli.terminations_raised():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a zip file, laid out as in a wheel."""
    path = tmp_path_factory.mktemp("archive") / "robustfl.zip"
    homes = {"robustfl": Path(robustfl.__file__).parent}
    homes |= {f"robustfl/{name}": ROOT / name for name in ("attacks", "defenses", "scenarios", "reports")}
    with zipfile.ZipFile(path, "w") as file:
        for inside, home in homes.items():
            for source in home.rglob("*"):
                if source.is_file() and not {"__pycache__", "published", "benchmarks"} & set(source.parts):
                    file.write(source, f"{inside}/{source.relative_to(home)}")
    return path


@pytest.mark.slow
def test_a_suite_runs_from_an_archive_with_reports_and_replays(archive: Path, tmp_path: Path) -> None:
    variables = environment(ROBUSTFL_REPLAYS="1", PYTHONPATH=str(archive))
    suite = ("--seeds", "1", "--set", "defenses=[mean]", "--set", "attacks=[sign_flip]")
    done = subprocess.run(
        [sys.executable, "-m", "robustfl", "run", "smoke", "--workers", "0", "--out", "o", *suite],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr
    assert (tmp_path / "o" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "o" / "checks.jsonl").stat().st_size > 0
