"""A statement of a paper as data: the claim, how it is measured in a suite, and what would confirm it.

>>> Expectation.read("between 0.5 and 0.8").verdict(0.55, 0.7)
'confirmed'
>>> Expectation.read(">= 0.9").verdict(0.88, 0.95)
'not decided'
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, StringConstraints

from robustfl.errors import ScenarioError
from robustfl.evaluation.claims.language import Expression
from robustfl.federation.settings import Settings

CONFIRMED, REFUTED, UNDECIDED, UNMEASURED = "confirmed", "not confirmed", "not decided", "not measured"
VERDICTS = (CONFIRMED, REFUTED, UNDECIDED, UNMEASURED)

_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_LIMIT = re.compile(rf"(>=|>|<=|<)\s*{_NUMBER}")
_RANGE = re.compile(rf"between\s+{_NUMBER}\s+and\s+{_NUMBER}")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A range of numbers; infinite ends are open, and `strict` says that a finite end is not in the range either."""

    low: float = -math.inf
    high: float = math.inf
    strict: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `>= 0.9`, `> 0`, `<= 2`, `< 0.05` or `between 0.5 and 0.8`, whose ends are in the range."""
        limit, bounds = _LIMIT.fullmatch(text.strip()), _RANGE.fullmatch(text.strip())
        numbers = [float(limit[2])] if limit else [float(bounds[1]), float(bounds[2])] if bounds else []
        if not numbers or not all(map(math.isfinite, numbers)) or numbers != sorted(numbers):
            raise ScenarioError(
                "`expect` should be like '>= 0.9', '> 0', '<= 2', '< 0.05' or 'between 0.5 and 0.8', with finite "
                f"numbers in ascending order. Found {text[:60]!r}."
            )
        if not limit:
            return cls(low=numbers[0], high=numbers[1])
        end = "low" if limit[1].startswith(">") else "high"
        return cls(**{end: numbers[0]}, strict="=" not in limit[1])

    def holds(self, value: float) -> bool:
        """Whether a single number is in the range."""
        return self.low < value < self.high if self.strict else self.low <= value <= self.high

    def verdict(self, low: float, high: float) -> str:
        """The verdict for an interval [low, high]: confirmed if all of it is in the range, refuted if none of it is."""
        if self.holds(low) and self.holds(high):
            return CONFIRMED
        outside = high < self.low or low > self.high
        touches = self.strict and (high == self.low or low == self.high)
        return REFUTED if outside or touches else UNDECIDED

    def distance(self, value: float) -> float:
        """The distance of a value inside the range from the nearest end; it is negative outside of the range."""
        return min(value - self.low, self.high - value)


def _measure(text: str) -> str:
    return Expression.read(text).text  # a MeasureError is a ValueError, which is what a validator raises


def _expectation(text: str) -> str:
    Expectation.read(text)
    return " ".join(text.split())


def _sentence(text: str) -> str:
    """The text on one line, for tables; characters that could move the cursor of a terminal are refused."""
    line = " ".join(text.split())
    if not line or not line.isprintable():
        raise ValueError(f"should be a printable text. Found {text[:60]!a}")
    return line


_Sentence = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_sentence)]


class Claim(Settings):
    """One statement of a paper, and the measurement that is compared with it."""

    text: _Sentence
    """The statement of the paper, in one sentence."""
    source: _Sentence
    """The source of the statement: authors, title, venue, year."""
    measure: Annotated[str, AfterValidator(_measure)]
    """What to measure: numbers, + - * /, min, max, abs, and readings such as `W(krum, f=2)`, `R(flag) - R(bulyan)`."""
    expect: Annotated[str, AfterValidator(_expectation)]
    """The values that confirm the claim: '>= 0.9', '> 0', '< 0.05' or 'between 0.5 and 0.8'; YAML needs the quotes."""
