"""Figures as shapes with coordinates and a meaning; the page decides how a shape with this meaning looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Meaning = Literal[
    "grid",
    "base",
    "limit",
    "ghost",
    "band",
    "line",
    "thin line",
    "dot",
    "cross",
    "row",
    "bad",
    "plain",
    "edge",
    "attack",
    "peer",
    "ring",
    "malicious",
    "leader",
]
"""What a shape stands for: lines of the frame, of a comparison or of a limit, other curves, the curve, ..."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """An SVG path; it has a colour of its own if the colour is what it shows."""

    d: str
    meaning: Meaning = "plain"
    colour: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Circle:
    """A dot, whose size is in units of the drawing; its tone is the step of a scale that it stands for."""

    x: float
    y: float
    r: float
    meaning: Meaning = "plain"
    title: str = ""
    tone: int | None = None


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Words:
    """A text that begins, ends or has its middle at a point."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Shapes that belong together, with a description of all of them."""

    title: str
    shapes: tuple[Shape, ...]
    meaning: Meaning = "plain"


Shape = Path | Circle | Box | Words | Group


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing of `width` x `height` units, and a description for readers who cannot see it.

    Its kind decides how it looks: a plot and a network fill the available width, dots keep their size (`shown`, in
    pixels), and pixels have sharp edges.
    """

    width: float
    height: float
    words: str
    shapes: tuple[Shape, ...]
    kind: Literal["plot", "network", "dots", "pixels"] = "plot"
    shown: float | None = None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One or more drawings with a title and lines above, and a caption below."""

    drawings: tuple[Drawing, ...]
    title: str = ""
    lines: tuple[str, ...] = ()
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Figures side by side: small multiples, large ones, separate ones, or one that may be wider than the page."""

    figures: tuple[Figure, ...]
    layout: Literal["multiples", "pair", "loose", "wide", "beside"] = "loose"
