"""Plays jobs on a cluster: how many are in flight, what is tried again, and when a run stops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence

from robustfl.errors import WorkerError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.clusters.contract import Arrived, Cluster, Handle, Parcel, Refused
from robustfl.evaluation.run.clusters.working import DIFFERS
from robustfl.evaluation.run.executors import Job
from robustfl.evaluation.run.play import failed_record

SAME = 3
"""The number of different trials that fail on workers for one reason before the run stops: the reason is not theirs."""

DIED = "The worker or its machine was lost twice while it ran this trial, the second time alone."


def played(jobs: Sequence[Job], cluster: Cluster, *, size: int = 1) -> Generator[Parcel]:
    """Play the jobs in batches of `size`, and yield what arrives, in the order in which it arrives.

    A job that was in flight when its worker or machine was lost is tried once more alone, after all others, so that
    one that kills its worker cannot take others with it. If it is lost again, its record says so: `WorkerDied`. A batch
    that a worker cannot begin with becomes failed records at once.

    Raises
    ------
    WorkerError : :data:`SAME` different trials failed on workers for the same reason
    """
    flight = _Flight(cluster)
    try:
        waiting = [jobs[start : start + size] for start in range(0, len(jobs), size)][::-1]
        while waiting or flight.batches:
            while waiting and len(flight.batches) < cluster.room():
                flight.start(waiting.pop())
            yield from flight.step()
        for job in flight.lost_jobs():
            flight.start([job])
            while flight.batches:
                yield from flight.step()
            for trial, fingerprint in flight.lost_jobs():
                yield Parcel(record=failed_record(trial, fingerprint, "WorkerDied", DIED, ""))
    finally:
        if flight.batches:
            cluster.cancel()


class _Flight:
    """The batches in flight, by handle: for each, the jobs whose records have not arrived."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.batches: dict[Handle, dict[str, Job]] = {}
        self._lost: list[Job] = []
        self._reasons: defaultdict[str, set[str]] = defaultdict(set)

    def start(self, batch: Sequence[Job]) -> None:
        self.batches[self._cluster.submit(batch)] = {job[0].id: job for job in batch}

    def lost_jobs(self) -> list[Job]:
        """The jobs that were lost since the last question."""
        lost, self._lost = self._lost, []
        return lost

    def step(self) -> Generator[Parcel]:
        """Yield what has arrived by now."""
        for event in self._cluster.events():
            if event.handle not in self.batches:  # told twice, as after a connection that was lost for a moment
                continue
            if isinstance(event, Arrived):
                left = self.batches[event.handle]
                if left.pop(event.parcel.record["trial"], None) is None:
                    continue
                if not left:  # the batch has ended, whether its cluster says so or not
                    del self.batches[event.handle]
                yield event.parcel
                self._notice(event.parcel.record)
                continue
            left = self.batches.pop(event.handle)
            if not isinstance(event, Refused):
                self._lost.extend(left.values())
                continue
            for trial, fingerprint in left.values():
                record = failed_record(trial, fingerprint, event.kind, event.message, "")
                yield Parcel(record=record)
                self._notice(record, always=True)

    def _notice(self, record: Record, *, always: bool = False) -> None:
        """Stop when several trials failed for one reason that is not theirs: that of a refusal by a worker."""
        error = record.get("error") or {}
        message, refused = error.get("message"), error.get("type") == DIFFERS
        if not message or not (always or refused):
            return
        self._reasons[message].add(record["trial"])
        if len(self._reasons[message]) >= SAME:
            raise WorkerError(
                f"{SAME} trials failed on workers for the same reason, so the run stops; finished trials are stored. "
                f"The reason: {message}"
            )
