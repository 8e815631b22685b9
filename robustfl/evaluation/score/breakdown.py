"""The breakdown point: the largest number of malicious clients that a defense withstands, with few evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from robustfl.errors import ParameterError
from robustfl.evaluation.results.summaries import BreakdownReport, ScoredPoint

BreakdownVerdict = Literal["none", "exact", "at_least"]


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The outcome of a search for the breakdown point.

    `f` is the largest number of malicious clients up to which every number passes; it is -1 when even the smallest
    number fails. `verdict` says how to read `f`: "none" (the defense fails at the smallest number; if that is 0, it
    fails without any attack), "exact" (the next number of the grid fails) or "at_least" (the largest number of the grid
    still passes).
    """

    f: int
    verdict: BreakdownVerdict
    evaluations: tuple[int, ...]
    grid: tuple[int, ...]

    def beta(self, clients: int) -> float | None:
        """The breakdown point as a share of all clients, `f / clients`; None if even the smallest number fails."""
        if clients < 1:
            raise ParameterError(f"`clients` should satisfy clients >= 1. Found clients={clients}.")
        return None if self.f < 0 else self.f / clients

    def report(self, clients: int) -> BreakdownReport:
        """The outcome as JSON values."""
        return {
            "f": self.f,
            "beta": self.beta(clients),
            "verdict": self.verdict,
            "evaluated": list(self.evaluations),
            "grid": list(self.grid),
        }


def minority(clients: int) -> range:
    """Every number of malicious clients that leaves an honest majority: 0, 1, ..., ⌊(n - 1) / 2⌋."""
    if clients < 1:
        raise ParameterError(f"`clients` should satisfy clients >= 1. Found clients={clients}.")
    return range((clients - 1) // 2 + 1)


def breakdown_point(passes: Callable[[int], bool], grid: Iterable[int]) -> Breakdown:
    """The largest f of `grid` such that `passes` holds for it and for every smaller one.

    The search is a bisection over the sorted grid: it tries both ends, then the middle of what is left. A bisection
    assumes that a defense that fails at f also fails at every larger number. One probe in the untested half below the
    result checks this assumption. If the probe fails, every number is tried from the smallest on. No number is
    evaluated twice.

    Cost: about log2(len(grid)) + 3 evaluations; at most len(grid).
    """
    counts = tuple(sorted(set(grid)))
    if not counts or counts[0] < 0:
        raise ParameterError(
            f"`grid` should hold at least one number of malicious clients, none negative. Found {list(counts)}."
        )
    known: dict[int, bool] = {}

    def holds(position: int) -> bool:
        if position not in known:
            known[position] = bool(passes(counts[position]))
        return known[position]

    def result(position: int) -> Breakdown:
        verdict: BreakdownVerdict = "none" if position < 0 else "at_least" if position == len(counts) - 1 else "exact"
        f = counts[position] if position >= 0 else -1
        return Breakdown(f=f, verdict=verdict, evaluations=tuple(counts[p] for p in known), grid=counts)

    low, high = 0, len(counts) - 1
    bottom, top = holds(low), holds(high)
    if not bottom:
        return result(-1)
    if top:
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    untested = [p for p in range(low) if p not in known]
    if untested and not holds(low // 2 if low // 2 in untested else untested[0]):
        low = next(p for p in range(len(counts)) if not holds(p)) - 1
    return result(low)


def breakdown_of_curve(points: Sequence[ScoredPoint], threshold: float) -> Breakdown | None:
    """The breakdown point over the values of f in a score's curve; a point passes when `W >= threshold`.

    A point with missing runs cannot pass, but it certainly fails when its W is already below the threshold, since more
    attacks can only lower W. Otherwise it is undecided. The search ends before the first undecided point, so its
    verdict is then at best "at_least"; it returns None when the first point is undecided.
    """
    verdicts = {point["f"]: _verdict(point, threshold) for point in points}
    decided = list(takewhile(lambda f: verdicts[f] is not None, sorted(verdicts)))
    return breakdown_point(lambda f: verdicts[f] is True, decided) if decided else None


def _verdict(point: ScoredPoint, threshold: float) -> bool | None:
    if point["W"] is None or (point["incomplete"] and point["W"] >= threshold):
        return None
    return bool(point["W"] >= threshold)
