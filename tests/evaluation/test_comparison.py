"""Two runs side by side: paired over common seeds, at the worst attack, with a verdict that the numbers bear."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustfl.errors import DataError
from robustfl.evaluation.comparison import compare_runs, comparison_rows


def summary(
    u: list[float | None], seeds: list[int] | None = None, worst: float | None = 0.0, f: int = 1
) -> dict[str, Any]:
    """A run of one defense under one attack; `worst` is what the summary says, `u` the utility of each seed."""
    known = [value for value in u if value is not None]
    point = {
        "f": f,
        "W": worst if worst is None or not known else sum(known) / len(known),
        "worst_attack": "IPM",
        "attacks": {"none": {"u": [1.0] * len(u)}, "IPM": {"u": u}},
    }
    seeds = list(range(len(u))) if seeds is None else seeds
    world = {"world": "W", "seeds": seeds, "defenses": [{"defense": "Mean", "curve": [point]}]}
    return {
        "suite": {"hash": "same"},
        "provenance": {"robustfl": "1", "numpy": "2", "torch": "3"},
        "scores": {"worlds": [world]},
    }


def row(before: dict[str, Any], after: dict[str, Any], **options: Any) -> dict[str, Any]:
    (found,) = compare_runs(before, after, **options)["rows"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([0.5, 0.6, 0.7], "equal"),
        ([0.70, 0.81, 0.91], "better"),
        ([0.30, 0.41, 0.51], "worse"),
        ([0.501, 0.601, 0.702], "within tolerance"),
        ([0.9, 0.2, 0.9], "unclear"),
    ],
)
def test_verdicts(after: list[float | None], verdict: str) -> None:
    assert row(summary([0.5, 0.6, 0.7]), summary(after))["verdict"] == verdict


def test_the_interval_is_students_over_paired_differences() -> None:
    before, after = [0.1, 0.5, 0.9, 0.4], [0.3, 0.6, 0.95, 0.8]
    found = row(summary(list(before)), summary(list(after)))
    differences = [b - a for a, b in zip(before, after, strict=True)]
    test = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert found["change"] == pytest.approx(sum(differences) / 4)
    assert found["ci"] == pytest.approx([test.low, test.high])


def test_only_seeds_of_both_runs_count() -> None:
    found = row(summary([0.0, 0.5, 0.6, None], [0, 1, 2, 3]), summary([0.9, 0.9, 0.5, 0.6], [3, 4, 1, 2]))
    assert (found["change"], found["verdict"]) == (0.0, "equal")


def test_one_common_seed_is_not_tested() -> None:
    found = row(summary([0.5]), summary([0.9]))
    assert (found["ci"], found["verdict"]) == (None, "one seed, not tested")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (summary([0.5, 0.5], worst=None), summary([0.5, 0.5])),
        (summary([0.5, 0.5]), summary([0.5, 0.5], worst=None)),
        (summary([0.5, 0.5], [0, 1]), summary([0.5, 0.5], [2, 3])),
        (summary([None, None]), summary([0.5, 0.5])),
    ],
)
def test_what_has_no_numbers_in_common_is_not_judged(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = row(before, after)
    assert (found["change"], found["verdict"]) == (None, "cannot be compared")
    assert json.dumps(found, allow_nan=False)


def test_a_defense_that_could_not_be_deployed_is_not_judged() -> None:
    forbidden = summary([0.5, 0.5])
    forbidden["scores"]["worlds"][0]["defenses"][0]["curve"][0] |= {"worst_attack": None, "W": 0.0}
    assert row(forbidden, summary([0.5, 0.5]))["verdict"] == "cannot be compared"


def test_runs_with_nothing_in_common() -> None:
    for key, other in (("world", "V"), ("defenses", []), ("f", 2)):
        after = summary([0.5], f=other) if isinstance(other, int) else summary([0.5])
        if not isinstance(other, int):
            after["scores"]["worlds"][0][key] = other
        with pytest.raises(DataError, match="no world and defense in common"):
            compare_runs(summary([0.5]), after)


def test_remarks_tell_what_else_differs() -> None:
    before, after = summary([0.5]), copy.deepcopy(summary([0.5]))
    assert compare_runs(before, after)["remarks"] == []
    after["suite"]["hash"] = "other"
    after["provenance"] |= {"torch": "4"}
    suites, torch = compare_runs(before, after)["remarks"]
    assert suites.startswith("The suites differ")
    assert torch == "torch: 3 before, 4 after."


UTILITIES = st.lists(st.floats(-1, 1), min_size=2, max_size=6)


@given(UTILITIES, st.randoms(use_true_random=False))
def test_swapping_the_runs_swaps_the_verdict(before: list[float], chance: Any) -> None:
    after = [value + chance.uniform(-0.2, 0.3) for value in before]
    there, back = row(summary([*before]), summary([*after])), row(summary([*after]), summary([*before]))
    swapped = {"better": "worse", "worse": "better"}
    assert back["verdict"] == swapped.get(there["verdict"], there["verdict"])
    assert math.isclose(there["change"], -back["change"], abs_tol=1e-12)


def test_rows_of_the_table() -> None:
    found = compare_runs(summary([0.5, 0.6]), summary([0.7, 0.81]))
    assert comparison_rows(found) == [("W", "Mean", "1", "0.550", "0.755", "+0.205", "+0.14 to +0.27", "better")]
    nothing = compare_runs(summary([0.5, 0.5], worst=None), summary([0.5, 0.5]))
    assert comparison_rows(nothing)[0][3:] == ("unknown", "0.500", "unknown", "", "cannot be compared")
