"""`--executor submitit`: trials as an array of jobs of Slurm, or of processes on this machine.

The folder of the run has to be on a disk that all machines share. Trials go out in chunks. Every task of the array
plays one chunk and appends each record, as soon as it exists, to a file of its own; the driver merges these files. What
a task had not played when it was killed, or when its time was over, is tried once more, every trial alone. The data are
read where the task runs, and every task compares its code, its versions and its data with those of the driver.

`--address` says where: `local` for processes on this machine, `slurm` for a cluster; without it, Slurm is taken where
there is one. Parameters of Slurm follow as a list: ``--address slurm,slurm_partition=cpu,timeout_min=240``.
"""

from __future__ import annotations

import pickle
import re
import shutil
import time
from collections.abc import Generator, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from robustfl.errors import MissingExtraError, ParameterError, WorkerError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.clusters.contract import Arrived, Ended, Event, Handle, Parcel, Refused, Wanted
from robustfl.evaluation.run.clusters.probing import Look, Subject
from robustfl.evaluation.run.clusters.retrying import played
from robustfl.evaluation.run.clusters.working import unpacked, work
from robustfl.evaluation.run.executors import Job
from robustfl.evaluation.run.play import Resources

CHUNKS = 4
"""Chunks for each task that may run at a time on a cluster: the last tasks then end at about the same time."""

LOOK = 0.5
"""Seconds between two looks at the files of records."""

FOLDER = "submitted"


