"""The leaderboard: a page for suites with a standard suite, and nothing for others."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import Leaderboard
from robustfl.reports.leaderboard import front, slowdowns
from robustfl.reports.sections.content.wording import distinct
from tests.reports.hostile import hostile
from tests.reports.synthetic import full, run


def standard(results: RunResults, unranked: str = "Krum") -> RunResults:
    """The same results, as those of a suite with a standard suite in which one defense met too little."""
    summary: dict[str, Any] = copy.deepcopy(results.summary)
    summary["suite"]["standard"] = {"name": "standard-v1", "hash": "0123456789abcdef"}
    for row in summary["scores"]["ranking"]:
        met = row["defense"] != unranked
        row |= {"status": "ADAPTIVE", "why": []} if met else {"status": "SUSPECT", "why": ["a|b"], "rank": None}
    return RunResults(summary=summary, records=results.records)


FULL = standard(full())
PAGE = Leaderboard().render(FULL)


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    lines = page.partition(f"## {heading}\n\n")[2].split("\n\n")[0].splitlines()
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines[2:]]


def test_without_a_standard_suite_there_is_no_page() -> None:
    assert Leaderboard().render(run()) == ""


def test_equal_results_give_equal_bytes() -> None:
    assert Leaderboard().render(standard(run())) == PAGE


def test_the_order_and_the_numbers_are_those_of_the_scores() -> None:
    shown = [(row[0], row[1], row[2]) for row in rows(PAGE, "Ranking")]
    assert shown == [
        (
            "–" if row["rank"] is None or row["R_mean"] is None else str(row["rank"]),
            row["defense"],
            "–" if row["R_mean"] is None else f"{row['R_mean']:.2f}{' ≈' if row['tied'] else ''}",
        )
        for row in FULL.summary["scores"]["ranking"]
    ]


def test_each_world_has_a_column_with_its_worst_case() -> None:
    first, second = FULL.summary["scores"]["worlds"]
    assert "| Defense | Dirichlet(0.3) | IID |" in PAGE
    found = {row[0]: row[1:] for row in rows(PAGE, "Worst case in each world")}
    for name in ("Mean", "GeometricMedian"):
        values = [
            next(d for d in world["defenses"] if d["defense"] == name)["curve"][-1]["W"] for world in (first, second)
        ]
        assert found[name] == [f"{value:.2f}" for value in values]


def test_who_has_no_rank_stands_below_with_the_reason() -> None:
    assert r"- Krum: SUSPECT: a\|b" in PAGE
    assert "## Without a rank" not in Leaderboard().render(standard(run(), unranked=""))


def test_hostile_labels_leave_the_tables_whole() -> None:
    page = Leaderboard().render(standard(hostile("|<script>\n\n# x\n```")))
    assert "<script" not in re.sub(r"```+\n.*?\n```+", "", page, flags=re.DOTALL)
    for block in (block.splitlines() for block in page.split("\n\n") if block.startswith("|")):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1


def test_times_are_multiples_of_plain_averaging() -> None:
    records = [
        {"status": status, "labels": {"defense": defense, "attack": attack}, "time": {"aggregate_s": seconds}}
        for status, defense, attack, seconds in [
            ("ok", "Mean", "none", 2.0),
            ("ok", "Krum", "none", 3.0),
            ("ok", "Krum", "none", 30.0),
            ("ok", "Krum", "none", 5.0),
            ("ok", "Krum", "ROP", 500.0),
            ("failed", "Krum", "none", 0.0),
        ]
    ]
    results = RunResults.__new__(RunResults)
    object.__setattr__(results, "records", tuple(records))
    assert slowdowns(results) == {"Mean": 1.0, "Krum": 2.5}
    object.__setattr__(results, "records", tuple(records[1:]))
    assert slowdowns(results) == {}


@pytest.mark.parametrize(
    ("labels", "short"),
    [
        (["Digits, MLP(hidden=24), IID", "Digits, MLP(hidden=24), Dirichlet(alpha=0.5, minimum=1)"], None),
        (["A, f=1", "A, f=2"], ["f=1", "f=2"]),
        (["A", "A, b"], ["A", "A, b"]),
        (["A"], ["A"]),
        ([], []),
    ],
)
def test_labels_are_shortened_to_what_differs(labels: list[str], short: list[str] | None) -> None:
    assert distinct(labels) == (short if short is not None else ["IID", "Dirichlet(alpha=0.5, minimum=1)"])


def test_the_front_holds_whom_nobody_beats_in_both() -> None:
    points = {"best": (0.9, 5.0), "worse": (0.8, 5.0), "slow": (0.9, 6.0), "fast": (0.3, 1.0), "twin": (0.3, 1.0)}
    assert front(points) == {"best", "fast", "twin"}
