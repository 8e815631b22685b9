"""What Python refuses in the process of a defense: everything that could bring in, or take out, more than rows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib", ".nbi", ".nbc", ".pth")
"""The endings of files with code; no others may be opened."""

_OPEN = ("/dev/null", "/dev/urandom", "/proc/self/", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/")
"""What the system says about itself; numerical libraries look at it."""

_REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.putenv",
    "pty.",
    "mmap.",
    "sqlite3.",
    "shutil.",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.mkdir",
    "os.remove",
    "os.truncate",
    "os.utime",
    "os.chmod",
    "os.setxattr",
    "os.getxattr",
    "os.listxattr",
    "fcntl.",
    "syslog.",
    "urllib.",
    "ftplib.",
    "http.",
    "smtplib.",
)
"""Beginnings of the names of events that are always refused."""

_LIBRARIES = (
    "import",
    "ctypes.dlopen",
    "mmap.",
    "os.listdir",
    "os.scandir",
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "shutil.",
)
"""Beginnings of the names of events that numerical libraries may cause."""

_TRUSTED = ("numba.", "llvmlite.", "torch.", "triton.", "numpy.", "scipy.")
"""The libraries that load code of their own. What they do on behalf of a defense is not refused."""

_CACHES = ("numba.core.caching.", "triton.")
"""The modules that keep compiled code in files. No other module may read what is no code, or write."""


def guard(folder: str, since: float | None, files: tuple[str, ...] = ()) -> None:
    """Refuse from now on, in this process, what a defense does not need; it cannot be undone.

    Parameters
    ----------
    folder : the only folder in which files may be written and read
    since : files that were changed after this time are not read; None for any time
    files : files with code outside of the folders from which Python imports
    """
    own = frozenset(map(os.path.realpath, files))
    roots = _places_of_code()
    home = os.path.realpath(folder)

    def refused(event: str, arguments: tuple[Any, ...]) -> str | None:
        if event == "open":
            return _opened(arguments, roots, home, since, own)
        if event in ("os.listdir", "os.scandir"):
            path = os.path.realpath(arguments[0] if arguments and isinstance(arguments[0], str) else ".")
            return None if (path + os.sep).startswith((home + os.sep, *roots)) else f"lists {path}"
        if event == "import" and arguments and arguments[0] == "_posixshmem":
            return "imports _posixshmem"
        if event == "ctypes.dlopen":
            return f"loads the library {arguments[0] if arguments else ''}"
        return event if event.startswith(_REFUSED) else None

    sys.addaudithook(_hook(refused))


def _places_of_code() -> tuple[str, ...]:
    """The folders from which this process may import, each with a separator at its end.

    They are not only those of `sys.path`: of a package that is installed to be edited, setuptools puts the place into
    a finder of its own.
    """
    import robustfl

    places = [sys.prefix, sys.base_prefix, *sys.path, *robustfl.__path__]
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            places += getattr(module, "MAPPING", {}).values()
            places += [place for found in getattr(module, "NAMESPACES", {}).values() for place in found]
    return tuple({os.path.realpath(place).rstrip(os.sep) + os.sep for place in places if place})


def _hook(refused: Callable[[str, tuple[Any, ...]], str | None]) -> Callable[[str, tuple[Any, ...]], None]:
    inside = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal inside
        if inside:  # what this function itself causes
            return
        inside = True
        try:
            what = refused(event, arguments)
            if what is not None and not (
                event.startswith(_LIBRARIES) and _by_a_library(_CACHES if event == "open" else _TRUSTED)
            ):
                raise PermissionError(f"A defense in a process of its own may not do this: {what}.")
        finally:
            inside = False

    return hook


def _opened(
    arguments: tuple[Any, ...], roots: tuple[str, ...], home: str, since: float | None, own: frozenset[str]
) -> str | None:
    """What is wrong with opening a file, or None."""
    path, mode, flags = (*arguments, None, None, None)[:3]
    if isinstance(path, int) or path is None:  # something that is open already
        return None
    name = os.path.realpath(os.fsdecode(path))
    if name.startswith(home + os.sep):
        return None
    writing = any(sign in mode for sign in "wax+") if isinstance(mode, str) else False
    if isinstance(flags, int):
        writing |= bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC))
    if writing and name != "/dev/null":
        return f"writes to {name}"
    if name.startswith(_OPEN):
        return None
    archive = name + os.sep in roots  # a file on the path from which Python imports, such as a zip file
    if not archive and name not in own and not (name.endswith(CODE) and name.startswith(roots)):
        return f"reads {name}"
    return f"reads {name}, which is new" if since is not None and _changed(name) > since else None


def _changed(name: str) -> float:
    """When a file, or what is known about it, was changed last; 0 if it does not exist."""
    try:
        return os.stat(name).st_ctime
    except OSError:
        return 0.0


def _by_a_library(trusted: tuple[str, ...]) -> bool:
    """Whether such a module stands between the event and the first code that is neither a library's nor Python's."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        module = f"{frame.f_globals.get('__name__', '')}."
        if module.startswith(trusted):
            return True
        package = module.partition(".")[0]
        if package not in sys.stdlib_module_names and not module.startswith(("robustfl.", *_TRUSTED)):
            return False
        frame = frame.f_back
    return False
