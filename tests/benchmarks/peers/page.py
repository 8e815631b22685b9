"""The page `peers.md` and its plot, made from a run: every ratio, wins and losses alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.peers.results import TOLERANCE, Compared, Run
from tests.benchmarks.table import duration, escaped, line

NOTHING = "–"
COLOURS = {
    "byzfl": ("#D55E00", "o"), "byzpy": ("#0072B2", "s"), "torchjd": ("#009E73", "^"), "flwr": ("#CC79A7", "D"),
    "pfl": ("#E69F00", "v"),
}  # fmt: skip
"""Colour and marker of each library: colours of Okabe and Ito, which differ for every kind of sight."""


def markdown(run: Run) -> str:
    """The page, with the tables of all sizes."""
    lines = ["# Speed beside other libraries", ""]
    lines += [f"Made by `make bench-peers SIZES={run.sizes}`; every figure comes from `peers.json`.", ""]
    lines += [f"- {name}: {value}" for name, value in run.machine.items()]
    lines += [
        "",
        "A ratio is the time of the other library divided by that of robustfl: above 1 robustfl is faster, below 1",
        "the other one is (**bold**). All ratios are of one run, on one thread, by processor time, of calls that took",
        "turns. The first figure is of the middle turn, the one in parentheses of the best turn of each. The machine",
        "was shared with other programs: times do not compare with those of other runs, and small differences say",
        "nothing.",
        "",
        "Each library gets the rows in its own form, made before the time: byzfl and torchjd a float32 tensor, byzpy a",
        "list of tensors, flwr messages with arrays in bytes (but for its trimmed mean, which is given an array), pfl",
        "statistics of users.",
        "",
        "![Ratios of all rules, by size](peers.svg)",
        "",
        "## Libraries",
        "",
    ]
    lines += _table(("library", "version", "how"), [_library(found) for found in run.libraries])
    lines += ["", *_totals(run)]
    sizes = list(dict.fromkeys(row.size for row in run.rules))
    for size in sizes:
        lines += ["", f"## {size}", "", *_ratios([row for row in run.rules if row.size == size], run)]
    if run.worlds:
        lines += ["", "## An attack, a round and a cell", ""]
        lines += _ratios(run.worlds, run, sized=True)
    lines += ["", "## Where answers differ", "", *_differences(run)]
    return "\n".join(lines) + "\n"


def _library(found: Any) -> tuple[str, str, str]:
    how = f"takes no part: {found.missing}" if found.missing else found.needed or "installed as usual"
    return found.name, found.version or NOTHING, how


def _totals(run: Run) -> list[str]:
    """How often each library was slower and faster, over everything that was compared with it."""
    rows, header = [], ("library", "compared", "robustfl faster", "robustfl slower", "lowest ratio", "where")
    for found in run.libraries:
        ratios = [
            (ratio, f"{row.what}, {row.size}")
            for row in [*run.rules, *run.worlds]
            if (ratio := row.ratio(found.name)) is not None
        ]
        if ratios:
            lowest, where = min(ratios)
            slower = sum(ratio < 1 for ratio, _ in ratios)
            rows.append(
                (found.name, str(len(ratios)), str(len(ratios) - slower), str(slower), f"{lowest:.2g}", where)
            )  # fmt: skip
    return _table(header, rows)


def _ratios(rows: list[Compared], run: Run, sized: bool = False) -> list[str]:
    names = [found.name for found in run.libraries if any(found.name in row.others for row in rows)]
    header = ("", *(["size"] if sized else []), "robustfl", *names)
    cells = [
        (row.what, *([row.size] if sized else []), duration(row.ours.middle), *(_cell(row, name) for name in names))
        for row in rows
    ]
    notes = [f"- {row.what}: {row.note}." for row in rows if row.note]
    return [*_table(header, cells), *(["", *notes] if notes else [])]


def _cell(row: Compared, name: str) -> str:
    beside = row.others.get(name)
    if beside is None:
        return NOTHING
    if beside.failed:
        return "fails"
    middle, least = row.ratio(name), row.ratio(name, "least")
    if middle is None or least is None:
        return NOTHING
    text = f"{middle:.3g}" if middle >= 1 else f"**{middle:.2g}**"
    mark = " *" if beside.differs else ""
    return f"{text} ({least:.3g}){mark}"


def _differences(run: Run) -> list[str]:
    """Definitions that differ (marked with a star), answers that are not equal, and errors."""
    said: dict[str, None] = {}
    for row in [*run.rules, *run.worlds]:
        for name, beside in row.others.items():
            if beside.differs:
                said[f"- \\* {row.what}: {name} {beside.differs}."] = None
            if beside.failed:
                said[f"- {row.what}, {row.size}: {name} fails with {escaped(beside.failed[:160])}"] = None
    unequal = {(id(row), name) for row, name, _ in run.unequal()}
    compared = sum(
        beside.deviation is not None for row in [*run.rules, *run.worlds] for beside in row.others.values()
    )  # fmt: skip
    equal = compared - len(unequal)
    said[
        f"- {equal} of {compared} pairs of answers of one definition are equal to {TOLERANCE:g} of the largest value."
    ] = None
    for row, name, deviation in run.unequal():
        said[f"- Not equal: {row.what}, {row.size}, {name}: {deviation:.2g} of the largest value."] = None
    return [
        *said,
        "- Clipping and ARC of byzfl overwrite what they are given, so that only the first call does work, and",
        "  bucketing is random; they are left out.",
    ]


def draw(run: Run, path: Path) -> None:
    """All ratios as SVG: a panel for each size, a row for each rule, a mark for each library."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    sizes = list(dict.fromkeys(row.size for row in run.rules))
    rules = list(dict.fromkeys(row.what for row in run.rules))
    if not sizes:
        raise ValueError("A plot of ratios needs another library. Found none; `make bench-peers` installs them.")
    options: Any = {"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 8, "font.family": "sans-serif"}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=(3.2 + 1.55 * len(sizes), 1.4 + 0.26 * len(rules)), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(1, len(sizes), sharey=True, sharex=True, squeeze=False)[0]
        for panel, size in zip(panels, sizes, strict=True):
            panel.set_xscale("log")
            panel.set_title(size, fontsize=8)
            panel.axvline(1.0, color="0.4", linewidth=1)
            panel.grid(axis="y", color="0.92")
            panel.set_axisbelow(True)
            for name, (colour, marker) in COLOURS.items():
                found = [(row.ratio(name), rules.index(row.what)) for row in run.rules if row.size == size]
                points = [(x, y) for x, y in found if x is not None]
                if points:
                    xs, ys = zip(*points, strict=True)
                    panel.plot(xs, ys, marker, color=colour, markersize=4, linestyle="none", label=name)
        panels[0].set_yticks(range(len(rules)), rules)
        panels[0].invert_yaxis()
        figure.supxlabel("time of the other library / time of robustfl (right of the line: robustfl is faster)")
        marks = {text: mark for panel in panels for mark, text in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(marks.values(), marks.keys(), loc="outside upper center", ncols=len(COLOURS), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [line(header), line(("---",) * len(header)), *map(line, rows)]
