"""The price of releases: ε from δ, δ from ε, the whole curve, and the noise that a target needs.

>>> from robustfl.privacy import FixedCohort, Poisson
>>> fifty_rounds = Release(noise_multiplier=2.0, sampling=Poisson(rate=0.2), rounds=50)
>>> round(epsilon([fifty_rounds], delta=1e-3), 4)
2.3555
>>> as_usual = Release(noise_multiplier=2.0, sampling=FixedCohort(size=20, population=100), rounds=50)
>>> round(epsilon([as_usual], delta=1e-3), 4)  # the same noise in cohorts of fixed size
7.8596
>>> stronger = noise_multiplier(target_epsilon=2.3555, delta=1e-3, sampling=as_usual.sampling, rounds=50)
>>> round(stronger, 2)
4.23
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from robustfl.errors import ParameterError
from robustfl.privacy.composition import POINTS, Composition
from robustfl.privacy.pairs import Exchanged, Gaussian, Pair
from robustfl.privacy.releases import Everyone, Relation, Release, Sampling, common_relation

DELTAS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8)
"""Of the curve that reports show."""

_COARSE = 2**12
_DIGITS = 1e-9
"""The relative precision that exact profiles are trusted with: their rounding errors are far smaller."""


def epsilon(releases: Sequence[Release], delta: float, relation: Relation | None = None) -> float:
    """The smallest ε such that all `releases` together are (ε, `delta`)-differentially private, from above.

    Stages with different noise, rates or numbers of rounds are a list; their order does not matter, and later ones may
    depend on the answers of earlier ones. `relation` is by default one record more or less, or one exchanged record
    where a release has no other price. The answer is infinity without noise. Time: about 0.1 s for each direction of
    each kind of sampling, whatever the number of rounds.
    """
    _check_delta(delta)
    columns = _directions(releases, relation)
    return math.inf if columns is None else max(_epsilons(column, (delta,))[0] for column in columns)


def delta(releases: Sequence[Release], epsilon: float, relation: Relation | None = None) -> float:
    """The smallest δ such that all `releases` together are (`epsilon`, δ)-differentially private, from above."""
    if not epsilon >= 0:
        raise ParameterError(f"`epsilon` should satisfy epsilon >= 0. Found epsilon={epsilon}.")
    if math.isinf(epsilon):
        return 0.0
    columns = _directions(releases, relation)
    return 1.0 if columns is None else max(_delta(column, epsilon) for column in columns)


def curve(
    releases: Sequence[Release], deltas: Sequence[float] = DELTAS, relation: Relation | None = None
) -> list[tuple[float, float]]:
    """The points (δ, ε) of the privacy profile; all of them together take no longer than one."""
    for one in deltas:
        _check_delta(one)
    levels = tuple(deltas)
    columns = _directions(releases, relation)
    if columns is None:
        return [(one, math.inf) for one in levels]
    prices = [_epsilons(column, levels) for column in columns]
    return [(one, max(ways)) for one, *ways in zip(levels, *prices, strict=True)]


def noise_multiplier(
    *,
    target_epsilon: float,
    delta: float,
    rounds: int,
    sampling: Sampling | None = None,
    relation: Relation | None = None,
    joining: float | None = 1.0,
    replacing: float = 2.0,
    tolerance: float = 1e-4,
) -> float:
    """The smallest noise multiplier whose price is at most `target_epsilon`, to `tolerance` relative.

    The search is on the accountant itself: ε falls with the noise, so the answer lies between two multipliers that are
    halved on a logarithmic scale; the larger one is returned. ε of the answer is never above the target.
    """
    _check_delta(delta)
    if not (target_epsilon > 0 and math.isfinite(target_epsilon)):
        raise ParameterError(
            f"`target_epsilon` should be finite and > 0. Found target_epsilon={target_epsilon}. For no noise at all, "
            "build the release with noise_multiplier=0."
        )
    if rounds < 1:
        raise ParameterError(f"`rounds` should satisfy rounds >= 1. Found rounds={rounds}.")
    way = Everyone() if sampling is None else sampling

    def excess(log_noise: float, points: int) -> float:
        release = Release(
            noise_multiplier=math.exp(log_noise), rounds=rounds, sampling=way, joining=joining, replacing=replacing
        )
        columns = _directions([release], relation) or []
        return max(_epsilons(column, (delta,), points)[0] for column in columns) - target_epsilon

    rate = Release(noise_multiplier=1.0, sampling=way).rate
    ever = -math.expm1(rounds * math.log1p(-rate)) if rate < 1 else 1.0
    if ever <= delta:
        raise ParameterError(
            f"The chance of ever taking part, {ever:.3g}, should exceed `delta`: otherwise delta allows to publish all "
            f"that is known of a record. Found delta={delta}. Usual is a delta below one over the number of records."
        )
    start = math.log(math.sqrt(rounds) * rate + 0.5)
    # A coarse grid is a little dearer, so its answer is a little too large, and next to the one of the fine grid.
    near = _falling_root(lambda x: excess(x, _COARSE), start, 1.0, tolerance)
    return math.exp(_falling_root(lambda x: excess(x, POINTS), near, 4 * tolerance, tolerance))


def _falling_root(excess: Callable[[float], float], start: float, stride: float, tolerance: float) -> float:
    """Where a falling function crosses 0, at most `tolerance` above: bracketing from `start`, then secants."""
    low = high = start
    above = below = excess(start)
    while below > 0:
        low, above, high = high, below, high + stride
        below, stride = excess(high), 2 * stride
    while above <= 0:
        high, below, low = low, above, low - stride
        above, stride = excess(low), 2 * stride
    turn = 0
    while high - low > tolerance:
        # The secant's guess, a little short of it or beyond it in turns, so that the bracket closes from both sides.
        share = 0.5 if turn % 3 == 2 or not math.isfinite(above) else above / (above - below)
        nudge = 0.4 * tolerance / (high - low) * (1 if turn % 3 == 0 else -1)
        middle = low + min(0.95, max(0.05, share + nudge)) * (high - low)
        value = excess(middle)
        low, above, high, below = (middle, value, high, below) if value > 0 else (low, above, middle, value)
        turn += 1
    return high


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ParameterError(
            f"`delta` should satisfy 0 < delta < 1. Found delta={delta}. Gaussian noise has no finite "
            "epsilon at delta=0; a usual choice is below one over the number of records."
        )


Column = tuple[tuple[Pair, int], ...]
"""One direction of a composition: pairs, and how often each is used."""


def _directions(releases: Sequence[Release], relation: Relation | None) -> list[Column] | None:
    """The compositions of which the dearest one is the price; None where something is released without noise.

    Directions belong together: a record is absent from all rounds, or present in all of them.
    """
    played = [release for release in releases if release.rounds]
    kind = common_relation(played) if relation is None else relation
    if any(release.noise_multiplier == 0 for release in played):
        return None
    priced = [release.pairs(kind) for release in played]
    rounds = [release.rounds for release in played]
    return [
        _together([(pairs[min(way, len(pairs) - 1)], n) for pairs, n in zip(priced, rounds, strict=True)])
        for way in range(max((len(pairs) for pairs in priced), default=1))
    ]


def _together(pairs: Sequence[tuple[Pair, int]]) -> Column:
    """Equal pairs counted together, and all Gaussian ones as one: their shifts add up in squares, exactly."""
    squares = math.fsum(count * pair.shift**2 for pair, count in pairs if isinstance(pair, Gaussian))
    counted: Counter[Pair] = Counter()
    for pair, count in pairs:
        if not isinstance(pair, Gaussian):
            counted[pair] += count
    merged = [(Gaussian(math.sqrt(squares)), 1)] if squares else []
    return (*merged, *counted.items())


@lru_cache(maxsize=512)
def _epsilons(column: Column, deltas: tuple[float, ...], points: int = POINTS) -> list[float]:
    if not column:
        return [0.0] * len(deltas)
    if _exact(column):
        return [_level(column[0][0], delta) for delta in deltas]
    return Composition(column, points).epsilons(deltas)


@lru_cache(maxsize=512)
def _delta(column: Column, epsilon: float) -> float:
    if not column:
        return 0.0
    if _exact(column):
        return min(1.0, float(column[0][0].delta(epsilon)) * (1 + _DIGITS))
    return Composition(column).delta(epsilon)


def _exact(column: Column) -> bool:
    """Whether the profile is known in closed form, without cancellation."""
    return len(column) == 1 and column[0][1] == 1 and not isinstance(column[0][0], Exchanged)


def _level(pair: Pair, delta: float) -> float:
    """ε of a single release by bisection on its exact profile, from above."""
    aim = delta * (1 - _DIGITS)
    if float(pair.delta(0.0)) <= aim:
        return 0.0
    low, high = 0.0, 1.0
    while float(pair.delta(high)) > aim:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if float(pair.delta(middle)) > aim else (low, middle)
    return high
