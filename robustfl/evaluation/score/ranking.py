"""Ranks with ties: a defense is ranked below those that beat it significantly and by more than a margin."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np

from robustfl.errors import ParameterError
from robustfl.evaluation.results.summaries import RankRow
from robustfl.evaluation.statistics import FloatArray, Resamples, holm, paired_test


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two defenses compared on the same seeds: `mean` is the mean of a - b; `p` is None when no test is possible."""

    a: str
    b: str
    mean: float
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
    values: Mapping[str, Sequence[float]],
    *,
    strata: Sequence[int] | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
) -> Ranking:
    """Compare every two defenses on the same seeds.

    `values[defense]` [R] holds one value per seed; higher is better. `strata` [R] names the world of each seed; all
    worlds then have the same weight. Defense i beats j when the mean of `values[i] - values[j]` exceeds `margin` and
    the paired t-test, stratified by world, is significant at level `alpha` after Holm's correction over all pairs. The
    rank counts how many defenses beat a defense, so it needs no transitivity: A = B, B = C and A > C may all hold.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ParameterError(f"`margin` should satisfy margin >= 0. Found margin={margin}.")
    seeds = {len(column) for column in values.values()}
    if len(seeds) > 1 or 0 in seeds:
        raise ParameterError(
            "`values` should hold one value for each of the same seeds for every defense. "
            f"Found {dict(zip(values, map(len, values.values()), strict=True))}."
        )
    broken = [defense for defense, column in values.items() if not np.isfinite(column).all()]
    if broken:
        raise ParameterError(f"`values` should be finite. Found {list(values[broken[0]])} for {broken[0]!r}.")
    tested = seeds != {1}
    pairs = _tested_pairs(values, strata, alpha) if tested else _untested_pairs(values)
    beats: dict[str, list[str]] = {defense: [] for defense in values}
    for pair in pairs:
        if abs(pair.mean) > margin and (pair.significant or not tested):
            winner, loser = (pair.a, pair.b) if pair.mean > 0 else (pair.b, pair.a)
            beats[winner].append(loser)
    frozen = MappingProxyType({defense: tuple(losers) for defense, losers in beats.items()})
    return Ranking(pairs=pairs, beats=frozen, tested=tested)


def _tested_pairs(
    values: Mapping[str, Sequence[float]], strata: Sequence[int] | None, alpha: float
) -> tuple[Pair, ...]:
    names = list(combinations(values, 2))
    tests = [paired_test(values[a], values[b], strata) for a, b in names]
    verdicts = holm([p for _, p in tests], alpha)
    return tuple(
        Pair(a=a, b=b, mean=mean, p=p, significant=significant)
        for (a, b), (mean, p), significant in zip(names, tests, verdicts, strict=True)
    )


def _untested_pairs(values: Mapping[str, Sequence[float]]) -> tuple[Pair, ...]:
    return tuple(
        Pair(a=a, b=b, mean=float(values[a][0]) - float(values[b][0]), p=None, significant=False)
        for a, b in combinations(values, 2)
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The results of one defense with a complete curve in one world.

    `per_seed` [R] holds the unclipped area of each seed under the worst attacks. `replicates` [B] holds the
    bootstrapped `area`; `resamples` are those that made it. `last` and `worst_attack` are W and its attack at the
    largest f.
    """

    seeds: tuple[int, ...]
    area: float
    per_seed: FloatArray
    last: float
    worst_attack: str | None
    replicates: FloatArray | None = None
    resamples: Resamples | None = None

    def interval(self, alpha: float) -> list[float] | None:
        """The bootstrap interval of `area`; None with a single seed."""
        if self.resamples is None or self.replicates is None:
            return None
        return list(self.resamples.interval(self.replicates, 1 - alpha))


