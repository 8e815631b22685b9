"""How compiled passes over many models talk to the caches: what is read soon, and what is not read again."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from robustfl.aggregation.kernels.compiled_vectors import BYTES, LINE, operation


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


@operation
def announce(typing: Any, address: Any) -> Any:
    """Ask for the vector at an address to be brought into the second-level cache, and do not wait for it.

    Processors foresee what is read next within a page of memory, but not across the end of a row's block.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], shape)
        for step in range(0, BYTES, LINE):
            place = builder.inttoptr(builder.add(args[0], ir.Constant(args[0].type, step)), byte)
            builder.call(prefetch, [place, number(0), number(2), number(1)])  # to read, second level, data
        return context.get_dummy_value()

    return types.void(types.intp), generate
