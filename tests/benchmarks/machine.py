"""The machine a run happened on: what it is, and what it can do at best."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
import torch

from tests.benchmarks.results import Roofs
from tests.benchmarks.timing import seconds

REPEATS = 5
COPIED = 1 << 25
"""Numbers that are copied and averaged: 128 MB of float32, beyond any cache."""
SIDE, DEVICE_SIDE = 2048, 8192
"""Rows of the square matrices that the peak of the matrix product is taken from."""


def describe() -> dict[str, str]:
    """Processor, threads, versions and load, for the head of the table."""
    pools = {f"{pool['user_api']} {pool['num_threads']}" for pool in threadpoolctl.threadpool_info()}
    facts = {
        "processor": f"{_processor()}, {_usable_cores()} cores",
        "threads": ", ".join(sorted(pools)) or "unknown",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "numba")),
        "python": f"{platform.python_version()} on {platform.system()}",
    }
    if hasattr(os, "getloadavg"):
        facts["load at the start"] = f"{os.getloadavg()[0]:.1f} processes"
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts


def host_roofs() -> Roofs:
    """Roofs of the host, by numpy and torch, whichever is faster."""
    x = np.ones((32, COPIED // 32), dtype=np.float32)
    target, tensor = np.empty_like(x), torch.from_numpy(x)
    means = [_best(lambda: x.mean(axis=0)), _best(lambda: tensor.mean(dim=0))]
    copies = [_best(lambda: np.copyto(target, x)), _best(lambda: torch.from_numpy(target).copy_(tensor))]
    squares = [np.ones((SIDE, SIDE), dtype=dtype) for dtype in (np.float32, np.float64)]
    fast, wide = (2 * SIDE**3 / _best(partial(np.matmul, a, a)) for a in squares)
    return Roofs(
        device="cpu", column_mean=x.nbytes / min(means), copy=2 * x.nbytes / min(copies), gemm32=fast, gemm64=wide
    )


def device_roofs(device: str) -> Roofs:
    """Roofs of an accelerator; float32 products in the precision that the program around allows."""
    x = torch.ones((32, 8 * COPIED // 32), device=device)
    target, size = torch.empty_like(x), x.numel() * x.element_size()
    squares = [torch.ones((DEVICE_SIDE, DEVICE_SIDE), dtype=d, device=device) for d in (torch.float32, torch.float64)]
    wait = torch.cuda.synchronize
    fast, wide = (2 * DEVICE_SIDE**3 / _best(partial(torch.matmul, a, a), wait) for a in squares)
    return Roofs(
        device=device,
        column_mean=size / _best(lambda: x.mean(dim=0), wait),
        copy=2 * size / _best(lambda: target.copy_(x), wait),
        gemm32=fast,
        gemm64=wide,
    )


def _best(call: Callable[[], Any], synchronise: Callable[[], Any] | None = None) -> float:
    call()
    return min(seconds(call, synchronise) for _ in range(REPEATS))


def _usable_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
