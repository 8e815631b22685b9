"""Files to which one process at a time appends, and which stay usable when that process ends at any moment."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from robustfl.errors import StoreError

_LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How file systems say that they have no locks: NFS without a lock daemon, Lustre without flock, some FUSE."""


def lock(file: int, name: Path, busy: str) -> None:
    """Lock an open file, called `name`, for this process until it closes the file or ends.

    Raises StoreError with the message `busy` when another process holds the lock, and with a remedy when the file
    system has no locks, as two writers would go unnoticed there.
    """
    try:
        import fcntl
    except ImportError:  # pragma: no cover - a platform without POSIX locks has no writer exclusion
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(busy) from None
    except OSError as error:
        if error.errno not in _LOCKLESS:
            raise
        raise StoreError(
            f"{name} cannot be locked, so another run could write to it unnoticed: its file system has no locks "
            f"({error.strerror}). Use a folder on another file system, such as a local disk, or mount this one with "
            "locks."
        ) from None


def write_all(file: int, content: bytes) -> None:
    """Write all of `content`, because one call of the system may write only a part of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def renamed_aside(path: Path) -> Path:
    """Rename an existing file or folder to the first free `NAME.N.bak`, which is returned; nothing is deleted."""
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}.bak")).exists():
        number += 1
    path.rename(kept)
    return kept
