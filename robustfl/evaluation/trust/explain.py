"""The pages that explain statuses and remarks, when each is raised, what it means and what to do, and the guides.

A guide explains a subject that no single code stands for, such as what a privacy claim says about whom.

>>> page("FEW_SEEDS").title
'FEW_SEEDS'
>>> [title for title, _ in page("FEW_SEEDS").sections]
['Raised when', 'What it means', 'What to do']
>>> page("privacy").summary
'What holds against whom: which privacy claims a mechanism makes, against which observer, and with which rule.'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from robustfl.errors import UnknownNameError, did_you_mean
from robustfl.privacy.compatibility import CODES

SECTIONS = ("Raised when", "What it means", "What to do")
"""The headings of every page about a status or a remark, in order; guides have headings of their own."""

GUIDES = ("PRIVACY",)
"""The pages about a subject. Nothing raises them."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: the code, one line about it, and the paragraphs under each heading as plain text.

    `text` is the whole page in Markdown, with headings, paragraphs and `code`.
    """

    title: str
    summary: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    text: str

    @classmethod
    def read(cls, text: str) -> Page:
        """Read a page from Markdown: a heading, a line, and second-level headings with paragraphs."""
        head, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
        title, summary = _paragraphs(head)
        sections = []
        for part in parts:
            heading, _, body = part.partition("\n")
            sections.append((heading.strip(), tuple(_paragraphs(body))))
        return cls(title=title.removeprefix("# "), summary=summary, sections=tuple(sections), text=text)

    def report(self) -> dict[str, Any]:
        """The page as JSON values."""
        sections = {heading: list(paragraphs) for heading, paragraphs in self.sections}
        return {"code": self.title, "summary": self.summary, **sections}


@cache
def codes() -> tuple[str, ...]:
    """All statuses and all codes of remarks that have a page."""
    found = [entry.name for entry in files("robustfl.evaluation.trust").joinpath("pages").iterdir()]
    pages = {name.removesuffix(".md") for name in found if name.endswith(".md")}
    return tuple(sorted(pages - {*GUIDES}))


@cache
def page(code: str) -> Page:
    """The page of a status or a remark, or a guide; names may be in any case, with hyphens or spaces for underscores.

    The codes of privacy claims, such as NO_SENSITIVITY, lead to the guide that lists them.

    Raises UnknownNameError, which names the most similar codes, when there is no such page.
    """
    known = (*codes(), *GUIDES)
    wanted = re.sub(r"[-\s]+", "_", code.strip()).upper()
    if wanted not in known and wanted in CODES:
        wanted = "PRIVACY"
    if wanted not in known:
        hint = did_you_mean(wanted, [name.lower() for name in known])
        raise UnknownNameError(f"There is no status or remark {code[:60]!r}. {hint}")
    return Page.read(files("robustfl.evaluation.trust").joinpath("pages", f"{wanted}.md").read_text(encoding="utf-8"))


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a part; the lines of a list or a table stay lines."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    return [block if block.startswith(("|", "- ")) else " ".join(block.split()) for block in blocks]
