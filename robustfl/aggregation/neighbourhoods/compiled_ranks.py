"""Order statistics by columns of few rows, in kernels of their own for each number of rows: values stay in registers.

A kernel that reads comparators from an array has to fetch both rows of each comparator from a tile, and to put them
back. Here the network is part of the kernel: nothing is left but to load the rows, to compare and to store results,
which takes a third to a fifth of the time. Comparators and sums are the same in the same order, and so are the bits.
The price is that each number of rows, with each band of ranks, is compiled: 0.2 s, and then it is in numba's cache.

As for the operations of :mod:`~robustfl.aggregation.kernels.compiled_vectors`, numba does not notice that a network
has changed. After an edit of :mod:`~robustfl.aggregation.kernels.sorting_networks`, remove ``__pycache__``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

from robustfl.aggregation.kernels.compiled_order import middle, share
from robustfl.aggregation.kernels.compiled_vectors import REGISTER_LANES, Vector, narrow, operation
from robustfl.aggregation.kernels.compiling import kernel
from robustfl.aggregation.kernels.sorting_networks import rank_network
from robustfl.aggregation.neighbourhoods.compiled_streams import put, settled, starts_line

MOST_ROWS = 32
"""Rows up to which kernels are made: as many as AVX-512 has registers. With 16 registers they pay, too; with twice as
many rows, most values lie in memory anyway, and little is won."""


@dataclass(frozen=True)
class Ranks:
    """Which ranks of `count` rows are wanted: the middle of the ranks `low` and `high` if `halfway`, else the mean."""

    count: int
    low: int
    high: int
    halfway: bool


class RanksType(types.Type):
    """numba's type of :class:`Ranks`: those that differ have types that differ, and so each gets its own kernel."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        super().__init__(name=repr(ranks))


@register_model(RanksType)
class _RanksModel(models.OpaqueModel):
    """Tells numba that the type says everything, and that no value is passed."""


@typeof_impl.register(Ranks)
def _typeof(ranks: Ranks, _: Any) -> RanksType:
    return RanksType(ranks)


@unbox(RanksType)  # type: ignore[no-untyped-call, untyped-decorator]
def _unbox(_: Any, __: Any, compiler: Any) -> NativeValue:
    return NativeValue(compiler.context.get_dummy_value())  # type: ignore[no-untyped-call]


@operation
def halved(typing: Any, ranks: Any) -> Any:
    """Whether the middle of two ranks is wanted."""
    return _told(ranks, ranks.ranks.halfway)


@operation
def single(typing: Any, ranks: Any) -> Any:
    """Whether only one rank is wanted."""
    return _told(ranks, ranks.ranks.low == ranks.ranks.high)


def _told(ranks: Any, answer: bool) -> Any:
    """An answer that is known while the kernel is compiled, which leaves the other branch out."""
    return types.boolean(ranks), lambda context, builder, signature, args: ir.Constant(ir.IntType(1), int(answer))


@operation
def taken(typing: Any, ranks: Any, numbers: Any) -> Any:
    """The first numbers of a contiguous array, one for each row, as values that need not be read again."""
    result = types.UniTuple(numbers.dtype, ranks.ranks.count)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[1])(context, builder, args[1]).data
        each = [builder.load(builder.gep(data, [ir.Constant(ir.IntType(64), j)])) for j in range(result.count)]
        return context.make_tuple(builder, result, each)

    return result(ranks, numbers), generate


@operation
def ranked(typing: Any, ranks: Any, rows: Any, step: Any, like: Any) -> Any:
    """The values of the wanted ranks in a register of columns, which lie `step` bytes behind the addresses `rows`.

    They are of the type of the array `like`, in the order in which the network leaves them.
    """
    wanted = ranks.ranks
    vector = Vector(like.dtype, REGISTER_LANES * 64 // like.dtype.bitwidth)
    result = types.UniTuple(vector, wanted.high - wanted.low + 1)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, values = context.get_value_type(vector).as_pointer(), []
        for j in range(wanted.count):
            place = builder.add(builder.extract_value(args[1], j), args[2])
            values.append(builder.load(builder.inttoptr(place, pointer)))
            values[j].align = 1
        for a, b in rank_network(wanted.count, wanted.low, wanted.high).tolist():
            x, y = values[a], values[b]
            less = builder.fcmp_ordered("<", x, y)
            values[a], values[b] = builder.select(less, x, y), builder.select(less, y, x)
        return context.make_tuple(builder, result, values[wanted.low : wanted.high + 1])

    return result(ranks, rows, types.intp, like), generate


@operation
def summed(typing: Any, values: Any) -> Any:
    """The float64 sum of some vectors, one after the other, from 0 on."""
    wide = Vector(types.float64, values.dtype.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(wide)
        total = ir.Constant(kind, [0.0] * wide.count)
        for j in range(values.count):
            value = builder.extract_value(args[0], j)
            total = builder.fadd(total, value if value.type == kind else builder.fpext(value, kind))
        return total

    return wide(values), generate


@kernel
def unrolled_ranks(
    address: int,
    stride: int,
    columns: int,
    index: Any,
    ranks: Any,
    out: Any,
    pitch: int,
    first: int,
    lines: Any,
    past: bool,
) -> None:
    """:func:`~robustfl.aggregation.neighbourhoods.compiled_loops.ranks` of the rows ``index[i]`` themselves."""
    lanes = REGISTER_LANES * 8 // out.itemsize
    starts = np.empty(index.shape[1], np.int64)
    for i in range(lines.size):
        place = lines[i] * pitch + first
        streams = past and starts_line(out, place)
        for j in range(index.shape[1]):
            starts[j] = address + index[i, j] * stride
        rows = taken(ranks, starts)
        for c in range(0, columns, lanes):
            values = ranked(ranks, rows, c * out.itemsize, out)
            if not halved(ranks):
                value = narrow(share(summed(values), len(values), out), out)
            elif single(ranks):
                value = values[0]
            else:
                value = narrow(middle(values[0], values[-1]), out)
            put(out, place + c, value, streams)
    if past:
        settled()
