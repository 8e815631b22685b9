"""What is measured: every rule that the registry knows, so that a new one is measured without a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from robustfl import registry
from robustfl.aggregation import Aggregator, CoordinateWise, GramAggregator, PreAggregation
from robustfl.errors import RobustflError

ENDINGS = ("mean", "trimmed_mean")
"""What a pre-aggregation is measured with: the cheapest rule of each of the two families."""

GEOMETRY = {
    "mean": "none", "bucketing": "none", "client_momentum": "none",
    "arc": "norms", "cge": "norms", "clipping": "norms",
}  # fmt: skip
"""Components of the Gram family that ask for less than all pairs of rows, and so cost less than a Gram: nothing, or
the length of each row or its distance from one point."""

VALUES = {"radius": 1.0, "threshold": 2}
"""Values for parameters without a default, where the time does not depend on them."""

REAL_CHANNELS = ("dense", "rewards")
"""What may be fed with a matrix of real numbers."""


class NotMeasurable(RobustflError):
    """A rule that the benchmark cannot set up; the message says why."""


@dataclass(frozen=True)
class Subject:
    """An aggregator class, with or without a pre-aggregation class before it."""

    rule: type[Any]
    before: type[Any] | None = None

    @property
    def name(self) -> str:
        """Registry names, such as `nnm >> trimmed_mean`."""
        return self.rule.name if self.before is None else f"{self.before.name} >> {self.rule.name}"

    @property
    def label(self) -> str:
        """Class names, such as `NNM >> TrimmedMean`."""
        return self.rule.__name__ if self.before is None else f"{self.before.__name__} >> {self.rule.__name__}"

    @property
    def family(self) -> str:
        """`gram`: weights from geometry · `column`: column by column · `mixed`: both in a row · `other`."""
        if issubclass(self.rule, GramAggregator):
            return "gram"
        if issubclass(self.rule, CoordinateWise):
            return "column" if self.before is None else "mixed"
        return "other"

    @property
    def geometry(self) -> str:
        """What is needed of the rows before they are summed or sorted: `none`, their `norms`, or all `pairs`."""
        asking = [self.rule] if self.family == "gram" else []
        asking += [] if self.before is None else [self.before]
        needs = {GEOMETRY.get(cls.name, "pairs") for cls in asking}
        return next((need for need in ("pairs", "norms") if need in needs), "none")

    def make(self, f: int) -> Aggregator:
        """The rule for `f` Byzantine rows; raises :class:`NotMeasurable` or what its own constructor raises."""
        rule: Aggregator = _built(self.rule, f)
        return rule if self.before is None else _built(self.before, f) >> rule

    def mixed_rows(self, n: int, f: int) -> int:
        """Rows that are left for the aggregator after the pre-aggregation."""
        return n if self.before is None else int(_built(self.before, f).output_rows(n))


def _built(cls: type[Any], f: int) -> Any:
    """A component with its defaults, :data:`VALUES` where it has none, and `f` where it asks for it."""
    if cls.channel not in REAL_CHANNELS:
        raise NotMeasurable(f"{cls.__name__} aggregates {cls.channel}, not real vectors.")
    known = {"f": f, **VALUES}
    given = {p.name: known.get(p.name) for p in cls.declared_parameters() if p.required or p.name == "f"}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise NotMeasurable(f"{cls.__name__} needs `{unknown[0]}`, for which there is no sensible value here.")
    return cls(**given)


def call(rule: Aggregator, x: Any) -> Callable[[], Any]:
    """The aggregation of `x` as a function; a rule that wants a trusted update gets the last row, an honest one."""
    return partial(rule, x, trusted=x[-1]) if rule.wants_trusted else partial(rule, x)


def subjects() -> list[Subject]:
    """Every aggregator of the registry, and every pre-aggregation before each of :data:`ENDINGS`."""
    found = registry.find("defense").values()
    endings = [registry.get("defense", name) for name in ENDINGS]
    alone = [Subject(cls) for cls in found if issubclass(cls, Aggregator)]
    return alone + [Subject(end, cls) for cls in found if issubclass(cls, PreAggregation) for end in endings]
