"""The resilience score: from the accuracy of every run to curves, areas, breakdown points and ranks.

Utility puts all tasks on one scale: `u = (accuracy - chance) / (baseline - chance)`, where the baseline is the accuracy
of the plain mean without an attack. 1 is as good as learning without an attack, and 0 is as bad as guessing. For a
defense with f malicious clients:

- `W` is the smallest mean utility over the attacks that apply to the defense, and over no attack; it is the minimum of
  means because the attacker chooses before it knows the seed;
- `M` is the mean over the attacks, which is of secondary importance;
- `R_unt` is the area under W over the malicious share f / n, divided by the width of the range.

W, M and R_unt are computed from means clipped to [0, 1]; tests use the unclipped utilities, paired by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from robustfl.errors import DataError, ParameterError
from robustfl.evaluation.labels import NO_ATTACK, NOT_APPLICABLE, SCHEMA
from robustfl.evaluation.results.summaries import ScoredCell, ScoredDefense, ScoredPoint, ScoredWorldReport, Scores
from robustfl.evaluation.score.breakdown import breakdown_of_curve
from robustfl.evaluation.score.inputs import CellResult, ScoredWorld, ScoreSettings
from robustfl.evaluation.score.ranking import Standing, standings
from robustfl.evaluation.statistics import (
    FloatArray,
    Resamples,
    area,
    cross_fitted_minimum,
    paired_resamples,
    student_interval,
)
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.remarks import OPTIMISTIC_BELOW, ranking_remarks, suite_remarks
from robustfl.evaluation.trust.status import rankable, with_statuses

_CROSS_FIT_SEEDS = 6
_DECIDED = {"ok", "diverged", NOT_APPLICABLE}


def utility(accuracy: ArrayLike, *, chance: float, baseline: float) -> FloatArray:
    """The utility `(accuracy - chance) / (baseline - chance)`, unclipped; it has the shape of `accuracy`."""
    if not baseline > chance:
        raise ParameterError(
            f"`baseline` should satisfy baseline > chance. Found baseline={baseline}, chance={chance}."
        )
    return np.asarray((np.asarray(accuracy, dtype=np.float64) - chance) / (baseline - chance))


def lowest_mean(utilities: Mapping[str, Sequence[float] | FloatArray]) -> tuple[str, float]:
    """The attack whose mean utility over the seeds is smallest, and this mean, unclipped."""
    means = {attack: float(np.mean(values)) for attack, values in utilities.items()}
    attack = min(means, key=means.__getitem__)
    return attack, means[attack]


def worst_case(outcomes: Sequence[CellResult], world: ScoredWorld) -> float | None:
    """W of one defense at one f: 0 if the defense is invalid, None while runs are missing or nothing can be lost."""
    places = {(outcome.world, outcome.defense, outcome.f) for outcome in outcomes}
    if len(places) != 1:
        raise DataError(f"`outcomes` should be of one world, one defense and one f. Found {sorted(places)}.")
    _check(outcomes, [world])
    runs = _table(outcomes)[outcomes[0].defense, outcomes[0].f]
    point = _point(world, outcomes[0].f, list(runs), runs, None, ScoreSettings())
    return None if point.worst is None else point.report["W"]


def score(
    outcomes: Sequence[CellResult],
    worlds: Sequence[ScoredWorld],
    settings: ScoreSettings | None = None,
    bounds: Mapping[tuple[str, str], str] = MappingProxyType({}),
    *,
    plain: str = "Mean",
    declared: Mapping[int, int] | None = None,
    knowledge: Mapping[str, Sequence[str]] = MappingProxyType({}),
    evidence: Evidence | None = None,
) -> Scores:
    """Score a suite; the result can be written as JSON (no NaN, no infinity) and depends on the arguments alone.

    `bounds[world, defense]` is the theoretical bound that is printed next to a breakdown point. `plain` is the label of
    the plain mean. `declared[f]` is the number of malicious clients that was declared to the defenses when there were
    f. `knowledge[attack]` is what an attack knows ("own", "peers", "defense", ...). `evidence` decides the statuses of
    the defenses.

    Raises DataError when the outcomes contradict the worlds or each other.
    """
    settings = settings or ScoreSettings()
    _check(outcomes, worlds)
    defenses = list(dict.fromkeys(outcome.defense for outcome in outcomes))
    reports: list[ScoredWorldReport] = []
    found: list[dict[str, Standing | None]] = []
    for world in worlds:
        own = [outcome for outcome in outcomes if outcome.world == world.label]
        report, standing = _world(world, defenses, own, settings, bounds)
        reports.append(report)
        if world.informative:
            found.append(standing)
    flags = suite_remarks(
        reports,
        accuracy=settings.accuracy,
        plain=plain,
        declared=declared or {},
        knowledge=knowledge,
        evidence=evidence,
    )
    reports, verdicts = with_statuses(reports, evidence, flags)
    allowed = rankable(verdicts, evidence)
    ranks, ranking = standings(found, defenses, margin=settings.margin, alpha=settings.alpha, ranked=allowed)
    for row in ranks:
        if verdicts:
            row["status"], row["why"] = verdicts[row["defense"]].status, list(verdicts[row["defense"]].why)
    flags += ranking_remarks(ranks, tested=ranking.tested)
    return {
        "schema": SCHEMA,
        "settings": {
            "accuracy": settings.accuracy,
            "threshold": settings.threshold,
            "margin": settings.margin,
            "alpha": settings.alpha,
            "bootstrap": settings.bootstrap,
        },
        "worlds": reports,
        "ranking": ranks,
        "pairs": [asdict(pair) for pair in ranking.pairs],
        "flags": sorted(flags, key=lambda flag: str(flag["level"])),  # errors before warnings
    }


_Runs = Mapping[str, Mapping[int, CellResult]]  # attack -> seed -> outcome


def _world(
    world: ScoredWorld,
    defenses: Sequence[str],
    outcomes: Sequence[CellResult],
    settings: ScoreSettings,
    bounds: Mapping[tuple[str, str], str],
) -> tuple[ScoredWorldReport, dict[str, Standing | None]]:
    """Score every defense of the suite in one world; a defense that never ran there is incomplete, not absent."""
    grid = sorted({outcome.f for outcome in outcomes})
    runs = _table(outcomes)
    resamples = paired_resamples(len(world.seeds), settings.bootstrap) if len(world.seeds) > 1 else None
    reports: list[ScoredDefense] = []
    found: dict[str, Standing | None] = {}
    for defense in defenses:
        # An attack that a defense meets at one f is expected at every f, so that missing cells are noticed.
        met = (attack for (owner, f), cells in runs.items() if owner == defense and f > 0 for attack in cells)
        suite = list(dict.fromkeys([NO_ATTACK, *met]))
        points = [
            _point(world, f, suite if f else [NO_ATTACK], runs.get((defense, f), {}), resamples, settings) for f in grid
        ]
        found[defense] = standing = _standing(world, points, resamples)
        limit = breakdown_of_curve([point.report for point in points], settings.threshold)
        breakdown = None if limit is None else limit.report(world.clients)
        if breakdown is not None:
            breakdown["bound"] = bounds.get((world.label, defense))
        reports.append(
            {
                "defense": defense,
                "R_unt": None if standing is None else standing.area,
                "R_unt_ci": None if standing is None else standing.interval(settings.alpha),
                "optimistic": len(world.seeds) < OPTIMISTIC_BELOW,
                "curve": [point.report for point in points],
                "breakdown": breakdown,
            }
        )
    report: ScoredWorldReport = {
        "world": world.label,
        "clients": world.clients,
        "seeds": list(world.seeds),
        "f_grid": grid,
        "chance": world.chance,
        "test_size": world.test_size,
        "effective_test_size": world.effective_test_size or float(world.test_size),
        "training": world.training,
        "baseline": {"mean": world.level, "per_seed": list(world.baseline)},
        "informative": world.informative,
        "defenses": reports,
    }
    return report, found


@dataclass(frozen=True, kw_only=True)
class _Point:
    """One f of a curve: its report, the utilities [R] under the worst attack and the bootstrapped W [B].

    `worst` is None when the point is incomplete.
    """

    report: ScoredPoint
    worst: FloatArray | None = None
    replicates: FloatArray | None = None


def _standing(world: ScoredWorld, points: Sequence[_Point], resamples: Resamples | None) -> Standing | None:
    worst = [point.worst for point in points if point.worst is not None]
    if not points or len(worst) < len(points):
        return None
    reports = [point.report for point in points]
    fractions = [report["fraction"] for report in reports]
    heights = [height for report in reports if (height := report["W"]) is not None]
    replicates = [point.replicates for point in points if point.replicates is not None]
    return Standing(
        seeds=world.seeds,
        area=float(area(fractions, heights)),
        per_seed=area(fractions, worst),
        last=heights[-1],
        worst_attack=reports[-1]["worst_attack"],
        replicates=area(fractions, replicates) if resamples else None,
        resamples=resamples,
    )


def _point(
    world: ScoredWorld, f: int, suite: Sequence[str], runs: _Runs, resamples: Resamples | None, settings: ScoreSettings
) -> _Point:
    """W and M at one f. Cells with missing seeds are listed and left out; W is then only an upper bound."""
    cells = {attack: _cell(world, runs.get(attack, {}), settings) for attack in suite}
    complete = {attack: np.array(cell["u"]) for attack, cell in cells.items() if cell["U"] is not None}
    refusals = [o.reason for seeds in runs.values() for o in seeds.values() if o.status == "invalid"]
    unfinished = [attack for attack, cell in cells.items() if not set(cell["status"]) <= _DECIDED]
    report: ScoredPoint = {
        "f": f,
        "fraction": f / world.clients,
        "W": None,
        "W_ci": None,
        "W_cross_fitted": None,
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
            return _Point(report=report)
        report["W"] = 0.0
        nothing = np.zeros(len(resamples.counts)) if resamples else None
        return _Point(report=report, worst=np.zeros(len(world.seeds)), replicates=nothing)
    if not complete:
        return _Point(report=report)
    worst_attack, lowest = lowest_mean(complete)
    report["worst_attack"] = worst_attack
    report["W"] = _clip(lowest)
    attacked = [attack for attack in complete if attack != NO_ATTACK]
    report["M"] = float(np.mean([cells[attack]["U"] for attack in attacked])) if attacked else None
    replicates = None
    if resamples:
        boot = {attack: resamples.means(u).clip(0, 1) for attack, u in complete.items()}  # [B] each
        replicates = np.min(list(boot.values()), axis=0)
        report["W_ci"] = list(resamples.interval(replicates, 1 - settings.alpha))
        if attacked:
            average = np.mean([boot[attack] for attack in attacked], axis=0)
            report["M_ci"] = list(resamples.interval(average, 1 - settings.alpha))
    if len(world.seeds) >= _CROSS_FIT_SEEDS:
        report["W_cross_fitted"] = _clip(cross_fitted_minimum(list(complete.values())))
    worst = None if unfinished else complete[worst_attack]
    return _Point(report=report, worst=worst, replicates=replicates)


def _cell(world: ScoredWorld, runs: Mapping[int, CellResult], settings: ScoreSettings) -> ScoredCell:
    """One attack at one f: the value of each seed, and their mean when no seed is missing."""
    found = [runs.get(seed) for seed in world.seeds]
    accuracy = [None if o is None else _accuracy(o, world) for o in found]
    u: list[float | None] = [None] * len(found)
    if world.level is not None and world.informative:
        base = world.level
        u = [None if a is None else float(utility(a, chance=world.chance, baseline=base)) for a in accuracy]
    values = [value for value in u if value is not None]
    complete = len(values) == len(u)
    interval = student_interval(values, 1 - settings.alpha) if complete else None
    return {
        "u": u,
        "U": _clip(float(np.mean(values))) if complete else None,
        "ci": None if interval is None else list(interval),
        "accuracy": accuracy,
        "trials": [None if o is None else o.trial for o in found],
        "status": ["missing" if o is None else o.status for o in found],
        "reasons": list(dict.fromkeys(o.reason for o in found if o is not None and o.reason)),
    }


def _accuracy(outcome: CellResult, world: ScoredWorld) -> float | None:
    return outcome.accuracy if outcome.status == "ok" else world.chance if outcome.status == "diverged" else None


def _table(outcomes: Sequence[CellResult]) -> dict[tuple[str, int], dict[str, dict[int, CellResult]]]:
    """The outcomes of one world as (defense, f) -> attack -> seed -> outcome."""
    table: dict[tuple[str, int], dict[str, dict[int, CellResult]]] = {}
    for outcome in outcomes:
        table.setdefault((outcome.defense, outcome.f), {}).setdefault(outcome.attack, {})[outcome.seed] = outcome
    return table


def _check(outcomes: Sequence[CellResult], worlds: Sequence[ScoredWorld]) -> None:
    seeds = {world.label: world.seeds for world in worlds}
    if len(seeds) != len(worlds):
        raise DataError(f"Worlds should have distinct labels. Found {[world.label for world in worlds]}.")
    answered = set()
    for o in outcomes:
        key = (o.world, o.defense, o.attack, o.f, o.seed)
        if o.world not in seeds or o.seed not in seeds[o.world]:
            raise DataError(f"The outcome {key} is of no known world and seed. Known: {seeds}.")
        if key in answered:
            raise DataError(f"The outcome {key} is there twice. Give every cell and seed one outcome.")
        answered.add(key)


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
