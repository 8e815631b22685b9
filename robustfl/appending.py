"""Files that one process at a time appends to, and that survive its end at any moment."""

from __future__ import annotations

import os

from robustfl.errors import StoreError


def lock(file: int, busy: str) -> None:
    """Claim an open file for this process, however it ends; raises StoreError with `busy` where another has it."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - a platform without POSIX locks has no writer exclusion
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(busy) from None


def write_all(file: int, content: bytes) -> None:
    """Write all of it: the system may take less at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
