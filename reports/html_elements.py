"""Makes elements of a page in Python: cells and shapes, of which a page may hold hundreds of thousands."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from markupsafe import Markup

from .sections.content.wording import pieces


def element(tag: str, attributes: Mapping[str, object], *content: str) -> Markup:
    """An element; content that is not markup is escaped, and attributes without a value are left out."""
    shown = "".join([f' {key}="{escape(str(value))}"' for key, value in attributes.items() if value not in ("", None)])
    if not content:
        return Markup(f"<{tag}{shown}/>")
    inner = "".join([part if isinstance(part, Markup) else escape(part) for part in content])
    return Markup(f"<{tag}{shown}>{inner}</{tag}>")


def breakable(label: str) -> Markup:
    """A label with marks where a line may break."""
    return Markup("<wbr>".join([escape(part) for part in pieces(label)]))
