"""What the regression gate compares: which cells, seeds and scales of two runs, and runs of different suites."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from robustfl.errors import DataError
from robustfl.evaluation.compare import regression
from robustfl.evaluation.compare.regression import CellVerdict
from tests.evaluation.stored_runs import LEVEL, one, only_cell, run


def judge(before: Any, after: Any, **options: Any) -> tuple[CellVerdict, ...]:
    """The verdicts on the cells."""
    return regression.judge(before, after, **options).cells


# Which cells, which seeds, which scale


def test_only_seeds_of_both_runs_count() -> None:
    before, after = one([0.0, 0.5, 0.6, None], [0, 1, 2, 3]), one([0.9, 0.9, 0.5, 0.6], [7, 4, 1, 2])
    (found,) = judge(before, after)
    assert (found.seeds, found.change, found.verdict) == (2, 0.0, "PASS")


def test_no_seed_in_common_is_refused() -> None:
    with pytest.raises(DataError, match=r"no seed in common in 'W': \[0, 1\] and \[2, 3\]"):
        judge(one([0.5, 0.5]), one([0.5, 0.5], [2, 3]))


def test_utilities_are_on_the_scale_of_the_baseline() -> None:
    # Plain averaging got worse, which would lift the utilities of all others if each run had its own scale.
    after = one([0.6] * 3)
    after["scores"]["worlds"][0]["baseline"]["per_seed"] = [LEVEL - 0.2] * 3
    assert judge(one([0.6] * 3), after)[0].change == 0.0


def test_the_scale_comes_from_the_common_seeds() -> None:
    before, after = one([0.5, 0.5, 0.5]), one([0.6, 0.6], [0, 1])
    before["scores"]["worlds"][0]["baseline"]["per_seed"] = [LEVEL, LEVEL, 0.2]
    assert judge(before, after)[0].change == pytest.approx(0.1)


def test_cells_of_the_same_trials_are_judged_once() -> None:
    cells = {("Mean", "none", 0): [1.0] * 2, ("Mean", "none", 1): [1.0] * 2, ("Mean", "IPM", 1): [0.2] * 2}
    stored = run(cells)
    first, second = stored["scores"]["worlds"][0]["defenses"][0]["curve"]
    assert len(judge(stored, stored)) == 3
    second["attacks"]["none"]["trials"] = first["attacks"]["none"]["trials"]
    assert [(v.attack, v.f) for v in judge(stored, stored)] == [("none", 0), ("IPM", 1)]


def test_trials_that_only_the_candidate_lacks_block() -> None:
    before, after = one([0.5] * 3), one([0.5, None, None])
    (found,) = judge(before, after, looks=3)
    assert (found.verdict, found.blocks, found.seeds_help) == ("INCONCLUSIVE", True, False)
    assert found.reason == "the second run has 2 trials failed"
    (back,) = judge(after, before, looks=3)
    assert (back.verdict, back.blocks, back.reason) == ("INCONCLUSIVE", False, "the first run has 2 trials failed")


def forbidden(stored: dict[str, Any]) -> dict[str, Any]:
    """The same run, had the defense's precondition not held."""
    changed = copy.deepcopy(stored)
    count = len(only_cell(changed)["trials"])
    only_cell(changed).update(accuracy=[None] * count, trials=[""] * count, status=["invalid"] * count)
    return changed


def test_a_defense_that_can_no_longer_be_deployed_has_regressed() -> None:
    stored = one([0.5, 0.6, 0.55])
    (found,) = judge(stored, forbidden(stored))
    assert (found.verdict, found.change) == ("REGRESSION", pytest.approx(-0.55))
    assert judge(forbidden(stored), stored)[0].verdict == "IMPROVED"
    with pytest.raises(DataError, match="no cell in common that could be judged"):
        judge(forbidden(stored), forbidden(stored))


def test_worlds_that_say_nothing_are_left_out() -> None:
    stored = one([0.5, 0.6])
    stored["scores"]["worlds"][0]["informative"] = False
    with pytest.raises(DataError, match="training without attack hardly beats guessing"):
        judge(stored, one([0.5, 0.6]))


# Different suites


def renamed(name: str) -> dict[str, Any]:
    stored = run({("Mean", "IPM", 1): [0.5] * 2, ("Mean", name, 1): [0.5] * 2})
    stored["suite"]["hash"] = name
    return stored


def other_scenario() -> dict[str, Any]:
    stored = renamed("ALIE")
    stored["scores"]["worlds"][0]["defenses"][0]["curve"][0]["attacks"]["ALIE"]["trials"][1] = "another"
    return stored


def other_data() -> dict[str, Any]:
    stored, extra = renamed("ALIE"), run({("Mean", "IPM", 1): [0.5] * 2}, world="V")["scores"]["worlds"][0]
    stored["scores"]["worlds"].append({**extra, "test_size": 7})
    return stored


def more_worlds() -> dict[str, Any]:
    stored = renamed("ALIE")
    stored["scores"]["worlds"].append(run({("Mean", "IPM", 1): [0.5] * 2}, world="V")["scores"]["worlds"][0])
    return stored


@pytest.mark.parametrize(
    ("before", "after", "message", "left"),
    [
        (renamed("ALIE"), renamed("Mimic"), r"'ALIE' with f=1 in 'W' is in the first run alone, and 1 such", 1),
        (renamed("ALIE"), one([0.5] * 2), r"'ALIE' with f=1 in 'W' is in the first run alone", 1),
        (one([0.5] * 2), renamed("ALIE"), r"'ALIE' with f=1 in 'W' is in the second run alone", 1),
        (renamed("ALIE"), other_scenario(), r"Mean under 'ALIE' with f=1 in 'W' is another scenario", 1),
        (renamed("ALIE"), more_worlds(), r"the world 'V' is in the second run alone", 2),
        (more_worlds(), other_data(), r"the world 'V' has other test data", 2),
    ],
)
def test_different_suites_are_refused_unless_asked_for(
    before: dict[str, Any], after: dict[str, Any], message: str, left: int
) -> None:
    with pytest.raises(DataError, match=message) as error:
        judge(before, after)
    assert "--allow-different-suites" in str(error.value)
    assert len(judge(before, after, different_suites=True)) == left


def test_suites_with_nothing_in_common_are_refused_even_so() -> None:
    with pytest.raises(DataError, match="no cell in common"):
        judge(one([0.5] * 2), run({("Krum", "IPM", 1): [0.5] * 2}), different_suites=True)


def test_a_suite_with_more_seeds_is_the_same_suite() -> None:
    longer = one([0.5] * 7)
    longer["suite"]["hash"] = "with more seeds"
    assert judge(one([0.5] * 5), longer)[0].seeds == 5


def test_what_both_could_not_play_is_no_difference() -> None:
    stored = renamed("ALIE")
    attacks = stored["scores"]["worlds"][0]["defenses"][0]["curve"][0]["attacks"]
    attacks["ALIE"].update(accuracy=[None] * 2, trials=[""] * 2, status=["not applicable"] * 2)
    assert [v.attack for v in judge(stored, stored)] == ["IPM"]
