"""The contract of a section: it is one subject of a report, and says when it applies and what it shows.

A section is a value: a key, and functions that make content from results. Sections know nothing about formats, and
formats know nothing about sections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .blocks import Block
from .reading import Run, World
from .tables import Sheet


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a section shows of one run, or of one world.

    Attributes
    ----------
    title : its heading
    blocks : its tables, figures and notes, in order
    introduction : a paragraph below the heading that says how to read what follows
    label : its name in a table of contents or on a tab, if the heading is longer
    announcement : words for the top of a page, and the words of the link to the section
    fold : whether a large page lets readers fold it, and whether it is open or closed at first
    """

    title: str
    blocks: tuple[Block, ...]
    introduction: str = ""
    label: str = ""
    announcement: tuple[str, str] | None = None
    fold: Literal["never", "open", "closed"] = "never"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One subject of a report.

    Attributes
    ----------
    key : its name in links, unique in the list of sections
    of_run : makes its content for a run, or None if the section does not apply to the run
    of_world : makes its content for one world of the run, or None; for subjects that are shown world by world
    sheet : makes its values for spreadsheets and data frames, over all worlds; without values there are no rows
    measures : names of the declared measures that are its subject, whether it shows them or leaves them to the table
        for spreadsheets; the page shows those that no section covers among the further measures of each world
    """

    key: str
    of_run: Callable[[Run], Content | None] | None = None
    of_world: Callable[[World], Content | None] | None = None
    sheet: Callable[[Run], Sheet] | None = None
    measures: tuple[str, ...] = ()
