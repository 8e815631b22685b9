"""Groups of columns, such as the layers of a model, as sources of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.aggregation.updates.one_block import source_of
from robustfl.aggregation.updates.readers import Dense, Leaves, Reader
from robustfl.aggregation.updates.source import Source
from robustfl.errors import UpdatesError

WHOLE = "all"
"""The only group of updates whose arrays have no names."""


def spans_of(source: Source, columns: Mapping[str, int], group: Callable[[str], str]) -> dict[str, list[slice]]:
    """The columns of each group, in the order in which the groups begin.

    The names of the arrays are those of the updates. Where updates are plain vectors, `columns` says how many columns
    each array has, in order; without it, or if that is another number of columns, all are one group.
    """
    leaves: Sequence[tuple[str, int]] = source.leaves
    if not leaves:
        leaves = tuple(columns.items()) if sum(columns.values()) == source.d else ((WHOLE, source.d),)
    spans: dict[str, list[slice]] = {}
    start = 0
    for name, size in leaves:
        if size:
            spans.setdefault(group(name), []).append(slice(start, start + size))
        start += size
    return spans


def part_of(source: Source, spans: Sequence[slice]) -> Source:
    """The same rows in some of the columns, as a source that is read by itself.

    Raises UpdatesError for updates that come in blocks or are spread over processes, unless all columns are asked for.
    """
    reader = source.reader if _all(source, spans) else _reader(source.reader, spans)
    if source.offset or source.d_here != source.d:
        raise UpdatesError("Layers cannot be told apart in updates whose columns are spread over processes.")
    part = source_of(reader, source.ids, source.rows)
    part.share = source.share
    if source.trusted is not None:
        part.trusted = joined([source.trusted[span] for span in spans])
    return part


def joined(parts: Sequence[Array]) -> Array:
    """Vectors, or matrices with the same rows, one behind the other."""
    if len(parts) == 1:
        return parts[0]
    if is_tensor(parts[0]):
        import torch

        return torch.cat(list(parts), dim=-1)
    return np.concatenate(parts, axis=-1)


def _all(source: Source, spans: Sequence[slice]) -> bool:
    return bool(sum(span.stop - span.start for span in spans) == source.d_here)


def _reader(reader: Reader, spans: Sequence[slice]) -> Reader:
    if isinstance(reader, Leaves):
        ends = np.cumsum([leaf.size if isinstance(leaf, np.ndarray) else leaf.numel() for leaf in reader.entries[0]])
        places = sorted({int(np.searchsorted(ends, span.start, side="right")) for span in spans})
        return Leaves([[entry[place] for place in places] for entry in reader.entries], reader.working, reader.device)
    if type(reader) is Dense:
        return Dense(joined([reader.matrix[:, span] for span in spans]), reader.working)
    raise UpdatesError("Layers cannot be told apart in updates that come in blocks of columns. Pass arrays with names.")
