"""Candidates that are more than a point on a line: a row for each malicious client, and rows that keep signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

KEPT_SIGN = 0.01
"""What an entry whose sign would turn keeps of the honest entry."""


def leading(rows: Tensor, unit: Tensor, count: int) -> Tensor:
    """The `count` of these rows [h, d] that are farthest along a direction [d], the farthest first, [count, d].

    When there are fewer rows, they are repeated.
    """
    import torch

    order = (rows @ unit).argsort(descending=True, stable=True)
    return rows[order[torch.arange(count, device=rows.device) % len(rows)]]


def sign_keeping(rows: Tensor, push: Tensor) -> Tensor:
    """``rows + push`` [h, d] with the signs of `rows`: entries whose sign would turn are a hundredth of the row's.

    Rules that count signs cannot tell such a row from the honest one.
    """
    pushed = rows + push
    return pushed.where(pushed.sign() == rows.sign(), KEPT_SIGN * rows)
