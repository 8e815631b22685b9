"""One point of a defense's curve: what it keeps under each attack by f clients, and under the worst of them.

The attacker chooses before it knows the seed, so `W` is a minimum of means over the seeds. The smallest of several
noisy means is too low on average where attacks are nearly equal. It is the number that is shown nevertheless: it errs
on the side of the attacker, a stronger attack can only lower it, and it is the value of a cell that readers can look
up. `W_cross_fitted` errs to the other side, and the interval covers the truth (see
:func:`~robustfl.evaluation.statistics.minimum_interval`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from robustfl.errors import ParameterError
from robustfl.evaluation.labels import NO_ATTACK, NOT_APPLICABLE
from robustfl.evaluation.results.summaries import LevelReport, ScoredCell, ScoredPoint
from robustfl.evaluation.score.inputs import CellResult, ScoredWorld, ScoreSettings
from robustfl.evaluation.score.levels import LEVELS, Level, attacks_within
from robustfl.evaluation.statistics import FloatArray, Interval, cross_fitted, minimum_interval, student_interval

Runs = Mapping[str, Mapping[int, CellResult]]
"""The outcomes at one point: attack -> seed -> outcome."""

BOUNDS = (-0.5, 1.5)
"""The smallest and the largest utility of one seed.

A model far below guessing serves nobody worse than guessing does, and with a short scale between chance and baseline
one such seed would outweigh all others. Half a scale is left beyond each end. So the noise around both ends stays
symmetric: the mean of an unharmed defense is not pressed below 1, nor that of a destroyed one lifted above 0.
"""

CEILING_SHARE = 0.05
"""The share of the level of all ranks that the upper bounds of W may spend."""

_DECIDED = {"ok", "diverged", NOT_APPLICABLE}


def utility(accuracy: ArrayLike, *, chance: float, baseline: float) -> FloatArray:
    """The utility ``(accuracy - chance) / (baseline - chance)`` within :data:`BOUNDS`, in the shape of `accuracy`."""
    if not baseline > chance:
        raise ParameterError(
            f"`baseline` should satisfy baseline > chance. Found baseline={baseline}, chance={chance}."
        )
    share = (np.asarray(accuracy, dtype=np.float64) - chance) / (baseline - chance)
    return np.asarray(share.clip(*BOUNDS))


def kept(utility: ArrayLike, lifted: ArrayLike) -> FloatArray:
    """What is kept under an attack with an aim: ``min(clip(u, 0, 1), 1 - lift)``.

    `lifted` is the share of the possible success that the attack gained, as
    :func:`~robustfl.evaluation.score.targeted.lift` computes it. A defense that ruins the model has kept nothing.
    """
    left = 1.0 - np.asarray(lifted, dtype=np.float64)
    return np.asarray(np.minimum(np.clip(np.asarray(utility, dtype=np.float64), 0.0, 1.0), left))


def lowest_mean(utilities: Mapping[str, Sequence[float] | FloatArray]) -> tuple[str, float]:
    """The attack whose mean utility over the seeds is smallest, and this mean, unclipped."""
    means = {attack: float(np.mean(values)) for attack, values in utilities.items()}
    attack = min(means, key=means.__getitem__)
    return attack, means[attack]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How accuracies in one world become utilities.

    `lifts[trial]` is what an attack with an aim gained in a trial, for suites that are about aims. There the utility of
    a trial is what it :func:`kept`. `knowledge[attack]` holds the names of what an attack knows. `defenses` is the
    number of defenses that are compared.
    """

    world: ScoredWorld
    settings: ScoreSettings
    lifts: Mapping[str, float] = field(default_factory=dict)
    knowledge: Mapping[str, Sequence[str]] = field(default_factory=dict)
    defenses: int = 1

    @property
    def certainty(self) -> float:
        """The confidence of intervals whose upper ends hold for all compared defenses at once."""
        return 1 - 2 * CEILING_SHARE * self.settings.alpha / max(self.defenses, 1)

    @property
    def confidence(self) -> float:
        """What intervals cover."""
        return 1 - self.settings.alpha

    def utility(self, outcome: CellResult | None) -> float | None:
        """The utility of one trial; None if it is missing or nothing can be lost in this world."""
        accuracy = None if outcome is None else self.accuracy(outcome)
        if accuracy is None or outcome is None or self.world.level is None or not self.world.informative:
            return None
        value = utility(accuracy, chance=self.world.chance, baseline=self.world.level)
        lifted = self.lifts.get(outcome.trial)
        return float(value if lifted is None else kept(value, lifted))

    def accuracy(self, outcome: CellResult) -> float | None:
        """The accuracy of one trial; that of guessing if it diverged."""
        return (
            outcome.accuracy if outcome.status == "ok" else self.world.chance if outcome.status == "diverged" else None
        )


