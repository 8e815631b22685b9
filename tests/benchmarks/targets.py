"""What the project wants of its speed, as data, and whether a run met it. A target says nothing until it is measured.

The figures are ratios within one run. They are printed beside what was measured and never asserted: a test that fails
because another program kept the machine busy tells nothing about the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.benchmarks.grid import Cell
from tests.benchmarks.results import Measurement
from tests.benchmarks.voting import PLAIN, READING

MEMORY = "extra memory"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound on a ratio for some rules in one cell."""

    who: str
    covers: Callable[[Measurement], bool]
    against: str
    cell: Cell
    at_most: float | None = None
    """Times the reference's time, or share of the input for extra memory."""
    at_least: float | None = None
    """Times faster than the reference."""

    @property
    def wanted(self) -> str:
        if self.against == MEMORY:
            return f"{MEMORY} <= {self.at_most:.0%} of the input"
        if self.at_least is not None:
            return f">= {self.at_least:g}x faster than {self.against}"
        return f"<= {self.at_most:g}x the {self.against}"

    def ratio(self, measurement: Measurement) -> float | None:
        if self.against == MEMORY:
            return measurement.memory_share
        if self.at_least is not None:
            return measurement.faster_than(self.against)
        return measurement.times(self.against)

    def met(self, ratio: float) -> bool:
        return ratio >= self.at_least if self.at_least is not None else ratio <= (self.at_most or 0.0)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target with the worst ratio among the rules that it covers; `met` is None when nothing was measured."""

    target: Target
    worst: float | None
    worst_rule: str
    missed: tuple[str, ...]
    covered: int

    @property
    def met(self) -> bool | None:
        return None if self.worst is None else not self.missed


def rule(name: str) -> Callable[[Measurement], bool]:
    return lambda measurement: measurement.rule == name


def geometric(measurement: Measurement) -> bool:
    """Rules from geometry alone, but for MDA, whose search for a subset costs more than the Gram."""
    return measurement.family == "gram" and "mda" not in measurement.rule


def anything(measurement: Measurement) -> bool:
    return True


def _order_statistics(name: str, label: str) -> list[Target]:
    one, mean = rule(name), "column mean"
    small, middle, tall = Cell(20, 1_000_000), Cell(100, 1_000_000), Cell(1000, 100_000)
    return [
        Target(who=label, covers=one, cell=small, against=mean, at_most=3.0),
        Target(who=label, covers=one, cell=middle, against=mean, at_most=6.0),
        Target(who=label, covers=one, cell=middle, against="np.median", at_least=8.0),
        Target(who=label, covers=one, cell=middle, against="np.sort", at_least=2.5),
        Target(who=label, covers=one, cell=middle, against="torch.sort", at_least=15.0),
        Target(who=label, covers=one, cell=tall, against="np.median", at_least=5.0),
    ]


_MIDDLE = Cell(100, 1_000_000)
TARGETS = (
    *_order_statistics("median", "Median"),
    *_order_statistics("trimmed_mean", "TrimmedMean"),
    Target(who="every Gram rule but MDA", covers=geometric, cell=_MIDDLE, against="Gram pass", at_most=1.6),
    Target(who="Krum", covers=rule("krum"), cell=_MIDDLE, against="torch.cdist", at_least=5.0),
    Target(who="FRL", covers=rule("frl"), cell=_MIDDLE, against=READING, at_most=3.0),
    Target(who="FRL", covers=rule("frl"), cell=_MIDDLE, against=PLAIN, at_least=10.0),
    Target(who="every rule", covers=anything, cell=_MIDDLE, against=MEMORY, at_most=0.10),
)


def judge(measurements: Iterable[Measurement], targets: Iterable[Target] = TARGETS) -> list[Verdict]:
    """The verdict on each target, from measurements on the host."""
    host = [measurement for measurement in measurements if measurement.device == "cpu"]
    return [_verdict(target, host) for target in targets]


def _verdict(target: Target, measurements: list[Measurement]) -> Verdict:
    ratios = {}
    for measurement in measurements:
        ratio = target.ratio(measurement)
        if ratio is not None and target.covers(measurement) and target.cell == measurement.cell:
            ratios[measurement.label] = ratio
    if not ratios:
        return Verdict(target=target, worst=None, worst_rule="", missed=(), covered=0)
    worst = (min if target.at_least is not None else max)(ratios, key=lambda label: ratios[label])
    missed = tuple(sorted(label for label, ratio in ratios.items() if not target.met(ratio)))
    return Verdict(target=target, worst=ratios[worst], worst_rule=worst, missed=missed, covered=len(ratios))
