"""Canaries: records in directions of their own, whose traces in the releases can be told from everybody else's.

The auditor knows all other records, and subtracts their sum; what is left along the direction of a canary is its own
contribution, if it takes part, and noise. That is the worst case that differential privacy speaks of, and thus the
strongest audit. Two instruments use it: the calibration of the noise on the canaries that are absent, and a lower bound
of ε from guesses who was there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.privacy.bounds import gaussian_mu
from robustfl.privacy.claim import Claim, Finding
from robustfl.privacy.guesses import Hidden, curve_of, f_dp_bound, f_dp_refuted, gaussian_curve, steinke_bound
from robustfl.privacy.noise import too_small
from robustfl.privacy.pairs import FloatArray, Gaussian
from robustfl.privacy.releases import FixedCohort, Poisson

Presence = Literal["always", "once"]
"""In which rounds a canary is there: in all of them, or in one that is drawn for it, which finds noise that repeats."""

Mask = NDArray[np.bool_]

THRESHOLDS = (0.0, 0.5, 1.0, 2.0)
"""How sure a guess has to be, in standard deviations of what the noise does to a score. Each is a test of its own."""

DELTAS = tuple(float(10.0**power) for power in np.linspace(-1, -9, 25))
"""Of the points that the claimed curve is tested at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Traces:
    """What the releases say along each canary: `scores` [rounds, m] in units of one contribution, noise included.

    `joined` [m] says whom the coin let in, `present` [rounds, m] who took part in each round, and `turn` [m] in which
    round a canary may take part when it does so once.
    """

    scores: FloatArray
    joined: Mask
    present: Mask
    turn: NDArray[np.int64] | None


def traces(
    claim: Claim,
    rng: np.random.Generator,
    *,
    canaries: int,
    rounds: int,
    presence: Presence = "always",
    others: FloatArray | None = None,
    length: float = 10.0,
) -> Traces:
    """Play the rounds with the canaries that a coin lets in, each `length` clip norms long.

    `others` [k, d] are the records of everybody else. With cohorts of fixed size there are as many as the population
    has left, and a canary that is not let in is a record of zeros. Cost: `rounds` calls of the mechanism.
    """
    if not 1 <= canaries <= claim.dimension or rounds < 1:
        raise ParameterError(
            "`canaries` should satisfy 1 <= canaries <= dimension, so that they do not disturb each other, and there "
            f"should be a round. Found canaries={canaries}, dimension={claim.dimension}, rounds={rounds}."
        )
    directions = np.linalg.qr(rng.standard_normal((claim.dimension, canaries)))[0].T
    everybody = _others(claim, rng, canaries) if others is None else others
    joined = rng.random(canaries) < 0.5
    turn = rng.integers(rounds, size=canaries) if presence == "once" else None
    inside = np.random.default_rng(rng.integers(2**63))
    scores, present = [], []
    for number, (rest, drawn) in enumerate(_participants(claim, rng, len(everybody), canaries, rounds)):
        there = joined & (True if turn is None else turn == number)
        sent = claim.clip * length * directions
        own = sent[drawn & there]
        if isinstance(claim.release.sampling, FixedCohort):
            own = (sent * there[:, None])[drawn]
        with np.errstate(all="ignore"):
            answer = np.asarray(claim.mechanism(np.concatenate([everybody[rest], own]), inside), dtype=np.float64)
            known = np.asarray(claim.noiseless(everybody[rest].copy(), np.random.default_rng(0)), dtype=np.float64)
        scores.append(directions @ np.nan_to_num(answer - known) / (claim.clip * claim.scale))
        present.append(drawn & there)
    return Traces(scores=np.stack(scores), joined=joined, present=np.stack(present), turn=turn)


def calibration(claim: Claim, seen: Traces, level: float = 0.01) -> list[Finding]:
    """Whether the scores of absent canaries, which are pure noise, are as wide as claimed: a χ² test at `level`.

    It finds noise that is half of what it should be with some hundred canaries, whatever the claimed ε.
    """
    absent = seen.scores[~seen.present]
    ratio = too_small(absent, claim.release.noise_multiplier, level)
    if ratio is None:
        return []
    text = f"The noise on {absent.size} canaries that are absent is {ratio:.3g} times what is claimed."
    return [Finding(code="NOISE_TOO_SMALL", ratio=ratio, text=text)]


@dataclass(frozen=True, kw_only=True)
class OneRun:
    """What the guesses about one run say: whether they refute the claimed curve, and lower bounds of ε at `delta`.

    `f_dp` is a bound among Gaussian curves, `steinke` one without any assumption. `guesses` and `right` are those of
    the threshold with the largest bound.
    """

    presence: Presence
    canaries: int
    rounds: int
    delta: float
    claimed: float
    refuted: bool
    steinke: float
    f_dp: float
    guesses: int
    right: int


