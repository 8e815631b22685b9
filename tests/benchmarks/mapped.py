"""A rule on a matrix in a file that is mapped into memory: the answer, the time and the peak memory.

The file is sparse: zeros but for some columns at both ends, so that gigabytes take no space on the disk and the right
answer is that of the small matrix of those columns. The rule runs in a process of its own, this module as a script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustfl import registry
from tests.benchmarks.memory import resident_growth
from tests.benchmarks.results import Mapped

ROOT = Path(__file__).resolve().parents[2]
EDGE = 1024
"""Columns at either end that are not zero."""


def columns_for(gigabytes: float, n: int) -> int:
    """Columns of a float32 matrix of `n` rows that takes so many gigabytes (10⁹ bytes)."""
    return int(gigabytes * 1e9) // (4 * n)


def edges(n: int) -> NDArray[np.float32]:
    """What stands in the columns that are not zero, [n, 2 EDGE]: noise, with a fifth of the rows moved away."""
    x = np.random.default_rng(n).normal(size=(n, 2 * EDGE)).astype(np.float32)
    x[: n // 5] += 3.0
    return x


def write_sparse(path: Path, n: int, d: int) -> None:
    """A file in numpy's format with the matrix [n, d]: :func:`edges` at both ends, zeros between."""
    if d <= 2 * EDGE:
        raise ValueError(f"`d` should be more than {2 * EDGE}. Found d={d}. Make the file larger.")
    matrix, values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, d)), edges(n)
    matrix[:, :EDGE], matrix[:, -EDGE:] = values[:, :EDGE], values[:, EDGE:]
    matrix.flush()


def aggregate_mapped(rule: str, path: Path, timeout: float = 600.0) -> tuple[Mapped, NDArray[np.float32]]:
    """Aggregate the file by `rule`, an expression such as `Krum(f=20)`, in a process of its own.

    Returns the figures and the aggregate [d]; raises RuntimeError with the process's messages when it fails.
    """
    out = path.with_suffix(".value.npy")
    command = [sys.executable, "-m", "tests.benchmarks.mapped", rule, str(path), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{rule} on {path} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    value: NDArray[np.float32] = np.load(out)
    out.unlink()
    return Mapped(**json.loads(done.stdout.splitlines()[-1])), value


def main(rule: str, path: str, out: str) -> None:
    """Aggregate and report as one line of JSON; compilation and thread pools are warmed up before the peak is reset."""
    aggregator = registry.build("defense", rule)
    matrix = np.load(path, mmap_mode="r")
    aggregator(edges(len(matrix)))
    result = {}

    def aggregate() -> None:
        start = time.perf_counter()
        result["value"] = aggregator(matrix)
        result["seconds"] = time.perf_counter() - start

    peak = resident_growth(aggregate)
    np.save(out, result["value"])
    n, d = matrix.shape
    figures = {"rule": rule, "n": n, "d": d, "seconds": result["seconds"], "peak_bytes": peak}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
