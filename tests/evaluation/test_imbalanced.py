"""Rare classes count: a rule that never finds one keeps little, and the chosen measure decides all numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.summaries import Summary
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.scenario import Experiment

SHARES = (0.9, 0.08, 0.02)


def flows(samples: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Noisy rows of three classes, 90, 8 and 2 % of the samples."""
    y = np.repeat(np.arange(3), [round(samples * share) for share in SHARES])
    return (np.eye(3)[y] + 0.25 * rng.normal(size=(len(y), 3))).astype(np.float32), y


def suite(accuracy: str | None) -> Experiment:
    return Experiment(
        {
            "name": "flows",
            "task": {"data": {"npz": {"path": "flows.npz"}}, "model": "softmax", "partition": "iid"},
            "federation": {
                "clients": 9,
                "rounds": 60,
                "batch_size": 8,
                "evaluate_every": 60,
                "server": {"learning_rate": 4.0},
            },
            "adversary": {"f": [2]},
            "defenses": ["mean", "median"],
            "attacks": [],
            "seeds": 2,
            **({} if accuracy is None else {"score": {"accuracy": accuracy}}),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, rng = tmp_path_factory.mktemp("flows"), np.random.default_rng(0)
    (train_x, train_y), (test_x, test_y) = flows(1800, rng), flows(250, rng)
    np.savez(place / "flows.npz", x_train=train_x, y_train=train_y, x_test=test_x, y_test=test_y)
    return place


def played(folder: Path, accuracy: str | None) -> Summary:
    options = RunOptions(out=folder / "run", workers=0, place=Resources(data_root=folder))
    return run_experiment(suite(accuracy), options)


def utility(summary: Summary, name: str) -> float:
    (world,) = summary["scores"]["worlds"]
    (defense,) = (own for own in world["defenses"] if own["defense"] == name)
    value = defense["curve"][0]["W"]
    assert value is not None
    return value


def test_a_median_that_never_finds_the_rare_class_keeps_little(folder: Path) -> None:
    balanced = played(folder, None)
    world = balanced["scores"]["worlds"][0]
    records = {record["trial"]: record for record in RunResults.load(folder / "run").records}
    medians = [record["metrics"]["more"] for record in records.values() if record["labels"]["defense"] == "Median"]
    assert all(more["class_accuracy"][2] == 0 for more in medians)
    assert balanced["scores"]["settings"]["accuracy"] == "balanced_accuracy"
    assert world["chance"] == pytest.approx(1 / 3)
    assert utility(balanced, "Mean") == pytest.approx(1.0)
    assert utility(balanced, "Median") < 0.6

    plain = played(folder, "plain_accuracy")
    assert plain["scores"]["worlds"][0]["chance"] == pytest.approx(0.9)
    assert utility(plain, "Median") > 0.7
    after = {record["trial"]: record for record in RunResults.load(folder / "run").records}
    assert after == records  # scored again, without a new trial
    assert plain["suite"]["hash"] != balanced["suite"]["hash"]

    macro = played(folder, "macro_f1")
    assert macro["scores"]["worlds"][0]["chance"] == pytest.approx(1 / 3)
    assert utility(macro, "Median") < 0.65
    assert "SHORT_SCALE" in {flag["code"] for flag in plain["scores"]["flags"]}


def test_every_record_holds_all_measures_and_the_scale_of_each_trial(folder: Path) -> None:
    summary = played(folder, None)
    (world,) = summary["scores"]["worlds"]
    for record in RunResults.load(folder / "run").records:
        more = record["metrics"]["more"]
        assert len(more["class_accuracy"]) == 3
        assert {"balanced_accuracy", "plain_accuracy", "macro_f1"} <= set(more)
        assert ("central_macro_f1" in more) == ("instability" in more) == (record["labels"]["defense"] == "Mean")
    training = world["training"]
    assert training is not None
    assert all(len(values) == 2 and None not in values for values in training.values())
    costs = {own["defense"]: own["undisturbed"][0]["utility_lost"] for own in summary["side_effects"][0]["defenses"]}
    assert costs["Median"] is not None
    assert costs["Median"]["mean"] == pytest.approx(1 - utility(summary, "Median"), abs=1e-9)
