"""Federations on several processes: what is found does not depend on how many there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import outputs


def played(folder: Path, size: int) -> list[dict[str, Any]]:
    """What each of `size` processes has found."""
    found = outputs("tests.federation.distributed_worker", size, folder / f"store{size}")
    return [json.loads(output) for output in found]


@pytest.mark.slow
@pytest.mark.together
def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    (one,) = played(tmp_path, 1)
    three = played(tmp_path, 3)
    assert three[0] == three[1] == three[2]
    for name, alone in one.items():
        together = three[0][name]
        if name in ("trimmed", "krum"):  # whose answers do not depend on the order of sums
            assert together == alone
        assert together["malicious"] == alone["malicious"]
        assert together["held"] == alone["held"] == 0
        for key in ("accuracy", "loss"):
            assert [at for at, _ in together[key]] == [at for at, _ in alone[key]] == [2, 3, 4]
            assert [value for _, value in together[key]] == pytest.approx([value for _, value in alone[key]], abs=1e-3)
    assert len({result["weights"] for result in one.values()}) == len(one), "the cases are different trainings"
