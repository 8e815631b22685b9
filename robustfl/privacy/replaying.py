"""Audit by replay: play one round twice with the same randomness and one other record, and look at the difference.

No statistics is needed to find a broken sensitivity: with equal noise the two releases may not be farther apart than
what was declared. The records that are put in, taken out or exchanged are hostile: huge, opposite to all others, not
finite. Then the noise itself is separated from the answer and examined.

>>> import numpy as np
>>> from robustfl.privacy import Claim, Release
>>> def unclipped(records, rng):
...     return records.sum(axis=0) + rng.standard_normal(records.shape[1])
>>> claim = Claim(mechanism=unclipped, noiseless=lambda records, rng: records.sum(axis=0),
...               release=Release(noise_multiplier=1.0), dimension=50)
>>> [finding.code for finding in replay(claim, np.random.default_rng(0))]
['SENSITIVITY', 'NOT_FINITE']
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from robustfl.privacy.claim import Claim, Finding, Mechanism
from robustfl.privacy.noise import examined
from robustfl.privacy.pairs import FloatArray
from robustfl.privacy.releases import Relation

ALLOWANCE = 1e-6
"""How much farther than its declared sensitivity a release may move, relative to it: rounding, and no more."""


def replay(claim: Claim, rng: np.random.Generator, rounds: int = 10) -> list[Finding]:
    """Every contradiction that replaying finds, the worst of each kind; an empty list for a mechanism that is right.

    About 150 calls of the mechanism with at most 10 records. The tests of the noise together raise a false alarm with
    a probability below 1e-3; the others raise none.
    """
    return [*moved(claim, rng), *examined(claim, rng, rounds)]


def moved(claim: Claim, rng: np.random.Generator) -> list[Finding]:
    """How far one record moves the release: sensitivity, values that are not finite, cohorts that are empty."""
    watch = _Watch(claim)
    for records in cohorts(claim, rng):
        seed = int(rng.integers(2**63))
        present = watch.release(records, seed, "an ordinary cohort")
        hostile = list(hostile_records(claim, records, rng))
        for name, record in hostile:
            swapped = records.copy()
            swapped[-1] = record
            exchanged = watch.release(swapped, seed, name)
            watch.compare("replace_one", present, exchanged, name)
            if claim.neighbours == "add_or_remove":
                watch.compare("add_or_remove", exchanged, watch.release(records[:-1], seed, name), name)
        if claim.neighbours == "add_or_remove":
            absent = watch.release(records[1:], seed, "one record less")
            watch.compare("add_or_remove", present, absent, "an ordinary record")
    if claim.neighbours == "add_or_remove":
        watch.empty(np.empty((0, claim.dimension)), int(rng.integers(2**63)))
    return list(watch.found.values())


def cohorts(claim: Claim, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Cohorts in which single records decide: ordinary, in two opposite clusters, of two lengths, small ones."""
    direction = _unit(rng.standard_normal(claim.dimension))
    ordinary = direction + rng.standard_normal((claim.cohort, claim.dimension)) / math.sqrt(claim.dimension)
    yield claim.clip * ordinary
    sides = np.where(np.arange(claim.cohort) % 2 == 0, 1.0, -1.0)
    yield claim.clip * sides[:, None] * direction
    lengths = np.where(np.arange(claim.cohort) % 2 == 0, 100.0, 0.01)
    yield claim.clip * lengths[:, None] * ordinary
    yield claim.clip * ordinary[:1]
    yield claim.clip * sides[:3, None] * direction


def hostile_records(claim: Claim, records: FloatArray, rng: np.random.Generator) -> Iterator[tuple[str, FloatArray]]:
    """What somebody may send in place of an update, with a name for messages."""
    mean = _unit(records.mean(axis=0)) if records.mean(axis=0).any() else _unit(records[0])
    d, far = claim.dimension, 1000 * claim.clip
    yield "a record of zeros", np.zeros(d)
    yield "a huge random record", far * rng.standard_normal(d)
    yield "a huge record along the mean", far * mean
    yield "a huge record against the mean", -far * mean
    yield "a record with one huge coordinate", far * np.eye(1, d)[0]
    yield "a record of NaN", np.full(d, np.nan)
    yield "a record with an infinite coordinate", np.where(np.arange(d) == 0, np.inf, 0.0)
    yield "a record of 1e30", np.full(d, 1e30)


@dataclass
class _Watch:
    """The worst finding of each kind."""

    claim: Claim
    found: dict[str, Finding] = field(default_factory=dict)

    def note(self, code: str, ratio: float, text: str) -> None:
        if code not in self.found or ratio > self.found[code].ratio:
            self.found[code] = Finding(code=code, ratio=ratio, text=text)

    def release(self, records: FloatArray, seed: int, name: str) -> FloatArray | None:
        """What the mechanism answers; None, and a finding, where that is no vector of finite numbers."""
        lost = "NOT_FINITE" if len(records) else "EMPTY_COHORT"
        try:
            answer = answered(self.claim.mechanism, records, seed)
        except Exception as error:  # whatever it is, it tells that this record is there
            code = "RAISES" if len(records) else "EMPTY_COHORT"
            self.note(code, math.inf, f"With {name} the mechanism raises {type(error).__name__}: {error}")
            return None
        if answer.shape != (self.claim.dimension,):
            self.note("SHAPE", math.inf, f"With {name} the release has the shape {answer.shape}.")
            return None
        if not np.isfinite(answer).all():
            self.note(lost, math.inf, f"With {name} the release is not finite, which reveals it.")
            return None
        return answer

    def compare(self, relation: Relation, one: FloatArray | None, other: FloatArray | None, name: str) -> None:
        """Two releases of neighbours with the same randomness."""
        allowed = self.claim.sensitivity(relation)
        if one is None or other is None or math.isinf(allowed):
            return
        with np.errstate(over="ignore"):
            distance = float(np.linalg.norm(np.asarray(one, np.float64) - np.asarray(other, np.float64)))
        rounding = 8 * _unit_of(one) * float(np.linalg.norm(np.asarray(one, np.float64)))
        ratio = (distance - rounding) / allowed
        if not ratio <= 1 + ALLOWANCE:
            how = "is there or not" if relation == "add_or_remove" else "takes the place of another"
            text = f"When {name} {how}, the release moves {ratio:.3g} times as far as declared, {allowed:.4g}."
            self.note("SENSITIVITY", ratio, text)

    def empty(self, records: FloatArray, seed: int) -> None:
        """A round in which nobody takes part, which Poisson sampling produces, has to release noise like any other."""
        answer = self.release(records, seed, "an empty cohort")
        if answer is not None and not answer.any():
            self.note("EMPTY_COHORT", math.inf, "An empty cohort releases zeros without noise, which reveals it.")


def answered(mechanism: Mechanism, records: FloatArray, seed: int) -> FloatArray:
    """One round with randomness that can be had again; the mechanism gets records of its own."""
    with np.errstate(all="ignore"):
        return np.asarray(mechanism(records.copy(), np.random.default_rng(seed)))


def _unit(vector: FloatArray) -> FloatArray:
    return vector / np.linalg.norm(vector)


def _unit_of(array: FloatArray) -> float:
    """The rounding unit of the numbers in which the mechanism answers."""
    return float(np.finfo(array.dtype).eps) if np.issubdtype(array.dtype, np.floating) else 0.0
