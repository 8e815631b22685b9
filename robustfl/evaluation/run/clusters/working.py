"""What a worker does: from a trial to its record and the files of the trial, with no effect on anything else."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import cast

from robustfl.errors import WorkerError
from robustfl.evaluation.machine import processor_name
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.store import write_atomically
from robustfl.evaluation.run.clusters.contract import Parcel
from robustfl.evaluation.run.clusters.probing import Look, Subject, fingerprint_of
from robustfl.evaluation.run.executors import Job, one_thread
from robustfl.evaluation.run.play import Resources, failed_record, run_trial

DIFFERS = "CodeDiffers"
"""The type of the error of a trial that a worker refuses, because it would play another one."""


def work(job: Job, place: Resources, expected: Look) -> Parcel:
    """Play a trial in this process with one thread, and return its record with the files that it has left.

    The fingerprint is computed anew, from the code, the versions and the data that this process has. If it is not that
    of the job, the trial is not played, and its record says in what this process differs from `expected`.
    """
    trial, fingerprint = job
    if trial.fingerprint(fingerprint_of(trial.scenario.task.data, place.data_root)) != fingerprint:
        found = expected.against(Look.at(Subject.of([trial]), place.data_root))
        message = f"A worker has {found or 'other code'}, so it would play another trial. Give it what the driver has."
        return Parcel(record=_here(failed_record(trial, fingerprint, DIFFERS, message, "")))
    with TemporaryDirectory(prefix="robustfl-") as folder, one_thread():
        out = Path(folder)
        kept = None if place.ledgers is None else replace(place.ledgers, out=out)
        shown = None if place.exhibits is None else replace(place.exhibits, out=out)
        record = run_trial(trial, replace(place, ledgers=kept, exhibits=shown), fingerprint)
        files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return Parcel(record=_here(record), files=files)


def unpacked(parcel: Parcel, place: Resources) -> Record:
    """The record of a parcel, once the files of its trial are in the folder of the run.

    Raises WorkerError when a file is not one of that trial.
    """
    folders = {kept.folder.name: kept.folder for kept in (place.ledgers, place.exhibits) if kept is not None}
    for name, content in parcel.files.items():
        path = PurePosixPath(name)
        if len(path.parts) != 2 or path.parts[0] not in folders or path.stem != parcel.record["trial"]:
            raise WorkerError(
                f"A worker sent the file {name!r} with trial {parcel.record['trial']}, which has none such."
            )
        folder = folders[path.parts[0]]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / path.name, content)
    return parcel.record


def _here(record: Record) -> Record:
    """The record with the machine that it comes from; this is no part of what is compared."""
    return cast("Record", {**record, "ran_on": {"processor": processor_name(), "python": platform.python_version()}})
