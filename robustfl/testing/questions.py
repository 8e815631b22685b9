"""Small questions with short numbers, and the search for the smallest question that a rule answers wrongly.

The package hypothesis draws the questions and makes them smaller; only this module of the kit uses it. This module does
not know what is examined: it only needs something that draws its own rows, a :class:`DrawsRows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Floats
from robustfl.errors import RobustflError
from robustfl.testing.violation import Violation

if TYPE_CHECKING:
    from types import ModuleType

T = TypeVar("T")


class DrawsRows(Protocol):
    """What is asked, as far as questions have to know it: how many rows it needs, and how its rows are drawn."""

    @property
    def least(self) -> int:
        """The smallest number of rows that it accepts."""

    def drawn(self, ask: Questions, n: int, columns: int) -> NDArray[Any]:
        """Rows [n, d] that it can be asked about, d at most `columns`."""


class Questions:
    """Draws the parts of a question; if two questions show the same violation, the one with earlier options is kept."""

    def __init__(self, draw: Callable[[Any], Any], strategies: ModuleType) -> None:
        self._draw = draw
        self._st = strategies

    def choose(self, options: Sequence[T]) -> T:
        """One of the options; list the simplest option first."""
        chosen: T = self._draw(self._st.sampled_from(options))
        return chosen

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(self._st.integers(low, high)))

    def integers(self, count: int, low: int = -9, high: int = 9) -> Floats:
        """Small whole numbers [count], as floats."""
        drawn = self._draw(self._st.lists(self._st.integers(low, high), min_size=count, max_size=count))
        return np.array(drawn, dtype=np.float64)

    def order(self, n: int) -> list[int]:
        """A permutation of n rows."""
        return list(self._draw(self._st.permutations(range(n))))

    def vector(self, d: int) -> Floats:
        """Short numbers [d], not all of them zero."""
        numbers = self.integers(d)
        if not numbers.any():
            numbers[0] = 1.0
        return decimals(numbers, self.choose((0, -1, 1, 3, -3)))

    def rows(self, subject: DrawsRows, *, more: int = 0, less_than: int = 4, columns: int = 3) -> NDArray[Any]:
        """Rows [n, d] to send to the rule; n is at least the rule's own bound plus `more`, and d at most `columns`."""
        n = subject.least + more + self.integer(0, less_than - 1)
        return subject.drawn(self, n, columns)


def search(check: Callable[[T, Questions], None], subject: T, *, examples: int, seed: int) -> Violation | None:
    """The smallest violation of one property that `examples` questions lead to, or None."""
    hypothesis = load_hypothesis()
    from hypothesis import strategies
    from hypothesis.errors import Flaky

    seen: list[Violation] = []

    def attempt(data: Any) -> None:
        try:
            check(subject, Questions(data.draw, strategies))
        except Violation as violation:
            seen.append(violation)
            raise

    settings = hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    run = hypothesis.seed(seed)(settings(hypothesis.given(strategies.data())(attempt)))
    try:
        run()
    except Violation as violation:
        return violation
    except Flaky:  # the rule is random: the second answer to the same question was right
        smallest = min(seen, key=lambda violation: len(violation.code))
        smallest.complaint += " (not every time: the rule answers at random)"
        return smallest
    return None


def decimals(numbers: Floats, power: int) -> Floats:
    """`numbers * 10**power`, rounded so that they print as short as they are meant: 0.7, not 0.7000000000000001."""
    return numbers * 10.0**power if power >= 0 else np.round(numbers * 10.0**power, -power)


def load_hypothesis() -> Any:
    """The hypothesis package, which is an optional extra."""
    try:
        import hypothesis
    except ImportError:
        raise RobustflError(
            "The conformance checks search for counter-examples with hypothesis, which is not installed. "
            "Install it: pip install 'robustfl[testing]'"
        ) from None
    return hypothesis
