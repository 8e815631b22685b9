"""What pipelines ask of their parts."""

from __future__ import annotations

from typing import Any

from robustfl.aggregation.defense import Defense
from robustfl.errors import StateError


def most(*parts: Defense) -> int | None:
    """The largest number of Byzantine rows that is declared to a part, or None if there is none."""
    return max((part.byzantine for part in parts if part.byzantine is not None), default=None)


def infeasible_parts(before: Defense, then: Defense, n: int, f: int | None) -> str | None:
    """The reason why one of the parts cannot work, or None; the second part gets the rows that the first one makes."""
    left = before.output_rows(n)
    reason = before.infeasible(n, f)
    if reason is not None:
        return reason
    reason = then.infeasible(left, f)
    return f"{before} makes {left} rows of {n}. {reason}" if reason is not None and left != n else reason


def commit_parts(state: dict[str, Any], **parts: Defense) -> None:
    """Give each part its own state: a part without a state is reset, and a part that is None keeps its state."""
    for name, part in parts.items():
        own = state.get(name, {})
        if own is None:
            continue
        unknown = set(own) - set(part.state_keys)
        if unknown:
            raise StateError(f"{part!r} has no state {sorted(unknown)}.")
        part._commit(own)
