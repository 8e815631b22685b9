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

from robustfl.aggregation.kernels.compiled_order import middle, settle, share
from robustfl.aggregation.kernels.compiled_vectors import REGISTER_LANES, Vector, fetch_number, narrow, operation, store
from robustfl.aggregation.kernels.compiling import kernel
from robustfl.aggregation.kernels.sorting_networks import UNREAD, Network, merge_exchange, prune, rank_network
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


@dataclass(frozen=True)
class Around(Ranks):
    """The mean of the `kept` values of each column that are nearest to its median, which these ranks make."""

    kept: int

    @property
    def network(self) -> Network:
        """Comparators that put the middle, and the ends of all runs of `kept` values, into their places."""
        last = self.count - self.kept
        ends = {self.low, self.high, *range(last + 1), *range(self.kept - 1, self.count)}
        return prune(merge_exchange(self.count), [rank if rank in ends else UNREAD for rank in range(self.count)])


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
        ordered = _moved(builder, values, rank_network(wanted.count, wanted.low, wanted.high))
        return context.make_tuple(builder, result, ordered[wanted.low : wanted.high + 1])

    return result(ranks, rows, types.intp, like), generate


def _moved(builder: Any, values: list[Any], network: Network) -> list[Any]:
    """The values after the comparators of a network."""
    values = list(values)
    for a, b in network.tolist():
        x, y = values[a], values[b]
        less = builder.fcmp_ordered("<", x, y)
        values[a], values[b] = builder.select(less, x, y), builder.select(less, y, x)
    return values


@operation
def nearest(typing: Any, around: Any, rows: Any, step: Any, like: Any) -> Any:
    """The float64 sum of the nearest values, the least and the largest value at the border, and the centre in float64.

    It is what :func:`~robustfl.aggregation.kernels.compiled_order.sum_near` finds, to the last bit. In sorted columns,
    the nearest values are neighbours: the border is the least distance that the farther end of so many has. Where two
    float32 are subtracted in float64, and the difference is rounded to float32, it is what float32 would give.
    """
    wanted, scalar = around.ranks, like.dtype
    vector = Vector(scalar, REGISTER_LANES * 64 // scalar.bitwidth)
    wide = Vector(types.float64, vector.count)
    result = types.Tuple([wide, vector, vector, wide])  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, double = context.get_value_type(vector), context.get_value_type(wide)
        number = ir.VectorType(ir.IntType(scalar.bitwidth), vector.count)
        narrower = kind != double

        def constant(of: Any, value: Any) -> Any:
            return ir.Constant(of, [value] * vector.count)

        def widened(value: Any) -> Any:
            return builder.fpext(value, double) if narrower else value

        def magnitude(value: Any) -> Any:
            bits = ir.VectorType(ir.IntType(64 if value.type == double else 32), vector.count)
            mask = constant(bits, (1 << (bits.element.width - 1)) - 1)
            return builder.bitcast(builder.and_(builder.bitcast(value, bits), mask), value.type)

        def apart(value: Any) -> Any:
            if centre is None:
                return magnitude(builder.fsub(value, ordered[wanted.low]))
            distance = magnitude(builder.fsub(widened(value), centre))
            return builder.fptrunc(distance, kind) if narrower else distance

        values = []
        for j in range(wanted.count):
            place = builder.inttoptr(builder.add(builder.extract_value(args[1], j), args[2]), kind.as_pointer())
            values.append(builder.load(place))
            values[j].align = 1
        ordered, centre = _moved(builder, values, wanted.network), None
        if wanted.low < wanted.high:
            a, b = widened(ordered[wanted.low]), widened(ordered[wanted.high])
            half, both = constant(double, 0.5), builder.fadd(a, b)
            safe = builder.fadd(builder.fmul(a, half), builder.fmul(b, half))
            fits = builder.fcmp_ordered("<", magnitude(both), constant(double, float("inf")))
            centre = builder.select(fits, builder.fmul(both, half), safe)
        border = None
        for j in range(wanted.count - wanted.kept + 1):
            one, other = apart(ordered[j]), apart(ordered[j + wanted.kept - 1])
            farther = builder.select(builder.fcmp_ordered("<", one, other), other, one)
            less = None if border is None else builder.fcmp_ordered("<", farther, border)
            border = farther if less is None else builder.select(less, farther, border)
        total, inside, nothing = constant(double, 0.0), constant(number, 0), constant(kind, 0.0)
        least, most = constant(kind, float("inf")), constant(kind, float("-inf"))
        for x in values:
            distance = apart(x)
            near, at = builder.fcmp_ordered("<", distance, border), builder.fcmp_ordered("==", distance, border)
            inside = builder.sub(inside, builder.sext(near, number))
            total = builder.fadd(total, widened(builder.select(near, x, nothing)))
            lower = builder.select(builder.fcmp_ordered("<", x, least), x, least)
            upper = builder.select(builder.fcmp_ordered("<", most, x), x, most)
            least, most = builder.select(at, lower, least), builder.select(at, upper, most)
        missing = builder.fsub(constant(double, float(wanted.kept)), builder.sitofp(inside, double))
        total = builder.fadd(total, builder.fmul(missing, widened(least)))
        middle = widened(ordered[wanted.low]) if centre is None else centre
        return context.make_tuple(builder, result, [total, least, most, middle])

    return result(around, rows, types.intp, like), generate


@operation
def differ(typing: Any, a: Any, b: Any) -> Any:
    """Whether two vectors of floats differ anywhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = ir.IntType(a.count)
        return builder.icmp_unsigned("!=", builder.bitcast(builder.fcmp_unordered("!=", *args), bits), bits(0))

    return types.boolean(a, b), generate


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


@kernel
def unrolled_means_around(
    address: int,
    stride: int,
    columns: int,
    index: Any,
    around: Any,
    kept: int,
    out: Any,
    pitch: int,
    first: int,
    lines: Any,
    past: bool,
) -> None:
    """The mean of the values of each column of the rows ``index[i]`` that are nearest to their median.

    Where values at the border differ, :func:`~robustfl.aggregation.kernels.compiled_order.settle` computes a column.
    """
    lanes = REGISTER_LANES * 8 // out.itemsize
    starts, exact = np.empty(index.shape[1], np.int64), np.empty(index.shape[1], np.float64)
    lower, upper, centres = np.empty(lanes, out.dtype), np.empty(lanes, out.dtype), np.empty(lanes, np.float64)
    for i in range(lines.size):
        place = lines[i] * pitch + first
        streams = past and starts_line(out, place)
        for j in range(index.shape[1]):
            starts[j] = address + index[i, j] * stride
        rows = taken(around, starts)
        for c in range(0, columns, lanes):
            total, least, most, centre = nearest(around, rows, c * out.itemsize, out)
            put(out, place + c, narrow(share(total, kept, out), out), streams)
            if differ(least, most):
                store(lower, 0, least)
                store(upper, 0, most)
                store(centres, 0, centre)
                for q in range(lanes):
                    if lower[q] != upper[q]:
                        for j in range(index.shape[1]):
                            exact[j] = fetch_number(out, starts[j] + (c + q) * out.itemsize)
                        out[place + c + q] = settle(exact, centres[q], kept)
    if past:
        settled()
