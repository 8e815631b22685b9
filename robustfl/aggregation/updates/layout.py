"""From the caller's updates to rows of one length, and back in the caller's own type, dtype and device.

A collection of updates is a stacked numpy array or torch tensor whose first axis is the client, a sequence with one
entry per client, a mapping from client id to entry, or :class:`ColumnBlocks`. An entry is an array, a tensor, a list of
numbers, a list of arrays, or a state dict. Nothing is copied here: readers read blocks of columns in place. Entries
that cannot be read, or whose layout differs from that of the strict majority, become rejected rows with a reason; they
never reach the arithmetic. Where updates are read relative to a model, or by somebody who has one, the layout of this
model counts, and not theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, Floats, is_tensor
from robustfl.aggregation.updates.beside import combined, how, not_finite, set_beside
from robustfl.aggregation.updates.ids import MISSING, identify
from robustfl.aggregation.updates.leaves import Layout, Leaf
from robustfl.aggregation.updates.one_block import source_of
from robustfl.aggregation.updates.parsing import RAW, alike, difference, named_like_a_model, parse, read_leaf, unmasked
from robustfl.aggregation.updates.readers import Columns, Dense, Leaves, Reader, Relative, mapped_file, subtracted
from robustfl.aggregation.updates.source import Source, largest_magnitude
from robustfl.errors import UpdatesError


@dataclass(frozen=True)
class Batch:
    """Updates that were read: the readable rows, and everything that is needed to answer in the caller's own form.

    `origin` says which of the caller's rows each row of the reader is. `rows` are the rows of the reader that take part
    (None for all). `rejected` holds the reasons for the caller's rows that do not take part. `base` is the model that
    is subtracted from each row, or None.
    """

    reader: Reader
    layout: Layout
    entries: list[list[Array]] | None
    stacked: bool
    ids: tuple[Hashable, ...]
    origin: list[int]
    rows: list[int] | None
    rejected: dict[int, str]
    base: list[Array] | None = None

    def source(self) -> Source:
        """The rows that take part; they are not read yet."""
        rows = range(self.reader.n) if self.rows is None else self.rows
        reader = self.reader if self.base is None else Relative(self.reader, _over_leaves([self.base], self.layout))
        opened = getattr(self.reader, "open", source_of)  # columns spread over processes have their own source
        source: Source = opened(reader, tuple(self.ids[self.origin[row]] for row in rows), self.rows)
        source.leaves = self.layout.columns
        return source

    def usable(self, vector: Array, d: int) -> bool:
        """Whether a vector of the server's own, some or all of d columns, is finite and small enough to be summed."""
        return bool((abs(vector) <= largest_magnitude(self.layout.working, self.reader.n, d)).all())

    @property
    def subtracted(self) -> Array:
        """The vector [d] that is subtracted from each row, where there is a model to subtract."""
        assert self.base is not None
        return _over_leaves([self.base], self.layout).vector(0)

    def callers_rows(self, source: Source) -> list[int]:
        """The places of the source's rows in the caller's updates."""
        return self.origin if source.rows is None else [self.origin[row] for row in source.rows]

    def vector(self, update: Any) -> Array:
        """One more update of this layout as a vector [d], for example the server's trusted update."""
        vector = _over_leaves([_entry(update, self.layout, "trusted")], self.layout).vector(0)
        return vector if self.base is None else subtracted(vector, self.subtracted)

    def restore(
        self, vector: Array, accepted: list[int], weights: Floats | None, *, averages: bool = False, copy: bool = True
    ) -> Any:
        """The aggregate [d] in the caller's own form.

        Leaves outside the geometry come from the accepted rows with their `weights` (None: all alike), see
        :func:`~robustfl.aggregation.updates.beside.combined`.
        """
        return self.layout.restore(vector, self._others(accepted, weights, averages), copy)

    def restore_rows(self, matrix: Array, accepted: list[int], mixing: Floats | None) -> Any:
        """Rows [m, d] as updates, stacked if the input is stacked, else a list; `mixing` [m, n] says what made them.

        Without `mixing`, row i is that of client i.
        """
        shares = np.eye(len(accepted)) if mixing is None else mixing
        rows = [self.restore(row, accepted, share) for row, share in zip(matrix, shares, strict=True)]
        if not self.stacked:
            return rows
        if is_tensor(rows[0]):
            import torch

            return torch.stack(rows)
        return np.stack(rows)

    def told(self, weights: Floats | None, averages: bool) -> dict[str, dict[str, str]]:
        """What the answer's `info` says of leaves outside the geometry: nothing if there are none."""
        return {"beside": how(self.layout, weights, averages)} if self.layout.outside else {}

    def _others(self, accepted: list[int], weights: Floats | None, averages: bool) -> dict[int, Any]:
        if self.entries is None or not self.layout.outside:
            return {}
        others = combined(self.layout, [self.entries[row] for row in accepted], weights, averages)
        if self.base is None:
            return others
        floating = [place for place in others if self.layout.leaves[place].floating]
        return others | {place: subtracted(others[place], self.base[place]) for place in floating}


