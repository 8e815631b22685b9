"""Where numbers come from: versions, machine, and the data behind them."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from robustfl import __version__
from robustfl.evaluation.labels import MOST_LISTED
from robustfl.evaluation.machine import commit, installed, processor_name
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.summaries import Histogram
from robustfl.evaluation.suite.scenario import World
from robustfl.federation.data.dataset import Data
from robustfl.federation.data.partitions import class_histogram
from robustfl.federation.streams import stream
from robustfl.federation.task import Task


def provenance(device: str) -> dict[str, Any]:
    """The versions and the properties of the machine that can change a number or a time."""
    state = commit()
    facts = {"robustfl": __version__, **({"commit": state} if state else {}), "python": platform.python_version()}
    facts |= {name: installed(name) for name in ("numpy", "torch", "scipy", "scikit-learn")}
    system = f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}"
    machine = {"platform": system, "processor": processor_name(), "cores": os.cpu_count() or 1}
    return {**facts, **machine, "device": device}


def machines(records: Iterable[Record]) -> dict[str, Any]:
    """The processors and the versions of Python of a cluster, where records come from one, in place of the driver's.

    `machines` is their number. It is told only if there are several: then equal trials need not agree in every bit.
    """
    found = {(on["processor"], on["python"]) for record in records if (on := record.get("ran_on")) is not None}
    if not found:
        return {}
    processors, versions = (" and ".join(sorted(set(names))) for names in zip(*found, strict=True))
    return {"processor": processors, "python": versions, **({"machines": len(found)} if len(found) > 1 else {})}


def data_fingerprint(data: Data, root: Path | None) -> str:
    """A hash of the samples, labels and owners themselves, so that other data under the same name are told apart."""
    dataset = data.load(root)
    digest = hashlib.blake2b(digest_size=8)
    owners = () if dataset.train_owners is None else (dataset.train_owners,)
    for array in (dataset.train_x, dataset.train_y, dataset.test_x, dataset.test_y, *owners):
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def histogram(world: World, seed: int, f: int, root: Path | None) -> Histogram:
    """The number of samples of each class that clients have, and the malicious ones of `f`, for one seed.

    Of more than `MOST_LISTED` clients so many are shown, spread evenly over all.
    """
    task = Task(data=world.task.data, model=world.task.model, partition=world.task.partition)
    clients = world.federation.clients
    dataset, parts = task.parts(clients, seed, root)
    malicious = stream(seed, "identities").permutation(clients)[:f]
    shown = np.linspace(0, clients - 1, min(clients, MOST_LISTED)).astype(np.int64)
    counts = class_histogram(dataset.train_y, parts, len(dataset.classes), shown)
    found: Histogram = {
        "classes": list(dataset.classes),
        "seed": seed,
        "counts": counts.tolist(),
        "malicious": np.intersect1d(malicious, shown).tolist(),
        "notes": list(dataset.notes),
    }
    return found if len(shown) == clients else {**found, "clients": shown.tolist(), "left_out": clients - len(shown)}
