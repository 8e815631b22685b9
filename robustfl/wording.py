"""Words that messages, tables and reports share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 trial`, `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def remarks_counted(remarks: Iterable[Mapping[str, Any]]) -> str:
    """How many kinds of remarks there are, in the words of every page: `1 error and 3 warnings`.

    Remarks of one kind share their `code` and their `level`.
    """
    levels = [level for level, _ in {(remark["level"], remark["code"]) for remark in remarks}]
    serious = levels.count("error")
    counts = ((serious, "error"), (len(levels) - serious, "warning"))
    return listed([counted(count, noun) for count, noun in counts if count])


def listed(names: Sequence[str]) -> str:
    """`[A, B, C]` -> `A, B and C`."""
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), *names[-1:]])


def decimals(values: Iterable[float | None]) -> int:
    """The number of decimals that shows three digits of the largest number: 3 for 0.83, 0 for 7240, and at most 8."""
    largest = max((abs(value) for value in values if value), default=1.0)
    return min(8, max(0, 2 - math.floor(math.log10(largest))))


def lasting(seconds: float) -> str:
    """A duration in a suitable unit: `45 s`, `12 min`, `2.5 h`."""
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 1.5 else f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def distinct(labels: Sequence[str]) -> list[str]:
    """The labels without the parts that all share: `Digits, IID, f=1` and `Digits, IID, f=2` -> `f=1` and `f=2`."""
    parts = [re.split(r", (?![^(]*\))", label) for label in labels]
    shared = set.intersection(*map(set, parts)) if parts else set()
    short = [", ".join(part for part in own if part not in shared) for own in parts]
    return short if all(short) else list(labels)
