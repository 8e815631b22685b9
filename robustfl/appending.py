"""Files to which one process at a time appends, and which stay usable when that process ends at any moment."""

from __future__ import annotations

import os

from robustfl.errors import StoreError


def lock(file: int, busy: str) -> None:
    """Lock an open file for this process until it closes the file or ends.

    Raises StoreError with the message `busy` when another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # pragma: no cover - a platform without POSIX locks has no writer exclusion
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(busy) from None


def write_all(file: int, content: bytes) -> None:
    """Write all of `content`, because one call of the system may write only a part of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
