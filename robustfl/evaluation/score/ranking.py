"""Ranks with ties: a defense is ranked below those that beat it significantly and by more than a margin.

What is compared are minima over attacks, so a test at each one's own worst attack would be fooled by the choice: the
smallest of many noisy means is too low, the more so the more attacks are nearly equal. Each side therefore gets the
estimate that speaks against it. Defense i beats j when i, at its own worst attack, where its numbers are too low on
average, is better than j cross-fitted, where the numbers are too high on average
(:func:`~robustfl.evaluation.statistics.cross_fitted`). With one clear worst attack each, this is the paired t-test
between the two. Where several attacks destroy j, cross-fitting picks among them by chance, unless one is surer than the
others; then j is also beaten when i is better than an upper bound of what j keeps, which holds for all defenses at
once.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from types import MappingProxyType

import numpy as np

from robustfl.errors import ParameterError
from robustfl.evaluation.results.summaries import LevelResilience, RankRow
from robustfl.evaluation.score.curve import CEILING_SHARE
from robustfl.evaluation.score.levels import LEVELS
from robustfl.evaluation.statistics import FloatArray, holm, mean_interval, paired_test

Columns = Mapping[str, Sequence[float]]
"""The values of each defense, one per seed."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two defenses compared on the same seeds.

    `mean` is the mean of a - b, each at its own worst attack. `lead` is by how much the better one is ahead when the
    other is cross-fitted, or at its upper bound if that says more. `p` is the two-sided p-value of no lead in either
    direction; it is None when no test is possible.
    """

    a: str
    b: str
    mean: float
    lead: float
    p: float | None
    significant: bool


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The comparison of every pair of defenses, and which defense beats which.

    `tested` is False when there was only one seed; then the margin alone decides.
    """

    pairs: tuple[Pair, ...]
    beats: Mapping[str, tuple[str, ...]]
    tested: bool

    def beaten_by(self, defense: str) -> tuple[str, ...]:
        """The defenses that beat this one."""
        return tuple(other for other, losers in self.beats.items() if defense in losers)

    def rank(self, defense: str) -> int:
        """The dominance rank: 1 + the number of defenses that beat this one. Ties share a rank: 1, 1, 3."""
        return 1 + len(self.beaten_by(defense))


