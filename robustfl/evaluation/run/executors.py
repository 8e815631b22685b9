"""Where trials run: in worker processes (the default) or in this process. Results arrive when trials end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from robustfl.aggregation.kernels.threads import limit_threads
from robustfl.errors import WorkerError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.play import Resources, failed_record, run_trial
from robustfl.evaluation.suite.trial import Trial
from robustfl.threats.staging import effort

Job = tuple[Trial, str]
"""A trial and its fingerprint."""

Play = Callable[[Trial, Resources, str], Record]
"""Makes a record of a trial, as :func:`~robustfl.evaluation.run.play.run_trial` does; processes find it by its name."""

THREAD_VARIABLES = (
    "ROBUSTFL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""The environment variables that give a process one thread."""

KEPT_BACK = 50
"""The number of short trials for each worker that are kept for the end of a run: together they take about as long as a
trial whose attack plans ahead, so that no worker is idle while another plays such a trial."""

_WORKER = "ROBUSTFL_WORKER"
"""The environment variable that tells a process that it is a worker of this module."""

UNGUARDED = 85
"""The exit code of a worker that would have started the run again while it imported its parent's script."""

_GUARD = """Worker processes import the script that starts them, and {script} starts a run whenever it is imported. \
Put the run under a guard:

    if __name__ == "__main__":
        run_experiment(...)

or run without worker processes: RunOptions(workers=0)."""


def require_guard() -> None:
    """Check, before a run starts, that this is not a worker that would start the run of its parent's script again.

    A worker of this module then ends silently, because its parent reports what is wrong.

    Raises
    ------
    WorkerError : the process is a worker that another module started
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # it is importing its parent's main module
        if _WORKER in os.environ:
            os._exit(UNGUARDED)
        raise WorkerError(_GUARD.format(script=_script()))


def _script() -> str:
    """The path of the running script, if Python knows it."""
    return str(getattr(sys.modules["__main__"], "__file__", None) or "the main module")


class Executor(Protocol):
    """Runs jobs and yields their records in the order in which they end."""

    def run(self, jobs: Sequence[Job], place: Resources) -> Generator[Record]: ...


class Serial:
    """One trial after the other in this process; `play` makes a record of a trial."""

    def __init__(self, play: Play = run_trial) -> None:
        self._play = play

    def run(self, jobs: Sequence[Job], place: Resources) -> Generator[Record]:
        with one_thread():
            for trial, fingerprint in jobs:
                yield self._play(trial, place, fingerprint)


@contextmanager
def one_thread() -> Iterator[None]:
    """Give this process one thread, as workers have, so that results are the same to the last bit."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), limit_threads(1):
            yield
    finally:
        torch.set_num_threads(threads)


def dear_first(jobs: Sequence[Job], workers: int) -> list[Job]:
    """The jobs in an order in which all workers end at about the same time.

    The last :data:`KEPT_BACK` trials for each worker whose attacks neither plan nor search come at the end. The dear
    trials among and behind them come before these, the dearest first; what is before the first of them stays where it
    is. So the time that is left is told from trials like those to come, and most trials of a seed are played together.
    """
    efforts = [effort(trial.scenario.attack) for trial, _ in jobs]
    light = [place for place, tried in enumerate(efforts) if not tried]
    kept = light[-KEPT_BACK * workers :] if workers > 1 else []
    first = kept[0] if kept else len(jobs)
    dear = sorted(set(range(first, len(jobs))).difference(kept), key=lambda place: (-efforts[place], place))
    return [jobs[place] for place in (*range(first), *dear, *kept)]


