"""Training with DDP and FSDP2 and a rule, in processes that speak gloo on the CPU.

Two processes test nothing, as the median of two is their mean, and four cannot run Krum: there are three, or five.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment


@pytest.mark.parametrize(
    ("scene", "size"),
    [
        pytest.param("ddp", 3, marks=[pytest.mark.slow, pytest.mark.together]),
        pytest.param("buckets", 3, marks=[pytest.mark.slow, pytest.mark.together]),
        pytest.param("fsdp", 3, marks=[pytest.mark.slow, pytest.mark.together]),
        pytest.param("buckets", 5, marks=pytest.mark.nightly),
    ],
)
def test_processes_train_together_with_a_rule(scene: str, size: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.adapters.torch_worker", scene]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(tmp_path / "store")],
            env=environment(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        ended = [(worker, *worker.communicate(timeout=300)) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, output, errors in ended:
        assert (worker.returncode, output) == (0, "done\n"), errors[-4000:]
