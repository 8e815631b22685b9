"""Trials that are played once a suite is over, to find out whether its numbers can be trusted.

Some trials of every defense are played again, see :data:`Checks.replays`: the defense is then in a new process, which
is handed rows alone. A defense that remembers earlier trials, or looks for the simulation, the test set or the list of
attackers in its own process, cannot give the same results there. And a defense that is told f is told one more, and one
less, see :data:`Checks.off_by_one`: nobody knows f exactly.

The records of these trials are in a file of their own, `checks.jsonl`, and are not part of the score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from robustfl.errors import IsolationError
from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.score.score import worst_case
from robustfl.evaluation.suite.plan import Cell, Misdeclared
from robustfl.evaluation.suite.scenario import World
from robustfl.evaluation.suite.trial import Trial
from robustfl.evaluation.trust.declaration import ToldOff
from robustfl.isolation import seal

FILE = "checks.jsonl"
"""The records of these trials, in the folder of the results."""


@dataclass(frozen=True, kw_only=True)
class Checks:
    """Which trials are played once a suite is over.

    `replays` is the number of trials of each defense with an attack, and of those without one, that are played again in
    a new process. Each costs its trial once more, the start of two processes, and a second question in each round.
    `off_by_one` says whether a defense that is told f is also told f + 1 and f - 1, under the worst attack at the
    largest f; this costs at most two trials for each world and seed of such a defense.
    """

    replays: int = 1
    off_by_one: bool = True


NO_CHECKS = Checks(replays=0, off_by_one=False)
"""Nothing is played after the suite."""


def to_replay(cells: Iterable[Cell], records: Mapping[str, Record], count: int) -> list[Trial]:
    """The trials that are played again: `count` of each defense with an attack, and as many without one.

    Hashes choose them, so that the same suite always has the same ones and no defense can know which.
    """
    found: dict[tuple[str, bool], dict[str, Trial]] = {}
    for cell in cells:
        record = None if cell.trial is None else records.get(cell.trial.id)
        if cell.trial is not None and record is not None and record["status"] != "failed":
            kind = cell.defense, cell.attack != NO_ATTACK
            found.setdefault(kind, {})[cell.trial.id] = cell.trial
    chosen: dict[str, Trial] = {}
    for trials in found.values():
        order = sorted(trials, key=lambda trial: hashlib.sha256(f"played again: {trial}".encode()).digest())
        chosen |= {trial: trials[trial] for trial in order[:count]}
    return list(chosen.values())


def sealed(trial: Trial) -> Trial:
    """The trial as a process may get it that is not to import the module of its defense; its id stays the same.

    A defense that cannot be sealed stays as it is, and the trial will say why it fails. The rule of a network of peers
    stays as well: it mixes inside the simulation, and is only played again in a new process.
    """
    if trial.scenario.federation.topology is not None:
        return trial
    try:
        defense = seal(trial.scenario.defense)
    except IsolationError:
        return trial
    found = replace(trial, scenario=trial.scenario.model_copy(update={"defense": defense}))
    vars(found).update(id=trial.id, description=trial.description)  # as they are cached
    return found


def to_misdeclare(played: Played) -> list[Misdeclared]:
    """The cells in which defenses are told a wrong f: those of the worst attack at the largest f, in every world."""
    plan = played.plan
    found: list[Misdeclared] = []
    for world in plan.experiment.worlds:
        f = max(plan.experiment.suite.adversary.grid(world.federation.clients))
        for template in plan.experiment.suite.defenses:
            cells = list(plan.cells_at(world, f, template.label)) if f else []
            worst = _worst(played, world, cells)
            if worst is not None:
                found += plan.misdeclared(world, template, worst, f)
    return found


def told_off(played: Played, found: Iterable[Misdeclared], checks: Mapping[str, Record]) -> list[ToldOff]:
    """What defenses keep when they are told a wrong f, beside what they keep when they are told the right one."""
    wrong = replace(played, records=checks)
    worlds = {world.label: world for world in played.plan.experiment.worlds}
    told = []
    for case in found:
        world = worlds[case.world]
        exact = [cell for cell in played.plan.cells_at(world, case.f, case.defense) if cell.attack == case.attack]
        right, off = _per_seed(played, world, exact), _per_seed(wrong, world, case.cells, baseline=played)
        if right is not None and off is not None:
            told.append(ToldOff(case=case, exact=tuple(right), off=tuple(off)))
    return told


def _worst(played: Played, world: World, cells: Sequence[Cell]) -> str | None:
    """The attack under which least is kept; None without an attack whose trials have all been played."""
    kept: dict[str, float] = {}
    for attack in dict.fromkeys(cell.attack for cell in cells if cell.attack != NO_ATTACK and cell.trial is not None):
        outcomes = played.outcomes([cell for cell in cells if cell.attack == attack])
        level = worst_case(outcomes, played.world(world))
        if level is not None:
            kept[attack] = level
    return min(kept, key=kept.__getitem__) if kept else None


def _per_seed(
    played: Played, world: World, cells: Sequence[Cell], *, baseline: Played | None = None
) -> list[float] | None:
    """The utility that is kept with each seed; None while a trial is missing."""
    scored = (baseline or played).world(world)
    level, values = scored.level, []
    if level is None:
        return None
    for outcome in played.outcomes(cells):
        value = worst_case([outcome], replace(scored, seeds=(outcome.seed,), baseline=(level,)))
        if value is None:
            return None
        values.append(value)
    return values