class Processes:
    """A pool of spawned processes with one thread each.

    When a worker dies (out of memory, a crash in native code), only the trials in flight are lost. They are tried again
    one by one, and a trial that kills its worker again is recorded as failed.

    When no worker can be started at all, for example by a script without a ``__main__`` guard, :class:`WorkerError` is
    raised at once.
    """

    def __init__(self, workers: int, play: Play = run_trial) -> None:
        self.workers, self._record = workers, play

    def run(self, jobs: Sequence[Job], place: Resources) -> Generator[Record]:
        queue, suspects = list(reversed(dear_first(jobs, self.workers))), list[Job]()
        while queue or suspects:
            if queue:
                yield from self._play(queue, suspects, place, 2 * self.workers)
            while suspects:
                alone, lost = [suspects.pop()], list[Job]()
                yield from self._play(alone, lost, place, 1)
                for trial, fingerprint in lost:
                    message = "The worker process died while it ran this trial."
                    yield failed_record(trial, fingerprint, "WorkerDied", message, "")

    def _play(self, queue: list[Job], lost: list[Job], place: Resources, window: int) -> Iterator[Record]:
        """Play the queue until it is empty or a worker dies; jobs in flight at that moment go to `lost`."""
        with self._pool(min(self.workers, window)) as pool:
            running: dict[Future[Record], Job] = {}
            with _interrupts_held():
                ready = pool.submit(os.getpid)  # without an answer to this first job, no worker has started
            processes = pool._processes
            try:
                while queue or running:
                    while queue and len(running) < window:
                        job = queue.pop()
                        with _interrupts_held():
                            running[pool.submit(self._record, job[0], place, job[1])] = job
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        record = _record_of(future, running[future])
                        del running[future]
                        yield record
            except BrokenProcessPool:
                if not _succeeded(ready):
                    raise _not_started(list(processes.values())) from None
                lost.extend(job for future, job in running.items() if not _succeeded(future))
                yield from (future.result() for future in running if _succeeded(future))

    @contextmanager
    def _pool(self, workers: int) -> Iterator[ProcessPoolExecutor]:
        context = multiprocessing.get_context("spawn")
        with _single_threaded():
            try:
                pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_initialise_worker)
            except OSError as error:  # semaphores live in shared memory, which some containers lack
                raise WorkerError(
                    f"Worker processes need shared memory (/dev/shm on Linux), which cannot be used here: "
                    f"{error.strerror}. Run without them: --workers 0, RunOptions(workers=0)."
                ) from None
            try:
                yield pool
            finally:
                processes = list((pool._processes or {}).values())
                pool.shutdown(wait=False, cancel_futures=True)
                for process in processes:
                    process.terminate()


def _not_started(processes: Sequence[BaseProcess]) -> WorkerError:
    """The error that says, from the exit codes of the workers, why none could be started."""
    codes = [_exit_code(process) for process in processes]
    if UNGUARDED in codes:
        return WorkerError(_GUARD.format(script=_script()))
    own = {code for code in codes if code not in (None, -signal.SIGTERM)}  # the pool terminates those that still live
    found = ", ".join(map(str, sorted(own))) or "unknown"
    return WorkerError(
        "A worker process should be ready before it gets its first trial. All ended before they were, with the exit "
        f"code {found}; what they said stands above. Workers import the main module, here {_script()}: see that it can "
        "be imported and starts nothing then, or run without worker processes (--workers 0, RunOptions(workers=0))."
    )


def _exit_code(process: BaseProcess) -> int | None:
    """The exit code of a process that is ending; None if it has not ended within a second."""
    deadline = time.monotonic() + 1.0
    while process.exitcode is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.exitcode


def _succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _record_of(future: Future[Record], job: Job) -> Record:
    """The record of a finished job; a job that could not be sent to a worker is recorded as a failed trial."""
    error = future.exception()
    if error is None or isinstance(error, BrokenProcessPool):
        return future.result()
    return failed_record(*job, type(error).__name__, str(error), "")


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Give the processes that are started in the block one thread each.

    They inherit the environment, and numerical libraries read these variables when they are loaded.
    """
    before = {name: os.environ.get(name) for name in (*THREAD_VARIABLES, _WORKER)}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that are started in the block ignore Ctrl-C, even before they run their first line."""
    if not hasattr(signal, "pthread_sigmask"):  # pragma: no cover - a platform without signal masks
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _initialise_worker() -> None:
    """Set up a worker: it has one thread, leaves Ctrl-C to its parent, and ends when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)
