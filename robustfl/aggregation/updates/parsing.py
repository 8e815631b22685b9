"""Reading one client's entry: the arrays in it, or the reason why it is none that can be read.

An entry comes from a client and may be anything. What cannot be read is named, with the key under which it stands, so
that whoever reads the reason knows what to mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.aggregation.updates.leaves import Layout, Leaf

RAW = (bytes, bytearray, memoryview)
"""What comes over a wire: its numbers are those of a format, not of a model."""

PARAMETER = re.compile(r"(.*[./])?((in_proj_)?(weight|bias)(_[a-z]+_l\d+\w*)?|running_(mean|var)|num_batches_tracked)")
"""Names that torch gives to the parameters and buffers of its modules."""

PREFIXES = ("module.", "_orig_mod.", "_module.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "model.")
"""What wrappers put before names: parallel training, compilation, privacy engines, sharding, checkpoints."""


def parse(update: Any) -> tuple[Layout, list[Array]] | str:
    """One client's entry with its layout, or the reason why it cannot be read."""
    if isinstance(update, Mapping):
        form, names, values = "mapping", tuple(update.keys()), list(update.values())
    elif is_tensor(update) or isinstance(update, np.ndarray):
        form, names, values = "array", (), [update]
    elif isinstance(update, RAW):
        return f"unreadable ({type(update).__name__}): raw bytes, which should be deserialised first"
    elif isinstance(update, Sequence) and not isinstance(update, str):
        if update and all(isinstance(value, int | float | np.number) for value in update):
            try:
                form, names, values = "array", (), [np.asarray(update, dtype=np.float64)]
            except OverflowError:
                return f"unreadable ({type(update).__name__}): it holds an integer that is too large for a float"
        else:
            form, names, values = "sequence", (), list(update)
    else:
        return f"unreadable ({type(update).__name__}){_advice(update)}"
    if not values:
        return f"unreadable ({type(update).__name__}): it is empty"
    leaves: list[Leaf] = []
    for place, value in enumerate(values):
        leaf = read_leaf(value)
        if isinstance(leaf, str):
            where = f"`{names[place]}` is " if names else f"its part {place} is " if form == "sequence" else ""
            return f"unreadable ({type(update).__name__}): {where}{leaf}"
        leaves.append(leaf)
    return Layout(form, names, tuple(leaves)), [_plain(value) for value in values]


def alike(one: Any, other: Any) -> bool:
    """Whether two entries can be read and hold the same values; NaN is equal to nothing."""
    first, second = parse(one), parse(other)
    if isinstance(first, str) or isinstance(second, str) or first[0] != second[0]:
        return False
    return all(_equal(mine, theirs) for mine, theirs in zip(first[1], second[1], strict=True))


def _equal(mine: Array, theirs: Array) -> bool:
    return bool((mine == theirs).all()) if is_tensor(mine) else np.array_equal(mine, theirs)


def read_leaf(value: Any) -> Leaf | str:
    """The description of one array, or what it is in place of an array of real numbers."""
    if is_tensor(value):
        if value.is_nested:
            return "a nested tensor, whose rows differ in length"
        leaf = _tensor_leaf(value.shape, value.dtype, value.layout, value.device)
        return leaf if isinstance(leaf, str) else _without_values(value) or leaf
    if isinstance(value, np.ndarray | np.generic):
        if np.ma.is_masked(value):
            return "a masked array; what lies under its mask is no value"
        return _array_leaf(value.shape, value.dtype)
    if isinstance(value, Mapping):
        return f"a {type(value).__name__}; nested ones should be flattened into one"
    if isinstance(value, (str, *RAW, int, float, complex)) or value is None:
        return f"{value if value is None else type(value).__name__}, and should be an array"
    return f"a {type(value).__name__}, and should be an array{_advice(value)}"


@lru_cache(maxsize=256)  # a simulation has few kinds of leaves, and asks for them very often
def _tensor_leaf(shape: Any, dtype: Any, layout: Any, device: Any) -> Leaf | str:
    if str(layout) != "torch.strided":
        return f"a sparse tensor ({layout}); `to_dense` makes it dense" if "sparse" in str(layout) else f"a {layout}"
    kind = str(dtype).removeprefix("torch.")
    if dtype.is_complex or kind.startswith(("q", "bits")):
        return f"of type {kind}, and should hold real numbers"
    if device.type == "meta":
        return "on the device meta, without values"
    return Leaf(True, tuple(shape), kind, str(device))


