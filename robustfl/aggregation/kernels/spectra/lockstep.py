"""Vector operations for eigenvalue problems that go through the same steps side by side.

numba's cache detects changes only in the file of the kernel itself. After an edit in this file, remove ``__pycache__``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from robustfl.aggregation.kernels.compiled_vectors import Vector, operation

LANES = 8
"""How many shifts or eigenvectors take their steps together: two registers of AVX, so that work outweighs waiting."""

QUAD = 4
"""Rows and columns of the squares into which a matrix is divided while it is reduced."""


def _same(context: Any, builder: Any, vector: Any, number: Any) -> Any:
    """The machine code that puts a number into all lanes of a vector."""
    kind, index = context.get_value_type(vector), ir.IntType(32)
    nothing = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(nothing, number, ir.Constant(index, 0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(index, vector.count), None))


def _everywhere(lanes: int) -> Any:
    """The operation that puts a float64 into all lanes of a vector of so many."""
    result = Vector(types.float64, lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _same(context, builder, result, args[0])

    return result(types.float64), generate


@operation
def eight(typing: Any, value: Any) -> Any:
    """A vector of :data:`LANES` float64 with one value everywhere."""
    return _everywhere(LANES)


@operation
def four(typing: Any, value: Any) -> Any:
    """A vector of :data:`QUAD` float64 with one value everywhere."""
    return _everywhere(QUAD)


@operation
def spread(typing: Any, like: Any, array: Any, at: Any) -> Any:
    """A vector of the type of `like` that has element `at` of a contiguous array everywhere.

    Element `at` is read as it is: a negative index, which numba would look out for, costs more than the reading.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[1])(context, builder, args[1]).data
        return _same(context, builder, like, builder.load(builder.gep(data, [args[2]])))

    return like(like, array, types.intp), generate


@operation
def count_turns(typing: Any, count: Any, a: Any, b: Any) -> Any:
    """``count + 1`` in the lanes where the floats a and b differ in their sign bits; `count` are integers."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        before, *floats = args
        signs = builder.xor(*(builder.bitcast(value, before.type) for value in floats))
        return builder.add(before, builder.lshr(signs, ir.Constant(before.type, [63] * count.count)))

    return count(count, a, b), generate
