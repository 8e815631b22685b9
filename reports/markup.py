"""Markdown from any text: the content of a label never becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """The text on one line, shown as it is: it contains no markup and no HTML, and cannot end a table cell."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*_\[\]#|~!])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"^(\d*)([-+=>.)])(?!\d)", r"\1\\\2", line)  # what would begin a list or a quote at the start


def table(header: Sequence[str], rows: Iterable[Sequence[str]], columns: str) -> str:
    """A table; `columns` has one letter per column, l for left and r for right."""
    marks = ["---:" if side == "r" else "---" for side in columns]
    lines = [[escaped(cell) for cell in header], marks, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(text: str) -> str:
    """A code block whose fence is longer than any fence in the text."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}\n{' '.join(text.split())}\n{fence}"


def coded(text: str) -> str:
    """Code inside a line, between backticks that are longer than any run of backticks in the text."""
    line = " ".join(text.split())
    mark, room = "`" * (_longest_run(line) + 1), " " if "`" in line else ""
    return f"{mark}{room}{line}{room}{mark}"


def _longest_run(text: str) -> int:
    """The length of the longest run of backticks."""
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
