"""Estimates how long a suite will take before it starts: a few short trials of every attack are timed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.run.checking import Checks
from robustfl.evaluation.run.executors import one_thread
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.trial import Trial
from robustfl.threats.staging import stages
from robustfl.wording import lasting

SHORT = 5
"""The number of rounds of a short trial: enough to include a search that an attack makes every few rounds."""

REPLAY = 3
"""How many times as long as a trial it takes to play it again in a new process, with a second copy of its defense."""

SAMPLED = 3
"""The number of short trials of each attack; they differ in defense, world and number of malicious clients."""


@dataclass(frozen=True)
class Budget:
    """The cost of a list of trials.

    Attributes
    ----------
    trials : their number
    seconds : the time that one worker needs for all of them
    measured : the time that was spent to find out
    each : the time of one trial under each attack
    """

    trials: int
    seconds: float
    measured: float
    each: Mapping[str, float] = field(default_factory=dict)

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
    began = time.perf_counter()
    each: dict[str, float] = {}
    rng = np.random.default_rng(0)
    counts = Counter(trial.attack for trial in trials)
    with one_thread():
        for attack in counts:
            own = [trial for trial in trials if trial.attack == attack]
            sampled = 1 if _uneven(own[0]) else min(SAMPLED, len(own))
            chosen = [own[int(place)] for place in rng.choice(len(own), sampled, replace=False)]
            each[attack] = float(np.mean([_seconds(trial, place) for trial in chosen]))
    total = sum(count * each[attack] for attack, count in counts.items())
    return Budget(len(trials), total, time.perf_counter() - began, each)


def checking(plan: Plan, checks: Checks, each: Mapping[str, float]) -> Budget:
    """The largest cost of the trials that check a suite once it is over, from the time of a trial under each attack.

    Which attack is the worst for a defense is not known before; the dearest is counted. A trial that is played again
    counts three times, as it starts processes and its defense is asked twice in each round.
    """
    suite, counted = plan.experiment.suite, 0
    attacks = [attack for attack in each if attack != NO_ATTACK]
    dearest = max((each[attack] for attack in attacks), default=0.0)
    if checks.off_by_one and attacks:
        for world in plan.experiment.worlds:
            f = max(suite.adversary.grid(world.federation.clients))
            for template in suite.defenses if f else ():
                met = {cell.attack for cell in plan.cells_at(world, f, template.label) if cell.trial is not None}
                found = [plan.misdeclared(world, template, attack, f) for attack in met - {NO_ATTACK}]
                counted += max((sum(len(case.cells) for case in cases) for cases in found), default=0)
    kinds = {(cell.defense, cell.attack != NO_ATTACK) for cell in plan.cells if cell.trial is not None}
    again = checks.replays * len(kinds)
    return Budget(counted + again, dearest * (counted + REPLAY * again), 0.0)


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
