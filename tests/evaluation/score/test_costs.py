"""What robustness costs and who was caught: paired differences, one row for equal trials, nothing made up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from robustfl.evaluation.results.measures import numbers
from robustfl.evaluation.results.shapes import require_shape, shape_of
from robustfl.evaluation.results.summaries import SideEffects
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.score.costs import means, side_effects
from robustfl.evaluation.statistics import student_interval
from robustfl.evaluation.suite.scenario import Experiment

PLAIN = ("p0", "p1")


def record(accuracy: float = 0.9, status: str = "ok", **more: Any) -> dict[str, Any]:
    return {"status": status, "metrics": {"tail_accuracy": accuracy, "chance": 0.1, "more": more}}


def served(accuracy: float, worst_class: float, worst_client: float) -> dict[str, Any]:
    own = {"worst_class": worst_class, "worst_client": worst_client, "client_spread": 0.1}
    return record(accuracy, **own, honest_ignored=0.4, honest_unheard=0.2)


def seen(recall: float, precision: float | None, auc: float, ignored: float = 0.0) -> dict[str, Any]:
    found = {"detection_recall": recall, "detection_auc": auc, "honest_ignored": ignored}
    return record(**found if precision is None else {**found, "detection_precision": precision})


def point(f: int, **trials: list[str]) -> dict[str, Any]:
    return {"f": f, "attacks": {attack: {"trials": own} for attack, own in trials.items()}}


CURVE = [
    point(0, none=["a0", "a1"]),
    point(1, none=["a0", "a1"], ipm=["?", "?"]),
    point(3, none=["b0", "b1"], ipm=["i0", "i1"], alie=["j0", "j1"], ranks=["", ""]),
]
RECORDS = {
    "p0": served(0.9, 0.6, 0.7),
    "p1": served(0.9, 0.8, 0.9),
    "a0": served(0.9, 0.6, 0.7),
    "a1": served(0.86, 0.7, 0.9),
    "b0": served(0.5, 0.2, 0.3),
    "b1": served(0.58, 0.4, 0.7),
    "i0": seen(1.0, 0.5, 0.9, 0.2),
    "i1": seen(0.0, None, 0.7, 0.0),
    "j0": seen(0.5, 1.0, 0.25, 0.4),
    "j1": seen(0.5, 0.5, 0.25, 0.4),
}


def scores(curve: list[dict[str, Any]] = CURVE, **changes: Any) -> dict[str, Any]:
    world = {"world": "w", "chance": 0.1, "informative": True, "baseline": {"mean": 0.9}, **changes}
    return {"settings": {"alpha": 0.05}, "worlds": [{**world, "defenses": [{"defense": "D", "curve": curve}]}]}


def report(
    records: dict[str, Any] = RECORDS, plain: tuple[str, ...] = PLAIN, **values: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The world, and its only defense."""
    found = side_effects(scores(**values), records, {"w": plain})
    require_shape(json.loads(json.dumps(found, allow_nan=False)), [shape_of(SideEffects)], "found")
    return found[0], found[0]["defenses"][0]


