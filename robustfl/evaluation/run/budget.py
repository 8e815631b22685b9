"""Estimates how long a suite will take before it starts: a few short trials of every attack are timed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from robustfl.evaluation.run.executors import one_thread
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.suite.trial import Trial
from robustfl.threats.staging import stages
from robustfl.wording import lasting

SHORT = 5
"""The number of rounds of a short trial: enough to include a search that an attack makes every few rounds."""

SAMPLED = 3
"""The number of short trials of each attack; they differ in defense, world and number of malicious clients."""


@dataclass(frozen=True)
class Budget:
    """The cost of a list of trials; `seconds` is the time that one worker needs."""

    trials: int
    seconds: float
    measured: float

    def duration(self, workers: int) -> str:
        """The time with this number of workers, in words."""
        return lasting(self.seconds / max(1, workers))


def estimate(trials: Sequence[Trial], place: Resources) -> Budget:
    """The cost of some trials.

    For each attack it is the number of its trials times the mean time of a few short ones, scaled to all rounds. Of an
    attack whose first rounds do not tell what the others cost (it plans over the rounds to come, or begins late) one
    trial is played whole. The same trials always give the same sample. A trial that fails counts with the time until
    its failure. Trials that check the results once a suite is over are not counted.
    """
    began, total = time.perf_counter(), 0.0
    rng = np.random.default_rng(0)
    counts = Counter(trial.attack for trial in trials)
    with one_thread():
        for attack, count in counts.items():
            own = [trial for trial in trials if trial.attack == attack]
            sampled = 1 if _uneven(own[0]) else min(SAMPLED, len(own))
            chosen = [own[int(place)] for place in rng.choice(len(own), sampled, replace=False)]
            total += count * float(np.mean([_seconds(trial, place) for trial in chosen]))
    return Budget(len(trials), total, time.perf_counter() - began)


def _uneven(trial: Trial) -> bool:
    """Whether the first rounds of a trial do not tell what the others cost."""
    parts = stages(trial.scenario.attack)
    return any(getattr(part, "plans", False) or getattr(part, "start_round", 0) > 0 for part in parts)


def _seconds(trial: Trial, place: Resources) -> float:
    """The time of a trial, estimated from its first rounds, without preparations that trials share."""
    federation = trial.scenario.federation
    rounds = min(SHORT, federation.rounds)
    fewer = federation.model_copy(update={"rounds": rounds, "evaluate_every": rounds})
    short = replace(trial, scenario=trial.scenario.model_copy(update={"federation": fewer}))
    run_trial(short, place, "")  # this first trial prepares data and compiles kernels
    if _uneven(trial):
        start = time.perf_counter()
        run_trial(trial, place, "")
        return time.perf_counter() - start
    start = time.perf_counter()
    spent = run_trial(short, place, "")["time"]
    whole = time.perf_counter() - start
    played, measured = float(spent.get("total_s", 0.0)), float(spent.get("evaluate_s", 0.0))
    rest = whole - played + measured / fewer.measurements * federation.measurements
    return rest + (played - measured) * federation.rounds / rounds
