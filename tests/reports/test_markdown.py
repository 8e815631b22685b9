"""The Markdown report: tables that stay tables whatever the labels hold."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import Markdown
from robustfl.reports.markup import escaped
from tests.reports.hostile import hostile
from tests.reports.synthetic import full, run

FULL = full()
PAGE = Markdown().render(FULL)


def test_equal_results_give_equal_bytes() -> None:
    assert Markdown().render(run()) == PAGE


def test_the_ranking_is_the_one_of_the_scores() -> None:
    rows = re.findall(r"^\| ([\d–]+) \| ([^|]+) \| ([\d.–]+(?: ≈)?) \|", PAGE, re.MULTILINE)
    expected = [
        (
            str(r["rank"]) if r["R_mean"] is not None else "–",
            r["defense"],
            f"{r['R_mean']:.2f}{' ≈' if r['tied'] else ''}" if r["R_mean"] else "–",
        )
        for r in FULL.summary["scores"]["ranking"]
    ]
    assert rows == expected


def test_worst_cases_and_their_causes_are_told() -> None:
    world = FULL.summary["scores"]["worlds"][0]
    own = next(d for d in world["defenses"] if d["defense"] == "GeometricMedian")
    point = next(p for p in own["curve"] if p["f"] == 3)
    line = next(line for line in PAGE.splitlines() if line.startswith("| GeometricMedian |"))
    assert f"| {point['W']:.2f} {point['worst_attack']} |" in line
    krum = next(line for line in PAGE.splitlines() if line.startswith("| Krum |"))
    assert krum.endswith("| cannot be used |")
    trimmed = next(line for line in PAGE.splitlines() if line.startswith("| TrimmedMean |"))
    assert trimmed.endswith("| incomplete |")


def test_remarks_failures_and_command_are_there() -> None:
    for remark in FULL.summary["scores"]["flags"]:
        assert escaped(remark["message"]) in PAGE
    assert "- MemoryError: out of memory (1 trial)" in PAGE
    assert f"```\n{FULL.summary['suite']['command']}\n```" in PAGE


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))


def test_hostile_strings_leave_the_tables_whole() -> None:
    page = Markdown().render(hostile("|<script>alert(1)</script>\n\n# x\n```\n[a](b)"))
    assert "<script" not in re.sub(r"```+\n.*?\n```+", "", page, flags=re.DOTALL)
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert blocks
    for block in blocks:
        assert len({cells(line) for line in block}) == 1


def test_a_command_with_backticks_stays_in_its_fence() -> None:
    suite = {**FULL.summary["suite"], "command": "echo ```` done"}
    assert "`````\necho ```` done\n`````" in Markdown().render(
        RunResults(summary={**FULL.summary, "suite": suite}, records=())
    )


@given(st.text())
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    line = escaped(text)
    assert len(line.splitlines()) <= 1
    assert "<" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[|*_\[\]#`~]", line)
    assert not re.match(r"([-+>] |\d+[.)] )", line)


def test_each_row_has_its_command() -> None:
    assert (
        "One defense at a time:\n\n```\nrobustfl run quickstart --out runs/quickstart-alone --set"
        in Markdown().render(run())
    )
