"""Networks of peers on several processes: what is found is what one process finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes import outputs


@pytest.mark.slow
@pytest.mark.together
def test_processes_play_a_network_as_one(tmp_path: Path) -> None:
    for output in outputs("tests.federation.peers_worker", 3, tmp_path / "store"):
        assert len(json.loads(output)) == 5