@dataclass(frozen=True, kw_only=True)
class Point:
    """One f of a curve: its report, the utilities [R] under the worst attack, and the cross-fitted ones [R].

    `worst` is None when the point is incomplete. `fitted` equals `worst` with a single seed. `ceiling` is an upper
    bound of W that holds for all compared defenses at once; it is 1 if there are too few seeds for one.
    """

    report: ScoredPoint
    worst: FloatArray | None = None
    fitted: FloatArray | None = None
    ceiling: float = 1.0


def point_of(scale: Scale, f: int, suite: Sequence[str], runs: Runs) -> Point:
    """W and M at one f. Cells with missing seeds are listed and left out; W is then only an upper bound."""
    world, seeds = scale.world, len(scale.world.seeds)
    cells = {attack: _cell(scale, runs.get(attack, {})) for attack in suite}
    complete = {attack: np.array(cell["u"]) for attack, cell in cells.items() if cell["U"] is not None}
    refusals = [o.reason for outcomes in runs.values() for o in outcomes.values() if o.status == "invalid"]
    unfinished = [attack for attack, cell in cells.items() if not set(cell["status"]) <= _DECIDED]
    report: ScoredPoint = {
        "f": f,
        "fraction": f / world.clients,
        "W": None,
        "W_ci": None,
        "W_cross_fitted": None,
        "levels": dict.fromkeys(LEVELS, None),
        "M": None,
        "M_ci": None,
        "worst_attack": None,
        "invalid": None,
        "incomplete": [] if refusals else unfinished,
        "attacks": cells,
    }
    if refusals:
        report["invalid"] = next(filter(None, refusals), "The defense's own precondition on f does not hold.")
        if not world.informative:
            return Point(report=report)
        report["W"] = 0.0
        report["levels"] = {level: {"W": 0.0, "W_ci": None, "worst_attack": None, "attacks": 0} for level in LEVELS}
        return Point(report=report, worst=np.zeros(seeds), fitted=np.zeros(seeds), ceiling=0.0)
    if not complete:
        return Point(report=report)
    worst_attack, lowest = lowest_mean(complete)
    table = np.array(list(complete.values()))
    fitted = cross_fitted(table, floor=0.0) if seeds > 1 else complete[worst_attack]
    report["worst_attack"], report["W"] = worst_attack, clipped(lowest)
    report["W_ci"] = within_scale(minimum_interval(table, scale.confidence))
    report["W_cross_fitted"] = clipped(float(fitted.mean())) if seeds > 1 else None
    report["levels"] = {level: _at_level(level, complete, scale) for level in LEVELS}
    attacked = [attack for attack in complete if attack != NO_ATTACK]
    if attacked:
        report["M"] = float(np.mean([cells[attack]["U"] for attack in attacked]))
        own = np.mean([complete[attack] for attack in attacked], axis=0)
        report["M_ci"] = within_scale(student_interval(own, scale.confidence)) if seeds > 1 else None
    if unfinished:
        return Point(report=report)
    bound = within_scale(minimum_interval(table, scale.certainty))
    ceiling = 1.0 if bound is None else bound[1]
    return Point(report=report, worst=complete[worst_attack], fitted=fitted, ceiling=ceiling)


def within_scale(pair: Interval | None) -> list[float] | None:
    """An interval of something that lies in [0, 1], cut to that range."""
    return None if pair is None else [clipped(end) for end in pair]


def clipped(value: float) -> float:
    """The value, or the end of [0, 1] that is nearest to it."""
    return min(max(value, 0.0), 1.0)


def _at_level(level: Level, complete: Mapping[str, FloatArray], scale: Scale) -> LevelReport | None:
    """W over the attacks of one level and over no attack; None if no attack was played on this level."""
    within = attacks_within(level, [attack for attack in complete if attack != NO_ATTACK], scale.knowledge)
    if not within:
        return None
    played = {attack: complete[attack] for attack in (NO_ATTACK, *within) if attack in complete}
    worst_attack, lowest = lowest_mean(played)
    interval = minimum_interval(list(played.values()), scale.confidence)
    return {
        "W": clipped(lowest),
        "W_ci": within_scale(interval),
        "worst_attack": worst_attack,
        "attacks": len(within),
    }


def _cell(scale: Scale, runs: Mapping[int, CellResult]) -> ScoredCell:
    """One attack at one f: the value of each seed, and their mean when no seed is missing."""
    found = [runs.get(seed) for seed in scale.world.seeds]
    u = [scale.utility(outcome) for outcome in found]
    values = [value for value in u if value is not None]
    complete = len(values) == len(u)
    return {
        "u": u,
        "U": clipped(float(np.mean(values))) if complete else None,
        "ci": within_scale(student_interval(values, scale.confidence)) if complete else None,
        "accuracy": [None if o is None else scale.accuracy(o) for o in found],
        "trials": [None if o is None else o.trial for o in found],
        "status": ["missing" if o is None else o.status for o in found],
        "reasons": list(dict.fromkeys(o.reason for o in found if o is not None and o.reason)),
    }
