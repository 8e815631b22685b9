"""Estimates how long a suite will take before it starts: some trials of every attack are played in part, and timed.

What such an estimate has to get right, beside the mean of a few times:

- Kernels are compiled, and data prepared, in a first trial of a few rounds that is not timed: a run does both once.
- Rounds that search are dearer than others, so a part holds as many of them as its share of the rounds.
- An attack costs several times as much against one defense as against another. The trials that are played are spread
  evenly over the defenses and worlds, for each kind of attack, so that the dear ones are not met by chance.
- Workers slow each other down, by the memory and the clock that they share. The parts are played by as many workers
  as the suite, at the same time.
- Other programs may be busy just now. What counts is the time of the processor, where it does all the work.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.checking import Checks
from robustfl.evaluation.run.executors import Executor, Processes, Serial
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.trial import Trial
from robustfl.threats.staging import PLANS, effort, stages
from robustfl.wording import lasting

SHORT = 20
"""The number of rounds that are played of a trial, or somewhat more, to hold whole pauses between two searches."""

PART = 3
"""Of a trial whose attack plans ahead, one in so many rounds is played. The whole training is scaled down: plans are as
many, and reach as far in relation to it, so that it takes that share of the time."""

WARM = 2
"""The number of rounds of the trial that prepares data and compiles kernels, counted from the start of the attack."""

SAMPLED = 3
"""The number of trials of each attack that are timed; they differ in defense, world and number of malicious clients."""

PLANNED = 4
"""The same of an attack that plans ahead: most of the time of a suite goes into such trials."""

REPLAY = 3
"""How many times as long as a trial it takes to play it again in a new process, with a second copy of its defense."""


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
        """The time with this number of workers, in words; workers that share a core are no faster than one."""
        return lasting(self.seconds / max(1, min(workers, os.cpu_count() or 1)))


def estimate(trials: Sequence[Trial], place: Resources, workers: int = 0) -> Budget:
    """The cost of some trials, when this number of workers plays them, each on a core of its own.

    For each attack it is the number of its trials times the mean time of a few. The rounds that are played of each are
    enough to tell the others; an attack that begins late is played whole. The same trials always give the same sample.
    A trial that fails counts with the time until its failure. Trials that check the results once a suite is over are
    not counted, nor are the starts of processes.

    Raises
    ------
    WorkerError : worker processes cannot be started
    """
    began = time.perf_counter()
    executor: Executor = Processes(workers, play=timed) if workers else Serial(play=timed)
    spent: defaultdict[str, list[float]] = defaultdict(list)
    for record in executor.run([(trial, "") for trial in sample(trials)], place):
        spent[record["labels"]["attack"]].append(float(record["time"].get("total_s", 0.0)))
    each = {attack: float(np.mean(spent[attack])) for attack in dict.fromkeys(trial.attack for trial in trials)}
    total = sum(each[trial.attack] for trial in trials)
    return Budget(len(trials), total, time.perf_counter() - began, each)


def sample(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that are timed, those that take longest first.

    Each is, of the trials of its attack, one whose defense and world were taken least often so far: first with attacks
    of the same kind, then with any. Among equals, a random order decides, which is always the same.
    """
    rng, taken, found = np.random.default_rng(0), Counter[tuple[object, ...]](), list[Trial]()
    attacks: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        attacks[trial.attack].append(trial)

    def met(trial: Trial) -> tuple[int, ...]:
        kind = effort(trial.scenario.attack)
        return taken[kind, trial.defense], taken[kind, trial.world], taken[trial.defense,], taken[trial.world,]

    for own in sorted(attacks.values(), key=lambda own: -effort(own[0].scenario.attack)):
        left = [own[int(place)] for place in rng.permutation(len(own))]
        for _ in range(min(_count(own[0]), len(own))):
            trial = min(left, key=met)
            left.remove(trial)
            kind = effort(trial.scenario.attack)
            taken.update([(kind, trial.defense), (kind, trial.world), (trial.defense,), (trial.world,)])
            found.append(trial)
    return found


def _begins(trial: Trial) -> int:
    """The round in which the attack begins."""
    return max((getattr(part, "start_round", 0) for part in stages(trial.scenario.attack)), default=0)


def _count(trial: Trial) -> int:
    """How many trials of its attack are timed."""
    return 1 if _begins(trial) else PLANNED if effort(trial.scenario.attack) == PLANS else SAMPLED


def _played(trial: Trial) -> int:
    """The number of rounds from which the time of a trial is estimated."""
    rounds, parts = trial.scenario.federation.rounds, stages(trial.scenario.attack)
    if _begins(trial) or any(getattr(part, "plan_every", None) for part in parts):
        return rounds
    if effort(trial.scenario.attack) == PLANS:
        return -(-rounds // PART)
    pause = max((getattr(part, "search_every", 1) for part in parts), default=1)
    return min(rounds, -(-SHORT // pause) * pause)


def timed(trial: Trial, place: Resources, fingerprint: str) -> Record:
    """The record of the first rounds of a trial, with the time that the whole of it should take as `total_s`.

    Preparations that trials share are not part of that time.
    """
    federation = trial.scenario.federation
    run_trial(_shortened(trial, min(federation.rounds, _begins(trial) + WARM)), place, fingerprint)
    short = _shortened(trial, _played(trial))
    start, worked = time.perf_counter(), time.process_time()
    record = run_trial(short, place, fingerprint)
    whole, busy = time.perf_counter() - start, time.process_time() - worked
    fewer = short.scenario.federation
    played = float(record["time"].get("total_s", 0.0))
    measured = float(record["time"].get("evaluate_s", 0.0))
    total = whole - played + measured / fewer.measurements * federation.measurements
    total += (played - measured) * federation.rounds / fewer.rounds
    if place.device == "cpu" and not place.isolate and busy < whole:  # the rest of the time, other programs worked
        total *= busy / whole
    return cast("Record", {**record, "time": {"total_s": total}})


def _shortened(trial: Trial, rounds: int) -> Trial:
    """The trial with fewer rounds, measured at their end alone; the trial itself if it has no more."""
    federation = trial.scenario.federation
    if rounds == federation.rounds:
        return trial
    fewer = federation.model_copy(update={"rounds": rounds, "evaluate_every": rounds})
    return replace(trial, scenario=trial.scenario.model_copy(update={"federation": fewer}))


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
