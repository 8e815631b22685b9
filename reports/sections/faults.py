"""How the defenses withstand faults without an attack, if the suite has a fault suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .content import (
    COUNT,
    LABEL,
    NUMBER,
    PERCENT,
    TEXT,
    Column,
    Content,
    Row,
    Run,
    Section,
    Sheet,
    Table,
    Values,
    World,
    ends,
    labelled,
    labels,
)
from .content.wording import named

NOTE = (
    "Each fault alone, nobody malicious, the defense told f; utility 1 is plain averaging without any fault. F is the "
    "smallest of these utilities and stands apart from the score. Rounds held: the model stayed as it was, for too few "
    "messages were left. Recovery, for faults that begin during the training: the most rounds from there until the "
    "accuracy was back within 2 % of what it was. Honest ignored: honest messages with less than a tenth of an equal "
    "weight."
)
BORNE = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="told", heading="Told f", form=COUNT),
    Column(key="F", heading="F", form=NUMBER, strong=True),
    Column(key="worst", heading="Under", form=TEXT),
    Column(key="held", heading="Most rounds held", form=COUNT),
    Column(key="recovery", heading="Recovery", form=COUNT),
    Column(key="ignored", heading="Honest ignored", form=PERCENT),
)


def _of_world(world: World) -> Content | None:
    defenses = world.axis("faults")
    if not defenses:
        return None
    faults = dict.fromkeys(fault for own in defenses for fault in own["faults"])
    matrix = tuple(
        Row(
            cells={
                "fault": named(fault),
                **labelled(
                    {
                        own["defense"]: own["faults"][fault]["U"] if fault in own["faults"] else "not applicable"
                        for own in defenses
                    }
                ),
            }
        )
        for fault in faults
    )
    columns = (
        Column(key="fault", heading="Fault", form=LABEL),
        *labels(dict.fromkeys(own["defense"] for own in defenses), NUMBER),
    )
    return Content(
        title="Faults, without any attack",
        introduction=NOTE,
        blocks=(
            Table(columns=BORNE, rows=tuple(map(_row, defenses))),
            Table(columns=columns, rows=matrix, caption="Utility under each fault:"),
        ),
    )


def _row(own: Values) -> Row:
    known = [cell for cell in own["faults"].values() if cell["status"]]
    return Row(
        cells={
            "defense": own["defense"],
            "told": own["told"],
            "F": own["F"],
            "worst": own["invalid"] or ("" if own["worst"] is None else named(own["worst"])),
            "held": _most(known, "held_rounds"),
            "recovery": _recovery(known),
            "ignored": _most(known, "honest_ignored"),
        }
    )


def _most(cells: Sequence[Values], key: str) -> float | None:
    return max((cell[key] for cell in cells if cell[key] is not None), default=None)


def _recovery(cells: Sequence[Values]) -> float | str | None:
    """The longest recovery, or the number of faults from which the defense did not recover on every seed."""
    defined = [cell for cell in cells if cell["recovered"] is not None]
    lasting = sum(cell["recovery"] is None for cell in defined)
    return f"not from {lasting} of {len(defined)}" if lasting else _most(defined, "recovery")


CELL = ("recovery", "recovered", "lost_rows", "held_rounds", "honest_ignored")


def _sheet(run: Run) -> Sheet:
    """The table with one row per fault.

    `faults` is F of the defense in the world, and `utility` is what the defense keeps under the fault.
    """
    rows = tuple(row for world, defense in run.each("faults") for row in _rows(world, defense))
    columns = (
        *("world", "defense", "told_f", "faults", "worst_fault", "invalid"),
        *("fault", "utility", "utility_low", "utility_high", *CELL, "utility_per_seed", "status"),
    )
    return Sheet(file="faults.csv", columns=columns, rows=rows)


def _rows(world: str, defense: Values) -> Iterator[dict[str, Any]]:
    """One row per fault; a defense that cannot be used has a single row."""
    shared = {
        "world": world,
        **{key: defense[key] for key in ("defense", "invalid")},
        "told_f": defense["told"],
        "faults": defense["F"],
        "worst_fault": defense["worst"],
    }
    if not defense["faults"]:
        yield shared
    for fault, cell in defense["faults"].items():
        yield {
            **shared,
            **{name: cell[name] for name in CELL},
            "fault": fault,
            "utility": cell["U"],
            **ends("utility", cell["ci"]),
            "utility_per_seed": cell["u"],
            "status": [status.replace(" ", "_") for status in cell["status"]],
        }


FAULTS = Section(key="faults", of_world=_of_world, sheet=_sheet, measures=("honest_ignored",))
