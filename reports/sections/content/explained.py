"""The pages behind statuses and remarks, as paragraphs."""

from __future__ import annotations

from robustfl.errors import UnknownNameError
from robustfl.evaluation.trust import explain as explaining

from .blocks import Code, Note, Strong


def explained(code: str) -> tuple[Note, ...]:
    """The page of a status or of a remark's code; nothing for a code that this version does not know."""
    try:
        page = explaining.page(code)
    except UnknownNameError:
        return ()
    return tuple(
        Note(line=((Strong(f"{heading}."), " ") if number == 0 else ()) + _parts(paragraph))
        for heading, paragraphs in page.sections
        for number, paragraph in enumerate(paragraphs)
    )


def _parts(paragraph: str) -> tuple[str | Code, ...]:
    """The parts of a paragraph, in which code is between backticks."""
    return tuple(Code(part) if number % 2 else part for number, part in enumerate(paragraph.split("`")))
