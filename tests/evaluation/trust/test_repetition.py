"""What is different when trials are played again."""

from __future__ import annotations

from typing import Any

import pytest

from robustfl.evaluation.trust.repetition import not_repeated


def record(**values: Any) -> Any:
    metrics = {"tail_accuracy": 0.9, "accuracy": [[10, 0.9]], "loss": [[10, 0.3]], "more": {"conduct": ["varies"]}}
    return {
        "trial": "t",
        "fingerprint": "p",
        "seed": 4,
        "status": "ok",
        "labels": {"world": "w", "defense": "D", "attack": "IPM"},
        "metrics": {**metrics, **values.pop("metrics", {})},
        "error": None,
        **values,
    }


def found(again: Any, first: Any = None) -> Any:
    return not_repeated({"t": first or record()}, [again])


def test_the_same_is_the_same_whatever_was_seen_and_however_long_it_took() -> None:
    assert found(record(metrics={"more": {}}, time={"total_s": 9.0}, isolated=True)) == {}
    assert found(record(metrics={"more": {"mia_auc": 0.6, "mia_auc_by": {"LiRA": 0.6}}})) == {}


def test_records_of_other_code_and_of_no_trial_of_the_suite_are_left_out() -> None:
    other = record(metrics={"tail_accuracy": 0.1}, fingerprint="q")
    assert found(other) == {}
    assert not_repeated({}, [record()]) == {}


@pytest.mark.parametrize(
    ("again", "text"),
    [
        (record(metrics={"tail_accuracy": 0.412}), "accuracy 0.900, then 0.412"),
        (record(status="diverged"), "status ok, then diverged"),
        (record(metrics={"loss": [[10, 0.30000001]]}), "other values of loss"),
        (record(metrics={"more": {"detection_auc": 1.0}}), "other values of detection_auc"),
        (record(status="failed", metrics=None or {}, error={"message": "gone\nfar"}), "it failed (gone)"),
        (record(status="failed", error={"message": ""}), "it failed ()"),
    ],
)
def test_every_difference_is_told(again: Any, text: str) -> None:
    assert found(again) == {("w", "D"): (f"under the attack 'IPM', seed 4: {text}",)}
