"""What the rules are compared with, on the same matrix and in the same run.

Two references bound what is possible: the column mean reads every number once, and the Gram pass is the blocked matrix
product with the weighted sum that every geometric rule needs. The others are what one would write without robustfl.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from tests.benchmarks.grid import Cell
from tests.benchmarks.peers.libraries import BYZFL as BYZFL_LIBRARY
from tests.benchmarks.peers.libraries import find
from tests.benchmarks.subjects import Subject

Array = Any
Reference = Callable[[Array, int], Any]
"""(matrix [n, d], f) -> something; only the time counts."""

BLOCK = 8192


def column_mean(x: Array, f: int) -> Array:
    return x.mean(0)


def gram_pass(x: Array, f: int) -> Any:
    """`X @ X.T` in float32 over blocks of columns, summed in float64, and then `w @ X`."""
    total = np.zeros((len(x), len(x)))
    for start in range(0, x.shape[1], BLOCK):
        block = x[:, start : start + BLOCK]
        total += block @ block.T
    return total, np.full(len(x), 1 / len(x), dtype=x.dtype) @ x


def device_gram_pass(x: Array, f: int) -> Any:
    """`X @ X.T` and `w @ X` in float32, on the tensor's device."""
    return x @ x.T, x.new_full((len(x),), 1 / len(x)) @ x


def numpy_median(x: Array, f: int) -> Array:
    return np.median(x, axis=0)


def numpy_sort(x: Array, f: int) -> Array:
    """A trimmed mean by `np.sort(axis=0)`."""
    return np.sort(x, axis=0)[f : len(x) - f].mean(axis=0)


def torch_sort(x: Array, f: int) -> Any:
    """A trimmed mean by `torch.sort`."""
    import torch

    return torch.as_tensor(x).sort(dim=0).values[f : len(x) - f].mean(dim=0)


def torch_cdist_krum(x: Array, f: int) -> Any:
    """Krum by `torch.cdist`."""
    import torch

    rows = torch.as_tensor(x)
    nearest = torch.cdist(rows, rows).square().sort(dim=1).values
    return rows[nearest[:, 1 : len(x) - f - 1].sum(dim=1).argmin()]


def torch_svd(x: Array, f: int) -> Any:
    """The projection of the mean on the main directions of the rows, by an SVD of the whole matrix."""
    import torch

    rows = torch.as_tensor(x)
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)
    main = directions[: math.ceil((len(x) + 1) / 2)]
    return main.T @ (main @ rows.mean(dim=0))


BOUNDS: dict[str, Reference] = {"column mean": column_mean, "Gram pass": gram_pass}
DEVICE_BOUNDS: dict[str, Reference] = {"column mean": column_mean, "Gram pass": device_gram_pass}

_ORDER: dict[str, Reference] = {"np.median": numpy_median, "np.sort": numpy_sort, "torch.sort": torch_sort}
_DISTANCES: dict[str, Reference] = {"torch.cdist": torch_cdist_krum}
_SPECTRUM: dict[str, Reference] = {"torch SVD": torch_svd}
PEERS = {
    "median": _ORDER, "trimmed_mean": _ORDER, "krum": _DISTANCES, "multi_krum": _DISTANCES,
    "flag": _SPECTRUM, "dnc": _SPECTRUM, "caf": _SPECTRUM,
}  # fmt: skip

SMALL = 10_000
"""Columns up to which the library ByzFL takes part, if it is installed: beyond them it is not what is in question."""

BYZFL: dict[str, Callable[[Any, int], Any]] = {
    "mean": lambda library, f: library.Average(),
    "median": lambda library, f: library.Median(),
    "trimmed_mean": lambda library, f: library.TrMean(f),
    "krum": lambda library, f: library.Krum(f),
    "multi_krum": lambda library, f: library.MultiKrum(f),
    "geometric_median": lambda library, f: library.GeometricMedian(),
    "centered_clipping": lambda library, f: library.CenteredClipping(),
    "caf": lambda library, f: library.CAF(f),
    "mda": lambda library, f: library.MDA(f),
    "monna": lambda library, f: library.MoNNA(f),
    "meamed": lambda library, f: library.Meamed(f),
}
"""Our names of rules -> (its module `byzfl.aggregators`, f) -> its rule."""

BYZFL_BEFORE: dict[str, Callable[[Any, int], Any]] = {
    "nnm": lambda library, f: library.NNM(f),
    "arc": lambda library, f: library.ARC(f),
}


@cache
def byzfl_rules() -> ModuleType | None:
    """The rules of ByzFL, or None where it is not installed.

    Raises ImportError where it is installed and cannot be imported.
    """
    found = find(BYZFL_LIBRARY)
    if found.missing and found.version:
        raise ImportError(f"byzfl {found.version} takes no part: {found.missing}. Mend or uninstall it.")
    return None if found.missing else import_module("byzfl.aggregators")


def byzfl(subject: Subject, x: Array, f: int) -> Any:
    """The same rule of ByzFL on a tensor; some of its iterations end early, where ours run to the end."""
    import torch

    aggregators, rows = byzfl_rules(), torch.as_tensor(x)
    if subject.before is not None:
        rows = BYZFL_BEFORE[subject.before.name](aggregators, f)(rows)
    return BYZFL[subject.rule.name](aggregators, f)(rows)


def bounds(subject: Subject, device: str) -> dict[str, Reference]:
    """The references that are timed in every round: no Gram pass for rules that are known not to need one."""
    known = DEVICE_BOUNDS if device != "cpu" else BOUNDS
    spared = subject.geometry == "none" and subject.family != "other"
    return {"column mean": known["column mean"]} if spared else known


def peers(subject: Subject, cell: Cell) -> dict[str, Reference]:
    """What one would write without robustfl in place of the subject; empty where nothing plain does the same."""
    if 2 * cell.f >= cell.n:
        return {}
    plain = PEERS.get(subject.rule.name, {}) if subject.before is None else {}
    known = subject.rule.name in BYZFL and (subject.before is None or subject.before.name in BYZFL_BEFORE)
    beside = known and cell.d <= SMALL and byzfl_rules() is not None
    return {**plain, "byzfl": partial(byzfl, subject)} if beside else plain
