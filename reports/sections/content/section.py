"""The contract of a section: one subject of a report, from where it applies to what it shows.

A section is a value: a key, and functions that make content from results. It knows nothing of formats, and formats
know nothing of it.
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
    introduction : a paragraph below the heading that tells how to read what follows
    label : its name in a table of contents, where the heading is longer
    announcement : words for the top of a page, and those that lead to the section
    fold : whether a page with room lets people fold it, and whether it is open or closed before they do
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
    of_run : its content for a run; None where the run has nothing of the kind
    of_world : the same for one world of the run, for what is told world by world
    sheet : its values for spreadsheets and data frames, over all worlds; no rows where there are none
    measures : names of the declared measures that are its subject, whether it shows them or leaves them to the table
        for spreadsheets; those that no section covers are told among the further measures of each world
    """

    key: str
    of_run: Callable[[Run], Content | None] | None = None
    of_world: Callable[[World], Content | None] | None = None
    sheet: Callable[[Run], Sheet] | None = None
    measures: tuple[str, ...] = ()
