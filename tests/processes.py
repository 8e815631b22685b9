"""Processes that work together on one question, as those of `torch.distributed` do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import environment


def outputs(module: str, size: int, store: Path, *arguments: str, seconds: float = 300) -> list[str]:
    """What each of `size` processes has written, which all have to end well; none is left behind.

    Each is called with the `arguments`, its rank, the size, and the file through which they meet.
    """
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments, str(rank), str(size), str(store)],
            env=environment(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        ended = [(worker, *worker.communicate(timeout=seconds)) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, _, errors in ended:
        assert worker.returncode == 0, errors[-4000:]
    return [output for _, output, _ in ended]
