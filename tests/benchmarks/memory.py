"""The most memory that a call needs beside what was there before it."""

from __future__ import annotations

import ctypes
import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def traced_growth(call: Callable[[], Any]) -> int:
    """Peak bytes as Python and numpy allocate them; blind for torch, compiled code and BLAS."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def resident_growth(call: Callable[[], Any]) -> int:
    """Peak growth of the process in bytes, whoever allocated; counts file pages, and misses memory kept from before.

    On Linux the peak is reset first. Elsewhere it is the highest of the whole life of the process, so the growth is a
    lower bound there unless the process is young.
    """
    gc.collect()
    _trim()
    if sys.platform == "linux":
        _CLEAR.write_text("5")
        before = _status("VmRSS")
        call()
        return max(0, _status("VmHWM") - before)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * unit


def extra_memory(call: Callable[[], Any]) -> int:
    """The larger of both views, in bytes: each sees what the other misses. The result of the call counts too."""
    return max(traced_growth(call), resident_growth(call))


def peak() -> int:
    """The largest resident size of this process so far, in bytes. Only Linux tells that of the process alone."""
    return _status("VmHWM")


def _status(field: str) -> int:
    """A line of the process's status in bytes. `getrusage` will not do: a child inherits its parent's peak there."""
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_STATUS} has no line {field!r}.")


def _trim() -> None:
    """Give freed memory back to the system, so that using it again shows as growth; only glibc has the call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
