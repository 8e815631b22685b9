"""Training with DDP and FSDP2 and a rule, in processes that speak gloo on the CPU.

Two processes test nothing, as the median of two is their mean, and four cannot run Krum: there are three, or five.
"""

from __future__ import annotations

from pathlib import Path

import pytest

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
    ended = outputs("tests.adapters.torch_worker", size, tmp_path / "store", scene)
    assert ended == ["done\n"] * size
