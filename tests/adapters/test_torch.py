"""Training with DDP and FSDP2 and a rule, in processes that speak gloo on the CPU.

Two processes test nothing, as the median of two is their mean, and four cannot run Krum: there are three, or five.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.processes import outputs


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
    ended = outputs("tests.adapters.torch_worker", size, tmp_path / "store", scene, seconds=300 * size)
    assert ended == ["done\n"] * size


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(3, marks=[pytest.mark.slow, pytest.mark.together]),
        pytest.param(5, marks=pytest.mark.nightly),
    ],
)
def test_bytes_on_the_wire_are_those_of_the_mean(size: int, tmp_path: Path) -> None:
    """What the system counts in a network that nobody else uses, beside plain DDP in the same processes."""
    apart = ("unshare", "--map-root-user", "--net")
    if shutil.which(apart[0]) is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system gives processes no network of their own (`unshare --map-root-user --net`)")
    command = [*apart, sys.executable, "-m", "tests.adapters.wire_worker", str(tmp_path), str(size)]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    told = json.loads(ended.stdout)
    d, plain = told.pop("d"), told.pop("plain")
    assert 1.0 < plain / (2 * (size - 1) * 4 * d) < 1.1, "a ring sends every block n - 1 times, twice"
    ratios = {rule: sent / plain for rule, sent in told.items()}
    assert ratios.keys() >= {"Median", "GeometricMedian"}
    assert all(0.95 < ratio <= 1.1 for ratio in ratios.values()), ratios
