"""What people see in a terminal: progress on stderr, tables on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from robustfl.evaluation.score.levels import LEVELS
from robustfl.wording import decimals, lasting

if TYPE_CHECKING:
    from robustfl.evaluation.results.records import Record
    from robustfl.evaluation.results.summaries import ClaimReport, Scores, Summary


def output() -> Console:
    """Standard output; it is wide enough for the tables when no terminal limits its width."""
    return Console(width=None if sys.stdout.isatty() else 150, highlight=False)


def messages() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


SAMPLE = 20
"""The number of trials that are played before the time left is estimated, because the first ones compile kernels."""


class RunProgress:
    """Live progress with the time left on a terminal; elsewhere a line from time to time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._done = self._stored = 0
        self._batches = 0
        self._began = self._last = time.monotonic()
        self._bar: Progress | None = None
        self._task: Any = None

    def start(self, total: int, done: int) -> None:
        self.stop()
        self._total, self._done, self._stored, self._began = total, done, done, time.monotonic()
        self._batches += 1
        if self._batches == 2:
            self._console.print("Further trials, for breakdown points and checks of the results.")
        if done and self._batches == 1:
            self._console.print(f"{done} of {total} trials are stored already.")
        if self._console.is_terminal and done < total:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            left = (TextColumn("left"), TimeRemainingColumn())
            self._bar = Progress(*columns, *left, console=self._console, transient=True)
            self._task = self._bar.add_task("trials", total=total, completed=done)
            self._bar.start()

    def advance(self, record: Record) -> None:
        self._done += 1
        error = record.get("error")
        if error is not None:
            labels = record["labels"]
            cell = f"{labels['defense']} / {labels['attack']} / f={record['f']} / seed {record['seed']}"
            self._console.print(Text(f"failed: {cell}: {error.get('type')}: {error.get('message')}"))
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() - self._last >= 10:
            self._last = time.monotonic()
            spent = self._last - self._began
            played = self._done - self._stored
            left = f", about {lasting(spent * (self._total - self._done) / played)} left" if played >= SAMPLE else ""
            self._console.print(f"{self._done}/{self._total} trials, {lasting(spent)} spent{left}")

    def stop(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def ranking_table(scores: Scores) -> Table:
    """The ranking: resilience with its interval and at the levels of knowledge, the worst case at the largest f, and
    the breakdown point.

    A sign marks the defenses that cannot be told apart from the first one.
    """
    table = Table(box=None, pad_edge=False, title_justify="left", header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("defense", overflow="fold")
    table.add_column("resilience", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    rows = scores["ranking"]
    weaker = [level for level in LEVELS[:-1] if any((row.get("R_levels") or {}).get(level) for row in rows)]
    for level in weaker:
        table.add_column(HEADINGS[level], justify="right")
    table.add_column("no\nattack", justify="right")
    table.add_column("at max f", justify="right")
    table.add_column("under", overflow="fold")
    table.add_column("survives f", justify="right")
    tested = any("status" in row for row in scores["ranking"])
    if tested:
        table.add_column("status", no_wrap=True)
    for row in scores["ranking"]:
        interval = row["R_ci"]
        table.add_row(
            "-" if row["rank"] is None else str(row["rank"]),
            Text(row["defense"]),
            f"{number(row['R_mean'])}{' ≈' if row.get('tied') else '  '}",
            f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "none",
            *(number((row.get("R_levels") or {}).get(level)) for level in weaker),
            number(row.get("undisturbed")),
            number(row["W_at_max_f"]),
            Text(row["worst_attack"] or ("its precondition not met" if row["R_mean"] is not None else "")),
            _survived(scores, row["defense"]),
            *((row.get("status", ""),) if tested else ()),
        )
    return table


HEADINGS = {"own": "own\ndata", "updates": "honest\nupdates"}
"""The headings of the columns for attackers who know less than everything."""


def headline_lines(summary: Summary) -> list[str]:
    """The lines below the ranking: the headline of every report, and what the sign in the table means."""
    from robustfl.evaluation.score.headline import headline  # loads the attacks, which other commands do not need

    tied = any(row.get("tied") for row in summary["scores"]["ranking"])
    return [headline(summary), *(["≈ cannot be told apart from the first row."] if tied else [])]


def status_lines(summary: Summary) -> list[str]:
    """The lines below the ranking: the standard suite with its hash, and why a defense is not ranked."""
    frozen = summary["suite"].get("standard")
    unranked = [row for row in summary["scores"]["ranking"] if row["rank"] is None and "status" in row]
    lines = [f"{row['defense']}: {row['status']}: {'; '.join(row['why'])}." for row in unranked]
    if not frozen:
        return lines
    only = "Only defenses with the status ADAPTIVE are ranked."
    return [f"Attacks: {frozen['name']}, hash {frozen['hash']}. {only}", *lines]


def claims_table(claims: Sequence[ClaimReport]) -> Table:
    """The claims of papers: what was expected here, what was measured, and the verdict."""
    table = Table(box=None, pad_edge=False, title_justify="left", header_style="bold")
    table.add_column("claim", overflow="fold", ratio=1)
    table.add_column("expected", no_wrap=True)
    table.add_column("measured", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("verdict", no_wrap=True)
    for claim in claims:
        pair = claim["ci"]
        digits = decimals([claim["value"], *(pair or [])])
        shown = "" if pair is None or pair[0] == pair[1] else f"{pair[0]:.{digits}f} to {pair[1]:.{digits}f}"
        reason = f"\n{claim['reason']}" if claim["reason"] else ""
        said = Text(f"{claim['text']}\n{claim['measure']}{reason}")
        value = "" if claim["value"] is None else number(claim["value"], digits)
        table.add_row(said, Text(claim["expect"]), value, shown, Text(claim["verdict"]))
    return table


def number(value: float | None, digits: int = 2) -> str:
    """A number with fixed digits, or a word for None."""
    return "unknown" if value is None else f"{value:.{digits}f}"


FEW = 2
"""Up to this number of worlds, the table shows the breakdown point of each.

For more worlds it shows in how many of them a defense survives all f.
"""


def _survived(scores: Scores, defense: str) -> str:
    """The breakdown point in each world, as `>= 6 of 15`; for many worlds, in how many it is the largest f."""
    shown = [
        (entry["breakdown"], world["clients"])
        for world in scores["worlds"]
        for entry in world["defenses"]
        if entry["defense"] == defense and entry["breakdown"] is not None
    ]
    if len(shown) > FEW:
        return f"all, in {sum(found['verdict'] == 'at_least' for found, _ in shown)} of {len(shown)} worlds"
    signs = {"at_least": ">= "}
    return ", ".join(
        "none" if found["verdict"] == "none" else f"{signs.get(found['verdict'], '')}{found['f']} of {clients}"
        for found, clients in shown
    )


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table without lines; cells are shown as they are and never interpreted as markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
