"""From the caller's updates to rows of one length, and back in the caller's own type, dtype and device.

A collection of updates is a stacked numpy array or torch tensor whose first axis is the client, a sequence with one
entry per client, a mapping from client id to entry, or :class:`ColumnBlocks`. An entry is an array, a tensor, a list of
numbers, a list of arrays, or a state dict. Nothing is copied here: readers read blocks of columns in place. Entries
that cannot be read, or whose layout differs from that of the strict majority, become rejected rows with a reason; they
never reach the arithmetic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.aggregation.updates.one_block import source_of
from robustfl.aggregation.updates.readers import Columns, Dense, Leaves, Reader, mapped_file
from robustfl.aggregation.updates.source import Source
from robustfl.errors import UpdatesError


@dataclass(frozen=True)
class Leaf:
    """One array inside an update: its device, its shape and its type."""

    tensor: bool
    shape: tuple[int, ...]
    dtype: str
    device: str = "cpu"

    @cached_property
    def floating(self) -> bool:
        """Whether the leaf takes part in the geometry; integers and booleans (counters) do not."""
        return "float" in self.dtype

    @cached_property
    def bits(self) -> int:
        """The bits of a floating-point leaf, from the name of its type: 16 for `bfloat16`, 8 for `float8_e5m2`."""
        return int(self.dtype.partition("float")[2].partition("_")[0])

    @cached_property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Layout:
    """How one update looks: a bare array, a sequence of arrays, or a mapping from names to arrays."""

    form: str
    names: tuple[Hashable, ...]
    leaves: tuple[Leaf, ...]

    @property
    def signature(self) -> tuple[Any, ...]:
        """What must be equal for all clients: everything but the width of the floating-point type."""
        return self.form, self.names, tuple((leaf.shape, leaf.floating) for leaf in self.leaves)

    @property
    def size(self) -> int:
        return sum(leaf.size for leaf in self.leaves if leaf.floating)

    @cached_property
    def working(self) -> str:
        """The type of the arithmetic: float64 if a leaf is that wide, else float32 (also for half precision)."""
        wide = any(leaf.floating and leaf.bits > 32 for leaf in self.leaves)
        return "float64" if wide else "float32"

    def describe(self) -> str:
        shapes = ", ".join(str(list(leaf.shape)) for leaf in self.leaves[:4])
        return f"{self.form} of shape {shapes}{', ...' if len(self.leaves) > 4 else ''}"

    def restore(self, vector: Array, carried: Sequence[Any], copy: bool) -> Any:
        """A flat result [d] as an update of this layout; `carried` holds the values of the non-floating leaves.

        Without `copy` a bare array may share the memory of `vector`; several leaves never share memory.
        """
        copy = copy or len(self.leaves) > 1
        values, start, extra = [], 0, iter(carried)
        for leaf in self.leaves:
            if leaf.floating:
                values.append(_as_leaf(vector[start : start + leaf.size], leaf, copy))
                start += leaf.size
            else:
                values.append(next(extra))
        if self.form == "array":
            return values[0]
        return dict(zip(self.names, values, strict=True)) if self.form == "mapping" else values


@dataclass(frozen=True)
class Batch:
    """Updates that were read: the readable rows, and everything that is needed to answer in the caller's own form.

    `origin` says which of the caller's rows each row of the reader is. `rows` are the rows of the reader that take part
    (None for all). `rejected` holds the reasons for the caller's rows that do not take part.
    """

    reader: Reader
    layout: Layout
    entries: list[list[Array]] | None
    stacked: bool
    ids: tuple[Hashable, ...]
    origin: list[int]
    rows: list[int] | None
    rejected: dict[int, str]

    def source(self) -> Source:
        """The rows that take part; they are not read yet."""
        rows = range(self.reader.n) if self.rows is None else self.rows
        opened = getattr(self.reader, "open", source_of)  # columns spread over processes have their own source
        source: Source = opened(self.reader, tuple(self.ids[self.origin[row]] for row in rows), self.rows)
        return source

    def callers_rows(self, source: Source) -> list[int]:
        """The places of the source's rows in the caller's updates."""
        return self.origin if source.rows is None else [self.origin[row] for row in source.rows]

    def vector(self, update: Any) -> Array:
        """One more update of this layout as a vector [d], for example the server's trusted update."""
        entry = _parse(update)
        if entry is None or entry[0].signature != self.layout.signature:
            found = entry[0].describe() if entry is not None else type(update).__name__
            raise UpdatesError(f"`trusted` should look like the updates, {self.layout.describe()}. Found {found}.")
        return _over_leaves([entry[1]], self.layout).vector(0)

    def restore(self, vector: Array, accepted: list[int], copy: bool = True) -> Any:
        """The aggregate [d] in the caller's own form; counters become their lower median over the accepted rows."""
        carried = []
        if self.entries is not None:
            for position, leaf in enumerate(self.layout.leaves):
                if not leaf.floating:
                    carried.append(_lower_median([self.entries[row][position] for row in accepted], leaf))
        return self.layout.restore(vector, carried, copy)

    def restore_rows(self, matrix: Array, accepted: list[int]) -> Any:
        """Rows [m, d] as updates: stacked if the input is stacked, else a list."""
        rows = [self.restore(row, accepted) for row in matrix]
        if not self.stacked:
            return rows
        if is_tensor(rows[0]):
            import torch

            return torch.stack(rows)
        return np.stack(rows)