def one_run(
    claim: Claim,
    seen: Traces,
    *,
    delta: float,
    alpha: float = 0.05,
    tests: int = len(THRESHOLDS),
    bounds: bool = True,
) -> OneRun:
    """Guess who was there, test the claimed curve, and bound ε; all errors together at the level `alpha`.

    The score of a canary is its log likelihood ratio under the claim; whoever is above a threshold is guessed to have
    been there, below its negative not, and in between nothing is guessed. `tests` is the number of tests among which
    `alpha` is divided (Bonferroni), for callers who make several audits. The curve is that of the mechanism itself: a
    Gaussian one where everybody takes part, else the best that follows from 25 points of its privacy profile. `bounds`
    are not needed for the verdict, and take most of the time.
    """
    rounds, m = seen.scores.shape
    level = alpha / tests
    curve, (_, claimed) = claimed_curve(claim, rounds), claim.curve(rounds, (delta,))[0]
    ratios, noise = likelihood_ratios(claim, seen)
    refuted, best = False, (-1.0, 0.0, 0, 0)
    for threshold in THRESHOLDS:
        guess_in, guess_out = ratios > threshold * noise, ratios < -threshold * noise
        guesses = int((guess_in | guess_out).sum())
        right = int((guess_in & seen.joined).sum() + (guess_out & ~seen.joined).sum())
        refuted |= f_dp_refuted(m, guesses, right, curve, level)
        if bounds:
            low = f_dp_bound(m, guesses, right, delta=delta, alpha=level)
            best = max(best, (low, steinke_bound(m, guesses, right, delta=delta, alpha=level), guesses, right))
    return OneRun(
        presence="always" if seen.turn is None else "once",
        canaries=m,
        rounds=rounds,
        delta=delta,
        claimed=claimed,
        refuted=refuted,
        steinke=best[1],
        f_dp=max(0.0, best[0]),
        guesses=best[2],
        right=best[3],
    )


def claimed_curve(claim: Claim, rounds: int) -> Hidden:
    """The trade-off curve of the claim over so many rounds."""
    pairs = claim.release.pairs(claim.neighbours)
    if isinstance(pairs[0], Gaussian):
        return gaussian_curve(pairs[0].shift * math.sqrt(rounds))
    return curve_of(claim.curve(rounds, DELTAS))


def likelihood_ratios(claim: Claim, seen: Traces) -> tuple[FloatArray, float]:
    """log P(scores | there) − log P(scores | not there) of each canary [m], and how far noise moves it.

    Where the scores show far less noise than claimed, the ratio is that for the noise they show: whoever guesses sees
    all scores, and may use them as it likes.
    """
    rate = claim.release.rate
    rounds, m = seen.scores.shape
    # At least half of all scores are noise alone; of these, half are nearer to 0 than this share of their spread.
    shown = float(np.quantile(np.abs(seen.scores), 0.25)) / 0.6745
    said = claim.release.noise_multiplier
    variance = (said if shown > said / 4 else max(shown, 0.05)) ** 2
    if seen.turn is None:
        evidence, times = (seen.scores - 0.5) / variance, rounds
    else:
        beside = np.where(seen.turn + 1 < rounds, seen.turn + 1, seen.turn - 1)
        every = np.arange(m)
        evidence = (seen.scores[seen.turn, every] - seen.scores[beside, every] - 0.5)[None] / (2 * variance)
        times, variance = 1, 2 * variance
    if rate < 1:
        evidence = np.logaddexp(math.log1p(-rate), math.log(rate) + evidence)
    spread = math.sqrt(times / variance)
    sampled = rate * math.sqrt(times * math.expm1(min(1 / variance, 50.0)))
    return evidence.sum(axis=0), min(spread, sampled)


def _others(claim: Claim, rng: np.random.Generator, canaries: int) -> FloatArray:
    """Ordinary records that agree somewhat, as updates do."""
    sampling = claim.release.sampling
    count = max(sampling.population - canaries, 1) if isinstance(sampling, FixedCohort) else 20
    shared = rng.standard_normal(claim.dimension)
    records = shared + rng.standard_normal((count, claim.dimension))
    return np.asarray(claim.clip * records / np.linalg.norm(records, axis=1, keepdims=True))


def _participants(
    claim: Claim, rng: np.random.Generator, others: int, canaries: int, rounds: int
) -> Iterator[tuple[Mask, Mask]]:
    """Who takes part in each round: masks of the other records and of the canaries."""
    total = others + canaries
    for _ in range(rounds):
        match claim.release.sampling:
            case Poisson(rate=rate):
                drawn = rng.random(total) < rate
            case FixedCohort(size=size):
                drawn = np.zeros(total, dtype=bool)
                drawn[rng.permutation(total)[:size]] = True
            case _:
                drawn = np.ones(total, dtype=bool)
        yield drawn[:others], drawn[others:]


def gaussian_claim(epsilon: float, delta: float, rounds: int) -> float:
    """The noise multiplier whose `rounds` rounds of full participation cost exactly (ε, δ): `√rounds / μ`."""
    return math.sqrt(rounds) / gaussian_mu(epsilon, delta)