def rank(
    values: Columns,
    fitted: Columns | None = None,
    ceilings: Mapping[str, float] | None = None,
    *,
    strata: Sequence[int] | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
) -> Ranking:
    """Compare every two defenses on the same seeds.

    `values[defense]` [R] holds one value per seed, at the defense's own worst attack; higher is better. `fitted` holds
    the cross-fitted values in the same shape; without it they are those of `values`. `ceilings` holds upper bounds that
    hold for all defenses at once, but with a probability of :data:`~robustfl.evaluation.score.curve.CEILING_SHARE`
    times `alpha`; without them there is one test per pair. `strata` [R] names the world of each seed; all worlds then
    have the same weight. Defense i beats j when the mean of ``values[i] - fitted[j]`` exceeds `margin` and the paired
    t-test, stratified by world, is significant at level `alpha` after Holm's correction over all pairs; or when this is
    so for ``values[i] - ceilings[j]``. The two tests and the bounds share the level: 0.9, 0.05 and 0.05 of it. The rank
    counts how many defenses beat a defense, so it needs no transitivity: A = B, B = C and A > C may all hold.

    Guarantee: of defenses with equal true minima, any is ranked below another in at most a share `alpha` of all suites,
    for values that are roughly normal; however many attacks are nearly equal.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ParameterError(f"`margin` should satisfy margin >= 0. Found margin={margin}.")
    known = values if fitted is None else fitted
    seeds = {len(column) for columns in (values, known) for column in columns.values()}
    if len(seeds) > 1 or 0 in seeds or set(values) != set(known):
        raise ParameterError(
            "`values` should hold one value for each of the same seeds for every defense, and `fitted` too. "
            f"Found {dict(zip(values, map(len, values.values()), strict=True))}."
        )
    for columns in (values, known):
        broken = [defense for defense, column in columns.items() if not np.isfinite(column).all()]
        if broken:
            raise ParameterError(f"`values` should be finite. Found {list(columns[broken[0]])} for {broken[0]!r}.")
    tested = seeds != {1}
    pairs = _pairs(values, known, ceilings, strata, alpha) if tested else _untested(values)
    beats: dict[str, list[str]] = {defense: [] for defense in values}
    for pair in pairs:
        if pair.lead > margin and (pair.significant or not tested):
            winner, loser = (pair.a, pair.b) if pair.mean > 0 else (pair.b, pair.a)
            beats[winner].append(loser)
    frozen = MappingProxyType({defense: tuple(losers) for defense, losers in beats.items()})
    return Ranking(pairs=pairs, beats=frozen, tested=tested)


def _pairs(
    values: Columns,
    fitted: Columns,
    ceilings: Mapping[str, float] | None,
    strata: Sequence[int] | None,
    alpha: float,
) -> tuple[Pair, ...]:
    names = list(combinations(values, 2))
    means = {name: float(np.mean(_by_stratum(column, strata))) for name, column in values.items()}
    found = []
    for a, b in names:
        first, second = (a, b) if means[a] > means[b] else (b, a)
        lead, p = _lead(values[first], fitted[second], strata)
        if ceilings is not None:
            beyond, other = _lead(values[first], [ceilings[second]] * len(values[first]), strata)
            p, other = p / _FITTED_SHARE, other / CEILING_SHARE
            lead, p = (beyond, other) if other < p else (lead, p)
        found.append((lead, min(p, 1.0)))
    verdicts = holm([p for _, p in found], alpha)
    return tuple(
        Pair(a=a, b=b, mean=means[a] - means[b], lead=lead, p=p, significant=significant)
        for (a, b), (lead, p), significant in zip(names, found, verdicts, strict=True)
    )


_FITTED_SHARE = 1 - 2 * CEILING_SHARE
"""The share of the level that the tests against cross-fitted values have; the bounds and their tests have the rest."""


def _lead(ahead: Sequence[float], behind: Sequence[float], strata: Sequence[int] | None) -> tuple[float, float]:
    """By how much the better one is ahead, and the smaller of both one-sided p-values, doubled.

    A lead in the other direction is never the larger one: the mean of the worst case is at most that of what is
    cross-fitted, and at most the bound.
    """
    lead, p = paired_test(ahead, behind, strata)
    return lead, p if lead > 0 else 1.0


def _untested(values: Columns) -> tuple[Pair, ...]:
    found = []
    for a, b in combinations(values, 2):
        mean = float(values[a][0]) - float(values[b][0])
        found.append(Pair(a=a, b=b, mean=mean, lead=abs(mean), p=None, significant=False))
    return tuple(found)


def _by_stratum(column: Sequence[float], strata: Sequence[int] | None) -> list[float]:
    """The mean of each stratum, so that all weigh alike."""
    if strata is None:
        return [float(np.mean(column))]
    own, place = np.asarray(column, dtype=np.float64), np.asarray(strata)
    return [float(own[place == number].mean()) for number in np.unique(place)]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The results of one defense with a complete curve in one world.

    `worst` [R] holds the area of each seed under the worst attacks, and `fitted` [R] the cross-fitted one. `interval`
    is that of `area`, and `ceiling` is an upper bound of it that holds for all defenses at once. `levels` holds the
    area for each level of knowledge, and `undisturbed` that under no attack. `last`, `last_interval` and `worst_attack`
    are W, its interval and its attack at the largest f.
    """

    seeds: tuple[int, ...]
    area: float
    interval: list[float] | None
    worst: FloatArray
    fitted: FloatArray
    last: float
    last_interval: list[float] | None
    worst_attack: str | None
    ceiling: float = 1.0
    undisturbed: float | None = None
    levels: Mapping[str, LevelResilience] = field(default_factory=dict)


def standings(
    worlds: Mapping[str, Mapping[str, Standing | None]],
    defenses: Sequence[str],
    *,
    margin: float,
    alpha: float,
    ranked: Container[str] | None = None,
) -> tuple[list[RankRow], Ranking]:
    """The table of ranks over several worlds, by their labels, as JSON values, and the comparisons behind it.

    The rows are in the order of their numbers, the largest first; a mark says which of them cannot be told apart from
    the first. Defenses are compared by their areas per seed, on the seeds that all of them have in a world; the worlds
    are strata with equal weights. If a world has fewer than two such seeds, the plain averages are compared by the
    margin alone. A defense that is incomplete (None) in any world is not compared; it comes last, without numbers. If
    only the defenses in `ranked` may be compared, all others come below them, with their numbers and without a rank.
    """
    found: dict[str, dict[str, Standing]] = {}
    for defense in defenses:
        own = {label: world.get(defense) for label, world in worlds.items()}
        known = {label: standing for label, standing in own.items() if standing is not None}
        if known and len(known) == len(own):
            found[defense] = known
    compared = {defense: own for defense, own in found.items() if ranked is None or defense in ranked}
    values, fitted, strata = _paired_values({name: list(own.values()) for name, own in compared.items()})
    ceilings = {name: float(np.mean([s.ceiling for s in own.values()])) for name, own in compared.items()}
    ranking = rank(values, fitted, ceilings, strata=strata, margin=margin, alpha=alpha)
    rows = [_row(defense, found.get(defense), ranking) for defense in defenses]
    if ranked is not None:
        rows = [row if row["defense"] in compared else {**row, "rank": None} for row in rows]
    rows.sort(key=_place)
    best = rows[0]["defense"] if rows and rows[0]["defense"] in compared else None
    for row in rows:
        told_apart = best is None or row["defense"] in ranking.beats[best] or row["defense"] not in compared
        row["tied"] = row["defense"] != best and not told_apart
    return rows, ranking


