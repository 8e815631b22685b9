"""Pictures that results hold as texts, as shapes of a drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from .drawings import Path

LEVELS = 16
"""The number of grey levels with which pictures are drawn; each of the three colours has half as many."""


def drawn(found: Mapping[str, Any], text: str) -> tuple[Path, ...]:
    """The picture as runs of equal pixels, one path per colour; nothing for a text that is not such a picture."""
    width, height, channels = found["width"], found["height"], found["channels"]
    try:
        values = bytes.fromhex(text)
    except ValueError:
        return ()
    if len(values) != width * height * channels or channels not in (1, 3):
        return ()
    step = 256 // (LEVELS if channels == 1 else LEVELS // 2)
    pixels = [_colour(values[i : i + channels], step) for i in range(0, len(values), channels)]
    paths: dict[str, list[str]] = {}
    for y in range(height):
        x = 0
        for colour, run in groupby(pixels[y * width : (y + 1) * width]):
            length = len(list(run))
            paths.setdefault(colour, []).append(f"M{x} {y}h{length}v1h-{length}z")
            x += length
    return tuple(Path(d="".join(parts), colour=colour) for colour, parts in paths.items())


def _colour(levels: Sequence[int], step: int) -> str:
    top = 255 // step
    red, green, blue = (round(255 * (level // step) / top) for level in (tuple(levels) * 3)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
