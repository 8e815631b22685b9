"""The parts of a section's content except tables and figures: plain values that know no format.

Every page can show a :data:`Block`. Content that only a large page can show (tabs, figures, cards) is a :data:`Rich`
block. It is the `full` part of a :class:`Detailed`, next to a part that says the same in brief.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .drawings import Gallery
from .tables import Table


@dataclass(frozen=True)
class Code:
    """A part of a line that is code, such as a command or an expression."""

    text: str


@dataclass(frozen=True)
class Strong:
    """A part of a line that is emphasised."""

    text: str


Line = str | tuple[str | Code | Strong, ...]
"""A text, or its parts if some of them are code or emphasised."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """A paragraph. Its tone is that of the main text, of an introduction, or of a remark in small print."""

    line: Line
    tone: Literal["plain", "soft", "small"] = "small"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names with their values; `extra` is added if there is room."""

    entries: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...] = ()
    large: bool = False


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list of lines; each may have shorter lines beneath it."""

    entries: tuple[tuple[Line, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that was found: its kind, whether it is serious, and one or more lines that describe it.

    `more` explains it if there is room.
    """

    kind: str
    title: str = ""
    serious: bool = False
    lines: tuple[Line, ...] = ()
    more: tuple[Rich, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A list of findings, one below the other."""

    entries: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Blocks that a page shows when the reader opens them."""

    summary: Line
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Preformatted:
    """A command or the output of a program; it may have a label."""

    text: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Words with their meanings."""

    entries: Mapping[str, Line]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A component: its stages if there are several, what it does, and facts about it."""

    title: str
    stages: str = ""
    summary: str = ""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cards:
    """Cards of equal rank, side by side."""

    title: str
    entries: tuple[Card, ...]


@dataclass(frozen=True, kw_only=True)
class Tab:
    """One of several views: the label by which it is chosen, its title when all are printed, and its content."""

    key: str
    label: str
    title: str
    blocks: tuple[Rich, ...]


@dataclass(frozen=True, kw_only=True)
class Tabs:
    """Views of one `group`, of which one is shown at a time; `chosen` is shown first."""

    group: str
    purpose: str
    question: str
    chosen: str
    tabs: tuple[Tab, ...]


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What lies behind the cells of the table with this `key`: JSON values, of which a page shows those of one cell.

    A large suite has tens of thousands of cells, so a page stores these values once, packed, and lays out only what a
    reader asks for.
    """

    key: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ColourKey:
    """The scale of colours from utility 0 to 1, with the words at its ends."""

    low: str
    high: str


@dataclass(frozen=True, kw_only=True)
class Detailed:
    """What a large page shows, and what a short page shows in its place, if anything."""

    full: tuple[Rich, ...]
    brief: tuple[Block, ...] = ()


Block = Note | Facts | Bullets | Findings | Fold | Preformatted | Table | Detailed
Rich = Block | Definitions | Cards | Tabs | Behind | ColourKey | Gallery
