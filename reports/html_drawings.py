"""Drawings as SVG: the class of a shape says what it stands for, and the style of the page decides how it looks."""

from __future__ import annotations

from typing import assert_never

from markupsafe import Markup

from .html_elements import element
from .sections.content import Box, Circle, Drawing, Group, Path, Shape, Words


def svg(drawing: Drawing) -> Markup:
    """A drawing as an element of the page."""
    attributes: dict[str, object] = {
        "class": drawing.kind,
        "viewBox": f"0 0 {drawing.width:g} {drawing.height:g}",
        "width": drawing.shown,
        "role": "img",
        "aria-label": drawing.words,
    }
    return element("svg", attributes, *map(_shape, drawing.shapes))


def _shape(shape: Shape) -> Markup:
    match shape:
        case Path():
            attributes = {"class": _meaning(shape), "fill": shape.colour, "d": shape.d}
            return element("path", attributes, *_title(shape.title))
        case Circle():
            place = {"cx": f"{shape.x:g}", "cy": f"{shape.y:g}", "r": f"{shape.r:g}"}
            return element("circle", {"class": _meaning(shape), **place}, *_title(shape.title))
        case Words():
            anchor = "" if shape.anchor == "start" else shape.anchor
            return element("text", {"x": f"{shape.x:g}", "y": f"{shape.y:g}", "text-anchor": anchor}, shape.text)
        case Box():
            size = {"width": f"{shape.width:g}", "height": f"{shape.height:g}"}
            return element("rect", {"x": f"{shape.x:g}", "y": f"{shape.y:g}", **size})
        case Group():
            return element("g", {"class": _meaning(shape)}, *_title(shape.title), *map(_shape, shape.shapes))
        case _:
            assert_never(shape)


def _meaning(shape: Path | Circle | Group) -> str:
    meaning = "" if shape.meaning == "plain" else shape.meaning
    return meaning if not isinstance(shape, Circle) or shape.tone is None else f"{meaning} tone{shape.tone}"


def _title(title: str) -> tuple[Markup, ...]:
    return (element("title", {}, title),) if title else ()
