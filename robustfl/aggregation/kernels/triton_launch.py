"""How Triton kernels are started: on the tensor's own device, one launch at a time, without fused operations."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import torch

from robustfl.aggregation.kernels.base import Array

_turn = threading.Lock()
"""The first launch of a kernel compiles it, and the compiler does not support several threads."""


def launch(kernel: Array, programs: int, block: Array, *arguments: Array, warps: int, **constants: int) -> None:
    """Start `programs` programs of a kernel whose first argument is `block`, each with `warps` warps.

    A new thread of a pool starts with the first device as its current one, and Triton launches on the current device.
    So the block's device is made current here. Products and sums are not fused, so that results do not depend on the
    version of the compiler.
    """
    if not programs:
        return
    here = torch.cuda.device(block.device) if block.is_cuda else nullcontext()
    with _turn, here:
        kernel[(programs,)](block, *arguments, num_warps=warps, enable_fp_fusion=False, **constants)
