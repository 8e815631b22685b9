"""Is the noise what it is said to be? Its size, its shape, and what it depends on.

The noise of a round is the release minus that of the noiseless twin with the same records and the same randomness.
It should be independent Gaussian numbers of the claimed size: new ones in each round and each coordinate, not decided
by the records, nor by their order.

>>> import numpy as np
>>> from robustfl.privacy import Claim, Release
>>> def half(records, rng):
...     return records.sum(axis=0) + 0.5 * rng.standard_normal(records.shape[1])
>>> claim = Claim(mechanism=half, noiseless=lambda records, rng: records.sum(axis=0),
...               release=Release(noise_multiplier=1.0), dimension=1810)
>>> finding, = examined(claim, np.random.default_rng(0))
>>> finding.code, round(finding.ratio, 1)
('NOISE_TOO_SMALL', 0.5)
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from robustfl.privacy.claim import Claim, Finding
from robustfl.privacy.pairs import FloatArray

LEVEL = 1e-4
"""The probability of a false alarm of each test of the noise."""

_RECORDS = 8


def examined(claim: Claim, rng: np.random.Generator, rounds: int = 10) -> list[Finding]:
    """Every contradiction between the noise of so many rounds and the claim.

    The size is a χ² test over all rounds and coordinates: noise that is 10 % too small is found where rounds times
    dimension are some thousands. Noise that is larger than claimed is no contradiction.
    """
    records = claim.clip * rng.standard_normal((_RECORDS, claim.dimension)) / math.sqrt(claim.dimension)
    others = claim.clip * rng.standard_normal((_RECORDS, claim.dimension))
    seed = int(rng.integers(2**63))
    noise = noise_of(claim, records, seed, rounds)
    if not np.isfinite(noise).all():
        return [Finding(code="NOT_FINITE", ratio=math.inf, text="The release of an ordinary cohort is not finite.")]
    found = _size(claim, noise)
    if found and found[0].code == "NO_NOISE":
        return found
    found += _shape(claim, noise)
    again = noise_of(claim, others, seed, rounds)
    shuffled = noise_of(claim, records[::-1], seed, rounds)
    for other, code, text in (
        (again, "NOISE_KNOWS_RECORDS", "With other records and the same randomness the noise is another one."),
        (shuffled, "NOISE_KNOWS_ORDER", "With the records in another order the noise is another one."),
    ):
        rounding = 1e-4 * claim.noise_std + 1e-6 * claim.scale * claim.clip * _RECORDS
        gap = float(np.abs(other - noise).max())
        if not gap <= rounding:
            found.append(Finding(code=code, ratio=gap / claim.noise_std, text=text))
    return found


def noise_of(claim: Claim, records: FloatArray, seed: int, rounds: int) -> FloatArray:
    """The noise of each round, [rounds, d]; all rounds draw from one generator, as training does."""
    loud, quiet = np.random.default_rng(seed), np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        return np.stack(
            [
                np.asarray(claim.mechanism(records.copy(), loud), dtype=np.float64)
                - np.asarray(claim.noiseless(records.copy(), quiet), dtype=np.float64)
                for _ in range(rounds)
            ]
        )


def too_small(values: FloatArray, std: float, level: float = LEVEL) -> float | None:
    """The ratio of the spread of the values to `std` where that is too small beyond chance, else None (χ² test)."""
    total = float(((values / std) ** 2).sum())
    if float(special.chdtr(values.size, total)) >= level:
        return None
    return math.sqrt(total / values.size)


def _size(claim: Claim, noise: FloatArray) -> list[Finding]:
    """The spread of all numbers, and along directions in which an average would hide that something is missing."""
    said = f"the claimed standard deviation, {claim.noise_std:.4g}"
    ratio = too_small(noise, claim.noise_std)
    if ratio is not None and ratio < 1e-9:
        return [Finding(code="NO_NOISE", ratio=ratio, text="The release has no noise.")]
    if ratio is not None:
        return [Finding(code="NOISE_TOO_SMALL", ratio=ratio, text=f"The noise is {ratio:.3g} times {said}.")]
    bare = int((np.abs(noise).max(axis=0) < 1e-9 * claim.noise_std).sum())
    if bare:
        text = f"{bare} of {claim.dimension} coordinates have no noise in any round."
        return [Finding(code="NOISE_TOO_SMALL", ratio=0.0, text=text)]
    along = noise.sum(axis=1) / math.sqrt(claim.dimension)
    ratio = too_small(along, claim.noise_std)
    if ratio is not None:
        text = f"Summed over the coordinates the noise is only {ratio:.3g} times {said}: it cancels."
        return [Finding(code="NOISE_TOO_SMALL", ratio=ratio, text=text)]
    return []


def _shape(claim: Claim, noise: FloatArray) -> list[Finding]:
    """New numbers in every round and coordinate, and a Gaussian distribution."""
    found = []
    rounds, d = noise.shape
    unit = noise / np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-300)
    related = np.abs(unit @ unit.T)[np.triu_indices(rounds, 1)]
    largest = float(related.max(initial=0.0))
    if largest > min(0.999, 6 / math.sqrt(d)):
        text = f"Two of {rounds} rounds have noise with a correlation of {largest:.3g}: their difference cancels it."
        found.append(Finding(code="REPEATED_NOISE", ratio=largest, text=text))
    total = np.abs(noise.sum(axis=1)).max() / math.sqrt(d) / max(float(noise.std()), 1e-300)
    if d > 1 and total > 6:
        text = f"The coordinates share their noise: their sum is {total:.3g} standard deviations from 0."
        found.append(Finding(code="SHARED_NOISE", ratio=float(total), text=text))
    distance = _from_gaussian(noise.ravel())
    if float(special.kolmogorov(math.sqrt(noise.size) * distance)) < LEVEL:
        text = f"The noise is not Gaussian: its distribution is {distance:.3g} away from that."
        found.append(Finding(code="NOT_GAUSSIAN", ratio=distance, text=text))
    return found


def _from_gaussian(values: FloatArray) -> float:
    """The largest distance between the distribution of the values and a Gaussian of their spread around 0."""
    ordered = np.sort(values) / max(float(np.sqrt((values**2).mean())), 1e-300)
    expected = special.ndtr(ordered)
    steps = np.arange(values.size + 1) / values.size
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))
