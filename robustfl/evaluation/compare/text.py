"""A comparison of two runs as tables for the terminal, as a Markdown page for a pull request, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from robustfl.errors import ParameterError
from robustfl.evaluation.compare.comparison import Comparison
from robustfl.evaluation.compare.regression import VERDICTS, CellVerdict, DefenseVerdict
from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.store import write_atomically

Row = tuple[str, ...]

OVERVIEW = ("world", "defense", "f", "before", "after", "change", "95 % interval", "verdict")
DEFENSES = ("defense", "world", "cells", "mean change", "one-sided bounds", "verdict")
CELLS = ("defense", "attack", "f", "world", "change", "one-sided bounds", "verdict", "")

GIVE = {"world": 5, "attack": 4, "": 3, "one-sided bounds": 2, "95 % interval": 1}
"""Which columns leave a table that is too wide for a terminal, the largest numbers first."""

MOST_CELLS = 30
"""Largest number of cells that a terminal shows; files hold all of them."""


def overview_rows(found: Comparison) -> list[Row]:
    """The worst case of each defense at each f, before and after, as rows of a table with the header `OVERVIEW`."""
    return [
        (
            row["world"],
            row["defense"],
            str(row["f"]),
            "unknown" if row["before"] is None else f"{row['before']:.3f}",
            "unknown" if row["after"] is None else f"{row['after']:.3f}",
            _signed(row["change"]),
            "" if row["ci"] is None else f"{row['ci'][0]:+.2f} to {row['ci'][1]:+.2f}",
            _summed(row["verdict"], row["cells"], row["changed"]),
        )
        for row in found.rows
    ]


def defense_rows(found: Comparison) -> list[Row]:
    """The defenses whose mean over their cells regressed, the worst first, as rows with the header `DEFENSES`."""
    lost = sorted((v for v in found.judgement.defenses if v.blocks), key=lambda v: v.change)
    return [(v.defense, v.world, str(v.cells), _signed(v.change), _bounds(v), v.verdict) for v in lost]


def cell_rows(found: Comparison) -> list[Row]:
    """The cells that are worth a line, the worst first, as rows of a table with the header :data:`CELLS`."""
    told = [v for v in found.judgement.cells if v.verdict != "PASS" or v.changed or v.reason]
    told.sort(key=lambda v: (not v.blocks, VERDICTS.index(v.verdict), 0.0 if v.change is None else v.change))
    return [
        (
            v.defense,
            "no attack" if v.attack == NO_ATTACK else v.attack,
            str(v.f),
            v.world,
            _signed(v.change),
            _bounds(v),
            v.verdict,
            _noted(v),
        )
        for v in told
    ]


def parts(found: Comparison, commands: Sequence[str] = ()) -> list[str | tuple[Sequence[str], list[Row]]]:
    """The parts that a terminal shows, in order: texts, and tables, each as its header and its rows."""
    defenses, cells = defense_rows(found), cell_rows(found)
    shown: list[str | tuple[Sequence[str], list[Row]]] = [*found.remarks]
    worlds = groupby(overview_rows(found), key=lambda row: row[0])
    grouped = [(world, list(rows)) for world, rows in worlds]
    for world, rows in grouped:
        shown += [world, (OVERVIEW[1:], [row[1:] for row in rows])]
    alone = grouped[0][0] if len(grouped) == 1 else None
    if defenses:
        shown += ["", _told(DEFENSES, defenses, alone)]
    if cells:
        shown += ["", _told(CELLS, cells[:MOST_CELLS], alone)]
    if len(cells) > MOST_CELLS:
        shown.append(f"and {len(cells) - MOST_CELLS} more: write all of them with --out FILE")
    return [*shown, "", found.conclusion, *(f"  {command}" for command in commands)]


def _told(header: Sequence[str], rows: Sequence[Row], alone: str | None) -> tuple[Sequence[str], list[Row]]:
    """A table; without the world where there is only one, whose name stands above."""
    if alone is None:
        return header, list(rows)
    at = header.index("world")
    return (*header[:at], *header[at + 1 :]), [(*row[:at], *row[at + 1 :]) for row in rows]


def write(found: Comparison, commands: Sequence[str], files: Sequence[Path]) -> None:
    """Write the comparison as Markdown or as JSON, which the ending of each file decides.

    Raises
    ------
    ParameterError : a file has another ending; then no file is written
    """
    texts = {
        ".md": lambda: markdown(found, commands),
        ".json": lambda: json.dumps(found.report(commands), indent=1, allow_nan=False) + "\n",
    }
    for file in files:
        if file.suffix not in texts:
            raise ParameterError(f"`--out` should end in .md or .json. Found {file}.")
    for file in files:
        write_atomically(file, texts[file.suffix]().encode())


def markdown(found: Comparison, commands: Sequence[str] = ()) -> str:
    """The comparison as a Markdown page, in which every string of the results is escaped."""
    blocks = [
        "# Comparison of two runs",
        escaped(found.conclusion),
        "\n".join(f"- {escaped(remark)}" for remark in found.remarks),
        "## Worst cases",
        _table(OVERVIEW, overview_rows(found), "llrrrrrl"),
        *(["## Means of defenses", _table(DEFENSES, rows, "llrrrl")] if (rows := defense_rows(found)) else []),
        *(["## Cells", _table(CELLS, rows, "llrlrrll")] if (rows := cell_rows(found)) else []),
        *(["## Next", "\n".join(f"    {command}" for command in commands)] if commands else []),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escaped(text: str) -> str:
    """The text on one line, escaped so that nothing in it acts as markup or HTML or ends a table cell."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]#|~!])", r"\\\1", line)


def _table(header: Sequence[str], rows: Iterable[Row], columns: str) -> str:
    """A Markdown table; `columns` has one letter per column, l for left-aligned and r for right-aligned."""
    marks = ["---:" if side == "r" else "---" for side in columns]
    lines = [list(header), marks, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _summed(verdict: str | None, cells: dict[str, int], changed: int) -> str:
    if verdict is None:
        return "not judged"
    share = f" ({cells[verdict]} of {sum(cells.values())})" if len(cells) > 1 else ""
    return f"{verdict}{share}{', CHANGED' if changed else ''}"


def _bounds(verdict: CellVerdict | DefenseVerdict) -> str:
    return "" if verdict.lower is None or verdict.upper is None else f"{verdict.lower:+.3f}, {verdict.upper:+.3f}"


def _noted(verdict: CellVerdict) -> str:
    notes = ["CHANGED"] if verdict.changed else []
    return "; ".join([*notes, verdict.reason] if verdict.reason else notes)


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value + 0.0:+.3f}"
