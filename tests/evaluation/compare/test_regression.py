"""The regression gate: its worked examples, each rule of its verdicts, and what must hold for any two runs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustfl.errors import ParameterError
from robustfl.evaluation.compare import regression
from robustfl.evaluation.compare.paired import weigh
from robustfl.evaluation.compare.regression import VERDICTS, CellVerdict
from tests.evaluation.stored_runs import elsewhere, one, only_cell, run

WORSE = (-0.04, -0.02, -0.03, -0.05, -0.01)
LEVEL_ = (-0.01, 0.01, -0.02, 0.02, 0.0)
BETTER = (0.03, 0.01, 0.02, 0.04, 0.0)


def judge(before: Any, after: Any, **options: Any) -> tuple[CellVerdict, ...]:
    """The verdicts on the cells."""
    return regression.judge(before, after, **options).cells


def judged(differences: Sequence[float], **options: Any) -> CellVerdict:
    """The verdict on a single cell with these differences."""
    base = [0.6] * len(differences)
    (verdict,) = judge(one(base), one([u + d for u, d in zip(base, differences, strict=True)]), **options)
    return verdict


# The worked examples


@pytest.mark.parametrize(
    ("differences", "change", "lower", "upper", "verdict"),
    [
        (WORSE, -0.03, -0.04507443, -0.01492557, "REGRESSION"),
        (LEVEL_, 0.0, -0.01507443, 0.01507443, "PASS"),
        (BETTER, 0.02, 0.00492557, 0.03507443, "IMPROVED"),
    ],
)
def test_the_worked_examples(
    differences: Sequence[float], change: float, lower: float, upper: float, verdict: str
) -> None:
    found = judged(differences)
    assert found.verdict == verdict
    assert (found.change, found.lower, found.upper) == pytest.approx((change, lower, upper), abs=1e-8)
    assert (found.blocks, found.seeds_help, found.seeds) == (verdict == "REGRESSION", False, 5)


def test_the_p_value_is_that_of_the_one_sided_test() -> None:
    for differences in (WORSE, LEVEL_, BETTER):
        reference = stats.ttest_1samp(differences, 0, alternative="less").pvalue
        assert weigh(differences).p == pytest.approx(reference, rel=1e-9)


# The rules


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(-0.021, "REGRESSION"), (-0.02, "PASS"), (-0.019, "PASS"), (0.0, "PASS"), (1e-15, "PASS"), (0.001, "IMPROVED")],
)
def test_without_spread_the_change_itself_is_compared(change: float, verdict: str) -> None:
    found = judged([change] * 3)
    assert found.verdict == verdict
    assert found.lower == found.upper == found.change


def test_two_equal_drops_may_be_two_equal_counts_of_test_samples() -> None:
    """A test sample of 100 is 0.0125 of utility: two seeds that agree to one sample show little."""
    assert judged([-0.021] * 2).verdict == "INCONCLUSIVE"
    assert judged([-0.1] * 2).verdict == "REGRESSION"
    assert judged([-0.021] * 3).verdict == "REGRESSION"
    many = [[-0.1] * 2, *[[0.01, -0.01]] * 5]
    assert verdicts(many)[0] == "INCONCLUSIVE"
    assert verdicts([[-0.6] * 2, *many[1:]])[0] == "REGRESSION"


def test_a_significant_drop_that_does_not_matter_passes() -> None:
    found = judged([-0.010, -0.011, -0.009, -0.010, -0.011])
    assert found.upper is not None
    assert found.upper < 0
    assert (found.verdict, found.changed, found.blocks) == ("PASS", True, False)


def test_a_drop_that_may_be_chance_is_inconclusive() -> None:
    found = judged([-0.06, 0.02, -0.05, 0.03, -0.04], looks=3)
    assert (found.verdict, found.blocks, found.seeds_help) == ("INCONCLUSIVE", False, True)


def test_one_seed_passes_only_unchanged() -> None:
    assert judged([0.0]).verdict == "PASS"
    found = judged([0.3])
    assert (found.verdict, found.lower, found.reason) == ("INCONCLUSIVE", None, "one seed is not tested")


def test_planned_looks_share_alpha() -> None:
    assert [judged(d, looks=3).verdict for d in (WORSE, LEVEL_, BETTER)] == ["REGRESSION", "INCONCLUSIVE", "PASS"]
    half = stats.t.ppf(1 - 0.05 / 3, 4) * np.std(LEVEL_, ddof=1) / math.sqrt(5)
    assert judged(LEVEL_, looks=3).lower == pytest.approx(-half)


@pytest.mark.parametrize("drop", [0.01, 0.061, 0.15])
def test_what_is_open_at_the_last_look_is_a_warning_however_large(drop: float) -> None:
    noise = (0.3, -0.3, 0.2, -0.2, 0.0)
    for look in (1, 2, 3):
        found = judged([n - drop for n in noise], looks=3, look=look)
        assert (found.verdict, found.blocks, found.seeds_help) == ("INCONCLUSIVE", False, True)
        assert bool(found.reason) == (look == 3 and drop > 0.02)


def asked(before: Any, after: Any, looks: int = 1, look: int = 1) -> int:
    """How many seeds are asked for before the next look."""
    return regression.judge(before, after, looks=looks, look=look).more_seeds(looks=looks, look=look)


def test_five_seeds_are_added_at_most_twice() -> None:
    before = run({("Mean", "IPM", 1): [0.6] * 5, ("Krum", "IPM", 1): [0.6] * 5})
    open_ = run({("Mean", "IPM", 1): [0.6] * 5, ("Krum", "IPM", 1): [0.5, 0.7, 0.5, 0.7, 0.5]})
    assert [asked(before, open_, looks=3, look=k) for k in (1, 2, 3)] == [5, 5, 0]
    assert asked(before, open_) == 0
    assert asked(before, before, looks=3) == 0


def test_a_regression_needs_no_further_seeds() -> None:
    before = run({("Mean", "IPM", 1): [0.6] * 5, ("Krum", "IPM", 1): [0.6] * 5})
    after = run({("Mean", "IPM", 1): [0.1] * 5, ("Krum", "IPM", 1): [0.5, 0.7, 0.5, 0.7, 0.5]})
    assert asked(before, after, looks=3) == 0


# Holm's correction


def several(cells: Sequence[Sequence[float]]) -> dict[str, Any]:
    return run({("Mean", f"attack {i}", 1): [0.6 + d for d in differences] for i, differences in enumerate(cells)})


def verdicts(cells: Sequence[Sequence[float]], **options: Any) -> list[str]:
    found = judge(elsewhere(several([[0.0] * len(cells[0])] * len(cells))), elsewhere(several(cells)), **options)
    return [verdict.verdict for verdict in found]


def test_holm_counts_all_cells_and_the_mean_of_the_defense() -> None:
    # One-sided p of WORSE is 0.0066: below 0.05 / 7, above 0.05 / 8.
    assert verdicts([WORSE, *[LEVEL_] * 5])[0] == "REGRESSION"
    assert verdicts([WORSE, *[LEVEL_] * 6])[0] == "INCONCLUSIVE"
    assert verdicts([WORSE] * 7) == ["INCONCLUSIVE"] * 7
    assert verdicts([*[WORSE] * 6, [-0.1] * 5]) == ["REGRESSION"] * 7


def test_cells_that_must_be_equal_and_are_do_not_count() -> None:
    cells = [WORSE, *[[0.0] * 5] * 9]
    before, after = several([[0.0] * 5] * 10), several(cells)
    assert judge(before, after)[0].verdict == "REGRESSION"
    assert judge(elsewhere(before), elsewhere(after))[0].verdict == "INCONCLUSIVE"


differences = st.lists(st.floats(-0.1, 0.1), min_size=4, max_size=4)
families = st.lists(differences, min_size=1, max_size=6)


@given(families, st.floats(0, 0.2), st.data())
def test_a_worse_cell_never_saves_another(cells: list[list[float]], drop: float, data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, len(cells) - 1))
    worse = [[d - drop * (i == chosen) for d in cell] for i, cell in enumerate(cells)]
    first, then = verdicts(cells), verdicts(worse)
    spreads = [np.ptp(cell) for cell in cells]
    for index, (old, new) in enumerate(zip(first, then, strict=True)):
        if index != chosen and old == "REGRESSION":
            assert new == "REGRESSION"
        if index == chosen and spreads[index] > 1e-9:
            assert VERDICTS.index(new) <= VERDICTS.index(old)  # type: ignore[arg-type]


@given(families)
def test_holm_finds_no_more_than_each_cell_alone(cells: list[list[float]]) -> None:
    for together, cell in zip(verdicts(cells), cells, strict=True):
        alone = verdicts([cell])[0]
        assert together == alone or (alone, together) == ("REGRESSION", "INCONCLUSIVE")


def test_trials_that_lack_do_not_count_for_holm() -> None:
    lacking = several([WORSE, *[LEVEL_] * 7])
    for name in ("attack 5", "attack 6", "attack 7"):
        lacking["scores"]["worlds"][0]["defenses"][0]["curve"][0]["attacks"][name]["accuracy"][0] = None
    before = several([[0.0] * 5] * 8)
    assert judge(elsewhere(before), elsewhere(lacking))[0].verdict == "REGRESSION"


# What must hold for any two runs


@given(families)
def test_swapping_the_runs_turns_regressions_into_improvements(cells: list[list[float]]) -> None:
    before, after = several([[0.0] * 4] * len(cells)), several(cells)
    for there, back in zip(judge(before, after), judge(after, before), strict=True):
        assert there.change == pytest.approx(-(back.change or 0.0), abs=1e-12)
        assert back.verdict == "IMPROVED" if there.verdict == "REGRESSION" else True
        assert there.verdict == "IMPROVED" if back.verdict == "REGRESSION" else True


@given(st.lists(st.floats(0, 1), min_size=3, max_size=8), st.floats(0.021, 0.5))
def test_a_constant_beyond_delta_is_an_improvement_or_a_regression(u: list[float], constant: float) -> None:
    (up,) = judge(one(u), one([value + constant for value in u]))
    (down,) = judge(one(u), one([value - constant for value in u]))
    assert (up.verdict, up.blocks) == ("IMPROVED", False)
    assert (down.verdict, down.blocks) == ("REGRESSION", True)


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=8), st.floats(0.001, 0.1))
def test_the_verdicts_exclude_one_another_and_follow_the_bounds(values: list[float], delta: float) -> None:
    found = weigh(values, delta=delta)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= found.change <= found.upper
    name = found.verdict(significant=found.p <= 0.05)
    if name == "REGRESSION":
        assert found.upper < 0
        assert found.change < -delta
    assert (found.lower > -delta - 1e-9) or name in ("REGRESSION", "INCONCLUSIVE")
    assert (found.lower > 0) or name != "IMPROVED"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.permutations(range(5)))
def test_the_order_of_the_seeds_does_not_matter(u: list[float], order: list[int]) -> None:
    seeds = list(range(len(u)))
    shuffled = [seed for seed in order if seed in seeds]
    (same,) = judge(one(u, seeds), one([u[seed] for seed in shuffled], shuffled))
    assert (same.verdict, same.change, same.changed) == ("PASS", 0.0, False)


# CHANGED


def test_any_difference_is_told_where_there_should_be_none() -> None:
    before, after = one([0.6] * 3), one([0.6] * 3)
    only_cell(after)["accuracy"][1] = math.nextafter(only_cell(after)["accuracy"][1], 1)
    found = judge(before, after)[0]
    assert (found.verdict, found.changed) == ("PASS", True)
    assert judge(before, before)[0].changed is False


@pytest.mark.parametrize("key", ["device", "processor", "platform", "numpy", "torch"])
def test_between_machines_and_versions_differences_are_expected(key: str) -> None:
    after = one([0.6] * 3)
    after["provenance"][key] = "other"
    assert judge(one([0.6] * 3), after)[0].changed is None


def test_results_of_an_accelerator_need_not_repeat() -> None:
    assert judge(elsewhere(one([0.6] * 3)), elsewhere(one([0.6] * 3)))[0].changed is None


# Arguments and output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": -0.1}, "delta >= 0"),
        ({"delta": math.nan}, "delta >= 0"),
        ({"alpha": 0.0}, "0 < alpha < 1"),
        ({"alpha": math.nan}, "0 < alpha < 1"),
        ({"look": 2}, "1 <= look <= looks"),
        ({"looks": 4}, "looks <= 3"),
        ({"look": 0}, "1 <= look"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        judge(one([0.5] * 2), one([0.5] * 2), **options)


@pytest.mark.parametrize("values", [[], [math.nan, 0.1], [[0.1], [0.2]]])
def test_differences_that_are_no_sample_are_refused(values: list[Any]) -> None:
    with pytest.raises(ParameterError, match="`differences` should be"):
        weigh(values)


def test_verdicts_are_json() -> None:
    for verdict in judge(one([0.5, None]), one([0.5, 0.6])) + judge(one([0.5]), one([0.4])):
        assert json.loads(json.dumps(verdict.report(), allow_nan=False))["verdict"] == "INCONCLUSIVE"
