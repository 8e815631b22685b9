"""The passes over the letters in plain numpy, one block of columns at a time; sums are float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats, column_blocks
from robustfl.aggregation.kernels.host import Host

NO_ROWS = np.zeros(0, np.int64)

ONE = 1e-9
"""Weights whose sum misses 1 by less than this sum to 1."""


def peaks(block: Array, rows: Any) -> Floats:
    """The largest magnitude [r] of each of the rows; that of a row with NaN is NaN."""
    part = block[rows]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(part.max(axis=1), -part.min(axis=1)), np.float64)


def meeting(suspects: Any, pairs: Any) -> Any:
    """What all blocks of a pass share that compares pairs of rows and looks at suspects."""
    return suspects, pairs


def surveyed_distances(block: Array, meeting: Any, width: int) -> tuple[Floats, Floats]:
    """:func:`peaks` of the suspects and :func:`squared_distances` of the pairs of a :func:`meeting`, [c, r] and [c, e].

    They are those of `width` columns at a time.
    """
    suspects, pairs = meeting
    parts = [block[:, columns] for columns in column_blocks(block.shape[1], width)]
    with np.errstate(over="ignore", invalid="ignore"):  # nobody has looked at the rows yet
        found = [squared_distances(part, pairs, False) for part in parts]
        return np.stack([peaks(part, suspects) for part in parts]), np.stack(found)


def lead(out: Array, first: int = 0) -> int:
    """How many columns of `out` from `first` on are written in another way than the others: none."""
    return 0


def squared_distances(block: Array, pairs: Any, wide: bool) -> Floats:
    """``||x_p - x_q||^2`` [e] for pairs [e, 2] of rows; a row with the number -1 is the origin."""
    values = np.concatenate([block, np.zeros_like(block[:1])], dtype=np.float64)
    found = np.empty(len(pairs))
    for place, (p, q) in enumerate(pairs.tolist()):
        apart = values[p] - values[q]
        found[place] = apart @ apart
    return found


def shares(suspects: Any, starts: Any, rows: Any, weights: Floats, dtype: Any) -> Any:
    """What all blocks of a pass share that sums ``weights[e] x_(rows[e])`` over ``starts[i] <= e < starts[i + 1]``."""
    return suspects, starts, rows, weights, totals(starts, weights)


def combine(block: Array, shares: Any, lines: Any, first: int, out: Array, width: int | None = None) -> Floats:
    """Row ``lines[i]`` of `out` gets the sum of line i of the :func:`shares`.

    Column c of the block goes to column ``first + c`` of `out`. The sum is taken around the first row of a line, so
    rows that are all equal give exactly that row. Returns the :func:`peaks` of the suspects.
    """
    suspects, starts, rows, weights, scales = shares
    target = out[:, first : first + block.shape[1]]
    with np.errstate(over="ignore", invalid="ignore"):  # nobody has looked at the suspects yet
        for place, line in enumerate(lines.tolist()):
            span = slice(starts[place], starts[place + 1])
            values = block[rows[span]].astype(np.float64)
            target[line] = scales[place] * values[0] + weights[span][1:] @ (values[1:] - values[0])
    return peaks(block, suspects)


def totals(starts: Any, weights: Floats) -> Floats:
    """The sum of the weights of each line, which is 1 to the last bit if it was meant to be."""
    found = np.add.reduceat(weights, starts[:-1])
    return np.where(np.abs(found - 1.0) <= ONE, 1.0, found)


def medians(block: Array, index: Any, maps: Floats | None, lines: Any, first: int, out: Array) -> None:
    """Row ``lines[i]`` of `out` gets the medians by columns of the rows ``index[i]``, or of ``maps[i]`` times these."""
    for place, line in enumerate(lines.tolist()):
        out[line, first : first + block.shape[1]] = Host().median(_mapped(block, index, maps, place))


def trimmed_means(block: Array, index: Any, maps: Floats | None, f: int, lines: Any, first: int, out: Array) -> None:
    """As :func:`medians`, the means without the f smallest and the f largest values of each column; 2f < m."""
    for place, line in enumerate(lines.tolist()):
        out[line, first : first + block.shape[1]] = Host().trimmed_mean(_mapped(block, index, maps, place), f)


def means_around(rows: Array, index: Any, kept: int) -> None:
    """There is no quicker way to means around the median than peer by peer."""


def _mapped(block: Array, index: Any, maps: Floats | None, place: int) -> Array:
    rows = block[index[place]]
    return rows if maps is None else Host().combine(maps[place], rows)
