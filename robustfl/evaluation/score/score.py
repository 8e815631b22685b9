"""The resilience score: from the accuracy of every run to curves, areas, breakdown points and ranks.

Utility puts all tasks on one scale: `u = (accuracy - chance) / (baseline - chance)`, where the baseline is the accuracy
of the plain mean without an attack. 1 is as good as learning without an attack, and 0 is as bad as guessing; one seed
counts at most half a scale beyond either end. For a defense with f malicious clients:

- `W` is the smallest mean utility over the attacks that apply to the defense, and over no attack; it is the minimum of
  means because the attacker chooses before it knows the seed. There is a `W` for each level of knowledge, too;
- `M` is the mean over the attacks, which is of secondary importance;
- `R_unt` is the area under W over the attacked shares f / n, divided by the width of their range; with one attacked
  share it is W there. What the defense keeps when nobody attacks is no part of it: it stands beside as `undisturbed`,
  the same area under no attack, where the defense is told f as ever.

In suites about aims, most of whose attacks want certain samples misclassified, the utility of a trial under such an
attack is what is kept of both, the main task and the samples aimed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType

from robustfl.errors import DataError
from robustfl.evaluation.labels import NO_ATTACK, SCHEMA
from robustfl.evaluation.results.summaries import (
    LevelResilience,
    ScoredDefense,
    ScoredPoint,
    ScoredWorldReport,
    Scores,
)
from robustfl.evaluation.score.breakdown import breakdown_of_curve
from robustfl.evaluation.score.curve import Point, Scale, point_of
from robustfl.evaluation.score.inputs import CellResult, ScoredWorld, ScoreSettings
from robustfl.evaluation.score.levels import LEVELS, Level
from robustfl.evaluation.score.ranking import Standing, standings
from robustfl.evaluation.statistics import area
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.remarks import ranking_remarks, suite_remarks
from robustfl.evaluation.trust.status import rankable, with_statuses


def worst_case(
    outcomes: Sequence[CellResult], world: ScoredWorld, lifts: Mapping[str, float] | None = None
) -> float | None:
    """W of one defense at one f: 0 if the defense is invalid, None while runs are missing or nothing can be lost.

    `lifts` is that of :func:`score`.
    """
    places = {(outcome.world, outcome.defense, outcome.f) for outcome in outcomes}
    if len(places) != 1:
        raise DataError(f"`outcomes` should be of one world, one defense and one f. Found {sorted(places)}.")
    _check(outcomes, [world])
    runs = _table(outcomes)[outcomes[0].defense, outcomes[0].f]
    scale = Scale(world=world, settings=ScoreSettings(), lifts=lifts or {})
    point = point_of(scale, outcomes[0].f, list(runs), runs)
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
    lifts: Mapping[str, float] | None = None,
    evidence: Evidence | None = None,
) -> Scores:
    """Score a suite; the result can be written as JSON (no NaN, no infinity) and depends on the arguments alone.

    `bounds[world, defense]` is the theoretical bound that is printed next to a breakdown point. `plain` is the label of
    the plain mean. `declared[f]` is the number of malicious clients that was declared to the defenses when there were
    f. `knowledge[attack]` is what an attack knows ("own", "peers", "defense", ...). `lifts[trial]`, for suites about
    aims, is the share of the possible success that an attack with an aim gained in a trial; None is any other suite.
    `evidence` decides the statuses of the defenses.

    Raises DataError when the outcomes contradict the worlds or each other.
    """
    settings = settings or ScoreSettings()
    defenses = list(dict.fromkeys(outcome.defense for outcome in outcomes))
    reports, found = scored_worlds(outcomes, worlds, settings, bounds, knowledge=knowledge, lifts=lifts)
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
            "plain": plain,
            "aims_first": lifts is not None,
        },
        "worlds": reports,
        "ranking": ranks,
        "pairs": [asdict(pair) for pair in ranking.pairs],
        "flags": sorted(flags, key=lambda flag: str(flag["level"])),  # errors before warnings
    }


def scored_worlds(
    outcomes: Sequence[CellResult],
    worlds: Sequence[ScoredWorld],
    settings: ScoreSettings,
    bounds: Mapping[tuple[str, str], str] = MappingProxyType({}),
    *,
    knowledge: Mapping[str, Sequence[str]] = MappingProxyType({}),
    lifts: Mapping[str, float] | None = None,
) -> tuple[list[ScoredWorldReport], dict[str, dict[str, Standing | None]]]:
    """The scores of each world, and what ranks are made from, by world and defense; arguments as in :func:`score`.

    A world in which nothing can be told (training hardly beats guessing, or nobody attacks) is not among the latter.
    """
    _check(outcomes, worlds)
    defenses = list(dict.fromkeys(outcome.defense for outcome in outcomes))
    reports: list[ScoredWorldReport] = []
    found: dict[str, dict[str, Standing | None]] = {}
    for world in worlds:
        own = [outcome for outcome in outcomes if outcome.world == world.label]
        scale = Scale(world=world, settings=settings, lifts=lifts or {}, knowledge=knowledge, defenses=len(defenses))
        report, standing = _world(scale, defenses, own, bounds)
        reports.append(report)
        if world.informative and max(report["f_grid"], default=0) > 0:  # without attackers nothing is withstood
            found[world.label] = standing
    return reports, found


def _world(
    scale: Scale, defenses: Sequence[str], outcomes: Sequence[CellResult], bounds: Mapping[tuple[str, str], str]
) -> tuple[ScoredWorldReport, dict[str, Standing | None]]:
    """Score every defense of the suite in one world; a defense that never ran there is incomplete, not absent."""
    world = scale.world
    grid = sorted({outcome.f for outcome in outcomes})
    runs = _table(outcomes)
    reports: list[ScoredDefense] = []
    found: dict[str, Standing | None] = {}
    for defense in defenses:
        # An attack that a defense meets at one f is expected at every f, so that missing cells are noticed.
        met = (attack for (owner, f), cells in runs.items() if owner == defense and f > 0 for attack in cells)
        suite = list(dict.fromkeys([NO_ATTACK, *met]))
        points = [point_of(scale, f, suite if f else [NO_ATTACK], runs.get((defense, f), {})) for f in grid]
        found[defense] = standing = _standing(world, points)
        limit = breakdown_of_curve([point.report for point in points], scale.settings.threshold)
        breakdown = None if limit is None else limit.report(world.clients)
        if breakdown is not None:
            breakdown["bound"] = bounds.get((world.label, defense))
        reports.append(
            {
                "defense": defense,
                "R_unt": None if standing is None else standing.area,
                "R_unt_ci": None if standing is None else standing.interval,
                "R_levels": dict.fromkeys(LEVELS, None) if standing is None else dict(standing.levels),
                "undisturbed": None if standing is None else standing.undisturbed,
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


def _standing(world: ScoredWorld, points: Sequence[Point]) -> Standing | None:
    """The results of a defense over the attacked shares; None if trials are missing, or if nobody attacks."""
    attacked = [point for point in points if point.report["f"] > 0]
    worst = [point.worst for point in attacked if point.worst is not None]
    fitted = [point.fitted for point in attacked if point.fitted is not None]
    reports = [point.report for point in attacked]
    height = _mean_height(reports, [report["W"] for report in reports])
    if height is None or len(worst) < len(attacked):
        return None
    fractions = [report["fraction"] for report in reports]
    usable = [report for report in reports if report["attacks"][NO_ATTACK]["U"] is not None]
    last = reports[-1]
    return Standing(
        seeds=world.seeds,
        area=height,
        interval=_mean_interval(reports, [report["W_ci"] for report in reports]),
        worst=area(fractions, worst),
        fitted=area(fractions, fitted),
        ceiling=float(area(fractions, [point.ceiling for point in attacked])),
        undisturbed=_mean_height(usable, [report["attacks"][NO_ATTACK]["U"] for report in usable]),
        levels={level: _at_level(reports, level) for level in LEVELS},
        last=last["W"] or 0.0,
        last_interval=last["W_ci"],
        worst_attack=last["worst_attack"],
    )


def _at_level(reports: Sequence[ScoredPoint], level: Level) -> LevelResilience:
    """The resilience against attackers of one level of knowledge; its values are None where none was played."""
    own = [report["levels"][level] for report in reports]
    return {
        "R": _mean_height(reports, [None if found is None else found["W"] for found in own]),
        "R_ci": _mean_interval(reports, [None if found is None else found["W_ci"] for found in own]),
    }


def _mean_height(reports: Sequence[ScoredPoint], heights: Sequence[float | None]) -> float | None:
    """The area under the heights over the shares of malicious clients, divided by the width of their range.

    It is None if a height is not known, and if there is none.
    """
    known = [height for height in heights if height is not None]
    if not known or len(known) < len(heights):
        return None
    return float(area([report["fraction"] for report in reports], known))


def _mean_interval(reports: Sequence[ScoredPoint], pairs: Sequence[list[float] | None]) -> list[float] | None:
    """The areas under both ends of the intervals; it is certain that a defense that cannot be used keeps 0.

    The spread of a sum is at most the sum of the spreads, however the points depend on each other. So the areas cover
    the truth as surely as the intervals of the points do, and no correction for several points is needed.
    """
    known = [pair if own["invalid"] is None else [0.0, 0.0] for own, pair in zip(reports, pairs, strict=True)]
    ends = [[None if pair is None else pair[side] for pair in known] for side in (0, 1)]
    found = [end for side in ends if (end := _mean_height(reports, side)) is not None]
    return found if len(found) == 2 else None


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
