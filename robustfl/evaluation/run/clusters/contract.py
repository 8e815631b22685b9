"""What a cluster does for :func:`robustfl.evaluation.run.clusters.retrying.played`, and what it tells."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.executors import Executor, Job

Handle = Hashable
"""What a cluster calls a batch of jobs that was handed to it."""


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A record, and the files that its trial has left, by their paths below the folder of the run."""

    record: Record
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrived:
    """The record of a job has arrived."""

    handle: Handle
    parcel: Parcel


@dataclass(frozen=True)
class Ended:
    """A batch has ended; its jobs without a record are lost, through their own fault or that of a machine.

    It need not be told of a batch whose records have all arrived.
    """

    handle: Handle


@dataclass(frozen=True)
class Refused:
    """A worker could not even begin with a batch: its code cannot be imported, or a trial cannot be sent."""

    handle: Handle
    kind: str
    message: str


Event = Arrived | Ended | Refused


class Cluster(Protocol):
    """Workers somewhere, to which batches of jobs are handed."""

    def room(self) -> int:
        """The number of batches that may be in flight; it may change while a run goes on."""

    def submit(self, batch: Sequence[Job]) -> Handle:
        """Hand over a batch; nothing that is lost may be tried again by the cluster itself."""

    def events(self) -> Iterable[Event]:
        """What has happened since the last call; it waits a while if nothing has."""

    def cancel(self) -> None:
        """End what is still in flight."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks of an executor: its workers, the `address` of a cluster, and the folder of the run."""

    workers: int
    address: str | None
    out: Path


class Commanded(Executor, Protocol):
    """An executor that the command line can make; an entry point of the group `robustfl.executors` names its class."""

    @classmethod
    def wanted(cls, wanted: Wanted) -> Commanded:
        """The executor for this request.

        Raises MissingExtraError when a package is missing, WorkerError when it cannot be had as it was asked for.
        """

    def close(self) -> None:
        """Give back what the executor has taken, once a run is over."""
