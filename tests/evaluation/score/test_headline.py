"""The headline: what it names, when it names no winner, and that terminal and reports say the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from robustfl import console
from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.score.headline import headline
from robustfl.evaluation.score.score import score
from robustfl.evaluation.trust.remark import make_remark
from robustfl.reports import HTML, Leaderboard, Markdown
from robustfl.reports.markup import escaped
from tests.evaluation.outcomes import cell, suite, world
from tests.reports.synthetic import run

KNOWLEDGE = {"bad": ["peers", "data", "defense"], "mild": ["own"]}


def summary(
    heights: dict[str, float], seeds: int = 5, places: tuple[str, ...] = ("w",), **changes: Any
) -> dict[str, Any]:
    """A suite of defenses that keep these utilities under the attack "bad" by 3 of 10 clients."""
    outcomes = [
        o
        for place in places
        for name, height in heights.items()
        for o in suite({0: 1.0, 3: height}, seeds, name, spread=0.02 + 0.005 * len(name), place=place)
    ]
    worlds = [world(seeds, label=place) for place in places]
    scores = score(outcomes, worlds, knowledge=KNOWLEDGE, **changes)
    flags = [flag for flag in scores["flags"] if flag["level"] != "error"]
    return {"scores": {**scores, "flags": flags}, "suite": {"seeds": list(range(seeds))}}


CLEAR = {"Good": 0.7, "Middle": 0.4, "Mean": 0.0}


def test_the_best_is_named_with_number_interval_attack_and_knowledge() -> None:
    found = summary(CLEAR)
    low, high = found["scores"]["ranking"][0]["W_ci"]
    assert headline(found) == (
        f"Good holds up best. With 3 of 10 clients malicious Good keeps 0.70 of what attack-free training gains (95% "
        f"interval {low:.2f} to {high:.2f}), under bad, the strongest of 2 attacks by attackers who know everything. "
        "It keeps 0.85 against those who know their own data alone and 0.85 against those who know their own data and "
        "the honest updates."
    )


def test_of_several_worlds_the_weakest_is_told() -> None:
    found = summary(CLEAR, places=("v", "w"))
    for point in found["scores"]["ranking"]:
        point["world"] = "w"
    low, high = found["scores"]["ranking"][0]["R_ci"]
    assert "attack-free training gains in its weakest world, “w” (95%" in headline(found)
    assert headline(found).endswith(
        f"the mean over the attacked shares and 2 worlds, is 0.70 (95% interval {low:.2f} to {high:.2f})."
    )


@pytest.mark.parametrize(
    ("heights", "changes", "said"),
    [
        ({"A": 0.70, "BB": 0.695, "Mean": 0.0}, {}, "A and BB cannot be told apart with 5 seeds."),
        ({"A": 0.7, "Mean": 0.1}, {"seeds": 1}, "with one seed no difference can be told from chance"),
        ({"A": 0.7}, {}, "A is the only defense with a number."),
        ({"Mean": 0.7, "A": 0.1}, {}, "No defense is better than plain averaging (Mean)."),
    ],
)
def test_no_winner_where_the_results_do_not_bear_one(heights: dict[str, float], changes: Any, said: str) -> None:
    text = headline(summary(heights, **changes))
    assert said in text
    assert "holds up best" not in text
    assert "With 3 of 10 clients malicious" in text  # the number stands nevertheless


def test_no_winner_in_a_suite_where_nothing_hurts() -> None:
    """Plain averaging, hardly harmed by anything, is not said to hold up."""
    found = summary({"Mean": 0.97, "A": 0.6})
    found["scores"]["flags"] += [make_remark("SCENARIO_NOT_ATTACKABLE", "error", "", world="w", defense="Mean")]
    assert headline(found).startswith("No defense is called the best: the attacks do too little harm to tell")
    assert "holds up best" not in headline(summary({"Mean": 0.97, "A": 0.6}))


def test_no_winner_while_an_error_stands_or_its_status_is_suspect() -> None:
    found = summary(CLEAR)
    found["scores"]["ranking"][0]["status"] = "SUSPECT"
    assert "a check of the evaluation failed for Good" in headline(found)
    found = summary(CLEAR)
    found["scores"]["flags"] += [make_remark("CONDUCT", "error", "", world="w", defense="Middle")]
    assert "No defense is called the best while errors stand (CONDUCT)" in headline(found)


def test_nobody_scored_and_nobody_ranked() -> None:
    found = summary(CLEAR)
    for row in found["scores"]["ranking"]:
        row["rank"] = None
    assert headline(found).startswith("No defense met everything that an evaluation needs, or a check failed")
    for row in found["scores"]["ranking"]:
        row["R_mean"] = None
    assert headline(found).startswith("No defense could be scored")
    for place in found["scores"]["worlds"]:
        for defense in place["defenses"]:
            for point in defense["curve"]:
                point["attacks"] = {name: cell for name, cell in point["attacks"].items() if name == NO_ATTACK}
    assert headline(found).startswith("Nobody attacks here, so no defense is scored.")


def test_those_who_could_be_ranked_are_counted() -> None:
    found = summary(CLEAR)
    found["scores"]["ranking"][-1]["rank"] = None
    assert headline(found).startswith("Of the 2 defenses that could be ranked, Good holds up best.")


def test_too_few_seeds_have_no_interval_and_a_refused_defense_keeps_nothing() -> None:
    assert "(2 seeds: too few for an interval)" in headline(summary(CLEAR, seeds=2))
    found = summary(CLEAR)
    found["scores"]["worlds"][0]["defenses"][0]["curve"][-1]["invalid"] = "Good needs n >= 2f + 3."
    assert (
        "With 3 of 10 clients malicious Good cannot be used, so it keeps nothing. Good needs n >= 2f + 3."
        in headline(found)
    )


def test_where_no_attack_does_harm_that_is_said() -> None:
    outcomes = [o for name, u in (("A", 0.6), ("Mean", 0.1)) for o in cell("none", 3, (u,) * 5, name)]
    outcomes += [o for name in ("A", "Mean") for o in cell("bad", 3, (0.9,) * 5, name)]
    found = {"scores": score(outcomes, [world(5)]), "suite": {"seeds": list(range(5))}}
    assert "which is what it keeps without any attack: 1 attack by attackers who know everything did no more" in (
        headline(found)
    )


def test_where_a_suite_is_about_aims_the_success_is_told() -> None:
    lifts = {f"w-A-bad-3-{seed}": 0.4 for seed in range(5)} | {f"w-Mean-bad-3-{seed}": 0.9 for seed in range(5)}
    found = summary({"A": 0.9, "Mean": 0.95}, lifts=lifts)
    targeted = {"attack": "bad", "f": 3, "success": 0.46, "natural": 0.1, "accuracy": 0.81}
    found["targeted"] = [{"world": "w", "defenses": [{"defense": "A", "attacks": [targeted]}]}]
    assert headline(found).startswith(
        "A holds up best. With 3 of 10 clients malicious A keeps 0.60 of the main task and of the samples aimed at"
    )
    assert headline(found).endswith("The attack succeeds on 0.46 of its samples (0.10 without it); accuracy is 0.81.")


def test_terminal_and_reports_say_the_same() -> None:
    results = run()
    shown: Any = copy.deepcopy(results.summary)
    shown["suite"]["standard"] = {"name": "standard-v1", "hash": "0123456789abcdef"}
    for row in shown["scores"]["ranking"]:
        row |= {"status": "ADAPTIVE", "why": []}
    results = type(results)(summary=shown, records=results.records)
    text = headline(shown)
    assert console.headline_lines(shown)[0] == text
    assert escaped(text) in Markdown().render(results)
    assert escaped(text) in Leaderboard().render(results)
    assert text.split(".")[0] in HTML().render(results)
