"""What the content of a section is made of, apart from tables and figures: plain values, nothing of any format.

A :data:`Block` can be shown everywhere. What only a page with room can show (tabs, figures, cards) is a :data:`Rich`
block, and stands in the `full` part of a :class:`Detailed`, beside what says the same in brief.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .drawings import Gallery
from .tables import Table


@dataclass(frozen=True)
class Code:
    """A part of a line that is code, such as a command or an expression."""

    text: str


@dataclass(frozen=True)
class Strong:
    """A part of a line that stands out."""

    text: str


Line = str | tuple[str | Code | Strong, ...]
"""A text, or its parts where some of them are code or stand out."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """A paragraph. Its tone is that of the main text, of an introduction, or of a remark in small print."""

    line: Line
    tone: Literal["plain", "soft", "small"] = "small"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names with their values, of which `extra` are added where there is room."""

    entries: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...] = ()
    large: bool = False


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list of lines, each with shorter lines beneath it where there are any."""

    entries: tuple[tuple[Line, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that was found: of which kind, whether it is serious, and one or more lines that say it.

    `more` explains it where there is room.
    """

    kind: str
    title: str = ""
    serious: bool = False
    lines: tuple[Line, ...] = ()
    more: tuple[Rich, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found, one below the other."""

    entries: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Blocks that a page shows when somebody asks for them."""

    summary: Line
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Preformatted:
    """A command or the output of a program, perhaps with a label of what it belongs to."""

    text: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Words with what they mean."""

    entries: Mapping[str, Line]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A component: of which stages it is made if there are several, what it does, and facts about it."""

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
    """One of several views: what it is chosen by, its title where all are printed below each other, and its content."""

    key: str
    label: str
    title: str
    blocks: tuple[Rich, ...]


@dataclass(frozen=True, kw_only=True)
class Tabs:
    """Views of which one is shown at a time: those of one `group`, `chosen` first."""

    group: str
    purpose: str
    question: str
    chosen: str
    tabs: tuple[Tab, ...]


@dataclass(frozen=True, kw_only=True)
class Article:
    """What lies behind a cell of a table that leads to its `key`; it is shown when the cell is selected."""

    key: str
    title: str
    introduction: str
    blocks: tuple[Rich, ...]


@dataclass(frozen=True, kw_only=True)
class ColourKey:
    """The scale of colours from utility 0 to 1, with the words at its ends."""

    low: str
    high: str


@dataclass(frozen=True, kw_only=True)
class Detailed:
    """What a page with room shows, and what a short one shows in its place, if anything."""

    full: tuple[Rich, ...]
    brief: tuple[Block, ...] = ()


Block = Note | Facts | Bullets | Findings | Fold | Preformatted | Table | Detailed
Rich = Block | Definitions | Cards | Tabs | Article | ColourKey | Gallery
