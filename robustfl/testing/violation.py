"""A property that does not hold, with the question that shows it as code to paste."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import is_tensor


class Violation(Exception):
    """What a check raises: the complaint, the question, and the answers that were expected and found.

    Parameters
    ----------
    complaint : what is wrong, as a clause without a full stop
    call : the expression that shows it, which uses `rule` and the names in `values`
    expected, found : the two answers, if there are two to compare
    values : the question: the value of every name that `call` uses
    """

    def __init__(
        self, complaint: str, *, call: str = "rule(x)", expected: Any = None, found: Any = None, **values: Any
    ) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        lines = [f"{name} = {literal(value)}" for name, value in values.items()]
        lines.append(call)
        if found is not None:
            lines.append(f"# found    {literal(found)}")
        if expected is not None:
            lines.append(f"# expected {literal(expected)}")
        self.code = "\n".join(lines)


def literal(value: Any) -> str:
    """A value as Python source; arrays and tensors, and lists and mappings of them, are supported, too."""
    if is_tensor(value):
        wide = value.detach().cpu().double().numpy()
        return f"torch.tensor({_numbers(wide)}, dtype={value.dtype})"
    if isinstance(value, np.ndarray):
        kind = "" if value.dtype in (np.float64, np.int64) else f", dtype=np.{value.dtype}"
        return f"np.array({_numbers(value)}{kind})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {literal(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def _numbers(array: np.ndarray[Any, Any]) -> str:
    if array.ndim == 0:
        return _number(array[()])
    separator = ",\n    " if array.ndim > 1 and array.size > 12 else ", "
    items = separator.join(_numbers(item) for item in array)
    return f"[\n    {items},\n]" if "\n" in separator else f"[{items}]"


def _number(value: Any) -> str:
    """The shortest text that represents a number in its own type, such as `0.1` also for a float32."""
    return str(value) if np.isfinite(value) else {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}[str(value)]
