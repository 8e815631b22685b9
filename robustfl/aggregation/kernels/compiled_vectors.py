"""Vectors of 256 bytes inside compiled kernels, and the few operations on them that the kernels need.

From plain loops over the columns of a tile the compiler makes slow code, because it has to guard against overlapping
rows and leftover columns in every inner loop. Here the width is fixed and explicit. One :class:`Vector` holds 64
float32 or 32 float64 neighbours of one row, and the compiler splits it into the registers that the processor has.

numba's cache detects changes only in the file of the kernel itself. After an edit in this file, remove ``__pycache__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import config, types
from numba.extending import intrinsic, models, register_model

from robustfl.aggregation.kernels.compiling import kernel

BYTES = 256
"""Size of a vector: four registers of AVX-512, so that work outweighs addressing. Half the size was 1.3 x slower."""

LINE = 64
"""Bytes of a cache line: what memory moves at a time, and where a vector has to start that is streamed."""


def _register() -> int:
    """The bytes of a register of the processor that kernels are compiled for: this one, or NUMBA_CPU_FEATURES names it.

    It is the least there is where features are not known by these names.
    """
    told = getattr(config, "CPU_FEATURES", None)
    features = binding.get_host_cpu_features() if told is None else dict.fromkeys(told.replace("+", "").split(","), 1)
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


REGISTER_LANES = _register() // 8
"""The number of float64 in a register, for loops that keep many sums at a time."""


def lanes(dtype: np.dtype[Any]) -> int:
    """The number of values of `dtype` in one vector."""
    return BYTES // dtype.itemsize


class Vector(types.Type):
    """numba's type of a vector: `count` values of a numba scalar type."""

    def __init__(self, scalar: Any, count: int) -> None:
        self.scalar, self.count = scalar, count
        super().__init__(name=f"Vector({scalar}, {count})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    """Tells numba that a vector is stored as a vector of the machine code."""

    def __init__(self, manager: Any, vector: Any) -> None:
        scalar = manager.lookup(vector.scalar).get_value_type()
        super().__init__(manager, vector, ir.VectorType(scalar, vector.count))  # type: ignore[no-untyped-call]


def operation(function: Callable[..., Any]) -> Any:
    """An operation inside kernels, from a function that makes the machine code for given types."""
    return intrinsic(function)


def _simple(emit: Callable[[Any, list[Any]], Any]) -> Any:
    """An operation whose operands and result are all of one vector type."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, args)

    return generate


def _full(scalar: Any) -> Vector:
    return Vector(scalar, BYTES * 8 // scalar.bitwidth)


def _constant(vector: Any, value: Any) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _read(builder: Any, pointer: Any, vector: Any) -> Any:
    result = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    result.align = 1
    return result


@operation
def load(typing: Any, array: Any, at: Any) -> Any:
    """The vector that starts at element `at` of a contiguous array."""
    result = _full(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return _read(builder, builder.gep(data, [args[1]]), context.get_value_type(result))

    return result(array, types.intp), generate


@operation
def load_beside(typing: Any, array: Any, at: Any, like: Any) -> Any:
    """As many values as the vector `like` has, starting at element `at` of a contiguous array of any type."""
    result = Vector(array.dtype, like.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return _read(builder, builder.gep(data, [args[1]]), context.get_value_type(result))

    return result(array, types.intp, like), generate


@operation
def load_register(typing: Any, array: Any, at: Any) -> Any:
    """As many values as a register holds, starting at element `at` of a contiguous array of float64."""
    result = Vector(array.dtype, REGISTER_LANES)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return _read(builder, builder.gep(data, [args[1]]), context.get_value_type(result))

    return result(array, types.intp), generate


def halves(builder: Any, vector: Any, count: int) -> tuple[Any, Any]:
    """The lower and the upper half of a vector, of `count` lanes each."""
    nothing, number = ir.Constant(vector.type, ir.Undefined), ir.VectorType(ir.IntType(32), count)
    lower, upper = (ir.Constant(number, list(range(start, start + count))) for start in (0, count))
    return builder.shuffle_vector(vector, nothing, lower), builder.shuffle_vector(vector, nothing, upper)


@operation
def across(typing: Any, a: Any) -> Any:
    """The sum of all lanes: those of the upper half are added to those of the lower half, until one is left."""

    def emit(builder: Any, v: Any) -> Any:
        total, count = v[0], a.count
        while count > 1:
            count //= 2
            total = builder.fadd(*halves(builder, total, count))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return a.scalar(a), _simple(emit)


@operation
def store(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Write a vector to a contiguous array, starting at element `at`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.gep(data, [args[1]])
        builder.store(args[2], builder.bitcast(pointer, args[2].type.as_pointer())).align = 1
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@operation
def fetch(typing: Any, like: Any, address: Any) -> Any:
    """The vector at an address in memory, of the type of the array `like`.

    Matrices are passed to kernels as addresses, so one compiled version serves every memory layout, writable or not.
    """
    result = _full(like.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(result)
        return _read(builder, builder.inttoptr(args[1], vector.as_pointer()), vector)

    return result(like, types.intp), generate


@operation
def fetch_number(typing: Any, like: Any, address: Any) -> Any:
    """The single number at an address in memory, of the type of the array `like`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = builder.load(builder.inttoptr(args[1], context.get_value_type(like.dtype).as_pointer()))
        number.align = 1
        return number

    return like.dtype(like, types.intp), generate


@operation
def address_of(typing: Any, array: Any) -> Any:
    """The address of the first element of an array, which the caller of the kernel keeps alive."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.intp))

    return types.intp(array), generate


@operation
def fill(typing: Any, like: Any, value: Any) -> Any:
    """A vector of the type of the vector `like` with one value everywhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(like)
        scalar = context.cast(builder, args[1], value, like.scalar)
        single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        pattern = ir.Constant(ir.VectorType(ir.IntType(32), like.count), None)
        return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), pattern)

    return like(like, value), generate


@operation
def low(typing: Any, a: Any, b: Any) -> Any:
    """The smaller of each pair. Together with :func:`high` it permutes every pair of values, even with NaN."""
    return a(a, b), _simple(lambda builder, v: builder.select(builder.fcmp_ordered("<", *v), v[0], v[1]))


@operation
def high(typing: Any, a: Any, b: Any) -> Any:
    """The larger of each pair."""
    return a(a, b), _simple(lambda builder, v: builder.select(builder.fcmp_ordered("<", *v), v[1], v[0]))


@operation
def plus(typing: Any, a: Any, b: Any) -> Any:
    """Sums of integers or of floats."""
    if isinstance(a.scalar, types.Integer):
        return a(a, b), _simple(lambda builder, v: builder.add(*v))
    return a(a, b), _simple(lambda builder, v: builder.fadd(*v))


@operation
def minus(typing: Any, a: Any, b: Any) -> Any:
    """Differences of floats."""
    return a(a, b), _simple(lambda builder, v: builder.fsub(*v))


@operation
def times(typing: Any, a: Any, b: Any) -> Any:
    """Products of floats."""
    return a(a, b), _simple(lambda builder, v: builder.fmul(*v))


@operation
def over(typing: Any, a: Any, b: Any) -> Any:
    """Quotients of floats."""
    return a(a, b), _simple(lambda builder, v: builder.fdiv(*v))


@operation
def add_product(typing: Any, total: Any, a: Any, b: Any) -> Any:
    """``total + a * b`` of floats, rounded only once if the processor can do so."""

    def emit(builder: Any, v: Any) -> Any:
        return builder.fadd(v[0], builder.fmul(v[1], v[2], flags=("contract",)), flags=("contract",))

    return total(total, a, b), _simple(emit)


@operation
def magnitude(typing: Any, a: Any) -> Any:
    """The absolute values of floats: the sign bits are cleared."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = context.get_value_type(_integers(a))
        mask = _constant(integers, (1 << (a.scalar.bitwidth - 1)) - 1)
        return builder.bitcast(builder.and_(builder.bitcast(args[0], integers), mask), args[0].type)

    return a(a), generate


@operation
def where_less(typing: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """``yes`` in the lanes with a < b, ``no`` in the others; `a` and `b` are floats."""
    return yes(a, b, yes, no), _simple(lambda builder, v: builder.select(builder.fcmp_ordered("<", v[0], v[1]), *v[2:]))


@operation
def where_equal(typing: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """``yes`` in the lanes with a = b, ``no`` in the others; `a` and `b` are floats."""
    return yes(a, b, yes, no), _simple(
        lambda builder, v: builder.select(builder.fcmp_ordered("==", v[0], v[1]), *v[2:])
    )


@operation
def where_at_most(typing: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """``yes`` in the lanes with a <= b, ``no`` in the others; `a` and `b` are integers."""
    return yes(a, b, yes, no), _simple(lambda builder, v: builder.select(builder.icmp_signed("<=", v[0], v[1]), *v[2:]))


@operation
def count_below(typing: Any, count: Any, a: Any, b: Any) -> Any:
    """``count + 1`` in the lanes where a < b or one of the two is NaN; `a` and `b` are floats, `count` integers."""

    def emit(builder: Any, v: Any) -> Any:
        return builder.sub(v[0], builder.sext(builder.fcmp_unordered("<", v[1], v[2]), v[0].type))

    return count(count, a, b), _simple(emit)


@operation
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger of each pair of integers."""
    return a(a, b), _simple(lambda builder, v: builder.select(builder.icmp_signed("<", *v), v[1], v[0]))


@operation
def widen(typing: Any, a: Any) -> Any:
    """The same numbers as float64."""
    result = Vector(types.float64, a.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if a.scalar == types.float64:
            return args[0]
        convert = builder.sitofp if isinstance(a.scalar, types.Integer) else builder.fpext
        return convert(args[0], context.get_value_type(result))

    return result(a), generate


@operation
def narrow(typing: Any, a: Any, array: Any) -> Any:
    """The float64 values of a vector, rounded to the type of `array`."""
    result = Vector(array.dtype, a.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if array.dtype == a.scalar else builder.fptrunc(args[0], context.get_value_type(result))

    return result(a, array), generate


def _integers(vector: Any) -> Vector:
    """The type of a vector of signed integers that are as wide as the values of `vector`."""
    return Vector(types.int32 if vector.scalar.bitwidth == 32 else types.int64, vector.count)


def _mirror(builder: Any, bits: Any) -> Any:
    """Reverse the order of negative numbers: it turns the bits of floats into integers of the same order, and back."""
    width = bits.type.element.width
    negative = builder.ashr(bits, _constant(bits.type, width - 1))
    return builder.xor(bits, builder.and_(negative, _constant(bits.type, (1 << (width - 1)) - 1)))


@operation
def rank_image(typing: Any, a: Any) -> Any:
    """Integers that have the same order as the floats `a`."""
    result = _integers(a)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _mirror(builder, builder.bitcast(args[0], context.get_value_type(result)))

    return result(a), generate


@operation
def from_image(typing: Any, image: Any) -> Any:
    """The floats of which `image` is the :func:`rank_image`."""
    result = Vector(types.float32 if image.scalar.bitwidth == 32 else types.float64, image.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(_mirror(builder, args[0]), context.get_value_type(result))

    return result(image), generate


@operation
def most(typing: Any, image: Any) -> Any:
    """The largest float of all lanes, from their :func:`rank_image`: by halves, as :func:`across` adds."""
    scalar = types.float32 if image.scalar.bitwidth == 32 else types.float64

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, count = args[0], image.count
        while count > 1:
            count //= 2
            lower, upper = halves(builder, total, count)
            total = builder.select(builder.icmp_signed("<", lower, upper), upper, lower)
        single = builder.bitcast(_mirror(builder, total), ir.VectorType(context.get_value_type(scalar), 1))
        return builder.extract_element(single, ir.Constant(ir.IntType(32), 0))

    return scalar(image), generate


@kernel
def pad(address: int, stride: int, n: int, columns: int, lanes: int, rest: Any) -> int:
    """Copy the last columns, which fill no vector, to `rest` [n, lanes], and return the number of the others.

    So kernels only ever see whole vectors. The rest of `rest` should be 0.
    """
    whole = columns - columns % lanes
    for i in range(n):
        at = address + i * stride + whole * rest.itemsize
        for q in range(columns - whole):
            rest[i, q] = fetch_number(rest, at + q * rest.itemsize)
    return whole
