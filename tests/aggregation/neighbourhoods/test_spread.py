"""Mixing on several processes gives what one process gives, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import outputs


@pytest.mark.slow
@pytest.mark.together
def test_processes_mix_as_one(tmp_path: Path) -> None:
    for output in outputs("tests.aggregation.neighbourhoods.spread_worker", 3, tmp_path / "store"):
        assert int(output.split()[-2]) > 30, "hardly any rule was compared"
