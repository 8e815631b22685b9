"""What the terminal says while a suite runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from robustfl import console
from robustfl.console import SAMPLE, Column, FittedTable, RunProgress
from robustfl.wording import lasting, remarks_counted


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


def test_failures_of_one_reason_are_told_once_and_counted() -> None:
    text = io.StringIO()
    progress = RunProgress(Console(file=text, width=120))
    progress.start(total=9, done=0)
    for seed, message in enumerate(("too wide", "too wide", "no rows", "too wide")):
        error = {"type": "ParameterError", "message": message}
        labels = {"defense": "Mean", "attack": "none"}
        progress.advance({"status": "failed", "labels": labels, "f": 0, "seed": seed, "error": error})
    progress.stop()
    progress.stop()
    assert text.getvalue().splitlines() == [
        "failed: Mean / none / f=0 / seed 0: ParameterError: too wide",
        "failed: Mean / none / f=0 / seed 2: ParameterError: no rows",
        "2 more trials failed as Mean / none / f=0 / seed 0 did.",
    ]


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


def fitted(width: int) -> list[str]:
    columns = [Column(heading="rank", right=True), Column(heading="defense"), Column(heading="of the\nworst", give=1)]
    rows = [("1", "NNM > GeometricMedian", "ConsistentWhiteBox(search_every=5, harm=relocated)"), ("10", "中位数", "")]
    text = io.StringIO()
    table = FittedTable([*columns, Column(heading="R", give=2)], [(*row, "0.5") for row in rows])
    Console(file=text, width=width).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_table_that_fits_is_one_line_a_row() -> None:
    head, *lines = fitted(120)
    assert head.split() == ["of", "the"]
    assert lines[0].split() == ["rank", "defense", "worst", "R"]
    assert lines[1].split("  ")[-1] == "0.5"
    assert len(lines) == 3
    assert lines[2].index("0.5") == lines[1].index("0.5") - 3  # three letters that are two columns wide


@pytest.mark.parametrize("width", [80, 60, 40, 20])
def test_a_table_cuts_no_name(width: int) -> None:
    lines = fitted(width)
    assert max(map(len, lines)) <= width
    whole = "".join("".join(lines).split())
    for text in ("NNM>GeometricMedian", "ConsistentWhiteBox(search_every=5,harm=relocated)", "中位数"):
        assert text in whole
    assert "…" not in whole


def test_columns_leave_in_their_order() -> None:
    assert fitted(80)[-1] == "     R: 0.5"
    assert fitted(60)[1].split()[:4] == ["1", "NNM", ">", "GeometricMedian"]
    assert fitted(60)[2] == "     of the worst: ConsistentWhiteBox(search_every=5,"


def test_worlds_have_their_names_once() -> None:
    def shown(*worlds: tuple[str, list[int]]) -> list[str]:
        return console.world_lines({"worlds": [{"world": w, "f_grid": f, "clients": 15} for w, f in worlds]})

    assert shown(("a", [0, 3])) == ["a: f in [0, 3] of 15"]
    assert shown(("a", [0, 3]), ("b", [0, 3])) == ["2 worlds, f in [0, 3] of 15:", "  a", "  b"]
    assert shown(("a", [0, 3]), ("b", [0])) == ["a: f in [0, 3] of 15", "b: f in [0] of 15"]


def test_remarks_are_counted_in_the_same_words_everywhere() -> None:
    remarks = [{"code": code, "level": level} for code, level in (("A", "error"), ("B", "warning"), ("B", "warning"))]
    assert remarks_counted(remarks) == "1 error and 1 warning"
    assert remarks_counted(remarks[1:]) == "1 warning"


def test_errors_say_in_which_world_they_are_true() -> None:
    def lines(worlds: int) -> list[str]:
        flags = [
            {"code": "CONDUCT", "level": "error", "world": "alpha=0.1", "message": "It cheats."},
            {"code": "CONDUCT", "level": "error", "world": "alpha=0.1", "message": "It cheats in alpha=0.1."},
            {"code": "UNRANKED", "level": "error", "world": None, "message": "It has no score."},
            {"code": "FEW_SEEDS", "level": "warning", "world": "alpha=0.1", "message": "There are few."},
        ]
        return console.error_lines({"worlds": [{}] * worlds, "flags": flags})

    assert lines(1)[0] == "CONDUCT: It cheats."
    assert lines(2) == [
        "CONDUCT in alpha=0.1: It cheats.",
        "CONDUCT: It cheats in alpha=0.1.",
        "UNRANKED: It has no score.",
    ]
