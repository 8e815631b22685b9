"""Aggregation over processes that each hold some of the columns, on the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment

SIZE = 5


@pytest.mark.slow
@pytest.mark.together
def test_sharded_rules_equal_the_whole_on_every_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.aggregation.sharded_worker"]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(SIZE), str(tmp_path / "store")],
            env=environment(OMP_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]
    try:
        ended = [(worker, *worker.communicate(timeout=240)) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, output, errors in ended:
        assert worker.returncode == 0, errors[-4000:]
        assert int(output.split()[-1]) > 100, "hardly any rule was compared"
