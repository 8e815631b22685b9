"""Options of the benchmark of the aggregators, and its results: gathered, printed and written when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from tests.benchmarks.grid import CHECK, GRIDS, Cell, Grid
from tests.benchmarks.results import Run

FOLDER = Path("reports") / "benchmarks"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("robustfl benchmarks")
    group.addoption(
        "--grid",
        choices=sorted(GRIDS),
        help=f"sizes to measure; the results are written to {FOLDER} (without it: quick, and nothing is written)",
    )
    group.addoption(
        "--memmap-gigabytes", type=float, default=None, help="also aggregate a mapped file of this size in 10^9 bytes"
    )


def chosen_grid(config: pytest.Config) -> Grid:
    """The grid of this run: next to nothing unless benchmarks are enabled."""
    if config.getoption("benchmark_disable", True) and not config.getoption("benchmark_enable", False):
        return CHECK
    return GRIDS[config.getoption("grid", None) or "quick"]


class Harness:
    """The results so far, and the matrix at hand."""

    def __init__(self, config: pytest.Config) -> None:
        self.grid = chosen_grid(config)
        self.run = Run(grid=self.grid.name)
        self._config = config
        self._matrix: tuple[Cell, NDArray[np.float32]] | None = None

    def matrix(self, cell: Cell) -> NDArray[np.float32]:
        """The matrix of a cell: noise, with the Byzantine fifth of the rows moved away. Only the last one is kept."""
        if self._matrix is None or self._matrix[0] != cell:
            self._matrix = None
            x = np.random.default_rng(cell.n).standard_normal((cell.n, cell.d), dtype=np.float32)
            x[: cell.f] += 3.0
            self._matrix = cell, x
        return self._matrix[1]

    def forget_matrix(self) -> None:
        self._matrix = None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.run.machine:
            return
        from tests.benchmarks.roofline import draw, plotted
        from tests.benchmarks.table import markdown, show

        text = StringIO()
        show(self.run, Console(file=text, width=160, force_terminal=terminalreporter.hasmarkup))
        terminalreporter.section("speed of aggregation")
        terminalreporter.write(text.getvalue())
        if self._config.getoption("grid", None) is None:
            return
        folder = self._config.rootpath / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.run.write(folder / "aggregation.json")
        (folder / "aggregation.md").write_text(markdown(self.run), encoding="utf-8")
        if plotted(self.run):
            draw(self.run, folder / "roofline.svg")
        terminalreporter.write_line(f"written to {folder}")


@pytest.fixture(scope="session")
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = Harness(request.config)
    request.config.pluginmanager.register(made)
    if made.grid is not CHECK:
        from tests.benchmarks import machine

        made.run.machine = machine.describe()
        made.run.roofs.append(machine.host_roofs())
    yield made
    made.forget_matrix()
    if made.grid is not CHECK:
        made.run.roofs[0] = made.run.roofs[0].or_better(machine.host_roofs())