def test_costs_are_paired_differences_to_the_plain_mean() -> None:
    world, defense = report()
    assert world["baseline"] == pytest.approx({"worst_class": 0.7, "worst_client": 0.8, "client_spread": 0.1})
    first, last = defense["undisturbed"]
    assert (first["f"], last["f"]) == ([0, 1], [3])
    assert first["utility_lost"]["mean"] == pytest.approx((0 + 0.04 / 0.8) / 2)
    assert last["worst_class_lost"] == {"mean": pytest.approx(0.4), "ci": pytest.approx([0.4, 0.4])}
    interval = student_interval([0.4, 0.2])
    assert last["worst_client_lost"] == {"mean": pytest.approx(0.3), "ci": pytest.approx(interval)}
    assert (last["worst_class"], last["worst_client"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert (last["honest_ignored"], last["honest_unheard"]) == (0.4, 0.2)


def test_detection_is_told_by_attack_on_average_and_at_its_hardest() -> None:
    caught = report()[1]["caught"]
    assert caught["f"] == 3
    assert list(caught["attacks"]) == ["ipm", "alie"]  # the third was never played
    assert caught["attacks"]["ipm"] == pytest.approx(
        {"detection_precision": 0.5, "detection_recall": 0.5, "detection_auc": 0.8, "honest_ignored": 0.1}
    )
    assert caught["mean"] == pytest.approx(
        {"detection_precision": 0.625, "detection_recall": 0.5, "detection_auc": 0.525, "honest_ignored": 0.25}
    )
    assert caught["hardest"] == "alie"


def test_an_attack_of_which_nothing_is_known_counts_nowhere() -> None:
    caught = report({**RECORDS, "j0": record(), "j1": record()})[1]["caught"]
    assert set(caught["attacks"]["alie"].values()) == {None}
    assert caught["mean"]["detection_auc"] == caught["attacks"]["ipm"]["detection_auc"]
    assert caught["hardest"] == "ipm"
    nothing = report({**RECORDS, **{trial: record() for trial in ("i0", "i1", "j0", "j1")}})[1]["caught"]
    assert nothing["hardest"] is None
    assert set(nothing["mean"].values()) == {None}


def test_a_model_that_diverged_serves_nobody() -> None:
    _, defense = report({**RECORDS, "b1": record(0.5, "diverged", honest_ignored=1.0)})
    last = defense["undisturbed"][1]
    assert last["utility_lost"]["mean"] == pytest.approx((0.4 + 0.8) / 2 / 0.8)  # down to chance
    assert last["worst_class_lost"]["mean"] == pytest.approx((0.4 + 0.8) / 2)
    assert last["honest_ignored"] == pytest.approx(0.7)


@pytest.mark.parametrize("lost", ["b1", "p1"])
def test_no_difference_without_both_of_a_pair(lost: str) -> None:
    failed = {"status": "failed", "metrics": None}
    for records in ({**RECORDS, lost: failed}, {key: own for key, own in RECORDS.items() if key != lost}):
        last = report(records)[1]["undisturbed"][1]
        assert last["utility_lost"] is last["worst_class_lost"] is last["worst_client_lost"] is None
        assert (last["worst_class"] is None) == (lost == "b1")


def test_one_seed_has_no_interval_and_a_world_that_says_nothing_no_utility() -> None:
    single = [point(0, none=["a0"])]
    assert report(plain=("p0",), curve=single)[1]["undisturbed"][0]["utility_lost"] == {"mean": 0.0, "ci": None}
    assert report(curve=single)[1]["undisturbed"][0]["utility_lost"] is None  # the seeds do not pair
    last = report(informative=False, baseline={"mean": None})[1]["undisturbed"][1]
    assert last["utility_lost"] is None
    assert last["worst_class_lost"]["mean"] == pytest.approx(0.4)


def test_without_malicious_clients_nobody_is_caught_and_unplayed_cells_have_no_row() -> None:
    _, defense = report(curve=[point(0, none=["a0", "a1"])])
    assert defense["caught"] is None
    _, defense = report(curve=[point(2, none=["", ""], ipm=["", ""])])
    assert defense["undisturbed"] == []
    assert defense["caught"]["attacks"] == {}


def test_records_from_before_these_measurements_give_nulls() -> None:
    found = means(["a", "b"], {"a": record(), "b": {"status": "ok", "metrics": {"tail_accuracy": 0.9}}}, numbers())
    assert found == dict.fromkeys(numbers())
    assert means([], {}, numbers()) == found


class Silent:
    def tell(self, line: str) -> None: ...
    def start(self, total: int, done: int) -> None: ...
    def advance(self, record: dict[str, Any]) -> None: ...


def test_a_run_reports_them_and_claims_can_measure_them(tmp_path: Any) -> None:
    suite: dict[str, Any] = {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 6, "rounds": 3},
        "adversary": {"f": [0, 1]},
        "defenses": ["mean", "krum"],
        "attacks": ["non_finite"],
        "seeds": 2,
    }
    measures = ["more(mean, worst_class) - more(krum, worst_class, f=1)"]
    measures += ["more(krum, detection_recall, attack=non_finite, f=1)"]
    suite["claims"] = [{"text": "t", "source": "s", "measure": m, "expect": ">= 0"} for m in measures]
    summary = run_experiment(Experiment(suite), RunOptions(out=tmp_path, workers=0, checks=NO_CHECKS), Silent())
    (world,) = summary["side_effects"]
    mean, krum = world["defenses"]
    assert mean["undisturbed"][0]["utility_lost"]["mean"] == 0.0
    assert mean["undisturbed"][0]["f"] == [0, 1]
    assert {tuple(way["f"]) for way in krum["undisturbed"]} <= {(0,), (1,), (0, 1)}
    assert krum["undisturbed"][0]["honest_ignored"] == pytest.approx(5 / 6)
    lost, caught = summary["claims"]
    assert lost["value"] == pytest.approx(krum["undisturbed"][-1]["worst_class_lost"]["mean"])
    assert caught["value"] == krum["caught"]["attacks"]["NonFinite"]["detection_recall"] == 1.0
