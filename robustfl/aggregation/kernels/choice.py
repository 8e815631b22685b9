"""Which kernels a matrix gets: compiled, plain numpy, or those of an accelerator."""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from robustfl.aggregation.kernels.base import Kernels
from robustfl.aggregation.kernels.host import Host

COMPILE_FROM = 1 << 10
"""Smallest size of a matrix, in numbers, for compiled kernels. They are faster at any size, but have to be loaded, and
compiled where nobody has used them before: that is not worth it for a handful of numbers."""

MOST_POINTS = 128
"""Largest number of points whose Gram is worth compiled loops, which sum in the order in which numpy sums so many."""


def kernels_for(device: str | None, size: int) -> Kernels:
    """The version of the operations for a matrix of `size` numbers on `device`, where None is the host."""
    if device is not None:
        from robustfl.aggregation.kernels.device import Device

        return Device(device)
    return host_kernels(size)


def host_kernels(size: int) -> Host:
    """The version of the operations for a matrix of `size` numbers on the host."""
    return Host() if size < COMPILE_FROM or not compiles() else _compiled()


@cache
def _compiled() -> Host:
    from robustfl.aggregation.kernels.compiled_host import Compiled

    return Compiled()


def gram_loops(points: int) -> ModuleType | None:
    """The compiled loops over a Gram of so many points, or None: without numba, and where numpy is as fast."""
    return _gram_loops() if points <= MOST_POINTS else None


@cache
def _gram_loops() -> ModuleType | None:
    if not compiles():
        return None
    from robustfl.aggregation.kernels import compiled_gram

    return compiled_gram


@cache
def spectrum_loops() -> ModuleType:
    """The compiled loops around eigenpairs, for Grams that have :func:`gram_loops`."""
    from robustfl.aggregation.kernels import compiled_spectrum

    return compiled_spectrum


@cache
def compiles() -> bool:
    """Whether numba may be used: platforms without it, and programs that set ROBUSTFL_COMPILED=0, use only numpy.

    Where it is there and cannot work, numpy steps in, and one warning says why.
    """
    if os.environ.get("ROBUSTFL_COMPILED", "1") == "0" or find_spec("numba") is None:
        return False
    reason = _lame()
    if reason is not None:
        warnings.warn(
            f"The kernels in numpy step in for the compiled ones, which are faster: {reason}. "
            "ROBUSTFL_COMPILED=0 chooses them without this warning.",
            RuntimeWarning,
            stacklevel=2,
        )
    return reason is None


def _lame() -> str | None:
    """Why numba, which is installed, cannot compile kernels, or None if it can."""
    try:
        if import_module("numba").config.DISABLE_JIT:
            return "numba was told not to compile (NUMBA_DISABLE_JIT)"
        import_module("robustfl.aggregation.kernels.compiled_host")
    except Exception as error:  # installations that do not fit together raise all sorts of errors
        return f"numba cannot be loaded ({type(error).__name__}: {error})"
    return None
