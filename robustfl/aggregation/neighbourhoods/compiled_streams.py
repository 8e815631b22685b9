"""How compiled passes over many models talk to the caches: what is read soon, and what is not read again."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from robustfl.aggregation.kernels.compiled_vectors import (
    LINE,
    REGISTER_LANES,
    Vector,
    address_of,
    halves,
    operation,
    store,
)
from robustfl.aggregation.kernels.compiling import kernel

STRIP = 128
"""Bytes of a row of which sums are made at a time: with those of 200 rows, they fit a first-level cache of 32 kB, and
the sums and what they are taken around fit 16 registers of 32 bytes. Half as many took 1.7 x as long, twice as many
1.2 x."""

PAIR = 2 * REGISTER_LANES * 8
"""Bytes of two registers."""


@operation
def stream(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """As :func:`store`, past the caches, to an address that is a multiple of :data:`LINE`, or of a shorter vector.

    Memory is then not read before it is overwritten. That pays for results that are larger than the caches.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.gep(data, [args[1]])
        written = builder.store(args[2], builder.bitcast(pointer, args[2].type.as_pointer()))
        written.align = min(LINE, value.count * value.scalar.bitwidth // 8)
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@operation
def settled(typing: Any) -> Any:
    """Wait until other threads can see what was streamed: streams are not in order with other stores."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@kernel
def starts_line(out: Any, place: int) -> Any:
    """Whether an element of `out` is the first one in its line of the cache: only from there results can go past it."""
    return (address_of(out) + place * out.itemsize) % LINE == 0


@kernel
def put(out: Any, at: int, value: Any, past: bool) -> None:
    """Write a vector of results to `out`, `past` the caches where :func:`starts_line` allows it."""
    if past:
        stream(out, at, value)
    else:
        store(out, at, value)


@operation
def announce(typing: Any, address: Any, like: Any) -> Any:
    """Ask for the vector at an address to be brought into the second-level cache, and do not wait for it.

    It is one like the vector `like`. Processors foresee what is read next within a page of memory, but neither across
    the end of a row's block nor in strips of many rows.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], shape)
        for step in range(0, like.count * like.scalar.bitwidth // 8, LINE):
            place = builder.inttoptr(builder.add(args[0], ir.Constant(args[0].type, step)), byte)
            builder.call(prefetch, [place, number(0), number(2), number(1)])  # to read, second level, data
        return context.get_dummy_value()

    return types.void(types.intp, like), generate


def _zeros(array: Any, size: int) -> Any:
    vector = Vector(array.dtype, size * 8 // array.dtype.bitwidth)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(vector), [0.0] * vector.count)

    return vector(array), generate


@operation
def strip(typing: Any, array: Any) -> Any:
    """A vector of zeros of the type of an array, of :data:`STRIP` bytes."""
    return _zeros(array, STRIP)


@operation
def pair(typing: Any, array: Any) -> Any:
    """A vector of zeros of the type of an array, of :data:`PAIR` bytes."""
    return _zeros(array, PAIR)


@operation
def vector_size(typing: Any, like: Any) -> Any:
    """The number of values of a vector."""
    count = like.count
    return types.intp(like), lambda context, builder, signature, args: ir.Constant(ir.IntType(64), count)


@operation
def take(typing: Any, like: Any, address: Any) -> Any:
    """The vector at an address in memory, one like the vector `like`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(like)
        value = builder.load(builder.inttoptr(args[1], kind.as_pointer()))
        value.align = 1
        return value

    return like(like, types.intp), generate


@operation
def folded(typing: Any, image: Any) -> Any:
    """The larger of both halves of a vector of integers, again and again, until 16 bytes are left."""
    result = Vector(image.scalar, 128 // image.scalar.bitwidth)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, count = args[0], image.count
        while count > result.count:
            count //= 2
            lower, upper = halves(builder, total, count)
            total = builder.select(builder.icmp_signed("<", lower, upper), upper, lower)
        return total

    return result(image), generate
