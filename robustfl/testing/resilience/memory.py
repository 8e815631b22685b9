"""Remembers trials from one run of the tests to the next, by what they are and by the code that decides them."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path

from robustfl.errors import StoreError
from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.store import write_atomically
from robustfl.evaluation.run.executors import Executor, Job, Serial
from robustfl.evaluation.run.play import Resources


class Memory:
    """An executor that plays a trial only where no record of it, made by the same code, is in its folder.

    A record is kept under the id of its trial and its fingerprint (code, versions, data), in a file of its own that is
    written in one step. Tests, also in several processes, can therefore share a folder, and who switches back to
    earlier code finds its records. Failed trials are not kept. A file that holds no such record is played over.

    Parameters
    ----------
    folder : where records are kept; None to keep nothing
    fresh : whether everything is played, whatever is kept
    """

    def __init__(self, folder: Path | None, *, fresh: bool = False, executor: Executor | None = None) -> None:
        self.folder, self.fresh = folder, fresh
        self.executor = executor or Serial()
        self.played: list[Record] = []
        """The records of the trials that were played, in the order in which they ended."""
        self.remembered = 0
        """The number of trials that were not."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def run(self, jobs: Sequence[Job], place: Resources) -> Generator[Record]:
        """The record of each job: first those that are kept, then the others."""
        left: list[Job] = []
        for job in jobs:
            record = self._kept(job)
            if record is None:
                left.append(job)
            else:
                self.remembered += 1
                yield record
        for record in self.executor.run(left, place):
            self.played.append(record)
            if record["status"] != "failed" and self.folder is not None:
                content = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
                write_atomically(self._file(record["trial"], record["fingerprint"]), content)
            yield record

    def _file(self, trial: str, fingerprint: str) -> Path:
        if self.folder is None:
            raise StoreError("There is no folder to keep records in.")
        return self.folder / f"{trial}-{fingerprint}.json"

    def _kept(self, job: Job) -> Record | None:
        if self.folder is None or self.fresh:
            return None
        trial, fingerprint = job
        try:
            record: Record = json.loads(self._file(trial.id, fingerprint).read_bytes())
            same = (record["schema"], record["trial"], record["fingerprint"]) == (SCHEMA, trial.id, fingerprint)
        except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is no record
            return None
        return record if same else None
