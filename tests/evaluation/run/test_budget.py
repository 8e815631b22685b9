"""The estimate of what a suite costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from robustfl.cli import app
from robustfl.evaluation.run import budget
from robustfl.evaluation.run.budget import Budget, checking, estimate
from robustfl.evaluation.run.checking import NO_CHECKS, Checks
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment

CHECKED = ("--replays", "1", "--off-by-one")


def test_every_attack_counts_with_its_number_of_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = Plan(read_experiment("smoke")).trials
    asked: list[Any] = []

    def seconds(trial: Any, place: Resources) -> float:
        asked.append(trial)
        return 1.0 if trial.attack == "none" else 3.0

    monkeypatch.setattr(budget, "_seconds", seconds)
    found = estimate(trials, Resources())
    quiet = sum(trial.attack == "none" for trial in trials)
    assert found.trials == len(trials)
    assert found.seconds == pytest.approx(quiet + 3.0 * (len(trials) - quiet))
    assert len(asked) <= budget.SAMPLED * len({trial.attack for trial in trials})


def test_a_trial_is_judged_by_its_first_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Plan(read_experiment("smoke", ("federation.rounds=100", "federation.evaluate_every=25"))).trials[0]
    played: list[int] = []

    def run_trial(short: Any, place: Resources, fingerprint: str) -> dict[str, Any]:
        played.append(short.scenario.federation.rounds)
        return {"time": {"total_s": 0.6, "evaluate_s": 0.1}}

    monkeypatch.setattr(budget, "run_trial", run_trial)
    # 0.5 s for 5 rounds, 8 measurements in place of 3 in 0.1 s, and around them nothing but the 0.6 s that did not pass
    assert budget._seconds(trial, Resources()) == pytest.approx(0.5 * 20 + 0.1 / 3 * 8 - 0.6, abs=0.05)
    assert played == [budget.SHORT, budget.SHORT]


@pytest.mark.parametrize("attack", ["{planned_drift: {late: 0.5}}", "{ipm: {start_round: 10}}"])
def test_an_attack_whose_first_rounds_tell_nothing_of_the_others_is_played_whole(
    attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Plan(read_experiment("smoke", (f"attacks=[{attack}, alie]", "federation.rounds=40"))).trials
    played: dict[str, list[int]] = {}

    def run_trial(trial: Any, place: Resources, fingerprint: str) -> dict[str, Any]:
        played.setdefault(trial.attack, []).append(trial.scenario.federation.rounds)
        return {"time": {"total_s": 0.0, "evaluate_s": 0.0}}

    monkeypatch.setattr(budget, "run_trial", run_trial)
    estimate(trials, Resources())
    rounds = {name: set(found) for name, found in played.items()}
    assert [found for name, found in rounds.items() if "Drift" in name or "IPM" in name] == [{budget.SHORT, 40}]
    assert rounds["none"] == {budget.SHORT}


def test_trials_that_check_a_suite_are_counted_with_the_dearest_attack() -> None:
    suite = ("defenses=[mean, median, trimmed_mean]", "attacks=[alie, sign_flip]", "seeds=2", "adversary.f=[0, 1]")
    plan = Plan(read_experiment("smoke", suite))
    each = {"none": 1.0, "ALIE(z=1.5)": 5.0, "SignFlip": 7.0}
    # Of the three only the trimmed mean is told f: one row more and one less, with each seed in each world.
    told = 2 * 2 * len(plan.experiment.worlds)
    found = checking(plan, Checks(replays=0), each)
    assert (found.trials, found.seconds) == (told, 7.0 * told)
    found = checking(plan, Checks(replays=2, off_by_one=False), each)
    assert (found.trials, found.seconds) == (3 * 2 * 2, 7.0 * budget.REPLAY * 3 * 2 * 2)
    assert checking(plan, NO_CHECKS, each).trials == 0


@pytest.mark.parametrize(("seconds", "words"), [(30, "30 s"), (600, "10 min"), (7200 * 2, "4.0 h")])
def test_durations_are_told_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert Budget(1, seconds, 0.0).duration(1) == words


def test_the_command_says_the_budget_and_runs_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["run", "smoke", "--budget", *CHECKED])
    assert told.exit_code == 0
    assert "trials, about" in told.stdout
    assert "checks once these are played: at most" in told.stdout
    data = json.loads(CliRunner().invoke(app, ["run", "smoke", "--budget", "--json", *CHECKED]).stdout)
    assert data["trials"] > 10
    assert data["worker_seconds"] > 0
    assert data["checking_trials"] > 2
    assert data["checking_worker_seconds"] > 0
    assert list(tmp_path.iterdir()) == []