def read_updates(updates: Any, ids: Iterable[Hashable] | None = None) -> Batch:
    """Read any supported collection of updates; raise :class:`UpdatesError` when it is none or has no majority."""
    if is_tensor(updates) or isinstance(updates, np.ndarray):
        return _read_stacked(updates, ids)
    if isinstance(updates, Mapping):
        if ids is not None:
            raise UpdatesError("`ids` and a mapping from ids to updates were both given. Pass one of them.")
        ids, updates = updates.keys(), list(updates.values())
    if isinstance(updates, Columns):
        return _read_columns(updates, ids)
    if isinstance(updates, str | bytes) or not isinstance(updates, Iterable):
        raise UpdatesError(f"`updates` should hold one update a client. Found {type(updates).__name__}.")
    return _read_entries(list(updates), ids)


def _read_stacked(updates: Array, ids: Iterable[Hashable] | None) -> Batch:
    """Read a stacked array or tensor, without a copy if its type is the working type."""
    if updates.ndim < 2 or 0 in updates.shape:
        found = f"an array of shape {list(updates.shape)}"
        raise UpdatesError(
            f"`updates` should have one row a client: shape [n, d] or [n, ...], not empty. Found {found}."
        )
    n = int(updates.shape[0])
    names, duplicates = identify(ids, n)
    leaf = _leaf(updates[0])
    if leaf is None or not leaf.floating:
        raise UpdatesError(f"Updates should be dense floating-point numbers. Found {updates.dtype}. Convert them.")
    layout = _bare(leaf)
    droppable = None if is_tensor(updates) else mapped_file(updates)
    if isinstance(updates, np.ndarray):
        updates = np.asarray(updates)  # subclasses such as np.matrix have different arithmetic
    matrix = updates if updates.ndim == 2 else updates.reshape(n, -1)
    reader = Dense(matrix, layout.working, droppable)
    return _stacked(reader, layout, names, duplicates)


def _read_columns(updates: Columns, ids: Iterable[Hashable] | None) -> Batch:
    """Read updates that are themselves a reader; the answer is one vector."""
    names, duplicates = identify(ids, updates.n)
    leaf = _leaf(updates.row)
    assert leaf is not None
    return _stacked(updates, _bare(leaf), names, duplicates)


@lru_cache(maxsize=256)
def _bare(leaf: Leaf) -> Layout:
    """The layout of updates that are bare arrays."""
    return Layout("array", (), (leaf,))


def _stacked(reader: Reader, layout: Layout, names: tuple[Hashable, ...], duplicates: dict[int, str]) -> Batch:
    rows = [row for row in range(reader.n) if row not in duplicates] if duplicates else None
    return Batch(reader, layout, None, True, names, list(range(reader.n)), rows, duplicates)


