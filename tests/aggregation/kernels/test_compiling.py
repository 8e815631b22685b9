"""Trouble with compilers and their cache costs time, and never an aggregation; each process is warned once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from numba.core.caching import IndexDataCacheFile

from robustfl.aggregation.kernels import choice, compiling
from robustfl.aggregation.kernels.compiling import kernel

VALUES = np.arange(5.0)


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes the same small kernel anew, as each process does; its cache is a folder of this test alone."""
    from numba import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "_told", [])

    def fresh() -> Any:
        def total(values: Any) -> float:
            result = 0.0
            for value in values:
                result += value
            return result

        return kernel(total)

    return fresh


def answered(made: Any) -> list[str]:
    """What is warned of while the kernel is asked twice; its answers are right."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [made(VALUES), made(VALUES.astype(np.float32))] == [10.0, 10.0]
    assert all(issubclass(one.category, RuntimeWarning) for one in caught)
    return [str(one.message) for one in caught]


def stored(folder: Path, ending: str) -> list[Path]:
    return sorted(folder.rglob(f"*.{ending}"))


def test_a_kernel_is_loaded_from_the_cache(add: Callable[[], Any], tmp_path: Path) -> None:
    assert answered(add()) == []
    assert len(stored(tmp_path, "nbc")) == 2
    again = add()
    assert answered(again) == []
    assert sum(again.stats.cache_hits.values()) == 2


@pytest.mark.parametrize("ending", ["nbc", "nbi"])
@pytest.mark.parametrize("left", [0, 20])
def test_a_file_that_was_cut_short_is_told_once_and_mended(
    add: Callable[[], Any], tmp_path: Path, ending: str, left: int
) -> None:
    answered(add())
    for file in stored(tmp_path, ending):
        file.write_bytes(file.read_bytes()[:left])
    (warned,) = answered(add())
    assert "cannot be read" in warned
    assert str(tmp_path) in warned
    mended = add()
    assert answered(mended) == []
    assert sum(mended.stats.cache_hits.values()) == 2


@pytest.mark.parametrize("place", ["_save_data", "_save_index"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=errno.errorcode.__getitem__)
def test_a_kernel_that_cannot_be_stored_is_used(
    add: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, place: str, number: int
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(IndexDataCacheFile, place, refused)
    (warned,) = answered(add())
    assert "cannot be written" in warned
    assert os.strerror(number) in warned


def test_a_folder_that_is_gone_later_is_made_again(add: Callable[[], Any], tmp_path: Path) -> None:
    made = add()
    for folder in tmp_path.iterdir():
        folder.rmdir()
    assert answered(made) == []
    assert len(stored(tmp_path, "nbc")) == 2


def test_without_any_folder_kernels_are_compiled_in_each_process(
    add: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: Any) -> None:
        raise RuntimeError("no locator available")

    monkeypatch.setattr(compiling.KernelCache, "__init__", nowhere)
    with pytest.warns(RuntimeWarning, match="has no folder"):
        made = add()
    assert answered(made) == []


# --------------------------------------------------------------------------------- without a compiler, and two at once


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_numpy_steps_in_where_numba_is_told_not_to_compile() -> None:
    code = """
import numpy as np
from robustfl.aggregation.votes.counting import _counting, add_positions
from robustfl.defenses import CGE, Krum, Median, TrimmedMean
x = np.ones((5, 20_000), "f4")
print([float(rule(x)[0]) for rule in (Median(), TrimmedMean(f=1), Krum(f=1), CGE(f=1))])
print(_counting(1 << 20)[0] is add_positions)
"""
    done = in_a_process(code, NUMBA_DISABLE_JIT="1")
    assert (done.returncode, done.stdout) == (0, "[1.0, 1.0, 1.0, 1.0]\nTrue\n"), done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
    assert "NUMBA_DISABLE_JIT" in done.stderr


def test_numpy_steps_in_where_numba_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def misfit(name: str) -> None:
        raise ImportError("Numba needs NumPy 2.0 or less")

    choice.compiles.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(choice, "import_module", misfit)
            with pytest.warns(RuntimeWarning, match=r"numpy step in .* NumPy 2\.0 or less"):
                assert type(choice.kernels_for(None, 1 << 20)).__name__ == "Host"
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert type(choice.kernels_for(None, 1 << 20)).__name__ == "Host"
    finally:
        choice.compiles.cache_clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_while_a_thread_compiles_or_makes_threads_does_not_wait_for_ever() -> None:
    """The thread holds both locks for a moment, as a thread does that compiles, or that starts a pool of threads."""
    code = """
import os, signal, threading, time
import numpy as np
from numba.core.compiler_lock import global_compiler_lock
from robustfl.aggregation.kernels import threads
from robustfl.defenses import Median, TrimmedMean

x = np.ones((9, 40_000), "f4")
Median()(x)
held, forked = threading.Event(), threading.Event()

def busy():
    with threads._lock:
        with global_compiler_lock:
            held.set()
            time.sleep(0.5)
        forked.wait()

thread = threading.Thread(target=busy)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(200)  # ends a child that hangs
    os._exit(int(TrimmedMean(f=2)(x)[0] != 1))
forked.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), Median()(x)[0])
"""
    done = in_a_process(code, ROBUSTFL_NUM_THREADS="2")
    assert (done.returncode, done.stdout) == (0, "0 1.0\n"), done.stderr
