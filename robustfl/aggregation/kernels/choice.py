"""Which kernels a matrix gets: compiled, plain numpy, or those of an accelerator."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from types import ModuleType

from robustfl.aggregation.kernels.base import Kernels
from robustfl.aggregation.kernels.host import Host

COMPILE_FROM = 1 << 14
"""Smallest size of a matrix, in numbers, for compiled kernels: below it, their calls cost more than the arithmetic."""

MOST_POINTS = 128
"""Largest number of points whose Gram is worth compiled loops, which sum in the order in which numpy sums so many."""


def kernels_for(device: str | None, size: int) -> Kernels:
    """The version of the operations for a matrix of `size` numbers on `device`, where None is the host."""
    if device is not None:
        from robustfl.aggregation.kernels.device import Device

        return Device(device)
    if size < COMPILE_FROM or not _has_numba():
        return Host()
    from robustfl.aggregation.kernels.compiled_host import Compiled

    return Compiled()


def gram_loops(points: int) -> ModuleType | None:
    """The compiled loops over a Gram of so many points, or None: without numba, and where numpy is as fast."""
    return _gram_loops() if points <= MOST_POINTS else None


@cache
def _gram_loops() -> ModuleType | None:
    if not _has_numba():
        return None
    from robustfl.aggregation.kernels import compiled_gram

    return compiled_gram


@cache
def _has_numba() -> bool:
    """Whether numba may be used: platforms without it, and programs that set ROBUSTFL_COMPILED=0, use only numpy."""
    return os.environ.get("ROBUSTFL_COMPILED", "1") != "0" and find_spec("numba") is not None
