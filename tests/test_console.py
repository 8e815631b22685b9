"""What the terminal says while a suite runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from robustfl import console
from robustfl.console import SAMPLE, RunProgress
from robustfl.wording import lasting


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_durations_come_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_the_time_left_is_told_once_trials_have_shown_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    text = io.StringIO()
    progress = RunProgress(Console(file=text, width=120))
    progress.start(total=100, done=20)
    for number in range(SAMPLE):
        now = 15.0 * (number + 1)
        progress.advance({"status": "ok"})
    lines = text.getvalue().splitlines()
    assert lines[0] == "20 of 100 trials are stored already."
    assert lines[1] == "21/100 trials, 15 s spent"
    assert lines[-1] == "40/100 trials, 5 min spent, about 15 min left"
