"""How updates look: the arrays inside them, and which of these the geometry is about."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, is_tensor


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
    beside: frozenset[int] = frozenset()
    """The places of the floating-point leaves that stand beside the geometry."""

    @property
    def signature(self) -> tuple[Any, ...]:
        """What must be equal for all clients: everything but the width of the floating-point type."""
        return self.form, self.names, tuple((leaf.shape, leaf.floating) for leaf in self.leaves)

    @cached_property
    def within(self) -> tuple[int, ...]:
        """The places of the leaves that the geometry is about, in order."""
        leaves = enumerate(self.leaves)
        return tuple(place for place, leaf in leaves if leaf.floating and place not in self.beside)

    @cached_property
    def outside(self) -> tuple[int, ...]:
        """The places of the other leaves: counters, and those that stand beside the geometry."""
        return tuple(place for place in range(len(self.leaves)) if place not in self.within)

    @cached_property
    def columns(self) -> tuple[tuple[str, int], ...]:
        """The name and the size of each leaf in the geometry, in order; empty for a bare array."""
        if self.form == "array":
            return ()
        return tuple((self.name(place), self.leaves[place].size) for place in self.within)

    @property
    def size(self) -> int:
        return sum(self.leaves[place].size for place in self.within)

    @cached_property
    def working(self) -> str:
        """The type of the arithmetic: float64 if a leaf is that wide, else float32 (also for half precision)."""
        wide = any(self.leaves[place].bits > 32 for place in self.within)
        return "float64" if wide else "float32"

    def describe(self) -> str:
        shapes = ", ".join(str(list(leaf.shape)) for leaf in self.leaves[:4])
        return f"{self.form} of shape {shapes}{', ...' if len(self.leaves) > 4 else ''}"

    def name(self, place: int) -> str:
        """What a leaf is called: its name in a mapping, its number in a sequence."""
        return str(self.names[place] if self.names else place)

    def restore(self, vector: Array, others: Mapping[int, Any], copy: bool) -> Any:
        """A flat result [d] as an update of this layout; `others` has the values of the leaves outside the geometry.

        Without `copy` a bare array may share the memory of `vector`; several leaves never share memory.
        """
        copy = copy or len(self.leaves) > 1
        values, start = dict(others), 0
        for place in self.within:
            leaf = self.leaves[place]
            values[place] = as_leaf(vector[start : start + leaf.size], leaf, copy)
            start += leaf.size
        if self.form == "array":
            return values[0]
        ordered = [values[place] for place in range(len(self.leaves))]
        return dict(zip(self.names, ordered, strict=True)) if self.form == "mapping" else ordered


def as_leaf(values: Array, leaf: Leaf, copy: bool) -> Array:
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
