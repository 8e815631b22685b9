"""The estimate of what a suite costs."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from robustfl.cli import app
from robustfl.evaluation.run import budget
from robustfl.evaluation.run.budget import Budget, checking, estimate, sample
from robustfl.evaluation.run.checking import NO_CHECKS, Checks
from robustfl.evaluation.run.executors import Serial
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.trial import Trial

CHECKED = ("--replays", "1", "--off-by-one")

DEAR = (
    "defenses=[mean, median, multi_krum, dnc]",
    "attacks=[alie, sign_flip, {white_box: {search_every: 10}}, {one_coordinate: {search_every: 15}}, planned_drift]",
    "federation.rounds=120",
    "seeds=6",
)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """The trials of a suite in which a few attacks and one defense take most of the time."""
    return Plan(read_experiment("smoke", DEAR)).trials


class Machine:
    """Plays trials on a clock of its own: what a trial costs is known, and so is what a whole suite does.

    The first trial of each attack, and of each defense, compiles kernels for `compiles` seconds. Of every second, its
    process works for `share`: the rest is that of other programs.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, compiles: float = 0.0, share: float = 1.0) -> None:
        self.now, self.compiles, self.share = 0.0, compiles, share
        self.known: set[str] = set()
        self.played: dict[str, list[int]] = {}
        clock = SimpleNamespace(perf_counter=lambda: self.now / share, process_time=lambda: self.now)
        monkeypatch.setattr(budget, "time", clock)
        monkeypatch.setattr(budget, "run_trial", self.run_trial)
        # other processes would not know this machine
        monkeypatch.setattr(budget, "Processes", lambda workers, play: Serial(play))

    def run_trial(self, trial: Trial, place: Resources, fingerprint: str) -> dict[str, Any]:
        federation = trial.scenario.federation
        self.played.setdefault(trial.attack, []).append(federation.rounds)
        new = {trial.attack, trial.defense} - self.known
        self.known |= new
        measured = 0.01 * federation.measurements
        spent = self.seconds(trial) + self.compiles * len(new)
        self.now += spent
        times = {"total_s": (spent - 0.02) / self.share, "evaluate_s": measured / self.share}
        return {"labels": {"attack": trial.attack}, "time": times}

    @staticmethod
    def seconds(trial: Trial) -> float:
        """What a trial costs once everything is compiled: it is put together, measured, trained and attacked."""
        federation, attack = trial.scenario.federation, trial.scenario.attack
        dear = {"Mean": 0.5, "Median": 1.0, "MultiKrum": 2.0, "DnC": 4.0}[trial.defense]
        rounds, every = federation.rounds, getattr(attack, "search_every", 0)
        asked = 0.05 * dear * -(-rounds // every) if every else 0.0
        begins = range(0, rounds, max(1, rounds // 12)) if getattr(attack, "plans", False) else ()
        planned = 0.004 * (1 + dear) * sum(rounds - number for number in begins)
        return 0.02 + 0.01 * federation.measurements + 0.002 * rounds * (1 + dear / 4) + asked + planned


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("compiles", [0.0, 30.0])
def test_the_estimate_is_true_on_a_cold_machine_and_on_a_busy_one(
    compiles: float, share: float, trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, compiles=compiles, share=share)
    found = estimate(trials, Resources(), workers=2)
    assert found.trials == len(trials)
    assert found.seconds == pytest.approx(sum(map(machine.seconds, trials)), rel=0.15)
    assert set(found.each) == {trial.attack for trial in trials}
    spent = machine.now - machine.compiles * len(machine.known)
    assert spent < 0.1 * found.seconds
    assert found.measured == pytest.approx(machine.now / share)


def test_the_time_of_others_counts_where_the_processor_does_not_tell_all(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(monkeypatch, share=0.25)
    alone = estimate(trials, Resources()).seconds
    for place in (Resources(device="cuda"), Resources(isolate=True)):
        assert estimate(trials, place).seconds == pytest.approx(4 * alone)


def test_the_trials_that_are_timed_are_spread_over_the_defenses(trials: list[Trial]) -> None:
    found = sample(trials)
    assert found == sample(trials)
    assert len({trial.id for trial in found}) == len(found)
    for attack in {trial.attack for trial in trials}:
        own = [trial.defense for trial in found if trial.attack == attack]
        assert len(own) == len(set(own)) == (budget.PLANNED if "Planned" in attack else budget.SAMPLED)
    times = Counter(trial.defense for trial in found)
    assert max(times.values()) - min(times.values()) <= 1


def test_a_trial_is_judged_by_some_of_its_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = (
        "attacks=[alie, {white_box: {search_every: 15}}, {planned_drift: {late: 0.5}}, "
        "{planned_drift: {plan_every: 7}}, {ipm: {start_round: 50}}]",
        "defenses=[mean, median]",
        "federation.rounds=100",
    )
    machine = Machine(monkeypatch)
    estimate(Plan(read_experiment("smoke", suite)).trials, Resources())
    rounds = {name.split("(")[0]: found for name, found in machine.played.items() if "late" not in name}
    late = next(found for name, found in machine.played.items() if "late" in name)
    assert set(rounds["none"]) == set(rounds["ALIE"]) == {2, 20}
    assert set(rounds["WhiteBox"]) == {2, 30}  # two searches
    assert set(late) == {2, 34}
    assert set(rounds["PlannedDrift"]) == {2, 100}  # plans that are not made more often in a shorter training
    assert set(rounds["IPM"]) == {52, 100}


def test_a_short_training_is_played_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    trials = Plan(read_experiment("smoke", ("defenses=[mean]", "attacks=[alie]", "federation.rounds=4"))).trials
    assert estimate(trials, Resources()).seconds == pytest.approx(sum(map(machine.seconds, trials)))
    assert {rounds for found in machine.played.values() for rounds in found} == {2, 4}


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


def test_workers_that_share_a_core_are_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "os", SimpleNamespace(cpu_count=lambda: 2))
    assert [Budget(1, 80.0, 0.0).duration(workers) for workers in (0, 1, 2, 9)] == ["80 s", "80 s", "40 s", "40 s"]


def test_the_command_says_the_budget_and_runs_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["run", "smoke", "--budget", "--workers", "0", *CHECKED])
    assert told.exit_code == 0
    assert "trials, about" in told.stdout
    assert "checks once these are played: at most" in told.stdout
    data = json.loads(
        CliRunner().invoke(app, ["run", "smoke", "--budget", "--json", "--workers", "1", *CHECKED]).stdout
    )
    assert data["trials"] > 10
    assert data["worker_seconds"] > 0
    assert data["checking_trials"] > 2
    assert data["checking_worker_seconds"] > 0
    assert list(tmp_path.iterdir()) == []
