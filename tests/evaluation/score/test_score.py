"""The score of a suite: the worked examples, every rule for runs that went wrong, and the shape of the result."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.evaluation.score.curve import BOUNDS, lowest_mean, utility
from robustfl.evaluation.score.inputs import ScoreSettings
from robustfl.evaluation.score.score import score, worst_case
from robustfl.evaluation.statistics import area, minimum_interval
from tests.evaluation.outcomes import EXAMPLE, cell, changed, codes, only, suite, world


@pytest.mark.parametrize(
    ("accuracy", "expected", "clipped"),
    [(0.9, 1, 1), (0.5, 0.5, 0.5), (0.1, 0, 0), (0.05, -0.0625, 0), (0.92, 1.025, 1)],
)
def test_utility_of_the_worked_example(accuracy: float, expected: float, clipped: float) -> None:
    assert float(utility(accuracy, chance=0.1, baseline=0.9)) == pytest.approx(expected)
    outcomes = [replace(cell("none", 0, (0.0,))[0], accuracy=accuracy)]
    shown = only(score(outcomes, [world(1, baseline=(0.9,))]))["curve"][0]["attacks"]["none"]
    assert shown["u"] == pytest.approx([expected])
    assert shown["U"] == pytest.approx(clipped)


def test_utility_needs_a_baseline_above_chance() -> None:
    with pytest.raises(ParameterError, match="baseline > chance"):
        utility(0.5, chance=0.5, baseline=0.5)


def test_the_worst_case_is_the_minimum_of_means() -> None:
    attack, lowest = lowest_mean(EXAMPLE)
    assert attack == "B"
    assert lowest == pytest.approx(0.55)
    outcomes = [outcome for attack, u in EXAMPLE.items() for outcome in cell(attack, 3, u)]
    (point,) = only(score(outcomes, [world()]))["curve"]
    assert point["W"] == pytest.approx(0.55)  # the mean of the minima would be 0.5333
    assert point["worst_attack"] == "B"
    assert point["M"] == pytest.approx(0.61666667)
    assert point["fraction"] == pytest.approx(0.3)
    assert {a: c["U"] for a, c in point["attacks"].items()} == pytest.approx({"none": 1, "A": 0.7, "B": 0.55, "C": 0.6})
    assert point["attacks"]["B"]["trials"] == ["w-D-B-3-0", "w-D-B-3-1", "w-D-B-3-2"]
    assert worst_case(outcomes, world()) == pytest.approx(0.55)


def test_the_interval_of_the_worst_case_is_that_of_a_minimum() -> None:
    outcomes = [o for attack in ("none", "B", "C") for o in cell(attack, 3, EXAMPLE[attack])]
    (point,) = only(score(outcomes, [world()]))["curve"]
    low, high = minimum_interval([EXAMPLE[attack] for attack in ("none", "B", "C")]) or (2.0, 2.0)
    assert point["W_ci"] == pytest.approx([low, high])
    assert score(outcomes, [world()])["ranking"][0]["W_ci"] == point["W_ci"]


def test_one_seed_counts_at_most_half_a_scale_beyond_either_end() -> None:
    # Chance .898 and baseline .983, as on traffic that is nearly all of one kind; one seed of three ends at .461.
    place = world(baseline=(0.983,) * 3, chance=0.898)
    outcomes = [replace(o, accuracy=a) for o, a in zip(cell("bad", 1, (0, 0, 0)), (0.461, 0.975, 0.981), strict=True)]
    cells = only(score(outcomes, [place]))["curve"][0]["attacks"]
    assert cells["bad"]["u"] == pytest.approx([BOUNDS[0], 0.90588, 0.97647], abs=1e-4)  # it would be -5.14
    assert 0 <= cells["bad"]["ci"][0] <= cells["bad"]["ci"][1] <= 1
    assert float(utility(1.0, chance=0.1, baseline=0.3)) == BOUNDS[1]


def test_resilience_is_the_area_over_the_attacked_shares_alone() -> None:
    assert float(area([0, 0.1, 0.2, 0.3, 0.4], [1, 0.9, 0.7, 0.3, 0])) == pytest.approx(0.6)
    heights = {0: 1.0, 1: 0.9, 2: 0.7, 3: 0.3, 4: 0.0}
    defense = only(score(suite(heights, seeds=1), [world(1)]))
    assert defense["R_unt"] == pytest.approx((0.9 / 2 + 0.7 + 0.3 + 0 / 2) / 3)
    assert defense["undisturbed"] == pytest.approx(1.0)


def test_with_one_attacked_share_resilience_is_the_worst_case_there() -> None:
    result = score(suite({0: 1.0, 3: 0.3}, seeds=5), [world(5)])
    defense, row = only(result), result["ranking"][0]
    assert defense["R_unt"] == defense["curve"][1]["W"] == pytest.approx(0.3)
    assert defense["R_unt_ci"] == defense["curve"][1]["W_ci"] == row["R_ci"] == row["W_ci"]
    destroyed = only(score(suite({0: 1.0, 3: 0.0}, seeds=5), [world(5)]))
    assert destroyed["R_unt"] == 0.0  # what it keeps while nobody attacks does not count


def test_what_robustness_costs_with_nobody_attacking_stands_beside() -> None:
    outcomes = [o for f, u in ((0, 1.0), (2, 0.8), (4, 0.6)) for o in cell("none", f, (u, u, u))]
    outcomes += [o for f in (2, 4) for o in cell("bad", f, (0.3, 0.3, 0.3))]
    result = score(outcomes, [world()])
    assert only(result)["undisturbed"] == result["ranking"][0]["undisturbed"] == pytest.approx(0.7)


def test_where_nobody_attacks_there_is_no_resilience() -> None:
    result = score(suite({0: 1.0}), [world()])
    assert (only(result)["R_unt"], only(result)["undisturbed"]) == (None, None)
    assert codes(result) >= {"UNRANKED"}


def test_the_interval_of_the_area_is_the_area_of_the_intervals() -> None:
    defense = only(score(suite({0: 1.0, 1: 0.9, 2: 0.5, 4: 0.3}, seeds=4), [world(4)]))
    ends = np.array([point["W_ci"] for point in defense["curve"][1:]])
    assert defense["R_unt_ci"] == pytest.approx(area([0.1, 0.2, 0.4], ends).tolist())


def test_where_a_suite_is_about_aims_utility_is_what_is_kept_of_both() -> None:
    outcomes = [o for a in ("none", "mark", "harm") for o in cell(a, 2, (0.9, 1.0, 0.8) if a != "harm" else (0.5,) * 3)]
    lifts = {f"w-D-mark-2-{seed}": lifted for seed, lifted in enumerate((0.0, 0.75, 0.95))}
    plain, aims = score(outcomes, [world()]), score(outcomes, [world()], lifts=lifts)
    assert [only(r)["curve"][0]["worst_attack"] for r in (plain, aims)] == ["harm", "mark"]
    assert only(aims)["curve"][0]["attacks"]["mark"]["u"] == pytest.approx([0.9, 0.25, 0.05])
    assert only(aims)["curve"][0]["attacks"]["none"]["u"] == pytest.approx([0.9, 1.0, 0.8])
    assert [r["settings"]["aims_first"] for r in (plain, aims)] == [False, True]
    assert aims["ranking"][0]["R_mean"] == worst_case(outcomes, world(), lifts) == pytest.approx(0.4)


def test_the_area_of_an_uneven_grid_and_of_one_point() -> None:
    assert float(area([0, 0.1, 0.4], [1, 1, 0])) == pytest.approx((0.1 + 0.15) / 0.4)
    np.testing.assert_allclose(area([0.2], [[0.3, 0.4]]), [0.3, 0.4])
    with pytest.raises(ParameterError, match="`fractions` should increase"):
        area([0.2, 0.1], [1, 1])
    with pytest.raises(ParameterError, match="match the first axis"):
        area([0.1, 0.2], [1, 1, 1])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_area_lies_between_the_lowest_and_the_highest_point(values: list[float]) -> None:
    height = float(area(np.arange(len(values)), values))
    assert min(values) - 1e-12 <= height <= max(values) + 1e-12


def test_intervals_hold_the_values() -> None:
    defense = only(score(suite({0: 1.0, 2: 0.7, 4: 0.3}, seeds=5), [world(5)]))
    assert defense["R_unt_ci"][0] < defense["R_unt"] < defense["R_unt_ci"][1]
    for point in defense["curve"][1:]:
        assert point["W_ci"][0] < point["W"] < point["W_ci"][1]
        assert point["M_ci"][0] < point["M"] < point["M_ci"][1]


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_have_no_intervals_of_the_worst_case(seeds: int) -> None:
    defense = only(score(suite({0: 1.0, 4: 0.3}, seeds=seeds), [world(seeds)]))
    assert defense["R_unt"] == pytest.approx(0.3)
    assert defense["R_unt_ci"] is None
    assert [point["W_ci"] for point in defense["curve"]] == [None, None]
    assert (defense["curve"][1]["attacks"]["bad"]["ci"] is None) == (seeds == 1)


def test_cross_fitting_is_shown_from_two_seeds_on() -> None:
    outcomes = cell("x", 4, (0.0, 0.8, 0.0, 0.9)) + cell("y", 4, (0.1, 0.2, 0.3, 0.2)) + cell("none", 4, (1.0,) * 4)
    (point,) = only(score(outcomes, [world(4)]))["curve"]
    assert point["W"] == pytest.approx(0.2)
    assert point["W_cross_fitted"] == pytest.approx((0.1 + 0.8 + 0.3 + 0.9) / 4)
    assert only(score(suite({4: 0.3}, seeds=1), [world(1)]))["curve"][0]["W_cross_fitted"] is None


def test_diverged_runs_count_as_chance() -> None:
    outcomes = changed(suite({0: 1.0, 4: 0.6}), "bad", 4, 1, status="diverged", accuracy=None, chance=0.0, test_size=0)
    result = score(outcomes, [world()])
    bad = only(result)["curve"][1]["attacks"]["bad"]
    assert bad["u"][1] == 0.0
    assert bad["accuracy"][1] == pytest.approx(0.1)
    assert bad["status"] == ["ok", "diverged", "ok"]
    assert only(result)["curve"][1]["W"] == pytest.approx((0.58 + 0.62) / 3)
    assert "DIVERGED" in codes(result)


def test_an_invalid_f_has_no_resilience() -> None:
    outcomes = [
        replace(o, status="invalid", accuracy=None, trial="", test_size=0, chance=0.0, reason="n >= 4f + 3 fails.")
        if o.f == 4
        else o
        for o in suite({0: 1.0, 2: 0.8, 4: 0.6})
    ]
    result = score(outcomes, [world()])
    defense = only(result)
    last = defense["curve"][-1]
    assert (last["W"], last["W_ci"], last["M"], last["worst_attack"]) == (0.0, None, None, None)
    assert last["invalid"] == "n >= 4f + 3 fails."
    assert last["incomplete"] == []
    assert defense["R_unt"] == pytest.approx(0.4)
    assert last["levels"]["own"] == {"W": 0.0, "W_ci": None, "worst_attack": None, "attacks": 0}
    assert defense["R_unt_ci"] == pytest.approx([end / 2 for end in defense["curve"][1]["W_ci"]])
    assert defense["breakdown"]["f"] == 2
    assert result["ranking"][0]["W_at_max_f"] == 0.0
    assert codes(result) >= {"CONFIG_INVALID"}
    assert worst_case([o for o in outcomes if o.f == 4], world()) == 0.0


@pytest.mark.parametrize("status", ["failed", "missing"])
def test_a_cell_without_all_its_seeds_is_left_out_and_said_so(status: str) -> None:
    outcomes = changed(suite({0: 1.0, 4: 0.2}), "bad", 4, 1, status=status, accuracy=None, reason="no memory left")
    result = score(outcomes, [world()])
    defense = only(result)
    point = defense["curve"][1]
    assert point["incomplete"] == ["bad"]
    assert point["W"] == pytest.approx(0.6)  # that of "mild"
    assert point["attacks"]["bad"]["U"] is None
    assert [u is None for u in point["attacks"]["bad"]["u"]] == [False, True, False]
    assert (defense["R_unt"], defense["R_unt_ci"]) == (None, None)
    assert (defense["breakdown"]["f"], defense["breakdown"]["verdict"]) == (0, "at_least")
    assert result["ranking"][0]["R_mean"] is None
    assert codes(result) >= {"INCOMPLETE", "UNRANKED"}
    assert worst_case([o for o in outcomes if o.f == 4], world()) is None


def test_a_hole_in_the_suite_is_incomplete() -> None:
    outcomes = [o for o in suite({0: 1.0, 2: 0.9, 4: 0.8}) if (o.attack, o.f) != ("bad", 2)]
    defense = only(score(outcomes, [world()]))
    assert [point["incomplete"] for point in defense["curve"]] == [[], ["bad"], []]
    assert defense["curve"][1]["attacks"]["bad"]["status"] == ["missing"] * 3


def test_a_seed_without_outcome_is_incomplete() -> None:
    outcomes = [o for o in suite({0: 1.0, 2: 0.9}) if (o.attack, o.f, o.seed) != ("none", 0, 2)]
    defense = only(score(outcomes, [world()]))
    assert defense["curve"][0]["incomplete"] == ["none"]
    assert defense["curve"][0]["W"] is None
    assert defense["breakdown"] is None


def test_a_defense_that_never_ran_in_a_world_is_shown_there_as_incomplete() -> None:
    outcomes = suite({0: 1.0, 2: 0.9}) + suite({0: 1.0}, defense="E") + suite({0: 1.0}, place="v")
    result = score(outcomes, [world(), world(label="v")])
    names = [[defense["defense"] for defense in report["defenses"]] for report in result["worlds"]]
    assert names == [["D", "E"], ["D", "E"]]
    assert [report["f_grid"] for report in result["worlds"]] == [[0, 2], [0]]
    assert {row["defense"]: row["R_mean"] is None for row in result["ranking"]} == {"D": False, "E": True}


def test_an_uninformative_world_is_shown_but_not_scored() -> None:
    outcomes = suite({0: 1.0, 2: 0.9}) + suite({0: 1.0, 2: 0.1}, place="v")
    result = score(outcomes, [world(), world(label="v", baseline=(0.14, 0.15, 0.14))])
    informative, other = result["worlds"]
    assert (informative["informative"], other["informative"]) == (True, False)
    (defense,) = other["defenses"]
    assert (defense["R_unt"], defense["breakdown"], defense["curve"][1]["W"]) == (None, None, None)
    assert defense["curve"][1]["attacks"]["bad"]["accuracy"] == pytest.approx([0.132, 0.14, 0.148])
    assert result["ranking"][0]["R_mean"] == pytest.approx(0.9)
    assert codes(result) >= {"UNINFORMATIVE"}
    assert "INCOMPLETE" not in codes(result)


def test_a_gap_of_exactly_the_limit_is_informative() -> None:
    assert world(1, baseline=(0.15,)).informative
    assert not world(1, baseline=(0.1499,)).informative


@pytest.mark.parametrize("baseline", [(), (0.5,), (0.5, None, 0.5)])
def test_a_world_whose_baseline_is_not_there_yet_is_not_scored(baseline: tuple[float | None, ...]) -> None:
    place = world(baseline=baseline)
    outcomes = suite({0: 1.0, 2: 0.9})
    result = score(outcomes, [place])
    assert result["worlds"][0]["baseline"] == {"mean": None, "per_seed": list(baseline)}
    assert only(result)["R_unt"] is None
    assert codes(result) >= {"NO_BASELINE", "UNRANKED"}
    assert worst_case([o for o in outcomes if o.f == 2], place) is None


def test_breakdown_over_the_grid_with_its_bound() -> None:
    result = score(suite({0: 1.0, 1: 0.9, 2: 0.7, 3: 0.3, 4: 0.0}), [world()], None, {("w", "D"): "f < n/2"})
    assert only(result)["breakdown"] == {
        "f": 2,
        "beta": 0.2,
        "verdict": "exact",
        "evaluated": [0, 4, 2, 3, 1],
        "grid": [0, 1, 2, 3, 4],
        "bound": "f < n/2",
    }
    strict = score(suite({0: 1.0, 1: 0.9, 2: 0.7, 3: 0.3, 4: 0.0}), [world()], ScoreSettings(threshold=0.8))
    assert only(strict)["breakdown"]["f"] == 1


def test_ranks_of_one_world_and_one_f_are_the_paired_comparison() -> None:
    values = {
        "A": (0.62, 0.58, 0.60, 0.64, 0.56),
        "B": (0.60, 0.57, 0.59, 0.61, 0.55),
        "C": (0.50, 0.49, 0.47, 0.52, 0.46),
    }
    outcomes = [
        o for defense, u in values.items() for o in (*cell("none", 4, (1.0,) * 5, defense), *cell("bad", 4, u, defense))
    ]
    result = score(outcomes, [world(5)])
    assert [(row["rank"], row["defense"]) for row in result["ranking"]] == [(1, "A"), (2, "B"), (3, "C")]
    assert [pair["mean"] for pair in result["pairs"]] == pytest.approx([0.016, 0.112, 0.096])
    assert result["pairs"][0]["p"] == pytest.approx(0.01613009 / 0.9, abs=1e-7)  # bounds have a tenth of the level
    tied = score(outcomes, [world(5)], ScoreSettings(margin=0.02))
    assert [row["rank"] for row in tied["ranking"]] == [1, 1, 3]


def test_ranks_use_the_worst_attack_of_each_f() -> None:
    # "x" is worst at f = 2 and "y" at f = 4; E is at 0.5 throughout.
    outcomes = []
    for f, x, y in ((2, 0.3, 0.9), (4, 0.8, 0.1)):
        outcomes += cell("none", f, (1.0, 1.0)) + cell("x", f, (x, x)) + cell("y", f, (y, y))
        outcomes += [o for a in ("none", "x", "y") for o in cell(a, f, (0.5, 0.5), "E")]
    result = score(outcomes, [world(2)])
    assert result["pairs"][0]["mean"] == pytest.approx(0.2 - 0.5)
    assert [(row["defense"], row["worst_attack"]) for row in result["ranking"]] == [("E", "none"), ("D", "y")]


def test_the_result_is_json_with_exactly_the_promised_keys() -> None:
    result = score(suite({0: 1.0, 4: 0.3}) + suite({0: 0.9, 4: 0.6}, defense="E"), [world()])
    again = json.loads(json.dumps(result, allow_nan=False))
    assert again == result
    assert set(result) == {"schema", "settings", "worlds", "ranking", "pairs", "flags"}
    (report,) = result["worlds"]
    assert set(report) == {
        *("world", "clients", "seeds", "f_grid", "chance", "test_size", "effective_test_size", "training", "baseline"),
        *("informative", "defenses"),
    }
    defense = report["defenses"][0]
    assert set(defense) == {
        *("defense", "R_unt", "R_unt_ci", "R_levels", "undisturbed", "curve", "breakdown"),
    }
    assert set(defense["curve"][1]) == {
        *("f", "fraction", "W", "W_ci", "W_cross_fitted", "M", "M_ci", "worst_attack", "invalid", "incomplete"),
        *("levels", "attacks"),
    }
    assert set(defense["curve"][1]["attacks"]["bad"]) == {
        *("u", "U", "ci", "accuracy", "trials", "status", "reasons"),
    }
    assert set(result["ranking"][0]) == {
        *("rank", "defense", "R_mean", "R_min", "R_ci", "R_levels", "undisturbed", "W_at_max_f", "W_ci"),
        *("worst_attack", "world", "tied", "beaten_by", "beats"),
    }
    assert set(result["pairs"][0]) == {"a", "b", "mean", "lead", "p", "significant"}


def test_no_outcomes_are_an_empty_result() -> None:
    result = score([], [world()])
    assert (result["worlds"][0]["defenses"], result["ranking"], result["pairs"]) == ([], [], [])
    assert score([], [])["worlds"] == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["ok", "diverged", "failed", "invalid", "missing"]), min_size=18, max_size=18),
    st.lists(st.floats(0, 1), min_size=18, max_size=18),
)
def test_any_mixture_of_statuses_gives_bounded_json(statuses: list[str], accuracies: list[float]) -> None:
    places = [o for d in "DE" for o in suite({0: 1.0, 4: 0.3}, defense=d) if o.attack != "mild"]
    outcomes = [
        replace(o, status=status, accuracy=accuracy if status == "ok" else None)
        for o, status, accuracy in zip(places, statuses, accuracies, strict=True)
    ]
    result = score(outcomes, [world()])
    json.dumps(result, allow_nan=False)
    for defense in result["worlds"][0]["defenses"]:
        for point in defense["curve"]:
            assert point["W"] is None or 0 <= point["W"] <= 1
            assert point["W"] == 0 or not point["invalid"]
        unfinished = any(point["incomplete"] for point in defense["curve"] if point["f"])
        assert (defense["R_unt"] is None) == unfinished


def test_the_order_of_outcomes_does_not_matter() -> None:
    outcomes = suite({0: 1.0, 2: 0.8, 4: 0.3})
    shuffled = [outcomes[i] for i in np.random.default_rng(0).permutation(len(outcomes))]
    assert only(score(shuffled, [world()]))["R_unt_ci"] == only(score(outcomes, [world()]))["R_unt_ci"]
