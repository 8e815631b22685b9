"""The targeted axis: lift, what is kept, effectiveness, T, and how a suite's records become it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.attacks import BadNets, Clones, LabelFlip, ModelReplacement
from robustfl.errors import ParameterError
from robustfl.evaluation.claims.language import Expression
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.executors import Processes, Serial
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.run.triggers import pictures
from robustfl.evaluation.score.curve import kept
from robustfl.evaluation.score.targeted import effectiveness, lift, targeted, weakest
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment, Scenario

SHARE = st.floats(0.0, 1.0)


def test_published_lifts() -> None:
    assert float(lift(0.93, 0.10)) == pytest.approx(0.92222222)
    assert float(lift(0.08, 0.10)) == 0.0
    np.testing.assert_allclose(lift([1.0, 0.5, 1.0], [0.2, 0.5, 1.0]), [1.0, 0.0, 0.0])


@given(success=SHARE, natural=SHARE, utility=st.floats(-1.0, 2.0))
def test_more_success_and_less_utility_never_keep_more(success: float, natural: float, utility: float) -> None:
    lifted = lift(success, natural)
    assert 0.0 <= lifted <= 1.0
    assert lift(min(1.0, success + 0.1), natural) >= lifted
    value = kept(utility, lifted)
    assert 0.0 <= value <= min(max(utility, 0.0), 1.0)
    assert kept(utility - 0.1, lifted) <= value


def test_rates_outside_their_range_are_refused() -> None:
    for rates, name in (((1.2, 0.1), "success"), ((0.2, float("nan")), "natural")):
        with pytest.raises(ParameterError, match=f"`{name}` should lie in"):
            lift(*rates)


def test_a_defense_that_destroys_accuracy_keeps_nothing() -> None:
    assert float(kept(-0.05, lift(0.0, 0.1))) == 0.0
    assert float(kept(1.02, lift(0.0, 0.1))) == 1.0
    assert float(kept(0.9, lift(0.93, 0.10))) == pytest.approx(1 - 0.92222222)


def test_effectiveness_rewards_a_fallen_attack_and_punishes_lost_accuracy() -> None:
    assert effectiveness((0.95, 0.05), (0.92, 0.90)) == pytest.approx(0.94)  # 0.96 if the loss were added
    assert effectiveness((0.95, 0.95), (0.92, 0.92)) == 0.5
    assert effectiveness((0.0, 0.5), (0.9, 1.0)) == 0.5  # nothing is gained or lost below zero
    assert effectiveness((0.5, 0.5), (1.0, 0.0)) == 0.0


def test_t_is_the_minimum_of_means_over_attacks() -> None:
    values = {"a": [0.7, 0.8, 0.6], "b": [0.5, 0.55, 0.6], "c": [0.45, 0.65, 0.7]}
    assert weakest(values) == ("b", pytest.approx(0.55))


# -- from records


def record(aims: dict[str, float], **more: Any) -> dict[str, Any]:
    return {"metrics": {"more": {"aims": aims, **more}}}


def cell(trials: list[str], u: list[float | None], status: str = "ok") -> dict[str, Any]:
    accuracy = [None if value is None else 0.1 + 0.8 * value for value in u]
    return {"trials": trials, "u": u, "accuracy": accuracy, "status": [status] * len(u)}


def scored(attacks: dict[str, Any], *, invalid: str | None = None, defense: str = "Krum") -> dict[str, Any]:
    points = [
        {"f": 0, "invalid": None, "W": 1.0, "attacks": {"none": cell(["n0", "n1"], [1.0, 1.0])}},
        {"f": 3, "invalid": invalid, "W": 0.5, "attacks": {"none": cell(["n0", "n1"], [1.0, 1.0]), **attacks}},
    ]
    world = {"world": "w", "seeds": [0, 1], "defenses": [{"defense": defense, "curve": points}]}
    return {"settings": {"alpha": 0.05}, "worlds": [world]}


RECORDS: dict[str, Any] = {
    "n0": record({"flip": 0.1, "mark": 0.0, "easy": 0.99}),
    "n1": record({"flip": 0.2, "mark": 0.0, "easy": 0.97}),
    "a0": record({"flip": 0.55}, aim="flip"),
    "a1": record({"flip": 0.6}, aim="flip", durability=7, durability_censored=True),
    "b0": record({"mark": 0.1}, aim="mark"),
    "b1": record({"mark": 0.3}, aim="mark"),
    "c0": record({"easy": 1.0}, aim="easy"),
    "d0": record({}),
}


def test_success_is_compared_with_the_same_seed_without_the_attack() -> None:
    attacks = {"flip": cell(["a0", "a1"], [0.9, 0.4]), "mark": cell(["b0", "b1"], [0.95, 1.1])}
    (world,) = targeted(scored(attacks), RECORDS, "Mean")
    (krum,) = world["defenses"]
    flip, mark = krum["attacks"]
    assert flip["kept_per_seed"] == pytest.approx([0.5, 0.4])  # lifts 0.5 and 0.5, and the second has U = 0.4
    assert mark["kept_per_seed"] == pytest.approx([0.9, 0.7])
    assert (krum["T"], krum["worst_attack"], krum["f"]) == (pytest.approx(0.45), "flip", 3)
    assert krum["T_ci"] is None  # two seeds
    assert (flip["success"], flip["natural"]) == (pytest.approx(0.575), pytest.approx(0.15))
    assert (flip["durability"], flip["outlasts"], flip["effectiveness"]) == (7.0, True, None)
    json.dumps(world, allow_nan=False)


def test_aims_that_a_model_meets_anyway_say_nothing() -> None:
    attacks = {"easy": cell(["c0", "c0"], [0.1, 0.1]), "mark": cell(["b0", "b1"], [1.0, 1.0])}
    (krum,) = targeted(scored(attacks), RECORDS, "Mean")[0]["defenses"]
    assert krum["worst_attack"] == "mark"
    assert [c["informative"] for c in krum["attacks"]] == [False, True]


def test_runs_that_diverged_keep_nothing_and_missing_ones_leave_it_open() -> None:
    attacks = {"mark": cell(["b0", "b1"], [0.9, 0.0])}
    attacks["mark"]["status"] = ["ok", "diverged"]
    (krum,) = targeted(scored(attacks), RECORDS, "Mean")[0]["defenses"]
    assert krum["attacks"][0]["kept_per_seed"] == pytest.approx([0.9, 0.0])
    attacks = {"mark": cell(["b0", "gone"], [0.9, None]), "flip": cell(["a0", "a1"], [0.9, 0.9])}
    (krum,) = targeted(scored(attacks), RECORDS, "Mean")[0]["defenses"]
    assert (krum["worst_attack"], krum["incomplete"]) == ("flip", ["mark"])


def test_a_defense_that_cannot_be_used_has_kept_nothing() -> None:
    (krum,) = targeted(scored({"mark": cell(["b0", "b1"], [1, 1])}, invalid="n >= 2f + 3"), RECORDS, "Mean")[0][
        "defenses"
    ]
    assert (krum["T"], krum["f"], krum["invalid"]) == (0.0, 3, "n >= 2f + 3")


def test_effectiveness_is_measured_from_the_plain_mean() -> None:
    scores = scored({"mark": cell(["b0", "b1"], [0.9, 0.9])})
    bare = scored({"mark": cell(["p", "p"], [1.0, 1.0])}, defense="Mean")
    scores["worlds"][0]["defenses"] += bare["worlds"][0]["defenses"]
    records = {**RECORDS, "p": record({"mark": 0.9}, aim="mark")}
    krum, mean = targeted(scores, records, "Mean")[0]["defenses"]
    expected = effectiveness((0.9, 0.2), (0.9, 0.82))
    assert krum["attacks"][0]["effectiveness"] == pytest.approx(expected)
    assert mean["attacks"][0]["effectiveness"] is None


def test_worlds_without_such_attacks_are_left_out() -> None:
    assert targeted(scored({"harm": cell(["d0", "d0"], [0.5, 0.5])}), RECORDS, "Mean") == []


# -- in a suite


MARK = {"bad_nets": {"target": 7, "ratio": 1.0}}


def suite(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 5, "rounds": 12, "evaluate_every": 6},
        "adversary": {"f": [1]},
        "defenses": ["mean", "median"],
        "attacks": [[MARK, "model_replacement"], MARK, "label_flip"],
        "seeds": 2,
    }
    return {**values, **changes}


def test_only_trials_without_an_attack_measure_the_aims_of_the_suite() -> None:
    trials = Plan(Experiment(suite())).trials
    aims = {trial.attack: [str(aim) for aim in trial.scenario.aims] for trial in trials}
    mark = "BadNets(target=7, ratio=1)"
    assert aims == {"none": [mark], f"{mark} > ModelReplacement": [], mark: [], "LabelFlip": []}
    again = Scenario.model_validate(trials[0].description)
    assert again == trials[0].scenario
    others = Plan(Experiment(suite(attacks=["label_flip"]))).trials
    assert all(trial.scenario.aims == () for trial in others)


def test_chains_of_attacks_are_read_named_and_written_back() -> None:
    chain = [{"clones": {"count": 2}}, MARK, "model_replacement"]
    experiment = Experiment(suite(attacks=[chain]))
    (attack,) = experiment.suite.attacks
    assert attack == Clones(count=2) >> BadNets(target=7, ratio=1.0) >> ModelReplacement()
    assert Experiment(suite(attacks=experiment.suite.model_dump(mode="json")["attacks"])).hash == experiment.hash
    for said in ("clones(count=2) >> bad_nets(target=7, ratio=1.0) >> model_replacement", f"'{attack}'"):
        measure = Expression.read(f"more(mean, attack_success, attack={said}, f=1)")
        (reading,) = measure.readings()
        assert experiment.names.place(measure, reading).attack == str(attack)


def test_a_run_ends_with_the_targeted_axis_and_pictures(tmp_path: Any) -> None:
    options = RunOptions(out=tmp_path / "run", workers=0, checks=NO_CHECKS)
    summary = run_experiment(Experiment(suite()), options, Quiet())
    ((mean, median),) = [world["defenses"] for world in summary["targeted"]]
    assert {cell["attack"] for cell in mean["attacks"]} == {
        "BadNets(target=7, ratio=1)",
        "BadNets(target=7, ratio=1) > ModelReplacement",
    }
    assert mean["worst_attack"] == "BadNets(target=7, ratio=1) > ModelReplacement"
    assert mean["T"] < median["T"]
    # Two of three attacks have an aim, so the score counts what is kept of both, and its worst case is T.
    scores = summary["scores"]
    assert scores["settings"]["aims_first"]
    for own in scores["worlds"][0]["defenses"]:
        (point,) = own["curve"]
        (axis,) = (found for found in (mean, median) if found["defense"] == own["defense"])
        assert point["W"] == pytest.approx(
            min(axis["T"], point["attacks"]["LabelFlip"]["U"], point["attacks"]["none"]["U"])
        )
    (picture,) = summary["triggers"]
    clean, marked = (np.frombuffer(bytes.fromhex(picture[k]), np.uint8).reshape(8, 8) for k in ("clean", "marked"))
    assert (marked[5:, 5:] == 255).all()
    assert (clean[:5] == marked[:5]).all()
    assert picture["wanted"] == "7" != picture["truth"]


@pytest.mark.slow
def test_workers_find_the_same_bits_as_this_process() -> None:
    jobs = [(trial, "print") for trial in Plan(Experiment(suite(seeds=1, defenses=["mean"]))).trials]
    found = [
        {record["trial"]: {**record, "time": {}} for record in executor.run(jobs, Resources())}
        for executor in (Serial(), Processes(2))
    ]
    assert found[0] == found[1]
    assert all(record["status"] == "ok" for record in found[0].values())


def test_triggers_that_do_not_fit_or_look_alike_have_no_picture_of_their_own() -> None:
    worlds = Experiment(suite()).worlds
    aims = (BadNets(target=7, size=9), BadNets(target=10), LabelFlip(mode="targeted"), BadNets(target=3))
    aims += (BadNets(target=3, stop_round=5),)  # looks like the one before
    assert [picture["aim"] for picture in pictures(worlds, aims, None)] == ["BadNets(target=3)"]
