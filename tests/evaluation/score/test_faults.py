"""The fault axis: recovery, F, which trials a fault suite asks for, and what is reported of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from robustfl.errors import ScenarioError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.score.faults import fault_axis, fault_scores, recovery_time
from robustfl.evaluation.score.inputs import ScoredWorld, ScoreSettings
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.reports.sections.faults import FAULTS as FAULTS_SECTION
from tests.reports.tables import first_world, tables

PLAIN = ScoreSettings(accuracy="plain_accuracy")

FAULTS = ["crash", {"awgn": {"snr": 0}}, {"stale": {"start_round": 3}}]


def experiment(**changes: Any) -> Experiment:
    values: dict[str, Any] = {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 6, "rounds": 6, "evaluate_every": 1},
        "adversary": {"f": [0, 1, 3]},
        "defenses": ["mean", "trimmed_mean"],
        "fault_suite": FAULTS,
        "seeds": 2,
    }
    return Experiment({**values, **changes})


CURVE = [(10, 0.5), (20, 0.8), (30, 0.6), (40, 0.78), (50, 0.79)]


@pytest.mark.parametrize(
    ("curve", "start", "rounds"),
    [
        (CURVE, 20, 30.0),  # 0.784 is enough
        (CURVE, 25, 25.0),
        (CURVE, 10, 0.0),  # nothing was lost
        (CURVE[:4], 20, math.inf),
        ([(10, 0.5), (20, 0.5), (30, 0.4), (40, 0.49)], 20, 20.0),  # exactly 2 % less
        (CURVE, 5, None),
        (CURVE, 50, None),
        ([], 3, None),
    ],
)
def test_recovery_time(curve: list[tuple[int, float]], start: int, rounds: float | None) -> None:
    assert recovery_time(curve, start) == rounds


def test_the_fault_axis_is_the_smallest_mean_clipped() -> None:
    assert fault_axis({"a": [1.1, 1.0], "b": [0.4, 0.8]}) == ("b", pytest.approx(0.6))
    assert fault_axis({"a": [-0.3, 0.1]}) == ("a", 0.0)
    assert fault_axis({"a": [1.1, 1.2]}) == ("a", 1.0)


def test_every_fault_is_borne_alone_and_without_an_attack() -> None:
    plan = Plan(experiment(faults=["dropout"], attacks=["sign_flip"]))
    assert len(plan.fault_cells) == 2 * 3 * 2
    for cell in plan.fault_cells:
        assert cell.trial is not None
        scenario = cell.trial.scenario
        assert [fault.name for fault in scenario.faults] in [["dropout", name] for name in ("crash", "awgn", "stale")]
        assert scenario.attack is None
    assert {cell.trial for cell in plan.fault_cells} <= set(plan.trials)
    assert not any(cell.attack in ("Crash(probability=0.2)", "AWGN(snr=0)") for cell in plan.cells)


def test_a_defense_is_told_the_most_that_it_can_stand() -> None:
    told = {cell.defense: cell.f for cell in Plan(experiment()).fault_cells}
    assert told == {"Mean": 3, "TrimmedMean": 1}


def test_faults_that_do_not_fit_have_no_trials() -> None:
    plan = Plan(experiment(defenses=["mean", "frl"]))
    unfit = {(cell.defense, cell.attack) for cell in plan.fault_cells if cell.unfit}
    assert unfit == {("FRL", "AWGN(snr=0)"), ("FRL", "Stale(start_round=3, rounds=5)")}
    late = Plan(experiment(federation={"clients": 6, "rounds": 6, "server": {"mode": "asynchronous", "buffer": 3}}))
    assert {cell.attack for cell in late.fault_cells if cell.unfit} == {"Stale(start_round=3, rounds=5)"}
    assert all((cell.trial is None) == bool(cell.unfit) for found in (plan, late) for cell in found.fault_cells)


def test_an_asynchronous_server_takes_rankings_only_if_it_does_not_weigh_them() -> None:
    server = {"mode": "asynchronous", "buffer": 3}
    made = experiment(defenses=["frl"], federation={"clients": 6, "server": server})
    assert all("Take `staleness: constant`" in cell.invalid for cell in Plan(made).cells if cell.f < 3)
    made = experiment(defenses=["frl"], federation={"clients": 6, "server": {**server, "staleness": "constant"}})
    assert all(cell.trial is not None for cell in Plan(made).cells if cell.f < 3 and not cell.unfit)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fault_suite": ["ipm"]}, "is an attack: list it under `attacks`"),
        ({"fault_suite": ["crash", "crash"]}, r"faults of the fault suite that are listed twice: Crash"),
    ],
)
def test_fault_suites_of_something_else_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ScenarioError, ValueError), match=message):
        experiment(**changes)


def test_scores_of_records() -> None:
    plan = Plan(experiment(defenses=["mean"], fault_suite=["crash", {"stale": {"start_round": 3}}]))
    world = ScoredWorld(
        label=plan.fault_cells[0].world, clients=6, baseline=(0.9, 0.9), chance=0.1, test_size=10, seeds=(0, 1)
    )
    reached = {("Crash(probability=0.2)", 0): 0.5, ("Crash(probability=0.2)", 1): None}
    records: dict[str, Any] = {}
    for cell in plan.fault_cells:
        assert cell.trial is not None
        tail = reached.get((cell.attack, cell.seed), 0.9)
        curve = [[3, 0.9], [4, 0.2], [6, 0.9]] if cell.seed else [[3, 0.9], [5, 0.9]]
        records[cell.trial.id] = {
            "status": "diverged" if tail is None else "ok",
            "scenario": cell.trial.description,
            "metrics": {"accuracy": curve, "tail_accuracy": tail, "lost_rows": 4, "held_rounds": cell.seed, "more": {}},
        }
    starts = {"Stale(start_round=3, rounds=5)": 3}
    (found,) = fault_scores(plan.fault_cells, [world], starts, records, PLAIN)
    (mean,) = found["defenses"]
    assert (mean["F"], mean["worst"]) == (pytest.approx(0.25), "Crash(probability=0.2)")
    crash, stale = mean["faults"].values()
    assert (crash["u"], crash["accuracy"]) == ([pytest.approx(0.5), 0.0], [0.5, 0.1])
    assert (crash["recovery"], crash["lost_rows"], crash["held_rounds"]) == (None, 4.0, 0.5)
    assert (stale["recovery"], stale["recovered"]) == (1.5, 1.0)  # 0 and 3 rounds

    del records[stale["trials"][0]]
    (partly,) = fault_scores(plan.fault_cells, [world], starts, records, PLAIN)[0]["defenses"]
    assert (partly["F"], partly["faults"]["Stale(start_round=3, rounds=5)"]["U"]) == (None, None)


def test_a_run_reports_its_faults(tmp_path: Path) -> None:
    made = experiment(adversary={"f": [0]}, seeds=1, federation={"clients": 6, "rounds": 30, "evaluate_every": 10})
    run_experiment(made, RunOptions(out=tmp_path, workers=0, checks=NO_CHECKS), Quiet())
    assert FAULTS_SECTION.of_world is not None
    found = FAULTS_SECTION.of_world(first_world(RunResults.load(tmp_path)))
    assert found is not None
    borne, matrix = tables(found)
    defenses = [row.cells["defense"] for row in borne.rows]
    assert {column.heading for column in matrix.columns[1:]} == set(defenses) == {"TrimmedMean", "Mean"}
    assert [row.cells["fault"] for row in matrix.rows] == [str(fault) for fault in made.suite.fault_suite]
    for own in borne.rows:
        kept = [row.cells[f"label {own.cells['defense']}"] for row in matrix.rows]
        assert all(0.0 <= utility <= 1.0 for utility in kept)
        assert own.cells["F"] == min(kept)
