"""The worst case at each level of what attackers know."""

from __future__ import annotations

from typing import Any

import pytest

from robustfl.evaluation.score.score import score
from tests.evaluation.outcomes import cell, only, world

KNOWLEDGE = {"own": ["own", "defense"], "seen": ["own", "peers", "defense"], "all": ["peers", "data", "defense"]}


def at_levels(**heights: float) -> dict[str, Any]:
    outcomes = cell("none", 3, (1.0, 0.98, 1.02))
    for attack, height in heights.items():
        outcomes += cell(attack, 3, (height, height - 0.02, height + 0.02))
    result: dict[str, Any] = dict(score(outcomes, [world()], knowledge=KNOWLEDGE))
    return result


def test_each_level_of_knowledge_has_its_worst_case_over_the_attacks_within_it() -> None:
    result = at_levels(own=0.9, seen=0.5, all=0.1)
    levels = only(result)["curve"][0]["levels"]
    found = {name: (level["W"], level["worst_attack"], level["attacks"]) for name, level in levels.items()}
    assert found == {
        "own": (pytest.approx(0.9), "own", 1),
        "updates": (pytest.approx(0.5), "seen", 2),
        "everything": (pytest.approx(0.1), "all", 3),
    }
    assert levels["everything"]["W_ci"] == only(result)["curve"][0]["W_ci"]
    assert result["ranking"][0]["R_levels"] == {level: found[level][0] for level in found}


def test_levels_are_ordered_also_where_the_attacks_are_not() -> None:
    levels = only(at_levels(own=0.2, seen=0.5, all=0.7))["curve"][0]["levels"]
    assert [levels[name]["worst_attack"] for name in ("own", "updates", "everything")] == ["own"] * 3
    assert [levels[name]["W"] for name in levels] == pytest.approx([0.2] * 3)


def test_a_level_without_an_attack_has_no_number_and_no_attack_counts_on_each() -> None:
    levels = only(at_levels(seen=1.5, unheard_of=0.4))["curve"][0]["levels"]
    assert levels["own"] is None
    assert (levels["updates"]["W"], levels["updates"]["worst_attack"]) == (pytest.approx(1.0), "none")
    assert levels["everything"]["worst_attack"] == "unheard_of"  # what it knows is not known
    defense = only(at_levels(seen=0.5))
    assert defense["R_levels"]["own"] == {"R": None, "R_ci": None}
