"""Backdoors and other attacks with an aim, as plain values for two tables and the pictures of the triggers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from .wording import MISSING, interval, named, number

AXIS_NOTE = (
    "Some attacks want certain test samples taken for a class of their choice. Success: the share on which they get "
    "it; natural: that of the same training without the attack. Kept: the smaller of utility and of what the attack "
    "left beyond the natural rate, under the worst of these attacks; 1 is untouched. Lasts: rounds after the attacker "
    "left until it succeeds on less than half."
)
LEVELS = 16
"""Grey levels, or a third of the bits of colours, that pictures are drawn with."""


def targeted_view(summary: Mapping[str, Any], world: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any] | None:
    """Both tables in the order of the ranking, and the pictures; None where no attack of the world has an aim."""
    found = next((own for own in summary.get("targeted", ()) if own["world"] == world["world"]), None)
    if found is None:
        return None
    defenses = sorted(found["defenses"], key=lambda own: _place(own["defense"], order))
    most = max((cell["f"] for own in defenses for cell in own["attacks"]), default=0)
    attacks = list(dict.fromkeys(cell["attack"] for own in defenses for cell in own["attacks"] if cell["f"] == most))
    return {
        "note": AXIS_NOTE,
        "rows": [_row(own) for own in defenses],
        "f": most,
        "attacks": attacks,
        "matrix": [_success(own, attacks, most) for own in defenses],
        "pictures": [_picture(one) for one in summary.get("triggers", ()) if one["world"] == world["world"]],
    }


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _row(own: Mapping[str, Any]) -> dict[str, Any]:
    """A defense under the attack that leaves it least."""
    worst = next((c for c in own["attacks"] if (c["attack"], c["f"]) == (own["worst_attack"], own["f"])), None)
    shown = {key: number(worst[key] if worst else None, 3) for key in ("success", "natural", "accuracy")}
    under = f"{named(own['worst_attack'])}, f = {own['f']}" if worst else own["invalid"] or "incomplete"
    return {
        "defense": own["defense"],
        "kept": number(own["T"]),
        "interval": interval(own["T_ci"]),
        **shown,
        "effectiveness": number(worst["effectiveness"] if worst else None),
        "lasts": _rounds(worst),
        "under": under,
    }


def _rounds(cell: Mapping[str, Any] | None) -> str:
    """How long the attack outlasts the attacker, in rounds."""
    if cell is None or cell["durability"] is None:
        return MISSING
    return f"{number(cell['durability'], 0)}{' or more' if cell['outlasts'] else ''}"


def _success(own: Mapping[str, Any], attacks: Sequence[str], f: int) -> dict[str, Any]:
    """Success of every attack at one f, and how long it lasts; what a model without the attack does too is marked."""
    cells = {cell["attack"]: cell for cell in own["attacks"] if cell["f"] == f}
    texts = []
    for attack in attacks:
        cell = cells.get(attack)
        text = number(cell["success"] if cell else None)
        lasts = _rounds(cell)
        text += f", lasts {lasts}" if lasts != MISSING else ""
        texts.append(text if cell is None or cell["informative"] else f"{text} (as without it)")
    return {"defense": own["defense"], "cells": texts}


def _picture(found: Mapping[str, Any]) -> dict[str, Any]:
    """A trigger as runs of equal pixels; the clean sample is left out where it is the trigger itself."""
    clean, marked = (_paths(found, found[name]) for name in ("clean", "marked"))
    return {
        "aim": found["aim"],
        "width": found["width"],
        "height": found["height"],
        "clean": [] if found["clean"] == found["marked"] else clean,
        "marked": marked,
        "truth": found["truth"],
        "wanted": found["wanted"],
    }


def _paths(found: Mapping[str, Any], text: str) -> list[tuple[str, str]]:
    """(colour, SVG path) pairs that cover the picture; nothing for a text that is no such picture."""
    width, height, channels = found["width"], found["height"], found["channels"]
    try:
        values = bytes.fromhex(text)
    except ValueError:
        return []
    if len(values) != width * height * channels or channels not in (1, 3):
        return []
    step = 256 // (LEVELS if channels == 1 else LEVELS // 2)
    pixels = [_colour(values[i : i + channels], step) for i in range(0, len(values), channels)]
    paths: dict[str, list[str]] = {}
    for y in range(height):
        x = 0
        for colour, run in groupby(pixels[y * width : (y + 1) * width]):
            length = len(list(run))
            paths.setdefault(colour, []).append(f"M{x} {y}h{length}v1h-{length}z")
            x += length
    return [(colour, "".join(parts)) for colour, parts in paths.items()]


def _colour(levels: bytes, step: int) -> str:
    top = 255 // step
    red, green, blue = (round(255 * (level // step) / top) for level in (levels * 3)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
