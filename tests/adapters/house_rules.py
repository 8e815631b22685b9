"""Functions as a user has them, for `test_functions.py`; the helper is in a file beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.adapters.house_helper import lowest


def house(rows: Any, f: int) -> Any:
    return np.sort(rows, axis=0)[lowest(f) : len(rows) - f].mean(axis=0)


def middle(rows: Any) -> Any:
    return np.median(rows, axis=0)


def in_torch(rows: Any) -> Any:
    assert isinstance(rows, torch.Tensor)
    return rows.median(dim=0).values


def opposite(honest: Any, f: int) -> Any:
    return -10.0 * honest.mean(axis=0)


def curious(own: Any, aggregate: Any, rng: Any, honest: Any) -> Any:
    answer = aggregate(np.concatenate([own, honest]))
    return own + rng.normal(size=own.shape) * np.abs(answer).max()


class Trimmed:
    """An aggregator of another library, as an object."""

    def __init__(self, cut: int) -> None:
        self.cut = cut

    def __call__(self, rows: Any) -> Any:
        return self.aggregate(rows)

    def aggregate(self, rows: Any) -> Any:
        return np.sort(rows, axis=0)[self.cut : len(rows) - self.cut].mean(axis=0)
