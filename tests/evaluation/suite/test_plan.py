"""What a suite asks for: which cells share a trial, which have none, and the baseline."""

from __future__ import annotations

from typing import Any

import pytest

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.suite.plan import Cell, Plan, distinct_trials
from robustfl.evaluation.suite.scenario import Experiment


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 8, "rounds": 2},
        "adversary": {"f": [0, 1, 2]},
        "defenses": ["mean", "trimmed_mean"],
        "attacks": ["sign_flip", "label_flip"],
        "seeds": 2,
    }
    return Plan(Experiment({**values, **changes}))


def cells(found: Plan, **wanted: Any) -> list[Cell]:
    return [cell for cell in found.cells if all(getattr(cell, key) == value for key, value in wanted.items())]


def test_every_question_is_asked_once() -> None:
    found = plan()
    keys = [(cell.world, cell.defense, cell.attack, cell.f, cell.seed) for cell in found.cells]
    assert len(set(keys)) == len(keys) == 2 * 2 * (1 + 3 + 3)


def test_without_malicious_clients_there_is_no_attack() -> None:
    found = plan()
    assert {cell.attack for cell in cells(found, f=0)} == {NO_ATTACK}
    assert {cell.attack for cell in cells(found, f=1)} == {NO_ATTACK, "SignFlip", "LabelFlip"}
    assert all(cell.trial is not None and cell.trial.scenario.attack is None for cell in cells(found, attack=NO_ATTACK))


def test_without_an_attack_a_rule_that_is_not_told_f_shares_one_trial() -> None:
    found = plan()
    for seed in (0, 1):
        assert len(distinct_trials(cells(found, defense="Mean", attack=NO_ATTACK, seed=seed))) == 1
        assert len(distinct_trials(cells(found, defense="TrimmedMean", attack=NO_ATTACK, seed=seed))) == 3
        assert len(distinct_trials(cells(found, defense="Mean", attack="SignFlip", seed=seed))) == 2
    assert len(found.trials) == 2 * (1 + 2 * 2 + 3 + 2 * 2)


def test_the_cells_that_share_a_trial_agree_on_all_that_decides_it() -> None:
    shared: dict[str, list[Cell]] = {}
    for cell in plan().cells:
        assert cell.trial is not None
        shared.setdefault(cell.trial.id, []).append(cell)
    for group in shared.values():
        assert len({(cell.world, cell.defense, cell.attack, cell.seed) for cell in group}) == 1


def test_the_baseline_is_there_whatever_the_defenses() -> None:
    for defenses, trials in ((["trimmed_mean"], 2), (["mean"], 0)):
        found = plan(defenses=defenses)
        assert [(cell.defense, cell.attack, cell.f, cell.seed) for cell in found.baseline] == [
            ("Mean", NO_ATTACK, 0, 0),
            ("Mean", NO_ATTACK, 0, 1),
        ]
        baseline = {cell.trial.id for cell in found.baseline if cell.trial}
        assert baseline <= {trial.id for trial in found.trials}
        assert len(found.trials) - len(distinct_trials(found.cells)) == trials


def test_the_baseline_is_the_rule_that_the_suite_names() -> None:
    assert {cell.defense for cell in plan(baseline="median").baseline} == {"Median"}


def test_a_cell_that_the_defense_forbids_has_a_reason_and_no_trial() -> None:
    found = plan(defenses=["krum"], federation={"clients": 6, "rounds": 2})
    assert all(cell.trial is not None and not cell.invalid for f in (0, 1) for cell in cells(found, f=f))
    refused = cells(found, f=2)
    assert len(refused) == 6
    assert all(cell.trial is None for cell in refused)
    assert {cell.invalid for cell in refused} == {"Krum needs n >= 2f + 3 rows. Found n=6, f=2."}


def test_sampled_rounds_count_rows_not_clients() -> None:
    sampled = {"clients": 12, "rounds": 2, "participation": 0.5}
    found = plan(federation=sampled, defenses=["krum"], adversary={"f": [1, 2, 3]})
    told = {(cell.f, cell.trial.scenario.defense.f) for cell in found.cells if cell.trial}
    assert told == {(1, 1), (2, 1)}, "of six rows, one in twelve clients is at most one and two in twelve are one"
    assert {cell.invalid for cell in cells(found, f=3)} == {"Krum needs n >= 2f + 3 rows. Found n=6, f=2."}


@pytest.mark.parametrize("declared", [0, 1, 3])
def test_defenses_may_be_told_another_number_than_the_truth(declared: int) -> None:
    found = plan(adversary={"f": [0, 2], "declared": declared})
    told = {cell.trial.scenario.defense.f for cell in cells(found, defense="TrimmedMean") if cell.trial}
    truth = {cell.trial.scenario.f for cell in cells(found, attack="SignFlip") if cell.trial}
    assert (told, truth) == ({declared}, {2})


def test_an_f_that_the_scenario_fixes_stays_and_shows() -> None:
    found = plan(defenses=[{"trimmed_mean": {"f": 1}}, "trimmed_mean"])
    fixed = cells(found, defense="TrimmedMean(f=1)")
    assert {cell.trial.scenario.defense.f for cell in fixed if cell.trial} == {1}


def test_trials_of_a_world_and_seed_stand_together() -> None:
    found = plan(federation={"clients": 8, "rounds": [1, 2]})
    groups = [(trial.world, trial.seed) for trial in found.trials]
    assert groups == sorted(groups)
    assert len(set(groups)) == 4


def test_one_defense_at_one_f() -> None:
    found = plan()
    (world,) = found.experiment.worlds
    asked = list(found.cells_at(world, 3, "Mean"))
    assert {(cell.defense, cell.f) for cell in asked} == {("Mean", 3)}
    assert len(asked) == 3 * 2
