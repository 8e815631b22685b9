"""Where data files may be: data roots, and paths that cannot leave them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from robustfl.errors import DataError

ROOT_VARIABLE = "ROBUSTFL_DATA"
"""The environment variable that names a data root; it is searched after the root that the caller gives."""


def inside(root: Path, relative: str) -> Path:
    """The path `relative` under `root`, with links followed.

    Scenarios come from other people. A path in a scenario must not reach a file outside the data root: not by `..`, not
    as an absolute path (of any operating system), and not through a symbolic link.

    Raises DataError when the path is not inside `root`.
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
    """The absolute paths of the folders to search, in order: `root`, then the folder that ROBUSTFL_DATA names.

    A folder that is not given is left out.
    """
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

    Files of two folders are never mixed. Each name may end in any of `suffixes`; the first that exists is taken.

    Raises DataError, which states the folders searched, the first missing file and `remedy`.
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
