"""What people see in a terminal: progress on stderr, tables on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from robustfl.evaluation.score.levels import LEVELS, Level
from robustfl.wording import counted, decimals, lasting

if TYPE_CHECKING:
    from robustfl.evaluation.results.records import Record
    from robustfl.evaluation.results.summaries import ClaimReport, RankRow, Scores, Summary
    from robustfl.evaluation.score.peers import BaselineRow


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
        self._failed: dict[str, list[str]] = {}
        self._began = self._last = time.monotonic()
        self._bar: Progress | None = None
        self._task: Any = None

    def tell(self, line: str) -> None:
        self._console.print(Text(line))

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
            reason = f"{error.get('type')}: {error.get('message')}"
            if reason not in self._failed:
                self._console.print(Text(f"failed: {cell}: {reason}"))
            self._failed.setdefault(reason, []).append(cell)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() - self._last >= 10:
            self._last = time.monotonic()
            spent = self._last - self._began
            played = self._done - self._stored
            left = f", about {lasting(spent * (self._total - self._done) / played)} left" if played >= SAMPLE else ""
            self._console.print(f"{self._done}/{self._total} trials, {lasting(spent)} spent{left}")

    def stop(self) -> None:
        """Remove the bar from the screen, and count the failures that were not told, as others had their reason."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        for first, *more in self._failed.values():
            if more:
                self._console.print(Text(f"{counted(len(more), 'more trial')} failed as {first} did."))
        self._failed.clear()


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: its heading, of several lines perhaps, and whether its texts are flush right.

    Columns with a larger `give` are the first to leave a table that is too wide; those with 0 stay.
    """

    heading: str
    right: bool = False
    give: int = 0


class FittedTable:
    """A table that cuts no name: columns that find no room stand below their rows, as `heading: text`.

    A text that is too long even so has a line of its own.
    """

    def __init__(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        self._columns = tuple(columns)
        self._rows = [tuple(cell.replace("\n", " ") for cell in row) for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        room = options.max_width
        shown = self._shown(room)
        columns = [(number, self._columns[number]) for number in shown]
        widths = {number: self._width(number) for number in shown}
        heads = [column.heading.split("\n") for _, column in columns]
        height = max((len(head) for head in heads), default=0)
        for at in range(height):
            cells = [head[at - height + len(head)] if at >= height - len(head) else "" for head in heads]
            yield Text(self._line(columns, cells, widths), style="bold", no_wrap=True, overflow="ignore")
        below = [number for number in range(len(self._columns)) if number not in shown]
        for row in self._rows:
            line = self._line(columns, [row[number] for number in shown], widths)
            yield Text(line) if len(line) > room else Text(line, no_wrap=True, overflow="ignore")
            told = "; ".join(self._named(n, row[n]) for n in below if row[n])
            if told:
                yield Padding(Text(told, overflow="fold"), (0, 0, 0, 5))

    def _named(self, number: int, text: str) -> str:
        heading = " ".join(self._columns[number].heading.split())
        return f"{heading}: {text}" if heading else text

    def _shown(self, room: int) -> list[int]:
        """The columns that find room side by side."""
        shown = list(range(len(self._columns)))
        for give in sorted({column.give for column in self._columns if column.give}, reverse=True):
            if sum(map(self._width, shown)) + 2 * (len(shown) - 1) <= room:
                break
            shown = [number for number in shown if self._columns[number].give != give]
        return shown

    def _width(self, number: int) -> int:
        texts = [*self._columns[number].heading.split("\n"), *(row[number] for row in self._rows)]
        return max(map(cell_len, texts))

    def _line(self, columns: Sequence[tuple[int, Column]], cells: Sequence[str], widths: Mapping[int, int]) -> str:
        padded = []
        for (number, column), cell in zip(columns, cells, strict=True):
            space = " " * (widths[number] - cell_len(cell))
            padded.append(space + cell if column.right else cell + space)
        return "  ".join(padded).rstrip()


def error_lines(scores: Scores) -> list[str]:
    """The remarks that are errors; where there are several worlds, each says in which one it is true."""
    several, found = len(scores["worlds"]) > 1, []
    for remark in scores["flags"]:
        if remark["level"] == "error":
            world = remark["world"] or ""
            place = f" in {world}" if several and world and world not in remark["message"] else ""
            found.append(f"{remark['code']}{place}: {remark['message']}")
    return found


def ranking_table(scores: Scores) -> FittedTable:
    """The ranking: resilience with its interval and at the levels of knowledge, the worst case at the largest f, and
    the breakdown point.

    A sign marks the defenses that cannot be told apart from the first one. Of peers, the accuracies behind the worst
    case at the largest f stand there too, and below the defenses what they reach alone.
    """
    from robustfl.evaluation.score.peers import baselines, contestants  # with torch, which `doctor` may find broken

    rows, alone = contestants(scores), baselines(scores)
    weaker = [level for level in LEVELS[:-1] if any((row.get("R_levels") or {}).get(level) for row in rows)]
    tested = any("status" in row for row in rows)
    columns = (
        Column(heading="rank", right=True),
        Column(heading="defense"),
        Column(heading="resilience", right=True),
        Column(heading="95 % interval", right=True, give=1),
        *(Column(heading=HEADINGS[level], right=True, give=3) for level in weaker),
        Column(heading="no\nattack", right=True, give=2),
        Column(heading="at max f", right=True, give=4),
        *((Column(heading="mean\npeer", right=True), Column(heading="worst\npeer", right=True)) if alone else ()),
        Column(heading="under", give=6),
        Column(heading="survives f", right=True, give=5),
        *((Column(heading="status", give=2),) if tested else ()),
    )
    told = [_ranked(scores, row, weaker, tested, peers=bool(alone)) for row in rows]
    return FittedTable(columns, told + [_alone(row, weaker, tested) for row in alone])


def _ranked(scores: Scores, row: RankRow, weaker: Sequence[Level], tested: bool, peers: bool) -> tuple[str, ...]:
    from robustfl.evaluation.score.peers import served

    interval, own = row["R_ci"], served(scores, row) if peers else None
    between = (
        ("", "") if own is None else ("diverges", "") if own["diverged"] else _accuracies(own["mean"], own["worst"])
    )
    return (
        "-" if row["rank"] is None else str(row["rank"]),
        row["defense"],
        f"{number(row['R_mean'])}{' ≈' if row.get('tied') else '  '}",
        f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "none",
        *(number((row.get("R_levels") or {}).get(level)) for level in weaker),
        number(row.get("undisturbed")),
        number(row["W_at_max_f"]),
        *(between if peers else ()),
        row["worst_attack"] or ("its precondition not met" if row["R_mean"] is not None else ""),
        _survived(scores, row["defense"]),
        *((row.get("status", ""),) if tested else ()),
    )


def _alone(row: BaselineRow, weaker: Sequence[Level], tested: bool) -> tuple[str, ...]:
    """What peers reach alone; there is a resilience if the suite plays attacks against that, too."""
    own = row.played
    known = own is not None and own["R_unt"] is not None
    interval = own["R_unt_ci"] if own is not None else None
    return (
        "-",
        row.name,
        f"{number(own['R_unt'])}  " if own is not None and known else "",
        f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "",
        *("" for _ in weaker),
        number(own.get("undisturbed")) if own is not None and known else "",
        "",
        *_accuracies(row.alone["mean"], row.alone["worst"]),
        "",
        "",
        *(("",) if tested else ()),
    )


def _accuracies(mean: float | None, worst: float | None) -> tuple[str, str]:
    """The accuracies of the mean and of the worst peer."""
    return number(mean), number(worst)


HEADINGS = {"own": "own\ndata", "updates": "honest\nupdates"}
"""The headings of the columns for attackers who know less than everything."""


def headline_lines(summary: Summary) -> list[str]:
    """The lines below the ranking: the headline of every report, and what the sign in the table means."""
    from robustfl.evaluation.score.headline import headline  # loads the attacks, which other commands do not need

    tied = any(row.get("tied") for row in summary["scores"]["ranking"])
    return [headline(summary), *(["≈ cannot be told apart from the first row."] if tied else [])]


def world_lines(scores: Scores) -> list[str]:
    """Which worlds there are, each with its name once, and how many clients are malicious."""
    grids = [f"f in {world['f_grid']} of {world['clients']}" for world in scores["worlds"]]
    if len(grids) == 1:
        return [f"{scores['worlds'][0]['world']}: {grids[0]}"]
    if len(set(grids)) == 1:
        return [f"{len(grids)} worlds, {grids[0]}:", *(f"  {world['world']}" for world in scores["worlds"])]
    return [f"{world['world']}: {grid}" for world, grid in zip(scores["worlds"], grids, strict=True)]


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
    """A table without lines; cells are shown as they are, never cut, and never interpreted as markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == columns[0])
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
