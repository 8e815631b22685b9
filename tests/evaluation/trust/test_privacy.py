"""An attack on privacy that assumes another training than the one that was played has a remark."""

from __future__ import annotations

from typing import Any

from robustfl.evaluation.trust.privacy import mismatches, privacy_remarks


def record(world: str, **distances: float) -> Any:
    by = {label.replace("_", ", round "): value for label, value in distances.items()}
    return {"labels": {"world": world, "defense": "Mean"}, "metrics": {"more": {"self_consistency_by": by}}}


def test_what_clients_do_to_their_messages_explains_a_distance() -> None:
    noised = record("w", A_0=0.2)
    noised["metrics"]["more"]["privacy_changes"] = ["GradientNoise"]
    assert mismatches([noised]) == {}
    noised["metrics"]["more"]["privacy_changes"] = []
    assert mismatches([noised]) == mismatches([record("w", A_0=0.2)]) == {("w", "Mean"): {"A": 0.2}}


def test_only_what_is_not_explained_in_a_round_is_a_mismatch() -> None:
    records = [
        record("w", A_0=1e-13, A_5=0.2, A=0.1, B_0=1e-7),
        record("w", A_5=0.3),
        record("v", B_0=0.0),
        {"labels": {"world": "w", "defense": "Mean"}, "metrics": None},
    ]
    found = mismatches(records)
    assert found == {("w", "Mean"): {"A": 0.3}}
    (remark,) = privacy_remarks("w", "Mean", found)
    assert remark["code"] == "ATTACK_MISMATCH"
    assert "A (0.3)" in remark["message"]
    assert list(privacy_remarks("v", "Mean", found)) == []
