"""Two runs side by side: worst cases over common seeds, the outcome, the next look, and what people read of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from robustfl.errors import DataError, ParameterError
from robustfl.evaluation.compare.comparison import Comparison, GateSettings, compare_runs, next_commands
from robustfl.evaluation.compare.pairing import share
from robustfl.evaluation.compare.text import (
    MOST_CELLS,
    cell_rows,
    defense_rows,
    markdown,
    overview_rows,
    parts,
    write,
)
from tests.evaluation.stored_runs import elsewhere, one, only_cell, run

OPEN = ([0.6] * 5, [0.5, 0.7, 0.5, 0.7, 0.55])


def compared(before: list[float | None], after: list[float | None], **options: Any) -> Comparison:
    return compare_runs(one(before), one(after), GateSettings(**options))


def row(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    (found,) = compare_runs(before, after).rows
    return found


def test_the_interval_is_students_over_paired_differences() -> None:
    before, after = [0.1, 0.5, 0.9, 0.4], [0.3, 0.6, 0.95, 0.8]
    found = row(one(before), one(after))
    differences = [b - a for a, b in zip(before, after, strict=True)]
    test = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert found["change"] == pytest.approx(sum(differences) / 4)
    assert found["ci"] == pytest.approx([test.low, test.high])
    assert (found["before"], found["after"]) == pytest.approx((0.475, 0.6625))


def test_each_run_is_taken_at_its_own_worst_attack() -> None:
    before = run({("Mean", "IPM", 1): [0.3, 0.4], ("Mean", "ALIE", 1): [0.7, 0.8]})
    after = run({("Mean", "IPM", 1): [0.9, 1.0], ("Mean", "ALIE", 1): [0.6, 0.5]})
    found = row(before, after)
    assert found["change"] == pytest.approx((0.3 + 0.1) / 2)
    assert found["cells"] == {"INCONCLUSIVE": 1, "IMPROVED": 1}
    assert found["verdict"] == "INCONCLUSIVE"


def test_worst_cases_count_the_common_seeds_alone() -> None:
    found = row(one([0.0, 0.5, 0.6], [0, 1, 2]), one([0.9, 0.9, 0.5, 0.6], [3, 4, 1, 2]))
    assert found["change"] == 0.0


def test_a_worst_case_that_is_not_known_has_no_change() -> None:
    found = row(one([0.5, None]), one([0.5, 0.5]))
    assert (found["before"], found["change"], found["ci"]) == (None, None, None)
    single = row(one([0.5]), one([0.9]))
    assert (single["change"], single["ci"]) == (pytest.approx(0.4), None)


def test_a_defense_that_can_no_longer_be_deployed_has_lost_everything() -> None:
    after = one([0.5, 0.6])
    only_cell(after).update(accuracy=[None] * 2, trials=[""] * 2, status=["invalid"] * 2)
    after["scores"]["worlds"][0]["defenses"][0]["curve"][0].update(W=0.0, worst_attack=None)
    assert row(one([0.5, 0.6]), after)["change"] == pytest.approx(-0.55)


def test_rows_that_were_not_judged_say_so() -> None:
    before = run({("Mean", "IPM", 1): [0.5] * 2, ("Krum", "IPM", 1): [0.5] * 2})
    after = copy.deepcopy(before)
    after["scores"]["worlds"][0]["defenses"][1]["curve"][0]["attacks"]["IPM"]["trials"] = ["x", "y"]
    found = compare_runs(before, after, GateSettings(different_suites=True))
    assert [line[-1] for line in overview_rows(found)] == ["PASS", "not judged"]
    assert found.remarks == (
        "The runs are of different suites: Krum under 'IPM' with f=1 in 'W' is another scenario. "
        "Only what both share is judged.",
    )


def test_runs_of_different_suites_are_refused() -> None:
    with pytest.raises(DataError, match="different suites"):
        compare_runs(one([0.5]), run({("Krum", "IPM", 1): [0.5]}))


def test_runs_that_are_scored_by_other_measures_are_refused() -> None:
    before, after = one([0.5] * 3), one([0.5] * 3)
    after["scores"]["settings"]["accuracy"] = "macro_f1"
    with pytest.raises(DataError, match=r"scored by '\w+' and the second by 'macro_f1': utilities of both cannot"):
        compare_runs(before, after, GateSettings(different_suites=True))


def test_one_seed_counts_at_most_half_a_scale_beyond_either_end() -> None:
    (pair,) = share(one([1.0, -3.0, 2.0]), one([1.0, 0.0, -0.1])).cells
    assert pair.before == pytest.approx((1.0, -0.5, 1.5))
    assert pair.after == pytest.approx((1.0, 0.0, -0.1))


def test_remarks_tell_what_else_differs() -> None:
    after = one([0.5])
    after["provenance"] |= {"torch": "4"}
    assert compare_runs(one([0.5]), one([0.5])).remarks == ()
    assert compare_runs(one([0.5]), after).remarks == ("torch: 3 before, 4 after.",)


@pytest.mark.parametrize(
    ("after", "options", "outcome", "code", "conclusion"),
    [
        ([0.6] * 5, {}, "PASS", 0, "PASS: none of 1 cell is worse by more than 0.02 of utility."),
        ([0.7] * 5, {}, "PASS", 0, "utility. 1 improved. 1 CHANGED: not equal bit for bit."),
        ([0.5] * 5, {}, "REGRESSION", 1, "REGRESSION: 1 of 1 cell should not be accepted. 1 CHANGED"),
        (OPEN[1], {}, "INCONCLUSIVE", 3, "INCONCLUSIVE: 1 of 1 cell are open at look 1 of 3."),
        (OPEN[1], {"look": 3}, "PASS", 0, "PASS, with a warning: 1 of 1 cell are still open, none blocks."),
        ([0.6, 0.6, 0.6, 0.6, None], {}, "REGRESSION", 1, "REGRESSION: 1 of 1 cell"),
    ],
)
def test_the_outcome(
    after: list[float | None], options: dict[str, Any], outcome: str, code: int, conclusion: str
) -> None:
    found = compared([0.6] * 5, after, **options)
    assert (found.outcome, found.exit_code) == (outcome, code)
    assert conclusion in found.conclusion


# The next look


def stored(folder: Path, name: str, content: dict[str, Any], *, file: bool = False) -> Path:
    path = folder / name
    if not file:
        path.mkdir()
    (path if file else path / "summary.json").write_text(json.dumps(content))
    return path


def test_a_settled_comparison_has_no_next_look(tmp_path: Path) -> None:
    assert next_commands(compared([0.6] * 2, [0.6] * 2), tmp_path, tmp_path) == []


def test_the_next_look_adds_seeds_to_both_runs(tmp_path: Path) -> None:
    before, after = one(OPEN[0]), one(OPEN[1])
    after["suite"]["command"] = "robustfl run 'my suite.yaml' --out=x --fresh --set a=1 --json"
    first, second = stored(tmp_path, "a", before), stored(tmp_path, "b b", after)
    found = compare_runs(before, after, GateSettings(delta=0.03))
    assert next_commands(found, first, second) == [
        "# with the code that the first run was made with:",
        f"robustfl run tiny --workers 2 --out {first} --seeds 10",
        "# with the new code:",
        f"robustfl run 'my suite.yaml' --set a=1 --out '{second}' --seeds 10",
        f"robustfl compare {first} '{second}' --look 2 --delta 0.03",
    ]


def test_a_run_that_has_these_seeds_is_not_run_again(tmp_path: Path) -> None:
    before, after = one([0.6] * 10), one(OPEN[1])
    paths = stored(tmp_path, "a", before), stored(tmp_path, "b", after)
    commands = next_commands(compare_runs(before, after, GateSettings(different_suites=True)), *paths)
    assert [line.split()[1] for line in commands] == ["with", "run", "compare"]
    assert commands[-1].endswith("--look 2 --allow-different-suites")


def test_a_stored_file_is_made_anew(tmp_path: Path) -> None:
    before, after = one(OPEN[0]), one(OPEN[1])
    after["suite"]["command"] = ""
    first = stored(tmp_path, "main.json", before, file=True)
    commands = next_commands(compare_runs(before, after), first, stored(tmp_path, "b", after))
    folder = tmp_path / "main-10-seeds"
    assert commands[1:3] == [
        f"robustfl run tiny --workers 2 --out {folder} --seeds 10",
        f"robustfl compare {folder} --save {first}",
    ]
    assert commands[4] == f"# run tiny again with 10 seeds, into {tmp_path / 'b'}"


# What people read


def test_rows_of_the_tables() -> None:
    found = compared([0.5, 0.6, 0.55], [0.3, 0.41, 0.34])
    assert overview_rows(found) == [
        ("W", "Mean", "1", "0.550", "0.350", "-0.200", "-0.22 to -0.18", "REGRESSION, CHANGED")
    ]
    (line,) = cell_rows(found)
    assert line == ("Mean", "IPM", "1", "W", "-0.200", "-0.231, -0.169", "REGRESSION", "CHANGED")


def test_only_cells_of_which_something_is_to_be_said_are_shown_worst_first() -> None:
    names = ("same", "better", "worse", "open", "gone", "none")
    before = elsewhere(run({("Mean", name, 1): [0.5] * 3 for name in names}))
    changes: dict[str, list[float | None]] = {
        "better": [0.8] * 3,
        "worse": [0.1] * 3,
        "open": [0.4, 0.6, 0.5],
        "gone": [0.5, 0.5, None],
        "none": [0.49, 0.51, 0.3],
    }
    after = elsewhere(run({("Mean", name, 1): changes.get(name, [0.5] * 3) for name in names}))
    found = compare_runs(before, after)
    shown = [(line[1], line[6]) for line in cell_rows(found)]
    assert shown == [
        ("worse", "REGRESSION"),
        ("gone", "INCONCLUSIVE"),
        ("no attack", "INCONCLUSIVE"),
        ("open", "INCONCLUSIVE"),
        ("better", "IMPROVED"),
    ]
    assert overview_rows(found)[0][-1] == "REGRESSION (1 of 6)"


def test_a_defense_that_lost_a_little_everywhere_is_told_by_its_mean() -> None:
    names = [f"attack {i}" for i in range(4)]
    before = elsewhere(run({("Mean", name, 1): [0.6] * 5 for name in names}))
    noise = [[0.1 * ((i + seed) % 4 - 1.5) - 0.07 - 0.001 * seed for seed in range(5)] for i in range(4)]
    after = elsewhere(run({("Mean", n, 1): [0.6 + d for d in row] for n, row in zip(names, noise, strict=True)}))
    found = compare_runs(before, after)
    assert {cell.verdict for cell in found.judgement.cells} == {"INCONCLUSIVE"}
    assert (found.outcome, found.exit_code) == ("REGRESSION", 1)
    assert found.conclusion.startswith(
        "REGRESSION: 0 of 4 cells and the mean of 1 of 1 defense should not be accepted."
    )
    ((defense, world, cells, change, _, verdict),) = defense_rows(found)
    assert (defense, world, cells, change, verdict) == ("Mean", "W", "4", "-0.072", "REGRESSION")
    assert "## Means of defenses" in markdown(found)
    assert [len(part[1]) for part in parts(found) if not isinstance(part, str)] == [1, 1, 4]
    (report,) = found.report()["defenses"]
    assert (report["cells"], report["seeds"], report["blocks"]) == (4, 5, True)
    assert report["change"] == pytest.approx(-0.072)


def test_a_terminal_shows_the_worst_cells_and_says_how_many_more_there_are() -> None:
    names = [f"attack {i}" for i in range(MOST_CELLS + 2)]
    before = run({("Mean", name, 1): [0.5] * 2 for name in names})
    after = run({("Mean", name, 1): [0.9] * 2 for name in names})
    shown = parts(compare_runs(before, after), ["next"])
    tables = [part for part in shown if not isinstance(part, str)]
    assert [len(rows) for _, rows in tables] == [1, MOST_CELLS]
    assert "and 2 more: write all of them with --out FILE" in shown
    assert shown[-1] == "  next"


def test_the_page_escapes_every_text() -> None:
    before, after = (run({("A|B", "<b>*x*", 1): [u] * 2}) for u in (0.5, 0.4))
    page = markdown(compare_runs(before, after), ["robustfl compare a b --look 2"])
    assert page.startswith("# Comparison of two runs\n\nREGRESSION: 1 of 1 cell")
    assert r"| A\|B | &lt;b>\*x\* | 1 | W | -0.100 |" in page
    assert page.endswith("## Next\n\n    robustfl compare a b --look 2\n")


def test_files_are_written_by_their_ending(tmp_path: Path) -> None:
    found = compared([0.5, None], [0.5, 0.6])
    write(found, ["next"], [tmp_path / "a.md", tmp_path / "a.json"])
    assert (tmp_path / "a.md").read_text() == markdown(found, ["next"])
    report = json.loads((tmp_path / "a.json").read_text())
    assert report == found.report(["next"])
    assert (report["verdict"], report["settings"]["looks"], report["next"]) == ("PASS", 3, ["next"])
    with pytest.raises(ParameterError, match=r"should end in \.md or \.json\. Found .*b\.txt"):
        write(found, [], [tmp_path / "b.md", tmp_path / "b.txt"])
    assert not (tmp_path / "b.md").exists()