def read_updates(
    updates: Any,
    ids: Iterable[Hashable] | None = None,
    beside: Iterable[str] | None = None,
    relative_to: Any = None,
    like: Layout | None = None,
) -> Batch:
    """Read any supported collection of updates; raise :class:`UpdatesError` when it is none or has no majority.

    Leaves whose names match a pattern of `beside` stand beside the geometry, see
    :func:`~robustfl.aggregation.updates.beside.set_beside`. The model `relative_to` is subtracted from each row while
    it is read, and rows of another layout than its own are rejected. With a layout `like`, single entries are read as
    this one says, whatever the majority of them is.
    """
    if is_tensor(updates) or isinstance(updates, np.ndarray):
        return _relative(_read_stacked(updates, ids, beside), relative_to)
    if isinstance(updates, Mapping):
        name = named_like_a_model(updates)
        if name is not None:
            raise UpdatesError(
                f"`updates` looks like one model: `{name}` is the name of a parameter, and no client's id. "
                "Pass one update a client; for one client's state dict, put it in a list."
            )
        if ids is not None:
            raise UpdatesError("`ids` and a mapping from ids to updates were both given. Pass one of them.")
        ids, updates = updates.keys(), list(updates.values())
    if isinstance(updates, Columns):
        return _relative(_read_columns(updates, ids, beside), relative_to)
    if isinstance(updates, (str, *RAW)) or not isinstance(updates, Iterable):
        raise UpdatesError(f"`updates` should hold one update a client. Found {type(updates).__name__}.")
    return _read_entries(list(updates), ids, beside, relative_to, like)


def _relative(batch: Batch, model: Any) -> Batch:
    """Rows of one array each, relative to a model."""
    return batch if model is None else replace(batch, base=_entry(model, batch.layout, "relative_to"))


def _entry(model: Any, layout: Layout, name: str) -> list[Array]:
    """The arrays of a model of the server's own, which has to look like the updates."""
    entry = parse(model)
    if isinstance(entry, str) or entry[0].signature != layout.signature:
        found = entry if isinstance(entry, str) else difference(entry[0], layout)
        raise UpdatesError(f"`{name}` should look like the updates, {layout.describe()}. Found {found}.")
    return entry[1]


def _read_stacked(updates: Array, ids: Iterable[Hashable] | None, beside: Iterable[str] | None) -> Batch:
    """Read a stacked array or tensor, without a copy if its type is the working type."""
    tensor = is_tensor(updates)
    if tensor and updates.is_nested:
        return _read_entries(list(updates.unbind()), ids, beside, None)
    if updates.ndim < 2 or 0 in updates.shape:
        found = f"an array of shape {list(updates.shape)}"
        raise UpdatesError(
            f"`updates` should have one row a client: shape [n, d] or [n, ...], not empty. Found {found}."
        )
    n = int(updates.shape[0])
    leaf = read_leaf(updates if tensor and updates.layout is not _strided() else updates[0])
    if isinstance(leaf, str) or not leaf.floating:
        found = f"{updates.dtype}: each is {leaf}" if isinstance(leaf, str) else updates.dtype
        raise UpdatesError(f"Updates should be dense floating-point numbers. Found {found}. Convert them.")
    names, rejected = identify(ids, n, lambda row, other: alike(updates[row], updates[other]))
    layout = _bare(leaf)
    if beside is not None:
        set_beside(layout, beside)  # says that arrays have no names
    droppable = None if tensor else mapped_file(updates)
    if isinstance(updates, np.ndarray):
        updates, masked = unmasked(updates)
        rejected = masked | rejected
        updates = np.asarray(updates)  # subclasses such as np.matrix have different arithmetic
    elif updates.is_neg():
        updates = updates.resolve_neg()
    matrix = updates if updates.ndim == 2 else updates.reshape(n, -1)
    reader = Dense(matrix, layout.working, droppable)
    return _stacked(reader, layout, names, rejected)


def _read_columns(updates: Columns, ids: Iterable[Hashable] | None, beside: Iterable[str] | None) -> Batch:
    """Read updates that are themselves a reader; the answer is one vector."""
    names, duplicates = identify(ids, updates.n)
    leaf = read_leaf(updates.row)
    assert isinstance(leaf, Leaf)
    if beside is not None:
        set_beside(_bare(leaf), beside)
    return _stacked(updates, _bare(leaf), names, duplicates)


@lru_cache(maxsize=256)
def _bare(leaf: Leaf) -> Layout:
    """The layout of updates that are bare arrays."""
    return Layout("array", (), (leaf,))


