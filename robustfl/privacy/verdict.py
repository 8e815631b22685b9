"""The verdict on a claim: replay first, then the calibration of the noise, then what can be guessed.

>>> import numpy as np
>>> from robustfl.privacy import Claim, Release
>>> def gaussian_sum(noise):
...     def mechanism(records, rng):
...         z = rng.standard_normal(records.shape[1])
...         size = np.sqrt((np.nan_to_num(records, posinf=0, neginf=0) ** 2).sum(axis=1, keepdims=True))
...         usable = np.where(np.isfinite(records).all(axis=1, keepdims=True), records, 0.0)
...         return (usable / np.maximum(size, 1.0)).sum(axis=0) + noise * z
...     return mechanism
>>> claim = Claim(mechanism=gaussian_sum(5.0), noiseless=gaussian_sum(0.0), release=Release(noise_multiplier=5.0),
...               dimension=300)
>>> audit(claim, np.random.default_rng(0), delta=1e-3).verdict
<Verdict.PASS: 'PASS'>
>>> audit(claim.without_noise(), np.random.default_rng(0), delta=1e-3).verdict
<Verdict.BROKEN: 'BROKEN'>
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from robustfl.privacy.canaries import THRESHOLDS, OneRun, Presence, calibration, one_run, traces
from robustfl.privacy.claim import Claim, Finding
from robustfl.privacy.pairs import FloatArray
from robustfl.privacy.replaying import replay

_PRESENCES: tuple[Presence, ...] = ("always", "once")


class Verdict(StrEnum):
    """What the audit of a claim came to."""

    BROKEN = "BROKEN"
    """Replay or calibration contradict it: the mechanism does not do what it says."""
    FAIL = "FAIL"
    """The lower bound of ε is above the claim."""
    VACUOUS = "VACUOUS"
    """The same audit does not refute the mechanism without its noise, so it could not have found anything."""
    PASS = "PASS"
    """No contradiction was found. That proves nothing beyond the ε that could have been refuted."""
    VOID = "VOID"
    """There is no claim to audit."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The verdict, why, and what it rests on. `refutable` is the largest ε that the noiseless twin was refuted at."""

    verdict: Verdict
    text: str
    findings: tuple[Finding, ...] = ()
    runs: tuple[OneRun, ...] = ()
    refutable: float = 0.0

    def report(self) -> dict[str, Any]:
        """The audit as plain JSON values."""
        values = asdict(self)
        findings = [{**one, "ratio": one["ratio"] if np.isfinite(one["ratio"]) else None} for one in values["findings"]]
        return {**values, "verdict": str(self.verdict), "findings": findings, "runs": list(values["runs"])}


def audit(
    claim: Claim | None,
    rng: np.random.Generator,
    *,
    delta: float,
    rounds: int = 10,
    canaries: int | None = None,
    alpha: float = 0.05,
    others: FloatArray | None = None,
) -> Audit:
    """Try to refute what a mechanism claims about its rounds, with all three instruments.

    `canaries` is by default the dimension, and at most 300. A right mechanism is called BROKEN with a probability of
    about 0.01, and FAIL with at most `alpha`. Cost: about 150 calls of the mechanism with few records, and four runs of
    `rounds` rounds with half of the canaries; less than a second for a dimension of 1810.
    """
    if claim is None:
        return Audit(verdict=Verdict.VOID, text="There is no claim to audit.")
    count = min(claim.dimension, 300) if canaries is None else canaries
    tests = len(THRESHOLDS) * len(_PRESENCES)
    findings, runs, twins = replay(claim, rng, rounds), [], []
    for presence in _PRESENCES[: 2 if rounds > 1 else 1]:
        seen = traces(claim, rng, canaries=count, rounds=rounds, presence=presence, others=others)
        if presence == "always":
            findings += calibration(claim, seen, level=0.01)
        runs.append(one_run(claim, seen, delta=delta, alpha=alpha, tests=tests))
        quiet = claim.without_noise()
        bare = traces(quiet, rng, canaries=count, rounds=rounds, presence=presence, others=others)
        twins.append(one_run(quiet, bare, delta=delta, alpha=alpha, tests=tests))
    refutable = max(run.f_dp for run in twins)
    verdict, text = _judged(findings, runs, twins, refutable)
    return Audit(verdict=verdict, text=text, findings=tuple(findings), runs=tuple(runs), refutable=refutable)


def _judged(findings: list[Finding], runs: list[OneRun], twins: list[OneRun], refutable: float) -> tuple[Verdict, str]:
    claim = f"ε={runs[0].claimed:.3g} at δ={runs[0].delta:g}"
    if findings:
        worst = max(findings, key=lambda finding: finding.code in ("SENSITIVITY", "NO_NOISE"))
        return Verdict.BROKEN, worst.text
    lowest = max(run.f_dp for run in runs)
    if any(run.refuted for run in runs):
        return (
            Verdict.FAIL,
            f"The claimed curve with {claim} is refuted; among Gaussian curves ε is at least {lowest:.3g}.",
        )
    if not any(run.refuted for run in twins):
        return Verdict.VACUOUS, f"Without any noise this audit does not refute {claim} either. Use more canaries."
    return Verdict.PASS, f"Nothing contradicts {claim}. The audit could have refuted ε up to {refutable:.3g}."
