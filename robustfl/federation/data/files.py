"""Where data files may lie: data roots, and paths that cannot leave them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from robustfl.errors import DataError

ROOT_VARIABLE = "ROBUSTFL_DATA"
"""The environment variable that names a data root, searched after the one that the caller gives."""


def inside(root: Path, relative: str) -> Path:
    """`relative` under `root` with links followed, or a DataError where that is not inside `root`.

    Scenarios come from other people: no path in one reaches a file outside the data root, be it by `..`, as an
    absolute path (of any operating system) or through a symbolic link.
    """
    for path in (PurePosixPath(relative), PureWindowsPath(relative)):
        if path.is_absolute() or path.drive or path.root or ".." in path.parts:
            raise DataError(f"A path should be relative to the data root and stay inside it. Found {relative!r}.")
    try:
        home = root.resolve()
        target = (home / relative).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL byte
        raise DataError(f"{relative!r} is not a usable path in the data root {root}: {error}.") from error
    if not target.is_relative_to(home):
        raise DataError(
            f"{relative!r} is a link that leaves the data root {root}. Copy the file there, or make the folder that "
            f"holds it the data root."
        )
    return target


def data_roots(root: Path | None) -> tuple[Path, ...]:
    """The folders to search, absolute and in order: `root`, then the one that ROBUSTFL_DATA names; either may lack."""
    named = os.environ.get(ROOT_VARIABLE)
    given = [("The data root", root), (f"The folder in {ROOT_VARIABLE}", Path(named) if named else None)]
    roots = []
    for what, folder in given:
        if folder is None:
            continue
        if not folder.is_dir():
            raise DataError(f"{what} should be an existing folder. Found {str(folder)!r}.")
        roots.append(folder.resolve())
    return tuple(dict.fromkeys(roots))


def find_files(
    roots: Sequence[Path],
    names: Sequence[str],
    *,
    folders: Sequence[str] = (".",),
    suffixes: Sequence[str] = ("",),
    remedy: str,
) -> tuple[Path, ...]:
    """The paths of `names` in the first folder (of the first root) that holds all of them.

    Files of one set are never mixed from two folders. Each name may carry any of `suffixes`, the first found wins.

    Raises DataError with the folders searched, the first file missing and `remedy`.
    """
    if not roots:
        raise DataError(f"No data root to find {names[0]!r} in: give one, or set {ROOT_VARIABLE}. {remedy}")
    searched = []
    for root in roots:
        for folder in folders:
            home = inside(root, folder)
            found = [_first_file(home, name, suffixes) for name in names]
            paths = [path for path in found if path is not None]
            if len(paths) == len(names):
                return tuple(paths)
            searched.append(f"{home} (lacks {names[found.index(None)]!r})")
    raise DataError(f"Data files not found. Searched {', '.join(searched)}. {remedy}")


def _first_file(home: Path, name: str, suffixes: Sequence[str]) -> Path | None:
    candidates = [inside(home, name + suffix) for suffix in suffixes]
    return next((path for path in candidates if path.is_file()), None)
