"""Whether one column of a table tells the label by itself, as a second label does that was kept as a feature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robustfl.federation.data.labels import Indices

TOLD = 0.99
"""A column tells labels if it predicts them right more often than this, in rows that it was not fitted to."""

ONE_SIDED = 0.9
"""Where one answer is right for this share of the rows, being right says little of a column."""

FEWEST = 100
"""With fewer test rows it cannot be measured whether a column is right for more than :data:`TOLD` of them."""

PIECES = 1024
"""The largest number of pieces into which the values of a column are divided."""


def told_by(column: npt.NDArray[np.float32], y: Indices, classes: int, train: Indices, test: Indices) -> int | None:
    """What a column tells by itself: `classes` if it tells every label, a class that it tells from the others, or None.

    Values are divided into pieces that hold equally many training rows, or are single values where there are few; the
    answer in a piece is its most frequent label. How often it is right is measured on the test rows, where a value
    belongs to the piece that begins at or below it. Classes are not asked about where most rows have one answer, nor is
    anything with few test rows.

    Shapes: column [N, k], k >= 1 for the columns of one-hot words; y [N]. Cost: sorting the column.
    """
    if column.shape[1] == 0 or len(test) < FEWEST:
        return None
    values = column[:, 0] if column.shape[1] == 1 else column.argmax(axis=1) + column.any(axis=1)
    distinct = np.unique(values[train])
    if len(distinct) > PIECES:
        distinct = np.unique(np.quantile(values[train], np.linspace(0, 1, PIECES), method="lower"))
    piece = np.searchsorted(distinct, values, side="right").clip(min=1) - 1
    counts = np.zeros((len(distinct), classes), dtype=np.int64)
    np.add.at(counts, (piece[train], y[train]), 1)
    shares = np.bincount(y[test], minlength=classes) / len(test)
    if shares.max() < ONE_SIDED and np.mean(counts.argmax(axis=1)[piece[test]] == y[test]) > TOLD:
        return classes
    for label in np.flatnonzero((shares > 1 - ONE_SIDED) & (shares < ONE_SIDED)):
        answer = 2 * counts[:, label] > counts.sum(axis=1)
        if np.mean(answer[piece[test]] == (y[test] == label)) > TOLD:
            return int(label)
    return None