def _place(row: RankRow) -> tuple[bool, bool, float]:
    """The sorting key: ranked rows come first, then rows without a rank, then rows without numbers; larger R first."""
    return row["rank"] is None, row["R_mean"] is None, -(row["R_mean"] or 0.0)


def _paired_values(
    found: Mapping[str, Sequence[Standing]],
) -> tuple[dict[str, list[float]], dict[str, list[float]], list[int]]:
    """The values of each defense, and the cross-fitted ones, one per seed that all defenses have in a world.

    The last list holds the world of each value. If some world has fewer than 2 such seeds, each defense has a single
    value, its plain average, and there are no worlds.
    """
    columns: list[tuple[int, int]] = []
    for number, world in enumerate(zip(*found.values(), strict=True)):
        common = sorted(set.intersection(*(set(standing.seeds) for standing in world)))
        if len(common) < 2:
            plain = {name: [float(np.mean([s.worst.mean() for s in own]))] for name, own in found.items()}
            return plain, plain, [0]
        columns += [(number, seed) for seed in common]
    values: dict[str, list[float]] = {}
    fitted: dict[str, list[float]] = {}
    for name, own in found.items():
        places = [(number, own[number].seeds.index(seed)) for number, seed in columns]
        values[name] = [float(own[number].worst[place]) for number, place in places]
        fitted[name] = [float(own[number].fitted[place]) for number, place in places]
    return values, fitted, [number for number, _ in columns]


def _row(defense: str, own: Mapping[str, Standing] | None, ranking: Ranking) -> RankRow:
    row: RankRow = {
        "rank": 1 + len(ranking.beats),
        "defense": defense,
        "R_mean": None,
        "R_min": None,
        "R_ci": None,
        "R_levels": dict.fromkeys(LEVELS, None),
        "undisturbed": None,
        "W_at_max_f": None,
        "W_ci": None,
        "worst_attack": None,
        "world": None,
        "tied": False,
        "beaten_by": [],
        "beats": [],
    }
    if own is None:
        return row
    areas = [standing.area for standing in own.values()]
    label = min(own, key=lambda label: own[label].last)
    levels = {level: [_at_level(standing, level) for standing in own.values()] for level in LEVELS}
    return {
        **row,
        "rank": ranking.rank(defense) if defense in ranking.beats else None,
        "R_mean": float(np.mean(areas)),
        "R_min": min(areas),
        "R_ci": _interval(list(own.values())),
        "R_levels": {level: _mean(values) for level, values in levels.items()},
        "undisturbed": _mean([standing.undisturbed for standing in own.values()]),
        "W_at_max_f": own[label].last,
        "W_ci": own[label].last_interval,
        "worst_attack": own[label].worst_attack,
        "world": label,
        "beaten_by": list(ranking.beaten_by(defense)),
        "beats": list(ranking.beats.get(defense, ())),
    }


def _at_level(standing: Standing, level: str) -> float | None:
    found = standing.levels.get(level)
    return None if found is None else found["R"]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _interval(own: Sequence[Standing]) -> list[float] | None:
    """The interval of the mean area over the worlds, which are independent of each other; None if one has none."""
    known = [(s.interval[0], s.interval[1]) for s in own if s.interval is not None]
    if len(known) < len(own):
        return None
    largest = [float(np.clip(standing.fitted.mean(), standing.area, 1.0)) for standing in own]
    low, high = mean_interval([standing.area for standing in own], known, largest)
    return [max(low, 0.0), min(high, 1.0)]