def _stacked(reader: Reader, layout: Layout, names: tuple[Hashable, ...], rejected: dict[int, str]) -> Batch:
    rows = [row for row in range(reader.n) if row not in rejected] if rejected else None
    return Batch(reader, layout, None, True, names, list(range(reader.n)), rows, rejected)


def _read_entries(
    updates: list[Any],
    ids: Iterable[Hashable] | None,
    beside: Iterable[str] | None,
    relative_to: Any,
    like: Layout | None = None,
) -> Batch:
    """Read one entry per client; any entry may be missing, malformed or of another shape."""
    if not updates:
        raise UpdatesError("`updates` is empty. An aggregation needs at least one update.")
    base = None if relative_to is None else parse(relative_to)
    if isinstance(base, str):
        raise UpdatesError(f"`relative_to` should be a model like the updates. Found {base}.")
    updates = _in_one_order(updates, relative_to)
    names, rejected = identify(ids, len(updates), lambda row, other: alike(updates[row], updates[other]))
    parsed: dict[int, tuple[Layout, list[Array]]] = {}
    for row, update in enumerate(updates):
        if row in rejected:
            continue
        entry = MISSING if update is None else parse(update)
        if isinstance(entry, str):
            rejected[row] = entry
        else:
            parsed[row] = entry
    if not parsed:
        raise UpdatesError(f"No update could be read. {reasons_told(rejected)}")
    layout = like or (_majority(parsed) if base is None else base[0])
    if layout.size == 0:
        raise UpdatesError("The updates hold no floating-point values to aggregate.")
    layout = set_beside(layout, beside)
    for row, (own, arrays) in list(parsed.items()):
        fits = own.signature == layout.signature
        reason = not_finite(layout, arrays) if fits else f"wrong layout: {difference(own, layout)}"
        if reason is not None:
            rejected[row] = reason
            del parsed[row]
    if not parsed:
        raise UpdatesError(f"No update is finite. {reasons_told(rejected)}")
    readable = sorted(parsed)
    entries = {row: parsed[row][1] for row in readable}
    reader = _over_leaves([entries[row] for row in readable], layout)
    by_row = _by_row(entries, len(updates))
    return Batch(reader, layout, by_row, False, names, readable, None, rejected, None if base is None else base[1])


def reasons_told(rejected: Mapping[int, str]) -> str:
    """The first row with each of some different reasons."""
    first: dict[str, int] = {}
    for row, reason in sorted(rejected.items()):
        first.setdefault(reason, row)
    told = [f"Row {row}: {reason}." for reason, row in list(first.items())[:4]]
    return " ".join(told) + (f" {len(first) - 4} more reasons." if len(first) > 4 else "")


def _in_one_order(updates: list[Any], relative_to: Any) -> list[Any]:
    """Give state dicts with the same names the same order of names: that of the model, or of the first of them."""
    known = isinstance(relative_to, Mapping)
    orders: dict[frozenset[Hashable], list[Hashable]] = {frozenset(relative_to): list(relative_to)} if known else {}
    ordered = []
    for update in updates:
        if isinstance(update, Mapping):
            order = orders.setdefault(frozenset(update), list(update))
            update = {name: update[name] for name in order}
        ordered.append(update)
    return ordered


def _by_row(entries: dict[int, list[Array]], count: int) -> list[list[Array]]:
    return [entries.get(row, []) for row in range(count)]


def _majority(parsed: dict[int, tuple[Layout, list[Array]]]) -> Layout:
    """The layout of the strict majority, with the types that most of its rows use."""
    counts = Counter(layout.signature for layout, _ in parsed.values())
    signature, votes = counts.most_common(1)[0]
    same = [layout for layout, _ in parsed.values() if layout.signature == signature]
    if 2 * votes <= len(parsed):
        one, other = list({layout.signature: layout for layout, _ in parsed.values()}.values())[:2]
        found = "; ".join(dict.fromkeys(layout.describe() for layout, _ in parsed.values()))
        if one.form == other.form == "mapping":
            found += f". The first two differ: {difference(one, other)}"
        raise UpdatesError(
            f"The updates have {len(counts)} different layouts and none has a majority: {found}. "
            "Pass one update a client; for one client's state dict, put it in a list."
        )
    return Counter(same).most_common(1)[0][0]


def _over_leaves(entries: list[list[Array]], layout: Layout) -> Leaves:
    """A reader of the leaves in the geometry of all entries, on an accelerator if one of them is there."""
    leaves = [layout.leaves[place] for place in layout.within]
    accelerated = next((leaf.device for leaf in leaves if leaf.tensor and leaf.device != "cpu"), None)
    return Leaves([[entry[place] for place in layout.within] for entry in entries], layout.working, accelerated)


@cache
def _strided() -> Any:
    import torch

    return torch.strided
