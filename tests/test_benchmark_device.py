"""The check of accelerators: what it says without one, and the whole script on a CPU in tiny sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.benchmarks.device import __main__ as command
from tests.benchmarks.device.parts import PARTS, PartError, Plan, Row, marked, run_tests, tiny, whole


def test_without_a_device_it_says_so_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--out", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.err == f"{command.NO_DEVICE}\n"
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_is_told_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def good(plan: Plan, left: float) -> Iterator[Row]:
        assert 0 < left <= plan.limit
        yield Row("good", "this", "n=1", "2 ms", "<= 8x", False)

    def bad(plan: Plan, left: float) -> Iterator[Row]:
        yield Row("bad", "that", "n=1", "1 ms")
        raise PartError("no\n memory")

    monkeypatch.setattr(command, "PARTS", {"bad": bad, "good": good})
    assert command.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)]) == 1
    page = capsys.readouterr().out
    assert "| bad | that | n=1 | 1 ms |  |  |" in page
    assert "| good | this | n=1 | 2 ms | <= 8x | ✗ missed |" in page
    assert "- bad: PartError: no memory" in page
    assert (tmp_path / "device.md").read_text(encoding="utf-8") == page
    found = json.loads((tmp_path / "device.json").read_text(encoding="utf-8"))
    assert [row["part"] for row in found["rows"]] == ["bad", "good"]


def test_no_part_begins_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, wrong = command.check(Plan(**{**vars(tiny("cpu")), "limit": 0.0}))
    assert rows == []
    assert len(wrong) == len(PARTS)


def test_the_whole_fits_into_eight_minutes_and_finds_all_tests_of_devices() -> None:
    plan = whole("cuda")
    assert plan.limit <= 480
    assert "tests/aggregation/kernels/test_kernels.py" in marked()
    assert set(plan.tests) == set(marked())


def test_tests_that_do_not_end_are_stopped() -> None:
    with pytest.raises(PartError, match="took longer than the 0 s"):
        next(run_tests(tiny("cpu"), 0.0))


@pytest.mark.slow
def test_everything_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(["--device", "cpu", "--tiny"])
    page = capsys.readouterr().out
    assert code == 0, page
    for part in PARTS:
        assert f"| {part} |" in page
    assert "| tests | marked cuda | 1 files | 1 skipped |" in page or torch.cuda.is_available()
    assert "side by side" in page
    assert "ResNet-20, NNM >> Krum" in page
