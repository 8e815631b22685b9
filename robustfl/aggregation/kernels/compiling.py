"""How functions become compiled kernels, and what may go wrong with that without an aggregation being lost.

A compiled kernel is kept in a cache on disk. The cache is a convenience: where it cannot be read (a file cut short) or
written (a full disk, a folder that became read-only), the kernel is compiled for this process, and one warning says so.

A process that is forked while another of its threads compiles would inherit the lock of the compiler without the thread
that holds it, and wait for ever at its own first kernel. So a fork waits until the kernel in work is compiled.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """The function, which is compiled at its first call and runs without the interpreter lock."""
    return _compiled(function)


def quick_sums(function: F) -> F:
    """A :func:`kernel` in which the compiler may regroup sums of floats, so that loops use whole registers."""
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


def _compiled(function: F, **options: Any) -> F:
    compiled = njit(nogil=True, error_model="numpy", **options)(function)
    try:
        compiled._cache = KernelCache(function)  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:  # neither the package's folder nor the user's can be written to
        _without_cache("has no folder", error)
    return cast(F, compiled)


class KernelCache(FunctionCache):
    """numba's cache of one function, whose faults cost time and never a result."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The stored kernel, or None if there is none that can be read; then it is compiled, and stored again."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception as error:  # a file cut short can raise anything while it is unpickled
            _without_cache(f"cannot be read in {self.cache_path}", error)
        try:
            # An index that cannot be read would be in the way of the new file.
            self.flush()  # type: ignore[no-untyped-call]
        except OSError as error:
            _without_cache(f"cannot be mended in {self.cache_path}", error)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a kernel, if that is possible."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:  # the kernel itself is there, and is used
            _without_cache(f"cannot be written in {self.cache_path}", error)


_told: list[str] = []
"""What this process was warned of: the same trouble meets every kernel, and is told once."""


def _without_cache(what: str, error: Exception) -> None:
    if _told:
        return
    _told.append(what)
    warnings.warn(
        f"The cache of compiled kernels {what} ({type(error).__name__}: {error}). They are compiled anew where needed, "
        "which takes seconds and changes no result. NUMBA_CACHE_DIR names another folder; ROBUSTFL_COMPILED=0 does "
        "without compiled kernels.",
        RuntimeWarning,
        stacklevel=2,
    )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
