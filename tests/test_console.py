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


def test_of_many_worlds_the_table_counts_those_that_are_survived() -> None:
    def shown(*verdicts: str) -> str:
        breakdown = [{"verdict": verdict, "f": 3} for verdict in verdicts]
        worlds = [{"clients": 15, "defenses": [{"defense": "A", "breakdown": found}]} for found in breakdown]
        row = {"rank": 1, "defense": "A", "R_mean": 0.5, "R_ci": None, "W_at_max_f": 0.5, "worst_attack": "ROP"}
        text = io.StringIO()
        Console(file=text, width=200).print(console.ranking_table({"worlds": worlds, "ranking": [row]}))
        return text.getvalue()

    assert ">= 3 of 15, 3 of 15" in shown("at_least", "exact")
    assert "none" in shown("none")
    assert "all, in 2 of 3 worlds" in shown("at_least", "exact", "at_least")
