"""What several test files share: the command as a subprocess, plug-ins of a third party, and one finished run."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import settings

from robustfl import registry

ROOT = Path(__file__).resolve().parent.parent

NO_CHECKS = {"ROBUSTFL_REPLAYS": "0", "ROBUSTFL_OFF_BY_ONE": "0"}
"""Variables under which runs end with the suite; tests of what is played afterwards ask for it."""

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that share the cores wait for each other's threads: a search of 34 seconds took twelve minutes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("explore", max_examples=300, print_blob=True)  # for `make explore`


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what lasts from the collector of garbage: a walk over modules and tests takes a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """The environment of a subprocess that finds this checkout and the given folders, installed or not."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ROBUSTFL_DATA")}
    path = os.pathsep.join(str(folder) for folder in (*folders, ROOT))
    return {**clean, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1", **NO_CHECKS, **variables}


class Started(subprocess.Popen[str]):
    """A process that does not outlive a test that failed while it ran."""

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def interruptible() -> None:
    """Shells let what they start in the background ignore interrupts, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """`start("run", "x.yaml", cwd=..., plugins=[...], GATE="...")`: `robustfl run x.yaml`, in a session of its own."""

    def started(*arguments: str, cwd: Path, plugins: tuple[Path, ...] = (), **variables: str) -> subprocess.Popen[str]:
        return Started(
            [sys.executable, "-m", "robustfl", *arguments],
            cwd=cwd,
            env=environment(*plugins, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=interruptible,
        )

    return started


@pytest.fixture(scope="session")
def command(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`command("list", cwd=tmp_path)`: the finished `robustfl list` with its exit code and both streams."""

    def finished(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        with start(*arguments, **options) as process:
            try:
                output, messages = process.communicate(timeout=180)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, messages)

    return finished


@pytest.fixture
def inside(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """As `command`, but in this process: the same answer without a second for the start of each process."""

    def finished(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        from robustfl.cli import main

        monkeypatch.chdir(cwd)
        monkeypatch.setattr("sys.argv", ["robustfl", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.delenv("ROBUSTFL_DATA", raising=False)
        for name, value in {**NO_CHECKS, **variables}.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        output, messages = capfd.readouterr()
        return subprocess.CompletedProcess(["robustfl", *arguments], int(end.value.code or 0), output, messages)

    return finished


@pytest.fixture(scope="session")
def smoke(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """`robustfl run smoke` without worker processes, and the folder of its results."""
    folder = tmp_path_factory.mktemp("smoke")
    done = command("run", "smoke", "--out", "results", "--workers", "0", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, folder / "results"


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Path]:
    """`plugin("module", code, {"robustfl.defenses": ["Half"]})`: a folder with an installed distribution of that."""

    def installed(module: str, code: str, entries: Mapping[str, list[str]]) -> Path:
        folder = tmp_path / f"site_{module}"
        metadata = folder / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{module}.py").write_text(dedent(code))
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [
            f"[{group}]\n" + "".join(f"{c} = {module}:{c}\n" for c in classes) for group, classes in entries.items()
        ]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        return folder

    return installed


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """The registry without memory of earlier look-ups, before and after the test."""
    registry.find.cache_clear()
    yield
    registry.find.cache_clear()
