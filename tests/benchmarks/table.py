"""A run as tables, for the terminal and as Markdown: targets, an overview, every cell, and what exceeds memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tests.benchmarks.grid import Cell
from tests.benchmarks.results import Mapped, Measurement, Roofs, Run
from tests.benchmarks.targets import MEMORY, Verdict, judge

NOTHING = "–"
BOUND_NAMES = ("column mean", "Gram pass")
MARKS = {True: "✓ met", False: "✗ missed", None: "not measured"}


@dataclass(frozen=True)
class Section:
    """A heading, a table, and remarks below it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()


def sections(run: Run) -> list[Section]:
    """All tables of a run, in reading order; those with nothing to say are left out."""
    places = sorted({(m.device, m.cell) for m in run.measurements}, key=lambda p: (p[0], p[1].input_bytes, p[1].n))
    made = [_targets(judge(run.measurements)), _overview(run)]
    made += [_cell([m for m in run.measurements if (m.device, m.cell) == place], *place) for place in places]
    made += [_mapped(run.mapped), _roofs(run.roofs)]
    return [section for section in made if section.rows or section.remarks]


def markdown(run: Run) -> str:
    """The page `aggregation.md`."""
    lines = ["# Speed of aggregation", ""]
    lines += [f"Made by `make bench GRID={run.grid}`; every figure comes from `aggregation.json`.", ""]
    lines += [f"- {name}: {value}" for name, value in run.machine.items()]
    lines += ["", "![Attained rate of every rule against what the machine can do](roofline.svg)"]
    for section in sections(run):
        lines += ["", f"## {section.title}", ""]
        if section.rows:
            lines += [line(section.header), line(("---",) * len(section.header)), *map(line, section.rows)]
        if section.remarks:
            lines += ["", *(f"- {escaped(remark)}" for remark in section.remarks)]
    return "\n".join(lines) + "\n"


def printable(run: Run) -> Group:
    """The same tables for a rich console."""
    parts: list[Table | Text] = []
    for section in sections(run):
        table = Table(title=Text(section.title), title_justify="left")
        for position, name in enumerate(section.header):
            table.add_column(name, justify="left" if position == 0 else "right", overflow="fold")
        for row in section.rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        parts += [table, *(Text(remark, style="dim") for remark in section.remarks), Text("")]
    return Group(*parts)


def show(run: Run, console: Console) -> None:
    console.print(printable(run))


def _targets(verdicts: list[Verdict]) -> Section:
    rows = []
    for verdict in verdicts:
        target, found = verdict.target, NOTHING
        if verdict.worst is not None:
            found = f"{verdict.worst:.1%}" if target.against == MEMORY else _times(verdict.worst)
            found += f" ({verdict.worst_rule}, worst of {verdict.covered})" if verdict.covered > 1 else ""
        rows.append((target.who, str(target.cell), target.wanted, found, MARKS[verdict.met]))
    several = [verdict for verdict in verdicts if verdict.covered > 1 and verdict.missed]
    remarks = [
        f"{verdict.target.who}, {verdict.target.wanted}: missed by {', '.join(verdict.missed)}." for verdict in several
    ]
    return Section("Targets", ("rule", "cell", "wanted", "measured", "verdict"), tuple(rows), tuple(remarks))


def _overview(run: Run) -> Section:
    """Times the column mean for every rule and cell on the host, with the extra memory."""
    host = [m for m in run.measurements if m.device == "cpu"]
    cells = sorted({m.cell for m in host}, key=lambda cell: (cell.input_bytes, cell.n))
    labels = list(dict.fromkeys(m.label for m in host))
    at = {(m.label, m.cell): m for m in host}
    memory = {m.label: m.memory_share for m in host if m.memory_share is not None}
    rows = []
    for label in labels:
        found = [at.get((label, cell)) for cell in cells]
        values = [NOTHING if m is None else _times(m.times("column mean")) for m in found]
        share = memory.get(label)
        rows.append((label, *values, NOTHING if share is None else f"{share:.1%}"))
    measured = next((m.cell for m in host if m.memory_share is not None), None)
    remarks = []
    if measured is not None:
        remarks.append(f"Extra memory: the peak beside the input, result included, as a share of it at {measured}.")
    if rows:
        remarks.append("GB/s in the tables below: the least bytes that a rule of this kind can do with, by its time.")
    header = ("rule", *map(_short, cells), MEMORY)
    return Section("Times the column mean", header, tuple(rows), tuple(remarks))


def _cell(measurements: list[Measurement], device: str, cell: Cell) -> Section:
    rows = []
    for m in sorted((m for m in measurements if m.seconds is not None), key=lambda m: m.seconds or math.inf):
        against = [f"{name} {_times(m.faster_than(name))}" for name in m.references if name not in BOUND_NAMES]
        rate = NOTHING if m.traffic is None or m.seconds is None else f"{m.traffic / m.seconds / 1e9:.3g}"
        bounds = [_times(m.times(name)) for name in BOUND_NAMES]
        rows.append((m.label, m.family, duration(m.seconds), rate, *bounds, ", ".join(against) or NOTHING))
    left = tuple(f"{m.label} is left out: {m.left_out}" for m in measurements if m.left_out)
    header = ("rule", "family", "time", "GB/s", "x column mean", "x Gram pass", "times faster than")
    place = "" if device == "cpu" else f" on {device}"
    return Section(f"{cell}, f={cell.f}{place}", header, tuple(rows), left)


def _mapped(found: list[Mapped]) -> Section:
    rows = [
        (
            m.rule,
            f"n={m.n}, d={m.d:,}",
            f"{m.file_bytes / 1e9:.2f} GB",
            f"{m.peak_bytes / 1e6:.0f} MB",
            duration(m.seconds),
        )
        for m in found
    ]
    header = ("rule", "size", "file", "peak memory", "time")
    return Section("Larger than memory: a matrix in a mapped file", header, tuple(rows))


def _roofs(found: list[Roofs]) -> Section:
    rows = [
        (r.device, *(f"{v / 1e9:.1f}" for v in (r.column_mean, r.copy, r.gemm32, r.gemm64))) for r in found
    ]  # fmt: skip
    header = ("device", "column mean GB/s", "copy GB/s", "float32 matmul Gflop/s", "float64 matmul Gflop/s")
    return Section("What the machine can do", header, tuple(rows))


def _times(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.0f}x" if value >= 100 else f"{value:.3g}x"


def duration(value: float | None) -> str:
    """Seconds with three digits in the unit that suits them."""
    if value is None:
        return NOTHING
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def _short(cell: Cell) -> str:
    """`100x1e6`"""
    digits = len(str(cell.d)) - 1
    return f"{cell.n}x1e{digits}" if cell.d == 10**digits else f"{cell.n}x{cell.d}"


def _style(cell: str) -> str:
    return {MARKS[True]: "green", MARKS[False]: "red", MARKS[None]: "dim"}.get(cell, "")


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"
