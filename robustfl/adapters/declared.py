"""Numbers that clients declare, such as a loss: a liar may declare anything, so they are never summed."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any


def medians(declared: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The median of each key over the clients that declare a finite number under it.

    A key that half of the clients or fewer declare in this way is left out, so that fewer than half of them can neither
    move a number beyond those of the others nor invent one. What is no single number is left out as well.

    >>> medians([{"loss": 1.0, "n": 5}, {"loss": 3.0, "n": 10**400}, {"loss": float("nan"), "n": 9}])
    {'loss': 2.0, 'n': 7.0}
    """
    found: defaultdict[str, list[float]] = defaultdict(list)
    count = 0
    for one in declared:
        count += 1
        for key, value in one.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and _finite(value):
                found[key].append(float(value))
    return {key: float(statistics.median(values)) for key, values in sorted(found.items()) if 2 * len(values) > count}


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False