class SubmititExecutor:
    """Plays trials as an array of jobs, through submitit.

    Parameters
    ----------
    folder : where chunks, their records and the logs of tasks lie; on a disk that all machines share
    tasks : how many tasks may run at a time
    cluster : "local", "slurm", or None for Slurm where there is one and local otherwise
    parameters : what `submitit.AutoExecutor.update_parameters` takes, such as `timeout_min`

    Raises
    ------
    MissingExtraError : submitit is not installed
    ParameterError : there is no such cluster, or `tasks` is less than 1
    """

    _calls = count(1)

    def __init__(
        self, folder: Path, *, tasks: int = 2, cluster: str | None = None, parameters: dict[str, Any] | None = None
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise MissingExtraError("`--executor submitit` needs submitit: pip install 'robustfl[submitit]'.") from None
        if cluster not in (None, "local", "slurm"):
            raise ParameterError(f"`cluster` should be 'local' or 'slurm'. Found cluster={cluster!r}.")
        if tasks < 1:
            raise ParameterError(f"`tasks` should be at least 1. Found tasks={tasks}.")
        self._submitit: Any = submitit
        self._folder, self._tasks, self._cluster = folder.resolve(), tasks, cluster
        self._parameters = parameters or {}

    @classmethod
    def wanted(cls, wanted: Wanted) -> SubmititExecutor:
        cluster, *pairs = (wanted.address or "").split(",")
        unread = [pair for pair in pairs if "=" not in pair]
        if unread:
            raise ParameterError(f"After the cluster, --address should have pairs name=value. Found {unread[0]!r}.")
        parameters = {name: _value(text) for name, _, text in (pair.partition("=") for pair in pairs)}
        tasks = max(1, wanted.workers)
        return cls(wanted.out / FOLDER, tasks=tasks, cluster=cluster or None, parameters=parameters)

    def close(self) -> None:
        """Nothing is held between two runs."""

    def run(self, jobs: Sequence[Job], place: Resources) -> Generator[Record]:
        """Play the jobs; see :class:`robustfl.evaluation.run.executors.Executor`.

        Raises
        ------
        ParameterError : `place` asks for a device other than the CPU
        WorkerError : the array cannot be submitted, or several trials failed for one reason that is not theirs
        """
        if place.device != "cpu":
            raise ParameterError(f"On a cluster, `device` should be 'cpu'. Found device={place.device!r}.")
        folder = self._folder / f"{int(time.time())}.{next(self._calls)}"
        folder.mkdir(parents=True)
        array = _Array(self._submitit, self._auto(folder), self._tasks, folder, place, jobs)
        size = -(-len(jobs) // ((1 if array.local else CHUNKS) * self._tasks))
        for parcel in played(jobs, array, size=max(1, size)):
            yield unpacked(parcel, place)
        array.settle()
        shutil.rmtree(folder)  # everything in it has been merged; after an error it stays, with the logs of the tasks

    def _auto(self, folder: Path) -> Any:
        try:
            executor = self._submitit.AutoExecutor(folder=folder / "logs", cluster=self._cluster)
            given = {"cpus_per_task": 1, "timeout_min": 24 * 60, "name": "robustfl", **self._parameters}
            if executor.cluster == "slurm":
                given.setdefault("slurm_array_parallelism", self._tasks)
            executor.update_parameters(**given)
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise WorkerError(f"submitit cannot be set up: {error}") from error
        return executor


class _Array:
    """Batches that are collected until the driver asks for events, and then submitted as one array."""

    def __init__(
        self, submitit: Any, executor: Any, tasks: int, folder: Path, place: Resources, jobs: Sequence[Job]
    ) -> None:
        self._submitit, self._executor, self._folder, self._place = submitit, executor, folder, place
        self.local = executor.cluster == "local"  # where all tasks of an array start at once
        self._room = tasks if self.local else max(1, len(jobs))
        self._expected = Look.at(Subject.of(trial for trial, _ in jobs), place.data_root)
        self._number = count(1)
        self._collected: list[int] = []
        self._tasks: dict[int, Any] = {}
        self._read: dict[int, int] = {}

    def room(self) -> int:
        return self._room

    def submit(self, batch: Sequence[Job]) -> Handle:
        number = next(self._number)
        self._jobs(number).write_bytes(pickle.dumps((list(batch), self._place, self._expected)))
        self._collected.append(number)
        return number

    def events(self) -> Iterable[Event]:
        if self._collected:
            numbers, self._collected = self._collected, []
            try:
                tasks = self._executor.map_array(
                    play_chunk, [self._jobs(n) for n in numbers], [self._records(n) for n in numbers]
                )
            except (self._submitit.core.utils.FailedJobError, OSError) as error:
                raise WorkerError(f"The array cannot be submitted: {str(error).strip()}") from error
            self._tasks.update(zip(numbers, tasks, strict=True))
        time.sleep(LOOK)
        for number, task in list(self._tasks.items()):
            ended = task.done()  # asked before the file is read, so that nothing is written in between
            for parcel in self._new(number):
                yield Arrived(number, parcel)
            if ended:
                del self._tasks[number]
                yield self._end(number, task)

    def _end(self, number: int, task: Any) -> Event:
        """How a task ended: an exception means that it could not work, as trials that raise have records."""
        error = task.exception()
        if not isinstance(error, self._submitit.core.utils.FailedJobError):  # all is well, or the task was killed
            return Ended(number)
        raised = re.findall(r"^[\w.]+: .+$", str(error), flags=re.MULTILINE)  # the last line of the traceback in it
        return Refused(number, "TaskFailed", raised[-1] if raised else "A task failed without a word.")

    def settle(self) -> None:
        """Wait until tasks whose records have arrived have ended, and write no more logs."""
        for task in self._tasks.values():
            task.wait()

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def _new(self, number: int) -> Generator[Parcel]:
        """The parcels in the file of a chunk that were not read yet; one that is not complete waits."""
        path, start = self._records(number), self._read.get(number, 0)
        content = path.read_bytes()[start:] if path.exists() else b""
        while len(content) >= HEAD and len(content) >= HEAD + (length := int(content[:HEAD], 16)):
            yield pickle.loads(content[HEAD : HEAD + length])
            content = content[HEAD + length :]
            start += HEAD + length
        self._read[number] = start

    def _jobs(self, number: int) -> Path:
        return self._folder / f"{number}.jobs"

    def _records(self, number: int) -> Path:
        return self._folder / f"{number}.records"


HEAD = 16
"""The number of hexadecimal digits before each parcel in a file of records: its length in bytes."""


def play_chunk(jobs: Path, records: Path) -> None:
    """What a task does: play the jobs of a file, and append the parcel of each to another one as soon as it exists."""
    batch, place, expected = pickle.loads(jobs.read_bytes())
    for job in batch:
        content = pickle.dumps(work(job, place, expected))
        with records.open("ab") as file:
            file.write(f"{len(content):0{HEAD}x}".encode() + content)


def _value(text: str) -> Any:
    return int(text) if text.lstrip("-").isdigit() else text


__all__ = ["SubmititExecutor"]
