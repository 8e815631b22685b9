"""Markdown from text of any kind: what a label holds never becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """The text on one line, shown as it is: no markup, no HTML, no table cell ends in it."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*_\[\]#|~!])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"^(\d*)([-+=>.)])(?!\d)", r"\1\\\2", line)  # what would begin a list or a quote at the start


def table(header: Sequence[str], rows: Iterable[Sequence[str]], columns: str) -> str:
    """A table; `columns` has a letter a column, l for left and r for right."""
    marks = ["---:" if side == "r" else "---" for side in columns]
    lines = [[escaped(cell) for cell in header], marks, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(text: str) -> str:
    """A code block whose fence is longer than any that the text holds."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}\n{' '.join(text.split())}\n{fence}"


def coded(text: str) -> str:
    """Code inside a line, between marks that are longer than any that the text holds."""
    line = " ".join(text.split())
    mark, room = "`" * (_longest_run(line) + 1), " " if "`" in line else ""
    return f"{mark}{room}{line}{room}{mark}"


def _longest_run(text: str) -> int:
    """The length of the longest run of backticks."""
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
