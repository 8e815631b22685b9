"""Tables as the page lays them out: which cells share a place, how many rows they span, and how they look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from markupsafe import Markup

from .html_elements import breakable, element
from .sections.content import LABEL, Cell, Column, Row, Span, Table

STEPS = 10
"""The colour scale has the classes q0 (utility 0) to q10 (utility 1)."""

FEW = 6
"""A heat map with fewer columns than this is only as wide as it needs to be."""

LONG = 4
"""A note with more characters than this stands beneath its value."""


def table(found: Table) -> Markup:
    """A table as an element of the page; a table that is wider than the page can be scrolled sideways."""
    shown = [column for column in found.columns if not column.beneath]
    classes = _classes(found, shown)
    heat = any(column.form.look == "heat" for column in shown)
    kind = f"heat{' few' if len(shown) < FEW else ''}" if heat else "stacks" if found.stacks else ""
    heads = (_head(column, classes[column.key]) for column in shown)
    spans = _spans(found)
    rows = (_row(found, row, shown, classes, span) for row, span in zip(found.rows, spans, strict=True))
    whole = element(
        "table",
        {"class": kind},
        element("thead", {}, element("tr", {}, *heads)),
        element("tbody", {}, *rows),
    )
    if found.stacks:
        return whole
    region = {"tabindex": "0", "role": "region", "aria-label": found.caption or "Table"} if heat else {}
    region |= {"data-behind": found.behind} if found.behind else {}
    return element("div", {"class": "scroll" if heat else "scroll plain", **region}, whole)


def _classes(found: Table, shown: Sequence[Column]) -> dict[str, str]:
    """The classes of each column. If rows become blocks, the columns after the main value are shown below it."""
    classes, place = {}, "rank"
    for column in shown:
        own = ["num"] if column.form.right and column.form.look != "heat" else []
        if column.form is LABEL:
            own, place = [], ""
        elif column.form.look == "bar":
            own = ["chart"]
        elif column.strong:
            own.append("end" if column.form.look == "heat" else "value")
            place = "more"
        elif found.stacks and place:
            own.append(place)
        classes[column.key] = " ".join(own)
    return classes


def _head(column: Column, classes: str) -> Markup:
    attributes = {"scope": "col", "class": f"{classes} wrap".lstrip() if column.label else classes}
    if column.scale:
        marks = (element("span", {}, mark) for mark in column.scale)
        return element("th", attributes, element("span", {"class": "axis"}, *marks))
    return element("th", attributes, breakable(column.heading))


def _spans(found: Table) -> list[int]:
    """For each row, the number of rows that its name spans; 0 if the name of a row above spans this row."""
    names = [column for column in found.columns if column.form is LABEL]
    if not found.grouped or not names:
        return [1] * len(found.rows)
    groups = [len(list(rows)) for _, rows in groupby(found.rows, key=lambda row: row.cell(names[0]).value)]
    return [span for size in groups for span in (size, *[0] * (size - 1))]


def _row(found: Table, row: Row, shown: Sequence[Column], classes: dict[str, str], span: int) -> Markup:
    missing = [column.key for column in shown if column.key not in row.cells] if row.instead else []
    cells = []
    for column in shown:
        cell = row.cell(column)
        if column.key in missing:
            if column.key == missing[0]:
                void = "void" if column.form.look == "heat" else "soft"
                cells.append(element("td", {"class": void, "colspan": len(missing)}, row.instead))
        elif column.form is not LABEL:
            cells.append(_cell(cell, column, classes[column.key], _below(found, row, column)))
        elif span:
            attributes = {"scope": "row", "rowspan": span if span > 1 else ""}
            text = breakable(column.text(cell))
            cells.append(element("th", attributes, text, *_below(found, row, column)))
    return element("tr", {"class": "first" if row.first else ""}, *cells)


def _cell(cell: Cell, column: Column, classes: str, below: Sequence[Markup]) -> Markup:
    aside = cell.note.strip(", ") if len(cell.note) > LONG else ""  # on a line of its own, so that tables stay narrow
    shown = text = column.text(replace(cell, note="") if aside else cell)
    below = [element("small", {}, breakable(aside)), *below] if aside else below
    if isinstance(cell.value, Span):
        shown = _bar(cell.value, marked=bool(column.scale))
    elif cell.to:
        shown = element("a", {"href": f"#{cell.to}"}, text)
    elif column.form.look == "code":
        shown = element("code", {}, text)
    parts = (classes, _colour(cell) if column.form.look == "heat" else "", "worst" if cell.strong else "")
    title = column.heading if classes.endswith("more") else ""
    return element("td", {"class": " ".join(filter(None, parts)), "data-title": title}, shown, *below)


def _below(found: Table, row: Row, above: Column) -> list[Markup]:
    """The lines below the value of a cell."""
    columns = [column for column in found.columns if column.beneath == above.key]
    lines = (column.text(row.cell(column), beneath=True) for column in columns)
    return [element("small", {}, breakable(line)) for line in lines if line]


def _colour(cell: Cell) -> str:
    """The class of the colour behind a utility."""
    known = isinstance(cell.value, int | float)
    return f"q{round(STEPS * min(max(cell.value, 0.0), 1.0))}" if known else "void"


def _bar(span: Span, marked: bool) -> Markup:
    """A bar with the whiskers of its interval, in per cent of the available width."""
    parts = [_line("track", at, at, 0, "100%") for at in (0.0, 0.5, 1.0) if marked]
    if span.value is not None:
        parts.append(element("rect", {"class": "fill", "y": 4, "height": 14, "width": _share(span.value)}))
    if span.low is not None and span.high is not None:
        parts.append(_line("whisker", span.low, span.high, 11, 11))
        parts += [_line("whisker", end, end, 7, 15) for end in (span.low, span.high)]
    return element("svg", {"class": "bar", "aria-hidden": "true"}, *parts)


def _line(kind: str, left: float, right: float, top: float, bottom: float | str) -> Markup:
    return element("line", {"class": kind, "x1": _share(left), "x2": _share(right), "y1": top, "y2": bottom})


def _share(value: float) -> str:
    """A value in [0, 1] as per cent of the width of a bar."""
    return f"{round(100 * min(max(value, 0.0), 1.0), 1):g}%"
