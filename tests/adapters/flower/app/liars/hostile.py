"""What a node may send in place of a model, one kind a round."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord

from liars.task import Model


def _floats(change: Callable[[Any], Any]) -> Callable[[Model, Model], ArrayRecord]:
    def lie(sent: Model, own: Model) -> ArrayRecord:
        return record({name: change(value) if value.dtype.kind == "f" else value for name, value in own.items()})

    return lie


def _scaled(sent: Model, own: Model) -> ArrayRecord:
    return record({name: sent[name] - 50 * (value - sent[name]) for name, value in own.items()})


def _pickled(sent: Model, own: Model) -> ArrayRecord:
    archive = BytesIO()
    np.save(archive, np.array([{}], dtype=object), allow_pickle=True)
    arrays = record(own)
    arrays["weight"] = Array("float32", (64, 10), "numpy.ndarray", archive.getvalue())
    return arrays


def _dead(sent: Model, own: Model) -> ArrayRecord:
    raise RuntimeError("the client died")


def record(model: Model) -> ArrayRecord:
    """A model as Flower sends it."""
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in model.items()})


KINDS: dict[str, Callable[[Model, Model], ArrayRecord]] = {
    "scaled": _scaled,
    "nan": _floats(lambda value: value * np.float32(np.nan)),
    "huge": _floats(lambda value: np.full_like(value, 1e38)),
    "wide": _floats(lambda value: np.full(value.shape, 1e300)),
    "names": lambda sent, own: record({name + "x": value for name, value in own.items()}),
    "axis": _floats(lambda value: value[None]),
    "counter": lambda sent, own: record({**own, "norm.num_batches_tracked": np.array(2**62)}),
    "pickled": _pickled,
    "dead": _dead,
    "no arrays": lambda sent, own: ArrayRecord(),
}
ACCEPTED = ("scaled", "counter")
"""The kinds that are models like the one that was sent: no server can refuse them, the rule has to withstand them."""
