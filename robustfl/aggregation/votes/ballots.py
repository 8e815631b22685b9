"""Reading what clients send as rankings that can be counted, and giving the result back in the caller's own type.

A collection of rankings has one of three forms. It holds, for each client, a sequence with one integer array per layer
(or one bare array if there is a single layer); or it maps client ids to these; or it is stacked, with one array
[n, m_l] per layer, or a single array [n, m]. Rows that cannot be read, or whose layers have other lengths than those of
the majority, are rejected with a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import is_tensor
from robustfl.aggregation.updates.ids import MISSING, identify
from robustfl.aggregation.updates.parsing import alike
from robustfl.aggregation.votes.counting import MOST_ENTRIES, Ranking
from robustfl.errors import UpdatesError


@dataclass(frozen=True)
class Ballots:
    """Rankings after reading: the accepted `rows`, and why others are `rejected`.

    A row is a list with one array on the host per layer. `bare` says whether clients sent one array instead of a list
    of arrays; `originals` keeps the arrays as they came.
    """

    ids: tuple[Hashable, ...]
    rows: dict[int, list[Ranking]]
    originals: dict[int, list[Any]]
    rejected: dict[int, str]
    bare: bool

    def restore(self, layers: Sequence[Ranking]) -> Any:
        """The layers of a global ranking, in the type and dtype and on the device of most of the rows."""
        kinds = Counter(_kind(arrays[0]) for arrays in self.originals.values())
        tensor, dtype, device = kinds.most_common(1)[0][0]
        values: list[Any] = []
        for layer in layers:
            if tensor:
                import torch

                values.append(torch.as_tensor(layer).to(device=device, dtype=dtype))
            else:
                values.append(layer.astype(dtype))
        return values[0] if self.bare else values


def read_ballots(rankings: Any, ids: Iterable[Hashable] | None, lengths: tuple[int, ...] | None) -> Ballots:
    """Read any supported collection of rankings.

    `lengths` are the lengths that the rankings of each layer should have; None means those of the strict majority.

    Raises UpdatesError when there are no rankings, when the ids do not fit, or when no strict majority of the clients
    sends the same lengths.
    """
    if isinstance(rankings, Mapping):
        if ids is not None:
            raise UpdatesError("`ids` and a mapping from ids to rankings were both given. Pass one of them.")
        ids, rankings = rankings.keys(), list(rankings.values())
    entries, bare = _entries(rankings)
    if not entries:
        raise UpdatesError("`rankings` is empty. A vote needs at least one client.")
    names, rejected = identify(ids, len(entries), lambda row, other: alike(entries[row], entries[other]))
    originals: dict[int, list[Any]] = {}
    for row, entry in enumerate(entries):
        if row in rejected:
            continue
        reason = _unreadable(entry)
        if reason:
            rejected[row] = reason
        else:
            originals[row] = list(entry)
    if not originals:
        raise UpdatesError(f"No ranking could be read: {'; '.join(dict.fromkeys(rejected.values()))}.")
    wanted = lengths or _majority(originals)
    for row, arrays in list(originals.items()):
        found = tuple(len(array) for array in arrays)
        if found != wanted:
            rejected[row] = f"should have layers of {list(wanted)} entries. Found {list(found)}"
            del originals[row]
    rows = {row: [_on_host(array) for array in arrays] for row, arrays in originals.items()}
    return Ballots(names, rows, originals, rejected, bare)


def _entries(rankings: Any) -> tuple[list[Any], bool]:
    """One sequence of layers per client, and whether clients sent their single layer as a bare array."""
    if _is_array(rankings):
        if rankings.ndim != 2:
            raise UpdatesError(f"Stacked rankings should have shape [n, m]. Found {list(rankings.shape)}.")
        return [[row] for row in rankings], True
    if isinstance(rankings, str | bytes) or not isinstance(rankings, Iterable):
        raise UpdatesError(f"`rankings` should hold the rankings of each client. Found {type(rankings).__name__}.")
    found = list(rankings)
    if found and all(_is_array(item) and item.ndim == 2 for item in found):
        counts = {len(layer) for layer in found}
        if len(counts) > 1:
            raise UpdatesError(f"Every layer should have a row for each client. Found {sorted(counts)} rows.")
        return [list(rows) for rows in zip(*found, strict=True)], False
    bare = bool(found) and sum(_is_array(item) for item in found) * 2 > len(found)
    return [[item] if _is_array(item) else item for item in found], bare


def _unreadable(entry: Any) -> str:
    """The reason why an entry is no list of vectors of integers, or an empty text if it is one."""
    if entry is None:
        return MISSING
    if isinstance(entry, str | bytes) or not isinstance(entry, Sequence) or not entry:
        return f"unreadable ({type(entry).__name__})"
    for number, array in enumerate(entry):
        if not _is_array(array):
            return f"layer {number} is unreadable ({type(array).__name__})"
        if array.ndim != 1 or not len(array) or not _integral(array):
            return f"layer {number} should be a vector of edge numbers. Found {array.dtype} {list(array.shape)}"
    return ""


def _integral(array: Any) -> bool:
    if not is_tensor(array):
        return bool(array.dtype.kind in "iu")
    dense = str(array.layout) == "torch.strided"
    return dense and str(array.dtype).removeprefix("torch.").startswith(("int", "uint"))


def _majority(rows: dict[int, list[Any]]) -> tuple[int, ...]:
    """The lengths of the layers that a strict majority of the rows has."""
    counts = Counter(tuple(len(array) for array in arrays) for arrays in rows.values())
    lengths, votes = counts.most_common(1)[0]
    if 2 * votes <= len(rows):
        found = "; ".join(str(list(layers)) for layers in counts)
        raise UpdatesError(f"The rankings have different lengths and none has a majority: {found}. Pass `edges`.")
    if max(lengths) > MOST_ENTRIES:
        raise UpdatesError(f"A layer may have {MOST_ENTRIES} edges at most. Found {max(lengths)}.")
    return lengths


def _on_host(array: Any) -> Ranking:
    """The ranking as contiguous int32 or int64; numbers too large for int64 become negative and are refused later."""
    host = array.detach().cpu().numpy() if is_tensor(array) else np.asarray(array)
    native = host.dtype.newbyteorder("=")
    kind = np.int32 if native == np.int32 else np.int64
    return np.ascontiguousarray(host, dtype=kind)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_tensor(value)


def _kind(array: Any) -> tuple[bool, Any, str]:
    return (True, array.dtype, str(array.device)) if is_tensor(array) else (False, array.dtype, "cpu")
