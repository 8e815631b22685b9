"""Aggregation over processes that each hold some of the columns, on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import outputs

SIZE = 5


@pytest.mark.slow
@pytest.mark.together
def test_sharded_rules_equal_the_whole_on_every_process(tmp_path: Path) -> None:
    for output in outputs("tests.aggregation.sharded_worker", SIZE, tmp_path / "store"):
        assert int(output.split()[-1]) > 100, "hardly any rule was compared"
