"""Attacks on test samples in a suite: where they stand, what they change, and what a record says of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from robustfl.evaluation.run.executors import Processes, Serial
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.suite.trial import Trial
from robustfl.federation.settings import AdversarialTraining, Augmentation


def suite(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 5, "rounds": 12, "evaluate_every": 12},
        "adversary": {"f": [1]},
        "defenses": ["mean"],
        "attacks": ["sign_flip"],
        "seeds": 1,
    }
    return {**values, **changes}


def trials(**changes: Any) -> list[Trial]:
    return Plan(Experiment(suite(**changes))).trials


def test_every_trial_ends_with_the_attacks_on_test_samples() -> None:
    evasion = ["fgsm", {"pgd": {"epsilon": 0.3}}]
    for trial in trials(evasion=evasion, evasion_samples=40):
        more = run_trial(trial, Resources(), "print")["metrics"]["more"]
        assert set(more["robust_accuracy"]) == {"FGSM(epsilon=0.1)", "PGD(epsilon=0.3)"}
        assert 0 <= more["worst_robust_accuracy"] < more["clean_accuracy"] <= 1
        assert more["robust_gap"] == more["clean_accuracy"] - more["worst_robust_accuracy"]
        assert {round(40 * share, 9) % 1 for share in more["robust_accuracy"].values()} == {0.0}


def test_without_them_a_record_says_nothing_of_them_and_training_is_the_same() -> None:
    for plain, tried in zip(trials(), trials(evasion=["fgsm"]), strict=True):
        assert plain.id != tried.id
        records = [run_trial(trial, Resources(), "print") for trial in (plain, tried)]
        metrics = [record["metrics"] for record in records]
        assert "robust_accuracy" not in metrics[0]["more"]
        assert {**metrics[0], "more": {}} == {**metrics[1], "more": {}}
        assert "evade_s" in records[1]["time"]
        assert records[1]["time"]["total_s"] >= records[1]["time"]["evade_s"]


def test_a_model_that_diverged_is_not_tried() -> None:
    federation = {"clients": 5, "rounds": 3, "server": {"learning_rate": 1e38}}
    trial = trials(federation=federation, evasion=["fgsm"])[0]
    record = run_trial(trial, Resources(), "print")
    assert record["status"] == "diverged"
    assert "robust_accuracy" not in record["metrics"]["more"]


@pytest.mark.slow
def test_workers_find_the_same_bits_as_this_process() -> None:
    changes: dict[str, Any] = {
        "federation": {
            "clients": 5,
            "rounds": 4,
            "augment": {"crop": 1, "flip": 0.5, "warp": 0.05, "noise": 0.1, "share": 0.8},
            "adversarial_training": {"epsilon": 0.1, "steps": 2},
        },
        "evasion": ["fgsm", {"pgd": {"restarts": 2}}, {"zeroth_order": {"queries": 50}}],
        "evasion_samples": 30,
    }
    jobs = [(trial, "print") for trial in trials(**changes)]
    found = [
        {record["trial"]: {**record, "time": {}} for record in executor.run(jobs, Resources())}
        for executor in (Serial(), Processes(2))
    ]
    assert found[0] == found[1]
    assert all(record["status"] == "ok" for record in found[0].values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attacks": ["fgsm"]}, r"FGSM\(epsilon=0.1\) is an attack on test samples: list it under `evasion`"),
        ({"faults": ["pgd"]}, "is an attack on test samples: list it under `evasion`"),
        ({"evasion": ["sign_flip"]}, "SignFlip is an attack: list it under `attacks`"),
        ({"evasion": ["dropout"]}, "is a fault: list it under `faults`"),
        ({"evasion": ["fgsm", {"fgsm": {"epsilon": 0.1}}]}, "listed twice: FGSM"),
        ({"evasion": ["fgsn"]}, "Did you mean"),
        ({"evasion": [{"pgd": {"epsilon": -1}}]}, "epsilon > 0"),
        ({"evasion_samples": 0}, "greater than or equal to 1"),
    ],
    ids=str,
)
def test_hostile_suites_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Experiment(suite(**changes))


def test_augmentation_and_adversarial_training_make_worlds_with_names() -> None:
    changes: dict[str, Any] = {"augment": [None, {"noise": 0.1}], "adversarial_training": {"epsilon": [0.1, 0.2]}}
    worlds = Experiment(suite(federation={"clients": 5, **changes})).worlds
    labels = [world.label.partition("IID, ")[2] for world in worlds]
    assert labels == [
        f"augment={augment}, epsilon={epsilon}" for augment in ("none", "(noise=0.1)") for epsilon in (0.1, 0.2)
    ]
    assert len({trial.id for trial in trials(federation={"clients": 5, **changes})}) == 4 * 2


@pytest.mark.parametrize(
    ("key", "model", "base", "values"),
    [
        ("augment", Augmentation, {"noise": 0.1}, {"crop": 1, "flip": 0.1, "warp": 0.1, "noise": 0.2, "share": 0.5}),
        (
            "adversarial_training",
            AdversarialTraining,
            {"epsilon": 0.1},
            {"epsilon": 0.2, "steps": 3, "step_size": 0.05, "random_start": False},
        ),
    ],
)
def test_every_setting_changes_the_id(key: str, model: Any, base: dict[str, Any], values: dict[str, Any]) -> None:
    assert set(values) == set(model.model_fields)
    federations = [{key: base}, *({key: {**base, name: value}} for name, value in values.items())]
    ids = {trials(federation={"clients": 5, **federation})[0].id for federation in federations}
    assert len(ids) == len(federations)
