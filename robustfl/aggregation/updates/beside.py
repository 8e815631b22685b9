"""Leaves of state dicts that stand beside the geometry: statistics and counters, which no distance should be about.

The running statistics of a batch normalisation are large and differ between honest clients by far more than weights do.
In one vector with the weights they would decide every distance, and a clipped variance would be none. Such leaves are
aggregated column by column, with the rows or the weights that the geometry of the other leaves chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats, is_tensor
from robustfl.aggregation.updates.leaves import Layout, Leaf, as_leaf
from robustfl.errors import UpdatesError

STATISTICS = ("running_mean", "running_var")
"""The leaves that stand beside the geometry unless the caller names others: those of torch's normalisation layers."""

ROUNDING = 1e-9
"""Relative error of a sum of weights, below which it is half of them."""


def set_beside(layout: Layout, patterns: Iterable[str] | None) -> Layout:
    """The layout with the floating-point leaves beside the geometry whose names match a pattern.

    A pattern (with ``*``, ``?`` and ``[...]``) is matched with the whole name and with its last part, behind the last
    dot. In a sequence the name of a leaf is its number. Without `patterns` it is :data:`STATISTICS`, for mappings.

    Raises UpdatesError for a pattern that matches no leaf, and when no leaf is left for the geometry.
    """
    if patterns is None:
        if layout.form != "mapping":
            return layout
        chosen = _matching(layout, STATISTICS)
        return replace(layout, beside=chosen) if chosen and len(chosen) < len(layout.within) else layout
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for pattern in patterns:
        if not isinstance(pattern, str) or not any(_matches(layout, place, pattern) for place in _named(layout)):
            names = (
                ", ".join(f"`{layout.name(place)}`" for place in _named(layout)[:6]) or "none, as updates are arrays"
            )
            raise UpdatesError(f"`beside` should match names of leaves. {pattern!r} matches none; there are: {names}.")
    chosen = _matching(layout, patterns)
    if chosen and len(chosen) == len(layout.within):
        raise UpdatesError("`beside` should leave something to aggregate by its geometry. It matches every leaf.")
    return replace(layout, beside=chosen)


def _named(layout: Layout) -> list[int]:
    return [] if layout.form == "array" else list(range(len(layout.leaves)))


def _matching(layout: Layout, patterns: Sequence[str]) -> frozenset[int]:
    return frozenset(place for place in layout.within if any(_matches(layout, place, pattern) for pattern in patterns))


def _matches(layout: Layout, place: int, pattern: str) -> bool:
    name = layout.name(place)
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(".")[2], pattern)


def not_finite(layout: Layout, entry: Sequence[Array]) -> str | None:
    """The reason to refuse a row whose statistics are not finite, or None; no reading of the geometry sees them."""
    for place in sorted(layout.beside):
        if not np.isfinite(_on_host(entry[place], layout.leaves[place])).all():
            return f"not finite (`{layout.name(place)}`)"
    return None


def how(layout: Layout, weights: Floats | None, averages: bool) -> dict[str, str]:
    """How each leaf beside the geometry is aggregated, by name, for the answer's `info`."""
    weighted = "" if weights is None else ", by the weights of the rows"
    told = {}
    for place in layout.outside:
        floating = layout.leaves[place].floating
        told[layout.name(place)] = ("mean" if averages else "median") + weighted if floating else f"median{weighted}"
    return told


def combined(
    layout: Layout, entries: Sequence[Sequence[Array]], weights: Floats | None, averages: bool
) -> dict[int, Any]:
    """The leaves outside the geometry, by place, of rows with these weights [m] (None: all alike).

    Formula: in each column the weighted median, the smallest value up to which half of the weight lies (in the middle,
    if exactly half does: the mean of it and the next value for floats, else the lower). For a rule that averages, the
    weighted mean of floats. Weights are divided by their sum, so nothing is clipped, and negative ones count as 0.
    """
    shares = np.ones(len(entries)) if weights is None else np.maximum(weights, 0.0)
    if not shares.sum() > 0.0:
        shares = np.ones(len(entries))
    shares = shares / shares.sum()
    found = {}
    for place in layout.outside:
        leaf = layout.leaves[place]
        values = np.stack([_on_host(entry[place], leaf).reshape(-1) for entry in entries])
        if leaf.floating and averages:
            result = np.clip(shares @ values, values.min(axis=0), values.max(axis=0))
        else:
            result = _median(values, shares, leaf.floating)
        found[place] = as_leaf(result, leaf, True) if leaf.floating else _counter(result, leaf)
    return found


def _median(values: Array, shares: Floats, between: bool) -> Array:
    """The weighted median of each column of [m, size]."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered, reached = np.take_along_axis(values, order, axis=0), np.cumsum(shares[order], axis=0)
    lower = np.take_along_axis(ordered, (reached >= 0.5 - ROUNDING).argmax(axis=0)[None], axis=0)[0]
    if not between:
        return lower
    upper = np.take_along_axis(ordered, (reached > 0.5 + ROUNDING).argmax(axis=0)[None], axis=0)[0]
    return lower / 2 + upper / 2


def _on_host(value: Array, leaf: Leaf) -> Array:
    """The values on the host: floats as float64; counters in the leaf's own type.

    A wider type of a minority cannot become the type of the result.
    """
    if is_tensor(value):
        import torch

        value = value.detach().to(torch.float64 if leaf.floating else value.dtype).cpu().numpy()
    return np.asarray(value).astype(np.float64 if leaf.floating else leaf.dtype)


def _counter(values: Array, leaf: Leaf) -> Any:
    shaped = values.reshape(leaf.shape)
    if not leaf.tensor:
        return np.asarray(shaped, dtype=leaf.dtype)
    import torch

    return torch.as_tensor(shaped).to(device=leaf.device, dtype=getattr(torch, leaf.dtype))
