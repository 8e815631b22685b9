"""Graphs from files: lists of edges."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from typing_extensions import Doc

from robustfl.errors import DataError
from robustfl.federation.data.files import data_roots, find_files
from robustfl.federation.graphs.contract import GraphFamily
from robustfl.graphs.graph import Edges, Graph

MOST_BYTES = 1 << 28
"""The size of the largest file that is read."""
_BETWEEN = re.compile(r"[\s;,]+")
"""What may stand between the two peers of an edge in files for other programs."""
MOST_DIGITS = 12
"""The largest number of digits of a peer's number."""


@dataclass(frozen=True, kw_only=True)
class EdgeList(GraphFamily):
    """A graph from a file with one edge in a line: the numbers of two peers, with a comma between them.

    Peers count from 0 to clients - 1. A first line without numbers is taken as a heading, and empty lines are left out.
    An edge may stand there twice, and in both directions; the graph is undirected.

    In a scenario: ``topology: {edges: {file: network.csv}}``.
    """

    name: ClassVar[str] = "edges"
    from_file: ClassVar[bool] = True

    file: Annotated[str, Doc("path of the file, relative to the data root or to the folder of the suite's file")]

    def _draw(self, clients: int, rng: np.random.Generator, number: int, root: Path | None) -> Graph:
        (path,) = find_files(
            data_roots(root),
            [self.file],
            remedy="Place the file there; `file` is relative to the data root, or to the folder of the suite's file.",
        )
        pairs = _read(path, clients)
        return Graph(n=clients, edges=np.unique(np.sort(pairs, axis=1), axis=0))

    def _told(self) -> str:
        return f"file {self.file!r}"

    def _remedy(self, clients: int) -> str:
        return "add edges between the parts, or leave peers without edges out"


def _read(path: Path, clients: int) -> Edges:
    """The edges of a file as pairs of numbers, [m, 2]."""
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path} should have at most {MOST_BYTES} bytes. Found {path.stat().st_size}.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} should be a text in UTF-8. It is not.") from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split(",")]
        heading = number == 1 and not any(cell.isdigit() for cell in _BETWEEN.split(line.strip()))
        if cells == [""] or heading:
            continue
        where = f"{path}: line {number}"
        if len(cells) != 2 or not all(cell.isascii() and cell.isdigit() for cell in cells):
            raise DataError(f"{where} should be two numbers of peers, such as `0,1`. Found {line[:80]!r}.{_hint(line)}")
        if any(len(cell) > MOST_DIGITS or int(cell) >= clients for cell in cells):
            raise DataError(
                f"{where} should name peers 0 to {clients - 1}. Found {line[:80]!r}. Use more clients, or a file with "
                "fewer peers; if the file counts them from 1, subtract 1 from each number."
            )
        if int(cells[0]) == int(cells[1]):
            raise DataError(f"{where} should join two different peers. Found {line[:80]!r}. Leave it out.")
        pairs.append([int(cell) for cell in cells])
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _hint(line: str) -> str:
    """How to mend a line that lists edges in another way, after a space; empty where nobody knows."""
    cells = _BETWEEN.split(line.strip())
    if not all(cell.isascii() and cell.isdigit() for cell in cells[:2]) or len(cells) < 2:
        return " Peers have numbers here, and no names." if any(cell.isalpha() for cell in cells) else ""
    return " Leave weights out." if len(cells) > 2 else " Put a comma between the two."