@lru_cache(maxsize=256)
def _array_leaf(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Leaf | str:
    return Leaf(False, shape, dtype.name) if dtype.kind in "fiub" else f"of type {dtype}, and should hold real numbers"


def _without_values(tensor: Any) -> str:
    """Why the values of a dense tensor cannot be read, or an empty text if they can.

    Subclasses stand for values that are elsewhere or nowhere (a shard, a trace): these are asked for one value.
    """
    import torch

    try:
        if tensor.device.type == "cpu" and type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            tensor.detach().reshape(-1)[:1].to(torch.float64).numpy()
        freed = tensor.numel() > 0 and tensor.untyped_storage().nbytes() == 0
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        lines = str(error).splitlines() or [""]
        return f"a {type(tensor).__name__} whose values cannot be read ({type(error).__name__}: {lines[0][:120]})"
    return "a tensor whose memory was freed" if freed else ""


def _plain(value: Any) -> Array:
    """The array itself: with the sign that a lazily negated tensor has, and without an empty mask."""
    if is_tensor(value):
        return value.resolve_neg() if value.is_neg() else value
    return value.data if isinstance(value, np.ma.MaskedArray) else value


def _advice(value: Any) -> str:
    return "; pass its `state_dict()`" if callable(getattr(value, "state_dict", None)) else ""


def unmasked(updates: Any) -> tuple[Array, dict[int, str]]:
    """Stacked updates without their mask, and the rows that hold masked values."""
    if not isinstance(updates, np.ma.MaskedArray):
        return updates, {}
    masked = np.ma.getmaskarray(updates).reshape(len(updates), -1).any(axis=1)
    reason = "unreadable (MaskedArray): what lies under its mask is no value"
    return updates.data, {int(row): reason for row in np.flatnonzero(masked)}


def named_like_a_model(updates: Mapping[Any, Any]) -> str | None:
    """The name of a parameter among the ids of a mapping from ids to bare arrays, or None.

    It is one model's state dict then, passed without a list around it, and its layers would be taken for clients.
    """
    if not updates or not all(isinstance(name, str) for name in updates):
        return None
    if not all(is_tensor(value) or isinstance(value, np.ndarray) for value in updates.values()):
        return None
    names: list[str] = [name for name in updates if PARAMETER.fullmatch(name)]
    dotted = [name for name in names if "." in name or "/" in name]
    if dotted or len(names) == len(updates) or (names and hasattr(updates, "_metadata")):
        return (dotted or names)[0]
    return None


def difference(own: Layout, others: Layout) -> str:
    """How the layout of one client differs from that of the others, by the first key that tells them apart."""
    if own.form != "mapping" or others.form != "mapping":
        leaf, other = own.leaves[0], others.leaves[0]
        if own.form == others.form == "array" and leaf.shape == other.shape:
            return f"it holds {leaf.dtype}, that of the others holds {other.dtype}"
        return own.describe()
    mine, theirs = set(own.names), set(others.names)
    if mine == theirs:
        for name, leaf in zip(own.names, own.leaves, strict=True):
            other = others.leaves[others.names.index(name)]
            if leaf.shape != other.shape:
                return f"`{name}` has shape {list(leaf.shape)}, that of the others has {list(other.shape)}"
            if leaf.floating != other.floating:
                return f"`{name}` holds {leaf.dtype}, that of the others holds {other.dtype}"
    for first, second, what in ((own, others, "its"), (others, own, "the others'")):
        prefix = _prefix(first.names, second.names)
        if prefix:
            return f"{what} names begin with {prefix!r}, and are the same without it"
    lacking, more = _some(theirs - mine, others.names), _some(mine - theirs, own.names)
    return "; ".join(part for part in (lacking and f"it lacks {lacking}", more and f"only it has {more}") if part)


def _prefix(longer: Sequence[Any], shorter: Sequence[Any]) -> str:
    """What stands before the names of a wrapped model, or an empty text."""
    if len(longer) != len(shorter) or not all(isinstance(name, str) for name in (*longer, *shorter)):
        return ""
    plain = set(shorter)
    first: str = longer[0]
    found = [first[: len(first) - len(name)] for name in plain if first.endswith(f".{name}")]
    found += [prefix for prefix in PREFIXES if first.startswith(prefix)]
    for prefix in sorted(set(found), key=len, reverse=True):
        if {name.removeprefix(prefix) for name in longer} == plain:
            return prefix
    inner = [prefix for prefix in PREFIXES if {name.replace(prefix, "") for name in longer} == plain]
    return inner[0] if inner else ""


def _some(names: Iterable[Any], order: Sequence[Any]) -> str:
    """Some of the names, in their order."""
    chosen = set(names)
    listed = [f"`{name}`" for name in order if name in chosen]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
