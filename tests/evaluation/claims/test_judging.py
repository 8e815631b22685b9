"""How claims are measured in scores and records: values, paired intervals, verdicts, and reasons for having none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from robustfl.evaluation.claims.judging import judged
from robustfl.evaluation.score.score import score
from robustfl.evaluation.statistics import minimum_interval
from robustfl.evaluation.suite.scenario import Experiment
from tests.evaluation.claiming import OUTCOMES, SAID, STRONG, WEAK, WORLD, claiming, judge, played
from tests.evaluation.outcomes import changed, world


def student(values: Any, confidence: float = 0.95) -> list[float]:
    """The interval by another road."""
    mean, error = np.mean(values), stats.sem(values)
    return [float(end) for end in stats.t.interval(confidence, len(values) - 1, mean, error)]


def test_a_reading_is_what_the_scores_say_with_its_interval() -> None:
    found = judge("U(nnm >> krum, attack=sign_flip, f=3)", ">= 0.9")
    assert found["value"] == pytest.approx(0.8)
    assert found["per_seed"] == pytest.approx([0.8, 0.6, 1.0])
    assert found["ci"] == pytest.approx(student([0.8, 0.6, 1.0]))
    assert (found["verdict"], found["reason"]) == ("not decided", "")
    assert found["difference"] == pytest.approx(-0.1)
    assert {key: found[key] for key in SAID} == SAID


@pytest.mark.parametrize(
    ("measure", "value", "per_seed"),
    [
        ("U(mean)", 1.0, (1.0, 1.1, 0.9)),
        ("U(mean, attack=none, f=3)", 0.3, WEAK),
        ("accuracy(mean)", 0.5, (0.5, 0.54, 0.46)),
        ("W(nnm >> krum, f=1)", 0.8, (0.8, 0.6, 1.0)),
        ("M(mean, f=1)", 0.3, WEAK),
        ("R(nnm >> krum)", 0.8, (0.8, 0.6, 1.0)),
        ("abs(W(mean, f=1) - 1)", 0.7, (0.7, 0.6, 0.8)),
        ("min(U(mean), W(nnm >> krum, f=1))", 0.8, (0.8, 0.6, 1.0)),
        ("max(0.5, W(mean, f=1))", 0.5, ()),
        ("2 * U(mean, f=3) + 1", 1.6, (1.6, 1.8, 1.4)),
    ],
)
def test_measures(measure: str, value: float, per_seed: tuple[float, ...]) -> None:
    found = judge(measure)
    assert found["value"] == pytest.approx(value)
    assert found["per_seed"] == pytest.approx(list(per_seed))


def test_a_worst_case_alone_has_the_interval_of_the_score() -> None:
    attacks = {"none": (1.0,) * 3, "SignFlip": (0.4, 0.5, 0.6), "IPM(epsilon=0.1)": (0.3, 0.6, 0.8)}
    outcomes = played("Mean", {f: attacks if f else {"none": (1.0,) * 3} for f in (0, 1, 3)})
    low, high = minimum_interval(list(attacks.values())) or (math.nan, math.nan)
    for measure in ("W(mean, f=1)", "R(mean)"):
        found = judge(measure, "> 0.2", outcomes)
        assert found["value"] == pytest.approx(0.5)
        assert found["ci"] == pytest.approx([max(low, 0), min(high, 1)])
        assert found["verdict"] == "not decided"  # the Student interval of SignFlip alone would confirm it
    assert student(attacks["SignFlip"])[0] > 0.2
    two = played("Mean", {0: {"none": (1.0, 1.0)}, 1: {"none": (0.5, 0.5)}})
    assert judge("W(mean, f=1)", "> 0.2", two)["reason"] == "2 seeds have no interval of a worst case: run more seeds"


def test_differences_are_paired_over_the_seeds() -> None:
    first, second = np.array([0.9, 0.5, 0.1]), np.array([0.85, 0.44, 0.06])
    outcomes = [*played("Mean", {0: {"none": tuple(first)}}), *played("NNM > Krum", {0: {"none": tuple(second)}})]
    found = judge("U(mean) - U(nnm >> krum)", "> 0.02", outcomes)
    assert found["ci"] == pytest.approx(student(first - second))
    assert found["verdict"] == "confirmed"
    alone = judge("U(mean)", "> 0.02", outcomes)
    assert alone["verdict"] == "not decided", "the difference is surer than either number"
    assert list(found["parts"]) == ["U(mean)", "U(nnm >> krum)"]


def test_the_interval_of_a_quotient_is_that_of_the_quotient_of_means() -> None:
    draw = np.random.default_rng(0)
    first, second = 0.6 + 0.02 * draw.normal(size=40), 0.3 + 0.02 * draw.normal(size=40)
    outcomes = [*played("Mean", {0: {"none": tuple(first)}}), *played("NNM > Krum", {0: {"none": tuple(second)}})]
    found = judge("U(mean) / U(nnm >> krum)", "> 1", outcomes)
    ratio = first.mean() / second.mean()
    delta = stats.sem(first - ratio * second) / second.mean()  # the textbook's linearisation
    assert found["value"] == pytest.approx(ratio)
    assert found["ci"][1] - found["value"] == pytest.approx(stats.t.ppf(0.975, 39) * delta, rel=0.01)
    assert found["per_seed"] == pytest.approx((first / second).tolist())


def test_the_level_of_the_interval_is_that_of_the_score() -> None:
    experiment = Experiment(claiming("U(nnm >> krum)"))
    scores = score(OUTCOMES, [world(label=WORLD)])
    scores["settings"]["alpha"] = 0.5
    (found,) = judged(experiment.suite.claims, experiment.names, scores, {})
    assert found["ci"] == pytest.approx(student(STRONG, 0.5))


def test_one_seed_decides_nothing_that_depends_on_chance() -> None:
    outcomes = played("Mean", {0: {"none": (0.9,)}})
    found = judge("U(mean)", "> 0.5", outcomes)
    assert (found["verdict"], found["reason"]) == ("not decided", "one seed has no interval: run more seeds")
    assert found["value"] == pytest.approx(0.9)
    assert found["ci"] is None
    assert judge("3 / 2", "between 1 and 2", outcomes)["verdict"] == "confirmed"


def test_a_defense_that_cannot_be_used_has_no_worst_case_but_zero() -> None:
    outcomes = changed(OUTCOMES, "SignFlip", 3, 1, status="invalid", accuracy=None, trial="", reason="too few rows")
    found = judge("W(nnm >> krum, f=3)", "< 0.1", outcomes)
    assert (found["value"], found["per_seed"], found["verdict"]) == (0.0, [0.0] * 3, "confirmed")
    assert "too few rows" in judge("U(nnm >> krum, attack=sign_flip, f=3)", outcomes=outcomes)["reason"]
    assert judge("R(nnm >> krum)", outcomes=outcomes)["per_seed"][2] < 1


@pytest.mark.parametrize(
    ("measure", "reason"),
    [
        ("W(nnm >> krum, f=3)", "NNM > Krum with f=3: trials are missing or failed under SignFlip"),
        ("M(nnm >> krum, f=3)", "NNM > Krum with f=3: trials are missing or failed under SignFlip"),
        ("R(nnm >> krum)", "NNM > Krum with f=3: trials are missing or failed under SignFlip"),
        ("U(nnm >> krum, attack=sign_flip, f=3)", "NNM > Krum under SignFlip with f=3: failed: out of memory"),
        ("accuracy(nnm >> krum, attack=sign_flip, f=3)", "failed: out of memory"),
        ("U(nnm >> krum, attack=alie, f=3)", "NNM > Krum under ALIE(z=2) with f=3 was not played"),
        ("M(mean, f=0)", "Mean with f=0: no attack was played"),
        ("R(median)", "This suite has no defense 'median'."),
        ("1 / (U(mean) - U(mean))", "a division by zero"),
        ("1e300 * 1e300 * U(mean)", "the result is not a finite number"),
        ("bytes_up(mean)", "Mean under no attack with f=0: no record"),
    ],
)
def test_what_has_no_value_is_not_measured_and_says_why(measure: str, reason: str) -> None:
    outcomes = changed(OUTCOMES, "SignFlip", 3, 1, status="failed", accuracy=None, reason="out of memory")
    found = judge(measure, outcomes=outcomes)
    assert found["verdict"] == "not measured"
    assert reason in found["reason"]
    assert (found["value"], found["ci"], found["difference"], found["per_seed"]) == (None, None, None, [])


def test_an_attack_that_does_not_fit_a_defense_gives_no_value() -> None:
    outcomes = OUTCOMES
    for seed in range(3):
        why = {"status": "not applicable", "accuracy": None, "trial": "", "reason": "it is made for other messages"}
        outcomes = changed(outcomes, "SignFlip", 3, seed, **why)
    found = judge("U(nnm >> krum, attack=sign_flip, f=3)", outcomes=outcomes)
    assert found["reason"].endswith("with f=3: not applicable: it is made for other messages")
    assert judge("W(nnm >> krum, f=3)", outcomes=outcomes)["value"] == pytest.approx(0.9)


def test_utility_means_nothing_where_nothing_is_learnt() -> None:
    scores = score(OUTCOMES, [world(label=WORLD, baseline=(0.11,) * 3)])
    experiment = Experiment(claiming("W(mean, f=1)", "accuracy(mean)"))
    useless, plain = judged(experiment.suite.claims, experiment.names, scores, {})
    assert "hardly beats guessing" in useless["reason"]
    assert plain["value"] == pytest.approx(0.5)


def recorded(values: list[Any], **extra: Any) -> dict[str, Any]:
    """Records of the mean without attack, whose measurement `fairness` has these values."""
    return {
        f"{WORLD}-Mean-none-0-{seed}": {
            "seed": seed,
            "metrics": {"more": {"fairness": value}, "malicious_weight": 0.1 * seed, "rejected_rows": seed},
            "bytes": {"up_per_client_round": 7240, "down_per_client_round": 7240.0 + seed},
            "time": {"total_s": 1.5, "aggregate_s": 0.5},
            **extra,
        }
        for seed, value in enumerate(values)
    }


@pytest.mark.parametrize(
    ("measure", "values", "per_seed"),
    [
        ("more(mean, fairness)", [0.9, 0.8, 1], [0.9, 0.8, 1.0]),
        ("more(mean, 'fairness', item=1)", [[1, 2], [3, 4], [5, 6]], [2, 4, 6]),
        ("more(mean, fairness, item=last)", [[1, 2], [3], [5, 6, 7]], [2, 3, 7]),
        ("more(mean, fairness, item=mean)", [[1, 2], [3], [5, 7]], [1.5, 3, 6]),
        ("more(mean, fairness, item=max)", [{"a": 1, "b": 2}] * 3, [2, 2, 2]),
        ("more(mean, fairness, item=FGSM)", [{"FGSM": 0.5}, {"FGSM": 0.6}, {"FGSM": 0.7}], [0.5, 0.6, 0.7]),
        ("more(mean, fairness, item='a, b')", [{"a, b": 1}] * 3, [1, 1, 1]),
        ("more(mean, fairness, item=mean)", [{"mean": 5, "x": 1}] * 3, [5, 5, 5]),
        ("malicious_weight(mean)", [0] * 3, [0, 0.1, 0.2]),
        ("rejected_rows(mean)", [0] * 3, [0, 1, 2]),
        ("bytes_down(mean) - bytes_up(mean)", [0] * 3, [0, 1, 2]),
        ("seconds(mean, aggregate) / seconds(mean, total)", [0] * 3, [1 / 3] * 3),
    ],
)
def test_measurements_come_from_the_records(measure: str, values: list[Any], per_seed: list[float]) -> None:
    found = judge(measure, records=recorded(values))
    assert found["reason"] == ""
    assert found["per_seed"] == pytest.approx(per_seed)
    assert found["value"] == pytest.approx(np.mean(per_seed))
    assert found["ci"] == pytest.approx(student(per_seed) if len(set(per_seed)) > 1 else [per_seed[0]] * 2)


def test_bytes_that_do_not_depend_on_chance_need_no_interval() -> None:
    outcomes = played("Mean", {0: {"none": (0.9,)}})
    found = judge("bytes_up(mean) / 2", "between 3620 and 3620", outcomes, recorded([0]))
    assert (found["verdict"], found["ci"], found["per_seed"]) == ("confirmed", [3620.0, 3620.0], [])


def test_a_measure_that_nobody_declares_is_not_measured() -> None:
    found = judge("more(mean, fairnes)", records=recorded([1] * 3))
    assert found["verdict"] == "not measured"
    assert found["reason"].startswith("There is no measure 'fairnes'. Did you mean 'fairness'")


@pytest.mark.parametrize(
    ("measure", "values", "reason"),
    [
        ("more(mean, fairness)", [1, None, 1], "the records hold no 'fairness'."),
        ("more(mean, fairness)", [1, "high", 1], "more(mean, fairness) is no number in seed 1"),
        ("more(mean, fairness)", [1, True, 1], "is no number in seed 1"),
        ("more(mean, fairness)", [1, math.nan, 1], "is no number in seed 1"),
        ("more(mean, fairness)", [[1, 2]] * 3, "'fairness' is several numbers. Say which by `item`"),
        ("more(mean, fairness, item=0)", [1] * 3, "'fairness' is one number. Leave `item` out"),
        ("more(mean, fairness, item=2)", [[1, 2]] * 3, "the records hold no 'fairness, item=2'. Known: 0, 1."),
        ("more(mean, fairness, item=mean)", [[]] * 3, "the records hold no 'fairness, item=mean'."),
        ("more(mean, fairness, item=mean)", [[1, None]] * 3, "the records hold no 'fairness, item=mean'."),
        ("seconds(mean, agregate)", [0] * 3, "the records hold no 'seconds'. Did you mean 'aggregate'?"),
    ],
)
def test_records_that_do_not_answer(measure: str, values: list[Any], reason: str) -> None:
    found = judge(measure, records=recorded(values))
    assert found["verdict"] == "not measured"
    assert found["reason"].startswith("Mean under no attack with f=0: ")
    assert reason in found["reason"]


def test_trials_that_failed_hold_no_measurements() -> None:
    found = judge("more(mean, fairness)", records=recorded([1] * 3, metrics=None))
    assert found["reason"] == "Mean under no attack with f=0: no record"


def borne(u: list[float | None], invalid: str | None = None) -> Any:
    """What became of the mean under a fault: utilities, and as many trials as there are records."""
    cell = {
        "u": u,
        "U": None,
        "accuracy": u,
        "trials": [f"{WORLD}-Mean-none-0-{seed}" for seed in range(len(u))],
        "status": ["missing" if value is None else "ok" for value in u],
    }
    defense = {"defense": "Mean", "invalid": invalid, "faults": {} if invalid else {"Dropout(probability=0.1)": cell}}
    return [{"world": WORLD, "defenses": [defense]}]


@pytest.mark.parametrize("measure", ["U(mean, fault=dropout)", "more(mean, fairness, fault=dropout)"])
def test_a_reading_under_a_fault_is_that_of_the_fault_suite(measure: str) -> None:
    found = under_a_fault(measure, borne([0.9, 0.8, 0.7]), recorded([0.9, 0.8, 0.7]))
    assert found["per_seed"] == pytest.approx([0.9, 0.8, 0.7])
    assert found["verdict"] == "confirmed"


def test_a_fault_that_was_not_played_says_why() -> None:
    missing = under_a_fault("U(mean, fault=dropout)", borne([0.9, None, 0.7]), {})
    assert missing["reason"] == "Mean under the fault Dropout(probability=0.1): missing"
    refused = under_a_fault("U(mean, fault=dropout)", borne([], invalid="n is too small"), {})
    assert refused["reason"] == "Mean under the fault Dropout(probability=0.1) was not played: n is too small"
    nobody = under_a_fault("U(mean, fault=dropout)", [], {})
    assert nobody["reason"] == "Mean under the fault Dropout(probability=0.1) was not played"


def under_a_fault(measure: str, faults: Any, records: Any) -> Any:
    experiment = Experiment(claiming(measure, expect="> 0.1", fault_suite=["dropout"]))
    scores = score(OUTCOMES, [world(3, label=WORLD)])
    return judged(experiment.suite.claims, experiment.names, scores, records, faults)[0]


def test_over_several_worlds_a_reading_is_the_mean_unless_one_is_named() -> None:
    values = claiming("U(mean)", "U(mean, world='rounds=3')", "U(mean, world='Softmax')", "R(mean, world='rounds=4')")
    values["adversary"] = {"f": [1]}
    federation = {"clients": 10, "rounds": [3, 4]}
    experiment = Experiment({**values, "federation": federation})
    labels = [w.label for w in experiment.worlds]
    outcomes = [
        *played("Mean", {f: {"none": (0.9, 0.8, 0.7)} for f in (0, 1)}, labels[0]),
        *played("Mean", {f: {"none": (0.1, 0.4, 0.7)} for f in (0, 1)}, labels[1]),
    ]
    scores = score(outcomes, [world(label=label) for label in labels])
    both, first, matching, second = judged(experiment.suite.claims, experiment.names, scores, {})
    assert both["per_seed"] == pytest.approx([0.5, 0.6, 0.7])
    assert both["ci"] == pytest.approx(student([0.5, 0.6, 0.7]))
    assert first["per_seed"] == pytest.approx([0.9, 0.8, 0.7])
    assert matching["per_seed"] == both["per_seed"]
    assert second["value"] == pytest.approx(0.4)
