"""Remarks on undisturbed training: not finished, at too large a step, or on too short a scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl.evaluation.results.training import training_of
from robustfl.evaluation.trust.remarks import suite_remarks
from robustfl.evaluation.trust.training import training_remarks
from tests.evaluation.trust.test_remarks import codes, mean, the, world


def trained(rise: Any = (0.0,) * 5, central: Any = (0.5,) * 5, instability: Any = (0.6,) * 5) -> dict[str, Any]:
    """A world with chance 0.1 and baseline 0.5, and how its training went."""
    facts = {"rise": rise, "central": central, "sharpness": [4.0] * 5, "instability": instability}
    baseline = {"mean": 0.5, "per_seed": [0.49, 0.5, 0.51, 0.5, 0.5]}
    return world(mean(), training={name: list(values) for name, values in facts.items()}, baseline=baseline)


def test_a_finished_training_at_a_stable_step_has_no_remark() -> None:
    assert codes(list(training_remarks(trained(), "balanced_accuracy"))) == []
    assert codes(list(training_remarks(world(mean()), "balanced_accuracy"))) == []  # nothing is known of it
    unknown = trained(rise=[None] * 5, central=[None] * 5, instability=[None] * 5)
    assert codes(list(training_remarks(unknown, "balanced_accuracy"))) == []


def test_a_baseline_that_still_rises_is_not_trained() -> None:
    rising = trained(rise=[0.02, 0.03, 0.025, 0.01, 0.03])
    flag = the("NOT_TRAINED", suite_remarks([rising], accuracy="balanced_accuracy"))
    assert "balanced accuracy of 0.500 still rises" in flag["message"]
    assert "before you add attacks" in flag["message"]
    for rises in ([0.001] * 5, [0.3, -0.25, 0.1, -0.1, 0.05], [0.03]):  # too little, noise, a single seed
        assert "NOT_TRAINED" not in codes(list(training_remarks(trained(rise=rises), "balanced_accuracy")))


def test_a_baseline_far_below_training_on_all_data_is_not_trained() -> None:
    flag = the("NOT_TRAINED", list(training_remarks(trained(central=[0.9, 0.91, 0.9, 0.92, 0.9]), "macro_f1")))
    assert "0.906 in as many steps" in flag["message"]
    for central in ([0.59] * 5, [0.3] * 5, [0.1, 0.1, 1.0, 1.0, 1.0]):  # near enough, worse, and not certain
        assert "NOT_TRAINED" not in codes(list(training_remarks(trained(central=central), "macro_f1")))
    assert "NOT_TRAINED" in codes(list(training_remarks(trained(central=[0.9]), "macro_f1")))


def test_nobody_is_told_to_attack_harder_what_has_not_been_trained() -> None:
    rising = trained(rise=[0.02, 0.03, 0.025, 0.01, 0.03])
    early = the("SCENARIO_NOT_ATTACKABLE", suite_remarks([{**rising, "defenses": world(mean(level=0.6))["defenses"]}]))
    assert "train first" in early["message"]
    assert "stronger attacks" not in early["message"]
    assert "stronger attacks" in the("SCENARIO_NOT_ATTACKABLE", suite_remarks([world(mean(level=0.6))]))["message"]


def test_a_world_that_learns_nothing_may_only_lack_rounds() -> None:
    nothing = {**trained(central=[0.9] * 5), "baseline": {"mean": 0.12, "per_seed": [0.12] * 5}, "informative": False}
    assert {"UNINFORMATIVE", "NOT_TRAINED"} <= set(codes(suite_remarks([nothing])))


def test_rises_by_chance_are_rarely_taken_for_rises() -> None:
    """At most 5 % of trainings that have ended, with noise that is as large as what the remark is about."""
    rng = np.random.default_rng(0)

    def raised(slope: float) -> float:
        worlds = [trained(rise=rng.normal(slope, 0.02, size=5)) for _ in range(400)]
        return float(np.mean([bool(list(training_remarks(one, "plain_accuracy"))) for one in worlds]))

    assert raised(0.0) <= 0.06
    assert raised(0.04) > 0.9


def test_a_step_above_the_bound_is_unstable() -> None:
    flag = the("UNSTABLE_STEP", list(training_remarks(trained(instability=[1.4, 1.5, 1.6, 1.4, 1.6]), "macro_f1")))
    assert "1.5 times what its loss can bear" in flag["message"]
    assert "about 4.0" in flag["message"]
    assert "UNSTABLE_STEP" not in codes(list(training_remarks(trained(instability=[0.9, 1.05, 0.95]), "macro_f1")))


@pytest.mark.parametrize(
    ("level", "chance", "tested", "expected"),
    [
        (0.983, 0.898, 250, True),  # a few test samples are all of the scale
        (0.983, 0.898, 25_000, False),
        (0.95, 0.333, 500, False),
        (0.95, 0.333, 12, True),
    ],
)
def test_a_scale_that_the_test_set_cannot_resolve(level: float, chance: float, tested: int, expected: bool) -> None:
    baseline = {"mean": level, "per_seed": [level] * 5}
    short = world(mean(), baseline=baseline, chance=chance, test_size=tested, effective_test_size=float(tested))
    assert ("SHORT_SCALE" in codes(list(training_remarks(short, "plain_accuracy")))) == expected


def test_a_baseline_that_differs_from_seed_to_seed_makes_a_scale_short_too() -> None:
    apart = {"mean": 0.5, "per_seed": [0.3, 0.7, 0.5, 0.35, 0.65]}
    assert codes(list(training_remarks(world(mean(), baseline=apart), "macro_f1"))) == ["SHORT_SCALE"]


# -- what records say


def record(curve: list[tuple[int, float]], status: str = "ok", **more: Any) -> Any:
    metrics = {"accuracy": [list(pair) for pair in curve], "more": more}
    return {"status": status, "metrics": metrics, "scenario": {"federation": {"rounds": 100}}}


def test_the_rise_is_that_of_the_last_quarter() -> None:
    line = [(number, 0.9 if number <= 70 else 0.5 + 0.002 * number) for number in range(10, 101, 5)]
    (found,) = training_of([record(line)], "plain_accuracy")["rise"]
    assert found == pytest.approx(0.02)
    few = [(50, 0.5), (90, 0.6), (100, 0.7)]
    unfinished = record(line, status="diverged")
    assert training_of([record(few), unfinished, None], "plain_accuracy")["rise"] == [None] * 3


def test_the_chosen_measure_decides() -> None:
    line = [(number, 0.9) for number in range(80, 101, 5)]
    curve = [0.5 + 0.01 * step for step in range(5)]
    one = record(line, balanced_accuracy_curve=curve, central_balanced_accuracy=0.7, sharpness=3.0, instability=1.2)
    found = training_of([one], "balanced_accuracy")
    assert found["rise"] == [pytest.approx(0.02)]
    assert (found["central"], found["sharpness"], found["instability"]) == ([0.7], [3.0], [1.2])
    assert training_of([one], "plain_accuracy")["rise"] == [pytest.approx(0.0)]
    assert training_of([one], "plain_accuracy")["central"] == [None]
