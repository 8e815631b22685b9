"""The regression gate: it tells whether a change made a defense weaker, beyond chance and by an amount that matters.

Each cell (a defense under one attack by f clients in one world) of a candidate run is compared with the same cell of a
stored baseline run, seed by seed. The paired differences are `d_r = u_r(candidate) - u_r(baseline)` over R common
seeds, with mean d̄, standard deviation s (divisor R - 1) and the one-sided Student bounds `d̄ ± t_{1-a, R-1} · s / √R`.
The verdict on a cell is

- REGRESSION if the upper bound is below 0, d̄ is below -delta, and the cell survives Holm's correction over the cells;
- IMPROVED if the lower bound is above 0;
- PASS if the lower bound is above -delta;
- INCONCLUSIVE otherwise, so that more seeds are needed.

If all d_r are equal, there is no spread, and d̄ itself is compared with -delta. A further look after adding seeds is
allowed if it was planned: of L looks, each uses the level `a = alpha / L`, so the chance of a false REGRESSION stays
below alpha over all looks. A cell that is still inconclusive at the last look passes, unless d̄ is below -3 delta. On
one machine, equal scenarios and seeds give equal results, and any difference is reported as CHANGED.

>>> from robustfl.evaluation.compare.regression import weigh
>>> found = weigh((-0.04, -0.02, -0.03, -0.05, -0.01))
>>> found.verdict(significant=True), round(found.change, 4), round(found.upper, 4)
('REGRESSION', -0.03, -0.0149)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from robustfl.errors import ParameterError
from robustfl.evaluation.compare.pairing import CellPair, SharedRuns, share
from robustfl.evaluation.results.baseline import Summary

VerdictName = Literal["REGRESSION", "INCONCLUSIVE", "PASS", "IMPROVED"]

VERDICTS: tuple[VerdictName, ...] = ("REGRESSION", "INCONCLUSIVE", "PASS", "IMPROVED")
"""The verdicts, the worst first."""

MOST_LOOKS = 3
SEEDS_A_LOOK = 5
"""Number of seeds that are added before each further look."""

_BLOCKING = 3
"""An inconclusive drop by more than this number of deltas blocks the change."""

_ROUNDING = 1e-12
"""Utilities that differ by less are equal, because a single test sample changes them by far more."""

_SAME_MACHINE = ("device", "processor", "platform", "numpy", "torch")


@dataclass(frozen=True, kw_only=True)
class PairedEvidence:
    """What paired differences show: their mean, and one-sided bounds at `level` (None with one seed).

    `p` is the one-sided p-value of "no drop". If the differences do not vary, it is 0 for a drop beyond delta and 1
    otherwise.
    """

    change: float
    lower: float | None
    upper: float | None
    p: float
    delta: float
    level: float

    def verdict(self, *, significant: bool) -> VerdictName:
        """The verdict, given whether the drop is significant among all cells."""
        if self.lower is None or self.upper is None:
            return "PASS" if self.change == 0 else "INCONCLUSIVE"
        if significant and self.upper < 0 and self.change < -self.delta:
            return "REGRESSION"
        if self.lower > _ROUNDING:
            return "IMPROVED"
        constant = self.lower == self.upper
        if self.lower > -self.delta or (constant and self.lower >= -self.delta - _ROUNDING):
            return "PASS"
        return "INCONCLUSIVE"


def weigh(differences: Sequence[float], *, delta: float = 0.02, alpha: float = 0.05) -> PairedEvidence:
    """The evidence of paired differences [R] in utility, candidate minus baseline, tested once at level `alpha`."""
    from scipy import special

    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size == 0 or not np.isfinite(d).all():
        raise ParameterError(f"`differences` should be a non-empty list of finite numbers. Found {list(differences)}.")
    _check(delta, alpha, 1, 1)
    change = float(d.mean())
    if d.size == 1:
        return PairedEvidence(change=change, lower=None, upper=None, p=1.0, delta=delta, level=alpha)
    spread = float(d.std(ddof=1))
    if spread <= _ROUNDING:
        p = 0.0 if change < -delta - _ROUNDING else 1.0
        return PairedEvidence(change=change, lower=change, upper=change, p=p, delta=delta, level=alpha)
    error = spread / math.sqrt(d.size)
    half = float(special.stdtrit(d.size - 1, 1 - alpha)) * error
    p = float(special.stdtr(d.size - 1, change / error))
    return PairedEvidence(change=change, lower=change - half, upper=change + half, p=p, delta=delta, level=alpha)


@dataclass(frozen=True, kw_only=True)
class CellVerdict:
    """The verdict on one cell, which :meth:`report` gives as JSON values.

    `change` is d̄, and `lower` and `upper` are its one-sided bounds. They are None if a run lacks trials (`reason` says
    which); the bounds are also None if there is one seed. `changed` says whether results that should be equal bit for
    bit differ; it is None if the runs were made on different machines or with different versions. `blocks` says that
    the change under test should not be accepted. `seeds_help` says that the verdict is open, and further seeds may
    settle it.
    """

    world: str
    defense: str
    attack: str
    f: int
    seeds: int
    verdict: VerdictName
    change: float | None
    lower: float | None
    upper: float | None
    p: float | None
    changed: bool | None
    blocks: bool
    seeds_help: bool
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return asdict(self)


def judge(
    baseline: Summary,
    candidate: Summary,
    *,
    delta: float = 0.02,
    alpha: float = 0.05,
    looks: int = 1,
    look: int = 1,
    different_suites: bool = False,
) -> list[CellVerdict]:
    """The verdict on every cell that two runs share, in the order of the baseline.

    The runs are those that :func:`~robustfl.evaluation.results.baseline.load_stored` reads. Cells without an attack
    that are the same trials for every f are judged once. If the runs should be equal bit for bit, Holm's correction
    counts only the cells that changed, because the others cannot raise a false alarm.

    Parameters
    ----------
    delta : largest drop in utility that does not matter
    alpha : level of the one-sided tests, over all looks and cells
    looks, look : the number of planned looks, at most 3, and the number of this one
    different_suites : whether the cells that two different suites share are judged; otherwise such runs are refused

    Raises
    ------
    DataError : the runs are of different suites or have nothing in common
    ParameterError : a parameter is out of range
    """
    shared = share(baseline, candidate, different_suites=different_suites)
    expected = reproducible(baseline, candidate)
    return judge_shared(shared, delta=delta, alpha=alpha, looks=looks, look=look, reproducible=expected)


def judge_shared(
    shared: SharedRuns, *, delta: float, alpha: float, looks: int, look: int, reproducible: bool
) -> list[CellVerdict]:
    """:func:`judge` for runs that are paired already; `reproducible` says that equal results are expected."""
    from robustfl.evaluation.statistics import holm

    _check(delta, alpha, looks, look)
    level = alpha / looks
    found = [(cell, _evidence(cell, delta, level)) for cell in shared.cells]
    family = [e is not None and (cell.changed or not reproducible) for cell, e in found]
    rejected = iter(holm([e.p for (_, e), counts in zip(found, family, strict=True) if e and counts], level))
    return [
        _verdict(cell, e, significant=counts and next(rejected), last=look == looks, reproducible=reproducible)
        for (cell, e), counts in zip(found, family, strict=True)
    ]


def reproducible(baseline: Summary, candidate: Summary) -> bool:
    """Whether the runs should agree in every bit: both ran on the CPU, on one kind of machine, in the same versions."""
    first, second = baseline["provenance"], candidate["provenance"]
    same = all(key in first and first[key] == second.get(key) for key in _SAME_MACHINE)
    return same and first["device"] == "cpu"


def more_seeds(verdicts: Sequence[CellVerdict], *, looks: int = 1, look: int = 1) -> int:
    """How many seeds to add before the next look: 0 if no cell is open, a cell blocks, or this was the last look."""
    _check(0, 0.5, looks, look)
    settled = look == looks or any(verdict.blocks for verdict in verdicts)
    return SEEDS_A_LOOK if not settled and any(verdict.seeds_help for verdict in verdicts) else 0


def _evidence(cell: CellPair, delta: float, level: float) -> PairedEvidence | None:
    if cell.before is None or cell.after is None:
        return None
    return weigh([new - old for old, new in zip(cell.before, cell.after, strict=True)], delta=delta, alpha=level)


def _verdict(
    cell: CellPair, evidence: PairedEvidence | None, *, significant: bool, last: bool, reproducible: bool
) -> CellVerdict:
    verdict: VerdictName = "INCONCLUSIVE" if evidence is None else evidence.verdict(significant=significant)
    unclear = evidence is not None and verdict == "INCONCLUSIVE"
    large = evidence is not None and evidence.change < -_BLOCKING * evidence.delta - _ROUNDING
    reason = ""
    if cell.lacking_before:
        reason = f"the first run has {cell.lacking_before}"
    elif cell.lacking_after:  # whatever the cause, a defense that can no longer be run does not pass
        reason = f"the second run has {cell.lacking_after}"
    elif unclear and evidence is not None and evidence.lower is None:
        reason = "one seed is not tested"
    elif unclear and last and large:
        reason = f"a drop beyond {_BLOCKING} delta"
    return CellVerdict(
        world=cell.world,
        defense=cell.defense,
        attack=cell.attack,
        f=cell.f,
        seeds=len(cell.seeds),
        verdict=verdict,
        change=None if evidence is None else evidence.change,
        lower=None if evidence is None else evidence.lower,
        upper=None if evidence is None else evidence.upper,
        p=None if evidence is None else evidence.p,
        changed=cell.changed if reproducible else None,
        blocks=verdict == "REGRESSION"
        or (unclear and last and large)
        or bool(cell.lacking_after and not cell.lacking_before),
        seeds_help=unclear,
        reason=reason,
    )


def _check(delta: float, alpha: float, looks: int, look: int) -> None:
    if not (math.isfinite(delta) and delta >= 0):
        raise ParameterError(f"`delta` should satisfy delta >= 0. Found delta={delta}.")
    if not 0 < alpha < 1:
        raise ParameterError(f"`alpha` should satisfy 0 < alpha < 1. Found alpha={alpha}.")
    if not 1 <= look <= looks <= MOST_LOOKS:
        raise ParameterError(
            f"`look` and `looks` should satisfy 1 <= look <= looks <= {MOST_LOOKS}. Found look={look}, looks={looks}."
        )
