"""Every sanity flag: what raises it, what does not, and that it explains itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl.evaluation.trust.evidence import Evidence, RoundShare, Threat
from robustfl.evaluation.trust.remarks import ranking_remarks, suite_remarks

INFORMED = {"wb": ("own", "peers", "defense"), "alie": ("own", "peers")}
CODES = {
    "CONDUCT",
    "CONFIG_INVALID",
    "DIVERGED",
    "EXCEEDED",
    "FEW_SEEDS",
    "F_MISMATCH",
    "HELD",
    "INCOMPLETE",
    "LESS_KNOWLEDGE_STRONGER",
    "NON_MONOTONE",
    "NOT_TRAINED",
    "NO_BASELINE",
    "NO_PLAIN_MEAN",
    "RANKS_NOT_TESTED",
    "SCENARIO_NOT_ATTACKABLE",
    "SEARCH_NOT_CONVERGED",
    "SEEDS_FALL_APART",
    "SHORT_SCALE",
    "TEST_SET_NOISE",
    "UNEQUAL_SUITES",
    "UNINFORMATIVE",
    "UNRANKED",
    "UNSTABLE_STEP",
    "UPPER_BOUND",
    "WEAK_WHITE_BOX",
}


def cell(level: float, seeds: int = 5, spread: float = 0.01, **changes: Any) -> dict[str, Any]:
    """A complete cell whose utilities lie around `level`; chance 0.1 and baseline 0.5."""
    u = (level + spread * np.array([-1, 1, 0, 1, -1] * 2)[:seeds]).tolist()
    known = {"u": u, "U": float(np.mean(u)), "accuracy": [0.1 + 0.4 * v for v in u], "status": ["ok"] * seeds}
    return {**known, "reasons": [], **changes}


def lost(status: str = "failed", reason: str = "no memory left") -> dict[str, Any]:
    changes: dict[str, Any] = {
        "u": [None] * 5,
        "U": None,
        "accuracy": [None] * 5,
        "status": [status] * 5,
        "reasons": [reason],
    }
    return cell(0, **changes)


def point(f: int, cells: dict[str, dict[str, Any]], **changes: Any) -> dict[str, Any]:
    done = {attack: c for attack, c in cells.items() if c["U"] is not None}
    worst = min(done, key=lambda attack: done[attack]["U"], default=None)
    known = {
        "f": f,
        "W": None if worst is None else done[worst]["U"],
        "worst_attack": worst,
        "invalid": None,
        "incomplete": [attack for attack in cells if attack not in done],
        "attacks": cells,
    }
    return {**known, **changes}


def defense(label: str, *points: dict[str, Any]) -> dict[str, Any]:
    return {"defense": label, "curve": list(points)}


def world(*defenses: dict[str, Any], seeds: int = 5, **changes: Any) -> dict[str, Any]:
    known = {
        "world": "w",
        "clients": 10,
        "seeds": list(range(seeds)),
        "f_grid": sorted({p["f"] for d in defenses for p in d["curve"]}),
        "chance": 0.1,
        "test_size": 10_000_000,
        "baseline": {"mean": 0.5},
        "informative": True,
        "defenses": list(defenses),
    }
    return {**known, **changes}


def mean(seeds: int = 5, level: float = 0.05) -> dict[str, Any]:
    """The plain mean, broken by both attacks."""
    cells = {"none": cell(1, seeds), "alie": cell(level + 0.05, seeds), "wb": cell(level, seeds)}
    return defense("Mean", point(0, {"none": cell(1, seeds)}), point(4, cells))


def flagged(report: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    return suite_remarks([report], **{"knowledge": INFORMED, **options})


def the(code: str, flags: list[dict[str, Any]]) -> dict[str, Any]:
    """The only flag with this code; every flag on the way is well-formed."""
    for flag in flags:
        assert set(flag) == {"code", "level", "world", "defense", "attack", "f", "message"}
        assert flag["code"] in CODES
        assert flag["level"] in ("error", "warning")
        assert flag["message"].endswith(".")
        assert len(flag["message"]) > 80
    (found,) = [flag for flag in flags if flag["code"] == code]
    return found


def codes(flags: list[dict[str, Any]]) -> list[str]:
    return [flag["code"] for flag in flags]


def test_a_sound_suite_has_no_flags() -> None:
    assert flagged(world(mean())) == []


def test_attacks_that_do_not_break_the_plain_mean_are_too_weak() -> None:
    flag = the("SCENARIO_NOT_ATTACKABLE", flagged(world(mean(level=0.6))))
    assert (flag["level"], flag["world"], flag["defense"], flag["attack"], flag["f"]) == ("error", "w", "Mean", "wb", 4)
    assert "60%" in flag["message"]
    assert "4 of 10" in flag["message"]


def test_only_the_largest_f_of_the_plain_mean_counts() -> None:
    robust = defense("Krum", point(0, {"none": cell(1)}), point(4, {a: cell(0.7) for a in ("none", "alie", "wb")}))
    assert codes(flagged(world(mean(), robust))) == []
    assert codes(flagged(world(defense("Mean", point(0, {"none": cell(1)}))))) == ["UPPER_BOUND"]
    assert codes(flagged(world(mean(level=0.6)), plain="Krum")) == ["NO_PLAIN_MEAN"]


def test_a_suite_without_the_plain_mean_says_so() -> None:
    robust = defense("Krum", point(4, {a: cell(0.7) for a in ("none", "alie", "wb")}))
    assert "Average" in the("NO_PLAIN_MEAN", flagged(world(robust), plain="Average"))["message"]


def test_a_world_where_nothing_is_learned() -> None:
    flag = the("UNINFORMATIVE", flagged(world(mean(), baseline={"mean": 0.12}, informative=False)))
    assert flag["level"] == "error"
    assert "0.120" in flag["message"]
    assert "0.100" in flag["message"]


def test_a_world_without_baseline() -> None:
    flags = flagged(world(mean(), baseline={"mean": None}, informative=False))
    assert the("NO_BASELINE", flags)["level"] == "error"
    assert "UNINFORMATIVE" not in codes(flags)


def test_an_invalid_configuration() -> None:
    cells = {a: lost("invalid") for a in ("none", "alie", "wb")}
    bulyan = defense("Bulyan", point(4, cells, W=0.0, incomplete=[], invalid="n >= 4f + 3 should hold."))
    flag = the("CONFIG_INVALID", flagged(world(mean(), bulyan)))
    assert (flag["defense"], flag["f"], flag["level"]) == ("Bulyan", 4, "warning")
    assert "n >= 4f + 3 should hold. A defense" in flag["message"]


def test_diverged_runs_are_told_once_an_attack() -> None:
    blown = cell(0, status=["ok", "diverged", "diverged", "ok", "ok"])
    points = [point(f, {"none": cell(1), "alie": cell(0.1), "wb": blown}) for f in (2, 4)]
    flag = the("DIVERGED", flagged(world(defense("Mean", *points))))
    assert (flag["attack"], flag["f"]) == ("wb", None)
    assert "in 4 runs of Mean under wb (f = 2, 4)" in flag["message"]
    assert the("DIVERGED", flagged(world(defense("Mean", points[1]))))["f"] == 4


def test_missing_runs_are_an_error_with_their_reason() -> None:
    krum = defense("Krum", point(4, {"none": cell(1), "alie": lost(), "wb": cell(0.6)}))
    flag = the("INCOMPLETE", flagged(world(mean(), krum)))
    assert (flag["level"], flag["defense"], flag["attack"], flag["f"]) == ("error", "Krum", "alie", 4)
    assert "5 runs of Krum" in flag["message"]
    assert "First reason: no memory left. Run again" in flag["message"]
    assert "too good" in flag["message"]


def test_a_point_without_any_run_says_that_there_is_no_value() -> None:
    krum = defense("Krum", point(4, {"none": lost("missing", ""), "alie": lost(), "wb": lost()}))
    flag = the("INCOMPLETE", [f for f in flagged(world(mean(), krum)) if f["code"] == "INCOMPLETE"])
    assert flag["attack"] is None
    assert "no value at all" in flag["message"]


def test_defenses_that_were_told_a_wrong_number() -> None:
    flag = the("F_MISMATCH", flagged(world(mean()), declared={0: 0, 4: 1}))
    assert flag["f"] == 4
    assert "told 1" in flag["message"]
    assert "more of them" in flag["message"]
    assert "fewer of them" in the("F_MISMATCH", flagged(world(mean()), declared={4: 5}))["message"]
    assert flagged(world(mean()), declared={4: 4}) == []


def curve(*levels: float, spread: float = 0.01) -> dict[str, Any]:
    cells = [{a: cell(level, spread=spread) for a in ("none", "alie", "wb")} for level in levels]
    return defense("Krum", *(point(f, c) for f, c in enumerate(cells)))


def test_more_attackers_should_not_help_the_defense() -> None:
    flag = the("NON_MONOTONE", flagged(world(mean(), curve(1.0, 0.4, 0.5, 0.7))))
    assert (flag["defense"], flag["f"]) == ("Krum", 2)
    assert "W = 0.50" in flag["message"]
    assert "W = 0.40" in flag["message"]


def test_a_slow_rise_is_measured_from_the_lowest_point() -> None:
    # Deviations that change sign from point to point make the paired noise large.
    rows = [cell(level) for level in (0.4, 0.405, 0.5)]
    rows[1]["u"] = [0.405 - (u - 0.405) for u in rows[1]["u"]]
    points = [point(f, {"none": cell(1), "alie": cell(1), "wb": row}) for f, row in enumerate(rows)]
    assert the("NON_MONOTONE", flagged(world(mean(), defense("Krum", *points))))["f"] == 2


def test_a_rise_within_noise_is_no_flag() -> None:
    rows = [cell(0.4, spread=0.1), cell(0.42, spread=0.1)]
    rows[1]["u"] = [*rows[1]["u"][::-1][1:], 0.42]
    points = [point(f, {"none": cell(1), "alie": cell(1), "wb": row}) for f, row in enumerate(rows)]
    assert flagged(world(mean(), defense("Krum", *points))) == []


def test_falling_curves_and_single_seeds_are_no_rise() -> None:
    assert flagged(world(mean(), curve(1.0, 0.7, 0.7, 0.2))) == []
    rising = defense(
        "Krum", *(point(f, {"none": cell(u, 1), "alie": cell(u, 1), "wb": cell(u, 1)}) for f, u in ((1, 0.2), (2, 0.9)))
    )
    assert codes(flagged(world(mean(1), rising, seeds=1))) == ["FEW_SEEDS"]


def test_an_invalid_point_is_no_low_from_which_to_rise() -> None:
    cells = {a: lost("invalid") for a in ("none", "alie", "wb")}
    points = [point(1, cells, W=0.0, incomplete=[], invalid="odd f"), point(2, {a: cell(0.5) for a in cells})]
    assert codes(flagged(world(mean(), defense("Krum", *points)))) == ["CONFIG_INVALID"]


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 repetition (seeds): one seed"), (3, "2.3 standard deviations")])
def test_few_seeds(seeds: int, words: str) -> None:
    assert words in the("FEW_SEEDS", flagged(world(mean(seeds), seeds=seeds)))["message"]


def test_a_small_test_set_hides_behind_seeds_that_agree() -> None:
    flag = the("TEST_SET_NOISE", flagged(world(mean(), test_size=100)))
    assert (flag["world"], flag["defense"]) == ("w", None)
    assert "±0.050" in flag["message"]  # the square root of 0.5 * 0.5 / 100, at f = 0
    assert "2 of 2 results" in flag["message"]


def test_diverged_cells_are_not_blamed_on_the_test_set() -> None:
    blown = cell(0, spread=0, status=["diverged"] * 5)
    report = world(defense("Mean", point(4, {"none": cell(1), "alie": cell(0.1), "wb": blown})), test_size=100)
    assert codes(flagged(report)) == ["SHORT_SCALE", "DIVERGED"]


def test_defenses_that_met_different_attacks() -> None:
    spared = defense("Krum", point(4, {"none": cell(1), "wb": cell(0.9)}))
    flag = the("UNEQUAL_SUITES", flagged(world(mean(), spared)))
    assert flag["defense"] == "Krum"
    assert "alie" in flag["message"]


def test_an_informed_attack_that_is_beaten_by_a_blind_one() -> None:
    krum = defense("Krum", point(4, {"none": cell(1), "alie": cell(0.3), "wb": cell(0.6)}))
    flag = the("WEAK_WHITE_BOX", flagged(world(mean(), krum)))
    assert (flag["defense"], flag["attack"], flag["f"]) == ("Krum", "wb", 4)
    assert "0.30 against 0.60" in flag["message"]


def test_differences_that_do_not_matter_are_no_fault_of_a_search() -> None:
    for blind, informed in ((0.300, 0.315), (-0.20, -0.01)):  # below 0 all is destroyed
        cells = {"none": cell(1), "alie": cell(blind, spread=0.002), "wb": cell(informed, spread=0.002)}
        for done in cells.values():
            done["U"] = max(done["U"], 0.0)
        assert flagged(world(mean(), defense("Krum", point(4, cells)))) == []


def test_an_attack_that_is_made_for_a_defense_counts_as_informed() -> None:
    evidence = Evidence(threats={"alie": Threat(classes=("alie",), tailored=True)})
    krum = defense("Krum", point(4, {"none": cell(1), "alie": cell(0.3), "wb": cell(0.6)}))
    assert flagged(world(mean(), krum), evidence=evidence) == []


HUMBLE = {**INFORMED, "flip": ("own",), "rider": ()}


def humbled(flip: dict[str, Any], rider: dict[str, Any], wb: dict[str, Any]) -> list[dict[str, Any]]:
    cells = {"none": cell(1), "flip": flip, "rider": rider, "wb": wb}
    plain = defense("Mean", point(4, {**cells, "wb": cell(0), "flip": cell(0.1), "rider": cell(0.1)}))
    return flagged(world(plain, defense("Krum", point(4, cells))), knowledge=HUMBLE)


def test_an_attack_that_sees_nothing_beats_the_white_box() -> None:
    flags = humbled(cell(0.4), cell(0.9), cell(0.6))
    assert codes(flags) == ["LESS_KNOWLEDGE_STRONGER"]  # not WEAK_WHITE_BOX as well
    flag = the("LESS_KNOWLEDGE_STRONGER", flags)
    assert (flag["defense"], flag["attack"], flag["f"]) == ("Krum", "flip", 4)
    assert "0.40 against 0.60" in flag["message"]


def test_it_has_to_be_significant_among_all_that_see_nothing() -> None:
    noisy = {**cell(0.5), "u": [0.49, 0.51, 0.44, 0.56, 0.5]}
    informed = {**cell(0.555), "u": [0.575, 0.535, 0.525, 0.585, 0.555]}
    # One-sided p of a gap beyond 0.02 is 0.03: enough for one such attack, not for the better of two.
    alone = {"none": cell(1), "flip": noisy, "wb": informed}
    assert codes(flagged(world(mean(), defense("Krum", point(4, alone))), knowledge=HUMBLE))[0] == (
        "LESS_KNOWLEDGE_STRONGER"
    )
    assert humbled(noisy, cell(0.9), informed) == []


def test_a_search_that_finds_more_with_more_candidates_has_not_converged() -> None:
    knowledge = {**INFORMED, "wb38": INFORMED["wb"]}

    def found(wb: float, more: float) -> list[dict[str, Any]]:
        cells = {"none": cell(0.5), "alie": cell(0.9), "wb": cell(wb), "wb38": cell(more)}
        plain = defense("Mean", point(4, {a: cell(0) for a in cells}))
        krum = defense("Krum", point(4, cells))
        return flagged(world(plain, krum), knowledge=knowledge, evidence=Evidence(doubled={"wb": "wb38"}))

    flag = the("SEARCH_NOT_CONVERGED", found(0.4, 0.3))
    assert (flag["defense"], flag["attack"], flag["f"]) == ("Krum", "wb38", 4)
    assert "from 0.40 to 0.30" in flag["message"]
    assert found(0.40, 0.39) == []
    assert found(0.80, 0.495) == []  # no attack at all is nearly as bad, so the worst case hardly moves


def test_misconduct_is_an_error_of_the_defense_that_was_seen() -> None:
    evidence = Evidence(conduct={("w", "Mean"): ("draws", "changes its input"), ("v", "Mean"): ("x",)})
    flag = the("CONDUCT", flagged(world(mean()), evidence=evidence))
    assert (flag["level"], flag["world"], flag["defense"]) == ("error", "w", "Mean")
    assert "it draws; it changes its input." in flag["message"]


def share(attack: str, f: int, value: float) -> RoundShare:
    return RoundShare(attack=attack, f=f, share=value)


def test_more_clients_caught_than_told_is_one_warning_for_all_attacks() -> None:
    cells = (share("alie", 4, 0.002), share("nan", 4, 0.5), share("nan", 2, 0.75), share("none", 2, 0.25))
    evidence = Evidence(exceeded={("w", "Mean"): cells, ("v", "Mean"): cells})
    flag = the("EXCEEDED", flagged(world(mean()), evidence=evidence))
    assert (flag["level"], flag["world"], flag["defense"]) == ("warning", "w", "Mean")
    assert (flag["attack"], flag["f"]) == (None, None)
    places = "under nan (f = 2, 4), without an attack (f = 2), under alie (f = 4)."
    assert f"in up to 75% of the rounds: {places}" in flag["message"]


def test_a_single_place_is_named_and_few_rounds_are_not_none() -> None:
    evidence = Evidence(exceeded={("w", "Mean"): (share("alie", 4, 0.002),)})
    flag = the("EXCEEDED", flagged(world(mean()), evidence=evidence))
    assert (flag["attack"], flag["f"]) == ("alie", 4)
    assert "in up to 1% of the rounds: under alie (f = 4)." in flag["message"]


def test_a_training_that_stood_still_is_a_warning_from_a_tenth_of_the_rounds() -> None:
    cells = (share("alie", 4, 0.09), share("wb", 4, 0.1), share("nan", 4, 1.0))
    flag = the("HELD", flagged(world(mean()), evidence=Evidence(held={("w", "Mean"): cells})))
    assert (flag["level"], flag["defense"], flag["attack"], flag["f"]) == ("warning", "Mean", None, 4)
    assert "in up to 100% of the rounds: under nan (f = 4), under wb (f = 4)." in flag["message"]
    assert flagged(world(mean()), evidence=Evidence(held={("w", "Mean"): cells[:1]})) == []


def test_no_attack_at_all_is_no_rival_of_the_informed() -> None:
    report = world(defense("Mean", point(4, {"none": cell(0.05), "wb": cell(0.1)})))
    assert flagged(report) == []


def test_without_informed_attacks_numbers_are_upper_bounds() -> None:
    flag = the("UPPER_BOUND", flagged(world(mean()), knowledge={"alie": ("own", "peers")}))
    assert (flag["world"], flag["defense"]) == (None, None)
    assert "at most this good" in flag["message"]
    assert codes(flagged(world(mean()), knowledge=None)) == ["UPPER_BOUND"]


def test_an_informed_attack_that_never_finished_does_not_count() -> None:
    krum = defense("Krum", point(4, {"none": cell(1), "alie": cell(0.6), "wb": lost()}))
    flag = the("UPPER_BOUND", flagged(world(mean(), krum)))
    assert flag["defense"] == "Krum"


def test_nothing_scored_raises_nothing_but_the_missing_mean() -> None:
    assert codes(suite_remarks([])) == ["NO_PLAIN_MEAN"]


def test_ranks_that_no_test_stands_behind() -> None:
    rows = [{"defense": "A", "R_mean": 0.6}, {"defense": "B", "R_mean": 0.5}]
    assert "fewer than two seeds in common" in the("RANKS_NOT_TESTED", ranking_remarks(rows, tested=False))["message"]
    assert ranking_remarks(rows, tested=True) == []
    assert ranking_remarks(rows[:1], tested=False) == []
    assert ranking_remarks([{**rows[0], "rank": 1}, {**rows[1], "rank": None}], tested=False) == []


def test_a_defense_without_value_is_not_called_weak() -> None:
    rows: list[dict[str, Any]] = [{"defense": "A", "R_mean": 0.6}, {"defense": "B", "R_mean": None}]
    flags = ranking_remarks(rows, tested=False)
    assert codes(flags) == ["UNRANKED"]
    assert (the("UNRANKED", flags)["defense"], the("UNRANKED", flags)["level"]) == ("B", "error")
