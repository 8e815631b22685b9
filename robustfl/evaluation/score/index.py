"""The combined index: one number for several axes of the score, for readers who need a single number.

It is always shown with the axes themselves and with a label that names them: `RI[UT]` and `RI[UTF]` are different
quantities. It is a geometric mean, so that no axis can compensate for an axis that is zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from robustfl.errors import ParameterError

AXES = {"U": 0.40, "T": 0.25, "F": 0.15, "P": 0.20}
"""The axes and their weights: untargeted resilience, attacks with an aim, faults, and privacy."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """The value, the label that names the measured axes, and the weakest of these."""

    value: float
    label: str
    weakest: str


def combined_index(axes: Mapping[str, float | None]) -> Index:
    """The index ``exp(sum of w_i ln x_i)`` over the measured axes; it is 0 if one of them is 0.

    `axes` maps names of :data:`AXES` to values in [0, 1]. An axis that was not measured is None or left out, and the
    weights of the others are scaled to sum to 1. Indexes with different labels must not be compared.

    Raises
    ------
    ParameterError : an axis is unknown, a value is outside [0, 1], or there is no axis

    Examples
    --------
    >>> from robustfl.evaluation.score.index import combined_index
    >>> index = combined_index({"U": 0.6, "T": 0.9, "F": 0.8})
    >>> print(f"{index.label} = {index.value:.3f}, weakest axis {index.weakest}")
    RI[UTF] = 0.719, weakest axis U
    """
    measured = {axis: float(value) for axis in AXES if (value := axes.get(axis)) is not None}
    unknown = sorted(set(axes) - set(AXES))
    wrong = [axis for axis, value in measured.items() if not 0.0 <= value <= 1.0]
    if unknown or wrong or not measured:
        raise ParameterError(
            f"`axes` should map some of {', '.join(AXES)} to values in [0, 1]. Found {dict(axes)}. Leave out what was "
            "not measured, or give None."
        )
    total = math.fsum(AXES[axis] for axis in measured)
    logs = [AXES[axis] / total * math.log(value) if value else -math.inf for axis, value in measured.items()]
    return Index(
        value=math.exp(math.fsum(logs)) if -math.inf not in logs else 0.0,
        label=f"RI[{''.join(measured)}]",
        weakest=min(measured, key=measured.__getitem__),
    )
