"""What a defense costs in time and bytes."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from .content import (
    BAR,
    DURATION,
    LABEL,
    SIZE,
    Column,
    Content,
    Detailed,
    Note,
    Row,
    Section,
    Span,
    Table,
    Values,
    World,
)

NOTE = (
    "Medians over the finished trials. Times depend on the machine; the whole trial includes training and the work of "
    "the attack."
)
COLUMNS = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="share", heading="", form=BAR),
    Column(key="aggregate", heading="Aggregation per trial", form=DURATION),
    Column(key="total", heading="Whole trial", form=DURATION),
    Column(key="up", heading="Sent per client and round", form=SIZE),
    Column(key="down", heading="Received", form=SIZE),
)


def _of_world(world: World) -> Content:
    used = {own["defense"]: _finished(own, world) for own in world.defenses}
    spent = {name: _median(records, "time", "aggregate_s") for name, records in used.items()}
    longest = max((seconds or 0.0 for seconds in spent.values()), default=0.0)
    rows = (_row(name, records, spent[name], longest) for name, records in used.items())
    table = Table(columns=COLUMNS, rows=tuple(rows))
    return Content(title="What it costs", blocks=(Detailed(full=(table, Note(line=NOTE))),))


def _finished(own: Values, world: World) -> list[Values]:
    """The records of the trials of a defense that have the status "ok"."""
    cells = (cell for point in own["curve"] for cell in point["attacks"].values())
    ids = dict.fromkeys(trial for cell in cells for trial in cell["trials"] if trial)
    records = world.run.records
    return [records[trial] for trial in ids if trial in records and records[trial]["status"] == "ok"]


def _row(name: str, records: list[Values], spent: float | None, longest: float) -> Row:
    if not records:
        return Row(cells={"defense": name}, instead="no finished trial")
    return Row(
        cells={
            "defense": name,
            "share": Span(value=(spent or 0.0) / longest if longest else 0.0),
            "aggregate": spent,
            "total": _median(records, "time", "total_s"),
            "up": _median(records, "bytes", "up_per_client_round"),
            "down": _median(records, "bytes", "down_per_client_round"),
        }
    )


def _median(records: Iterable[Values], part: str, key: str) -> float | None:
    values: list[Any] = [record[part][key] for record in records if (record.get(part) or {}).get(key) is not None]
    return median(values) if values else None


EFFORT = Section(key="effort", of_world=_of_world)
