"""How defenses bear faults without any attack, as plain values for a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .side_effects import percent
from .wording import MISSING, named, number

NOTE = (
    "Each fault alone, nobody malicious, the defense told f; utility 1 is plain averaging without any fault. F is the "
    "smallest of these utilities and stands apart from the score. Rounds held: the model stayed as it was, for too few "
    "messages were left. Recovery, for faults that begin during the training: the most rounds from there until the "
    "accuracy was back within 2 % of what it was. Honest ignored: honest messages with less than a tenth of an equal "
    "weight."
)


def faults_view(summary: Mapping[str, Any], world: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any] | None:
    """A row a defense with its F, and a row a fault with the utilities of all defenses; None where none was tried."""
    found = next((own for own in summary.get("faults", ()) if own["world"] == world["world"]), None)
    if found is None or not found["defenses"]:
        return None
    defenses = sorted(found["defenses"], key=lambda own: _place(own["defense"], order))
    faults = list(dict.fromkeys(fault for own in defenses for fault in own["faults"]))
    return {
        "note": NOTE,
        "defenses": [own["defense"] for own in defenses],
        "rows": [_row(own) for own in defenses],
        "matrix": [
            {"fault": named(fault), "cells": [_cell(own["faults"].get(fault)) for own in defenses]} for fault in faults
        ],
    }


def _row(own: Mapping[str, Any]) -> dict[str, Any]:
    known = {fault: cell for fault, cell in own["faults"].items() if cell["status"]}
    worst = own["worst"]
    ignored = [cell["honest_ignored"] for cell in known.values() if cell["honest_ignored"] is not None]
    held = [cell["held_rounds"] for cell in known.values() if cell["held_rounds"] is not None]
    return {
        "defense": own["defense"],
        "told": str(own["told"]),
        "F": number(own["F"]),
        "worst": own["invalid"] or ("" if worst is None else named(worst)),
        "held": number(max(held), 0) if held else MISSING,
        "ignored": percent(max(ignored) if ignored else None),
        "recovery": _recovery(list(known.values())),
    }


def _recovery(cells: Sequence[Mapping[str, Any]]) -> str:
    """The longest recovery, or how many faults a defense did not recover from on every seed."""
    defined = [cell for cell in cells if cell["recovered"] is not None]
    lasting = sum(cell["recovery"] is None for cell in defined)
    if lasting:
        return f"not from {lasting} of {len(defined)}"
    return number(max((cell["recovery"] for cell in defined), default=None), 0)


def _cell(cell: Mapping[str, Any] | None) -> str:
    return "not applicable" if cell is None else number(cell["U"])


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)
