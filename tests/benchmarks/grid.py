"""Which sizes of update matrices are measured, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LARGEST_INPUT = 1_000_000_000
"""Bytes of the largest float32 matrix that is measured in memory: larger cells of the full grid are left out."""

CLIENTS = (10, 20, 50, 100, 500, 1000)
PARAMETERS = (10_000, 100_000, 1_000_000, 10_000_000)


@dataclass(frozen=True, order=True)
class Cell:
    """The size of a matrix: `n` clients, `d` parameters; a fifth of the clients counts as Byzantine."""

    n: int
    d: int

    @property
    def f(self) -> int:
        return self.n // 5

    @property
    def input_bytes(self) -> int:
        """Size of the matrix in float32."""
        return 4 * self.n * self.d

    def __str__(self) -> str:
        return f"n={self.n}, d={self.d:,}"


@dataclass(frozen=True)
class Grid:
    """Cells, smallest first, with the seconds of repeats that a rule gets in each of them."""

    name: str
    cells: tuple[Cell, ...]
    seconds: float
    memory: Cell | None
    """Where extra memory is measured: one cell is enough, and only a large one tells blocks from copies."""


def grid(name: str, cells: Sequence[tuple[int, int]], seconds: float, memory: tuple[int, int] | None = None) -> Grid:
    """A grid in the order of its input sizes, so that a rule that is slow in a small cell can be spared a large one."""
    ordered = sorted((Cell(n, d) for n, d in cells), key=lambda cell: (cell.input_bytes, cell.n))
    return Grid(name, tuple(ordered), seconds, None if memory is None else Cell(*memory))


_SMALL = [(15, 2_000), (100, 2_000)]  # what simulations do a million times


def full_cells() -> list[tuple[int, int]]:
    """Every combination of sizes whose matrix is not larger than :data:`LARGEST_INPUT`."""
    return [*_SMALL, *((n, d) for n in CLIENTS for d in PARAMETERS if Cell(n, d).input_bytes <= LARGEST_INPUT)]


_DEFAULT = [(10, 10_000), (100, 10_000), (10, 100_000), (100, 100_000)]
_TARGETS = [(20, 1_000_000), (100, 1_000_000), (1000, 100_000)]

GRIDS = {
    made.name: made
    for made in (
        grid("quick", [*_SMALL, (10, 10_000), (100, 100_000), (20, 1_000_000)], 0.15),
        grid("default", [*_SMALL, *_DEFAULT, *_TARGETS], 0.5, memory=(100, 1_000_000)),
        grid("full", full_cells(), 2.0, memory=(100, 1_000_000)),
    )
}
CHECK = grid("check", [(10, 1000)], 0.0)
"""What an ordinary test run goes through: every benchmark once, on almost nothing."""

ACCELERATOR = grid("accelerator", [(100, 10_000_000)], 2.0)
ACCELERATOR_CHECK = grid("accelerator check", [(10, 1000)], 0.0)