def _read_entries(updates: list[Any], ids: Iterable[Hashable] | None) -> Batch:
    """Read one entry per client; any entry may be missing, malformed or of another shape."""
    if not updates:
        raise UpdatesError("`updates` is empty. An aggregation needs at least one update.")
    names, rejected = identify(ids, len(updates))
    updates = _in_one_order(updates)
    parsed: dict[int, tuple[Layout, list[Array]]] = {}
    for row, update in enumerate(updates):
        if row in rejected:
            continue
        entry = None if update is None else _parse(update)
        if entry is None:
            rejected[row] = MISSING if update is None else f"unreadable ({type(update).__name__})"
        else:
            parsed[row] = entry
    layout = _majority(parsed)
    for row in [row for row, (own, _) in parsed.items() if own.signature != layout.signature]:
        rejected[row] = f"wrong layout: {parsed.pop(row)[0].describe()}"
    readable = sorted(parsed)
    entries = {row: parsed[row][1] for row in readable}
    reader = _over_leaves([entries[row] for row in readable], layout)
    return Batch(reader, layout, _by_row(entries, len(updates)), False, names, readable, None, rejected)


def _in_one_order(updates: list[Any]) -> list[Any]:
    """Give state dicts with the same names the same order of names, which is the order of the first of them."""
    orders: dict[frozenset[Hashable], list[Hashable]] = {}
    ordered = []
    for update in updates:
        if isinstance(update, Mapping):
            order = orders.setdefault(frozenset(update), list(update))
            update = {name: update[name] for name in order}
        ordered.append(update)
    return ordered


def _by_row(entries: dict[int, list[Array]], count: int) -> list[list[Array]]:
    return [entries.get(row, []) for row in range(count)]


MISSING = "missing"
"""The reason for the rejection of a row that never arrived."""


def identify(ids: Iterable[Hashable] | None, count: int) -> tuple[tuple[Hashable, ...], dict[int, str]]:
    """The client ids, and the rows that share an id with another row: none of these rows counts.

    It cannot be seen which of the rows comes from the client itself. If one of them were kept, such as the first, an
    attacker could choose it: a faster answer under the id of an honest client would replace that client's row, and the
    declared f would no longer bound the malicious rows. An attacker that repeats its own row removes itself. If ids can
    be forged, attackers can remove honest clients but can never speak for them. A transport that delivers messages more
    than once should drop the copies before.
    """
    if ids is None:
        return tuple(range(count)), {}
    names = tuple(ids)
    try:
        distinct = len(set(names))
    except TypeError:
        if all(isinstance(name, Hashable) for name in names):
            raise
        message = "`ids` should be hashable, such as numbers or texts: clients are remembered by them."
        raise UpdatesError(message) from None
    if len(names) != count:
        raise UpdatesError(f"`ids` should name every update once. Found {len(names)} ids for {count} updates.")
    if distinct == count:
        return names, {}
    rows = Counter(names)
    return names, {row: f"duplicate id {name!r}" for row, name in enumerate(names) if rows[name] > 1}


def exceeded(ids: Sequence[Hashable], rejected: Mapping[int, str], f: int | None) -> int:
    """By how many the clients that were caught exceed the declared `f`, or 0 (also for a rule without `f`).

    A client is caught when at least one row under its id was rejected. A row that never arrived proves nothing and does
    not count.
    """
    if not rejected:
        return 0
    caught = {ids[row] for row, reason in rejected.items() if reason != MISSING}
    return max(0, len(caught) - (f or 0))


def _majority(parsed: dict[int, tuple[Layout, list[Array]]]) -> Layout:
    """The layout of the strict majority, with the types that most of its rows use."""
    counts = Counter(layout.signature for layout, _ in parsed.values())
    if not counts:
        raise UpdatesError("No update could be read: every row is missing or is no array of floating-point numbers.")
    signature, votes = counts.most_common(1)[0]
    alike = [layout for layout, _ in parsed.values() if layout.signature == signature]
    if 2 * votes <= len(parsed):
        found = "; ".join(dict.fromkeys(layout.describe() for layout, _ in parsed.values()))
        raise UpdatesError(
            f"The updates have {len(counts)} different layouts and none has a majority: {found}. "
            "Pass one update a client; for one client's state dict, put it in a list."
        )
    layout = Counter(alike).most_common(1)[0][0]
    if layout.size == 0:
        raise UpdatesError("The updates hold no floating-point values to aggregate.")
    return layout


