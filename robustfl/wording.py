"""Words that messages, tables and reports share."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 trial`, `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