def standings(
    worlds: Sequence[Mapping[str, Standing | None]],
    defenses: Sequence[str],
    *,
    margin: float,
    alpha: float,
    ranked: Container[str] | None = None,
) -> tuple[list[RankRow], Ranking]:
    """The table of ranks over several worlds, best first, as JSON values, and the comparisons behind it.

    Defenses are compared by their areas per seed, on the seeds that all of them have in a world; the worlds are strata
    with equal weights. If a world has fewer than two such seeds, the plain averages are compared by the margin alone. A
    defense that is incomplete (None) in any world is not compared; it comes last, without numbers. If only the defenses
    in `ranked` may be compared, all others come below them, with their numbers and without a rank.
    """
    found: dict[str, list[Standing]] = {}
    for defense in defenses:
        own = [world.get(defense) for world in worlds]
        if own and all(standing is not None for standing in own):
            found[defense] = [standing for standing in own if standing is not None]
    compared = {defense: own for defense, own in found.items() if ranked is None or defense in ranked}
    values, strata = _paired_values(compared)
    ranking = rank(values, strata=strata, margin=margin, alpha=alpha)
    rows = [_row(defense, found.get(defense), ranking, alpha) for defense in defenses]
    if ranked is not None:
        rows = [row if row["defense"] in compared else {**row, "rank": None} for row in rows]
    return sorted(rows, key=_place), ranking


def _place(row: RankRow) -> tuple[bool, int, bool, float]:
    """The sorting key: ranked rows come first, then rows without a rank, then rows without numbers.

    Among equals the larger mean comes first.
    """
    return row["rank"] is None, row["rank"] or 0, row["R_mean"] is None, -(row["R_mean"] or 0.0)


def _paired_values(found: Mapping[str, Sequence[Standing]]) -> tuple[dict[str, list[float]], list[int]]:
    """The values of each defense, one per seed that all defenses have in a world, and the world of each value.

    If some world has fewer than 2 such seeds, each defense has a single value, its plain average, and no worlds.
    """
    columns: list[tuple[int, int]] = []
    for number, world in enumerate(zip(*found.values(), strict=True)):
        common = sorted(set.intersection(*(set(standing.seeds) for standing in world)))
        if len(common) < 2:
            return {name: [float(np.mean([s.per_seed.mean() for s in own]))] for name, own in found.items()}, [0]
        columns += [(number, seed) for seed in common]
    values = {
        name: [float(own[number].per_seed[own[number].seeds.index(seed)]) for number, seed in columns]
        for name, own in found.items()
    }
    return values, [number for number, _ in columns]


def _row(defense: str, own: Sequence[Standing] | None, ranking: Ranking, alpha: float) -> RankRow:
    row: RankRow = {
        "rank": 1 + len(ranking.beats),
        "defense": defense,
        "R_mean": None,
        "R_min": None,
        "R_ci": None,
        "W_at_max_f": None,
        "worst_attack": None,
        "beaten_by": [],
        "beats": [],
    }
    if own is None:
        return row
    areas = [standing.area for standing in own]
    hardest = min(own, key=lambda standing: standing.last)
    return {
        **row,
        "rank": ranking.rank(defense) if defense in ranking.beats else None,
        "R_mean": float(np.mean(areas)),
        "R_min": min(areas),
        "R_ci": _interval(own, alpha),
        "W_at_max_f": hardest.last,
        "worst_attack": hardest.worst_attack,
        "beaten_by": list(ranking.beaten_by(defense)),
        "beats": list(ranking.beats.get(defense, ())),
    }


def _interval(own: Sequence[Standing], alpha: float) -> list[float] | None:
    """The bootstrap interval of the mean area; None if the seeds of the worlds cannot be resampled together."""
    resamples = own[0].resamples
    replicates = [standing.replicates for standing in own if standing.replicates is not None]
    if resamples is None or len(replicates) < len(own) or len({standing.seeds for standing in own}) > 1:
        return None
    return list(resamples.interval(np.mean(replicates, axis=0), 1 - alpha))
