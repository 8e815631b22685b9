"""The forms in which an attack takes updates outside any federation, and the bounds of what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from robustfl.aggregation.kernels.base import is_tensor
from robustfl.aggregation.updates.layout import Batch, read_updates
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import HostileRows, largest_magnitude
from robustfl.errors import AttackError, UpdatesError

if TYPE_CHECKING:
    from torch import Tensor


def entries_of(updates: Any) -> Batch | None:
    """Updates that are no matrix, as defenses read them, or None for what numpy or torch reads as one.

    Raises AttackError when an update cannot be read: the honest ones are the caller's own.
    """
    if is_tensor(updates) or isinstance(updates, np.ndarray) or _of_numbers(updates):
        return None
    try:
        batch = read_updates(updates)
    except UpdatesError as error:
        raise AttackError(f"The updates given to an attack cannot be read. {error}") from None
    if batch.rejected:
        row, reason = min(batch.rejected.items())
        raise AttackError(f"The updates given to an attack should be readable. Row {row}: {reason}.")
    return batch


def matrix_of(batch: Batch) -> Any:
    """The updates as a matrix [n, d] in the working type; raises AttackError for rows that are not finite."""
    source = batch.source()
    try:
        source.verify()
    except HostileRows as found:
        row, reason = min(found.reasons.items())
        raise AttackError(f"The updates given to an attack should be finite. Row {row}: {reason}.") from None
    return Rows(source).materialised()


def matrix_like(values: Any, batch: Batch, name: str) -> Any:
    """Other updates as a matrix, which should look like those of the `batch`."""
    other = entries_of(values)
    if other is None:
        return values
    if other.layout.signature != batch.layout.signature:
        raise AttackError(
            f"`{name}` should look like `honest`, {batch.layout.describe()}. Found {other.layout.describe()}."
        )
    return matrix_of(other)


def summable(crafted: Tensor, n: int) -> Tensor:
    """The crafted rows [f, d], with entries so large that a sum of n rows would overflow cut to the largest ones.

    Rows with such entries are refused by every defense, and would do no harm.
    """
    import torch

    if not crafted.numel():
        return crafted
    wide = crafted.dtype == torch.float64
    limit = largest_magnitude("float64" if wide else "float32", max(n, 1), crafted.shape[1])
    limits = torch.finfo(crafted.dtype)
    limit = min(limit * (1.0 - 2.0 * limits.eps), limits.max)  # rounded to this type, it is not above itself
    low, high = (float(end) for end in crafted.aminmax())
    if -limit <= low and high <= limit:  # false as well where a number is NaN
        return crafted
    return crafted.clamp(-limit, limit) if bool((crafted.abs() > limit).any()) else crafted


def _of_numbers(updates: Any) -> bool:
    """Whether it is a list of rows of plain numbers, which numpy reads as a matrix."""
    if isinstance(updates, Mapping) or not isinstance(updates, list | tuple):
        return not isinstance(updates, Mapping)
    return all(
        isinstance(row, list | tuple) and all(isinstance(value, int | float | np.number) for value in row)
        for row in updates
    )