def _parse(update: Any) -> tuple[Layout, list[Array]] | None:
    """One client's entry with its layout, or None when it cannot be read."""
    if isinstance(update, Mapping):
        form, names, values = "mapping", tuple(update.keys()), list(update.values())
    elif is_tensor(update) or isinstance(update, np.ndarray):
        form, names, values = "array", (), [update]
    elif isinstance(update, Sequence) and not isinstance(update, str | bytes):
        if update and all(isinstance(value, int | float | np.number) for value in update):
            try:
                form, names, values = "array", (), [np.asarray(update, dtype=np.float64)]
            except OverflowError:  # an integer that is too large for a float
                return None
        else:
            form, names, values = "sequence", (), list(update)
    else:
        return None
    leaves = [_leaf(value) for value in values]
    known = [leaf for leaf in leaves if leaf is not None]
    if not known or len(known) != len(leaves):
        return None
    return Layout(form, names, tuple(known)), values


def _leaf(value: Any) -> Leaf | None:
    """The description of one array, or None if the value is not an array of real numbers."""
    if is_tensor(value):
        return _tensor_leaf(value.shape, value.dtype, value.layout, value.device)
    if isinstance(value, np.ndarray | np.generic):
        return _array_leaf(value.shape, value.dtype)
    return None


@lru_cache(maxsize=256)  # a simulation has few kinds of leaves, and asks for them very often
def _tensor_leaf(shape: Any, dtype: Any, layout: Any, device: Any) -> Leaf | None:
    real = not dtype.is_complex and str(layout) == "torch.strided"
    return Leaf(True, tuple(shape), str(dtype).removeprefix("torch."), str(device)) if real else None


@lru_cache(maxsize=256)
def _array_leaf(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Leaf | None:
    return Leaf(False, shape, dtype.name) if dtype.kind in "fiub" else None


def _over_leaves(entries: list[list[Array]], layout: Layout) -> Leaves:
    """A reader of the floating-point leaves of all entries, on an accelerator if one of them is there."""
    floating = [position for position, leaf in enumerate(layout.leaves) if leaf.floating]
    accelerated = next((leaf.device for leaf in layout.leaves if leaf.tensor and leaf.device != "cpu"), None)
    return Leaves([[entry[position] for position in floating] for entry in entries], layout.working, accelerated)


def _as_leaf(values: Array, leaf: Leaf, copy: bool) -> Array:
    """A slice of the result with the leaf's shape, type and device; half precision saturates and never overflows."""
    if not leaf.tensor:
        host = values.cpu().numpy() if is_tensor(values) else values
        if leaf.dtype == "float16":
            host = host.clip(-np.finfo(np.float16).max, np.finfo(np.float16).max)
        return host.reshape(leaf.shape).astype(leaf.dtype, copy=copy)
    import torch

    dtype = getattr(torch, leaf.dtype)
    if is_tensor(values):
        tensor = values
    else:
        ready = values.flags.c_contiguous and values.flags.writeable
        tensor = torch.from_numpy(values if ready else np.require(values, requirements=["C", "W"]))
    if dtype.itemsize < 4:
        tensor = tensor.clamp(torch.finfo(dtype).min, torch.finfo(dtype).max)
    if tensor.shape != leaf.shape:
        tensor = tensor.reshape(leaf.shape)
    ready = not copy and tensor.dtype == dtype and leaf.device == tensor.device.type == "cpu"
    return tensor if ready else tensor.to(device=leaf.device, dtype=dtype, copy=copy)


def _lower_median(values: list[Array], leaf: Leaf) -> Array:
    """The element-wise lower median of counters, which is always one of the values that were sent.

    Every value is first converted to the leaf's own type, so that a wider type of a minority cannot become the type of
    the result.
    """
    middle = (len(values) - 1) // 2
    if leaf.tensor:
        import torch

        same = [torch.as_tensor(value).to(device=leaf.device, dtype=getattr(torch, leaf.dtype)) for value in values]
        return torch.stack(same).sort(dim=0).values[middle]
    host = [np.asarray(value.cpu() if is_tensor(value) else value).astype(leaf.dtype) for value in values]
    return np.asarray(np.sort(np.stack(host), axis=0)[middle])
