"""The time of a run survives interruptions of any kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robustfl.evaluation.run.clock import FILE, RunClock


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def start(folder: Path, hands: Hands, *, fresh: bool = False) -> RunClock:
    return RunClock(folder, fresh=fresh, now=hands)


def kept(folder: Path) -> float:
    return float(json.loads((folder / FILE).read_text())["seconds"])


def test_an_interrupted_run_adds_up(tmp_path: Path) -> None:
    hands = Hands()
    clock = start(tmp_path, hands)
    (tmp_path / "records.jsonl").touch()
    for _ in range(3):
        hands.seconds += 10
        clock.tick()
    assert (clock.seconds, kept(tmp_path)) == (30, 30)
    hands.seconds += 1000  # killed, and continued much later
    clock = start(tmp_path, hands)
    hands.seconds += 5
    assert clock.seconds == 30  # nothing is played yet
    clock.tick()
    assert (clock.seconds, kept(tmp_path)) == (35, 35)
    clock.finish()
    assert not (tmp_path / FILE).exists()


def test_the_file_is_not_written_at_every_trial(tmp_path: Path) -> None:
    hands = Hands()
    clock = start(tmp_path, hands)
    for _ in range(9):
        hands.seconds += 0.25
        clock.tick()
    assert kept(tmp_path) == 2.25
    hands.seconds += 0.25
    clock.tick()
    assert (kept(tmp_path), clock.seconds) == (2.25, 2.5)


def test_a_complete_run_that_is_continued_starts_from_its_summary(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").touch()
    (tmp_path / "summary.json").write_text('{"time": {"elapsed_s": 12.5}}')
    assert start(tmp_path, Hands()).seconds == 12.5


def test_a_fresh_run_forgets_the_time_at_once(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").touch()
    (tmp_path / "summary.json").write_text('{"time": {"elapsed_s": 12.5}}')
    start(tmp_path, Hands(), fresh=True)
    assert start(tmp_path, Hands()).seconds == 0


def test_without_records_there_is_no_earlier_time(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"time": {"elapsed_s": 12.5}}')
    assert start(tmp_path, Hands()).seconds == 0


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"seconds": "x"}', '{"seconds": -1}', '{"seconds": NaN}', "\udcff"]
)
def test_a_time_that_cannot_be_read_stops_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "records.jsonl").touch()
    (tmp_path / FILE).write_bytes(content.encode(errors="surrogateescape"))
    assert start(tmp_path, Hands()).seconds == 0
