"""The subject of an examination: a rule of robustfl, a third party's subclass or any callable, behind one interface."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation import Aggregator, Defense, PreAggregation
from robustfl.aggregation.kernels.base import Floats, is_tensor
from robustfl.aggregation.votes.contract import RankAggregator
from robustfl.errors import ParameterError
from robustfl.testing.questions import Questions, decimals
from robustfl.testing.violation import Violation

MOST_ROWS = 500
"""The search for the smallest number of rows that a rule accepts ends at this number."""

ARRAYS = ("numpy", "torch")

USABLE = 1e37
"""Every rule that adds float32 numbers refuses larger entries."""


@dataclass(frozen=True)
class Subject:
    """A rule, and what is known about it.

    Attributes
    ----------
    rule : the rule that the caller passed; it is never called itself, because every question goes to a copy
    f : number of Byzantine rows with which it is examined
    least : smallest number of rows that it accepts with that f
    accepts : the kinds of arrays that it takes
    unclaimed : names of the properties that it does not promise
    """

    rule: Any
    f: int
    least: int
    accepts: tuple[str, ...]
    unclaimed: frozenset[str]

    @cached_property
    def own(self) -> Defense | None:
        """The rule if it derives from robustfl's contracts, which promise more than a plain callable; else None."""
        return self.rule if isinstance(self.rule, Defense) else None

    @property
    def told(self) -> bool:
        """Whether the rule itself holds the number of Byzantine rows."""
        return self.own is not None and self.own.byzantine is not None

    @property
    def maps_rows(self) -> bool:
        """Whether the answer is rows [m, d] rather than one update [d]."""
        return isinstance(self.rule, PreAggregation)

    @property
    def stateful(self) -> bool:
        return bool(getattr(self.rule, "stateful", False))

    def promises(self, name: str) -> bool:
        """Whether the rule claims the property with this name."""
        return name not in self.unclaimed

    def fresh(self) -> Any:
        """A copy that was never called, or the rule itself if it cannot be copied (such as a function with a lock)."""
        if not self._copies:
            return self.rule
        return copy.deepcopy(self.rule)

    @cached_property
    def _copies(self) -> bool:
        try:
            copy.deepcopy(self.rule)
        except Exception:  # whatever prevents a copy, the rule itself can still be called
            return False
        return True

    @property
    def numbers(self) -> tuple[str, ...]:
        """The types of numbers in which the rule accepts rows, the widest first."""
        return ("float64", "float32")

    def drawn(self, ask: Questions, n: int, columns: int) -> NDArray[Any]:
        """Rows [n, d] of short numbers, d at most `columns`."""
        d = ask.integer(1, columns)
        return decimals(ask.integers(n * d).reshape(n, d), ask.choose((0, -1, 1, 3, -3)))

    def another(self, x: NDArray[Any]) -> NDArray[Any]:
        """Rows that differ from `x`, of the same shape."""
        return x[::-1] * 2.0 + 1.0

    def parts(self, x: NDArray[Any]) -> dict[str, Any]:
        """The arguments that the rule needs in addition to the rows."""
        return {}

    def put(self, x: NDArray[Any], kind: str | None = None) -> Any:
        """Rows as the given kind of array, or else the first kind that the rule accepts."""
        if (kind or self.accepts[0]) == "numpy":
            return x
        import torch

        return torch.from_numpy(np.array(x))

    def made(self, x: NDArray[Any], kind: str, number: str, device: str = "cpu") -> Any:
        """Rows as an array of the given kind and type of numbers, in memory of its own."""
        return array(x, kind, number, device)

    def answer(self, rule: Any, question: Any, **parts: Any) -> Any:
        """`rule(question)`, with a trusted update if the rule wants one."""
        if getattr(rule, "wants_trusted", False) and "trusted" not in parts:
            parts["trusted"] = trusted_update(question)
        return rule(question, **parts)

    def call(self, question: Any, rule: Any = None, **parts: Any) -> Any:
        """The raw answer of `rule` (a fresh copy by default); an exception becomes a violation with the question."""
        asked = self.fresh() if rule is None else rule
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # another property examines warnings
            try:
                return self.answer(asked, question, **parts)
            except Exception as error:
                complaint = f"the rule raised {type(error).__name__}: {error}"
                raise Violation(complaint, x=question) from error

    def ask(self, x: NDArray[Any], rule: Any = None) -> NDArray[Any]:
        """The answer as float64 numbers: [d], or [m, d] for a pre-aggregation; any other answer is a violation."""
        question, parts = self.put(x), self.parts(x)
        return self.read(self.call(question, rule, **parts), question, **parts)

    def read(self, answer: Any, question: Any, **parts: Any) -> NDArray[Any]:
        """An answer as float64 numbers; it is a violation if its shape is wrong or it is not finite."""
        if answer is None:
            raise Violation("the rule returned None", x=question)
        try:
            numbers = numeric(answer)
        except (TypeError, ValueError, RuntimeError) as error:
            raise Violation(f"the rule returned {type(answer).__name__}, not numbers", x=question) from error
        d = question.shape[1]
        if numbers.ndim != (2 if self.maps_rows else 1) or numbers.shape[-1] != d or not len(numbers):
            wanted = f"[m, {d}]" if self.maps_rows else f"[{d}]"
            raise Violation(f"the rule returned shape {list(numbers.shape)} instead of {wanted}", x=question)
        if not np.isfinite(numbers).all():
            raise Violation("the answer is not finite", found=numbers, x=question)
        return numbers


def examine(
    rule: Any,
    kind: type[Subject] = Subject,
    *,
    f: int | None = None,
    least: int | None = None,
    accepts: Iterable[str] = ("numpy",),
    unclaimed: Iterable[str] = (),
) -> Subject:
    """The subject for `rule`; of rules with robustfl's contracts, all but an `f` that they do not hold is read."""
    if not callable(rule) or isinstance(rule, type):
        raise ParameterError(
            f"`rule` should be an instance of an aggregator or a callable [n, d] -> [d]. Found {rule!r}."
            + (f" Pass {rule.__name__}(...)." if isinstance(rule, type) else "")
        )
    kinds = (accepts,) if isinstance(accepts, str) else tuple(accepts)
    if not kinds or not set(kinds) <= set(ARRAYS):
        raise ParameterError(f"`accepts` should name kinds of arrays, of {', '.join(ARRAYS)}. Found {accepts!r}.")
    if f is not None and f < 0:
        raise ParameterError(f"`f` should satisfy f >= 0. Found f={f}.")
    if least is not None and least < 1:
        raise ParameterError(f"`least` should satisfy least >= 1. Found least={least}.")
    if not isinstance(rule, Aggregator | PreAggregation | RankAggregator):
        told = 0 if f is None else f
        return kind(rule, told, 2 * told + 3 if least is None else least, kinds, frozenset(unclaimed))
    if rule.byzantine is not None and f not in (None, rule.byzantine):
        raise ParameterError(f"{rule!r} holds f={rule.byzantine}. Found f={f}. Leave `f` out.")
    told = rule.byzantine if rule.byzantine is not None else 1 if f is None else f
    smallest = fewest_rows(rule, told)
    given = smallest if least is None else max(smallest, least)
    return kind(rule, told, given, ARRAYS, frozenset(unclaimed) | rule.unclaimed)


def fewest_rows(rule: Defense, f: int) -> int:
    """The smallest n that a rule accepts when f rows may be Byzantine."""
    for n in range(1, MOST_ROWS):
        if rule.infeasible(n, f) is None:
            return n
    raise ParameterError(f"{rule!r} accepts no number of rows below {MOST_ROWS}: {rule.infeasible(MOST_ROWS, f)}")


def array(x: NDArray[Any], kind: str, dtype: str, device: str = "cpu") -> Any:
    """Numbers as an array of the given kind and type, in memory of its own."""
    if kind == "numpy":
        return np.array(x, dtype=dtype)
    import torch

    return torch.tensor(x, dtype=getattr(torch, dtype), device=device)


def trusted_update(question: Any) -> Any:
    """A substitute for a trusted update: the median of the usable rows, as the same kind and type of array.

    It moves and scales with the rows, and neither their order nor a hostile minority changes it.
    """
    rows = numeric(question)
    peak = np.abs(rows).max(axis=1)
    usable = next((rows[mask] for mask in (peak <= USABLE, np.isfinite(peak)) if mask.any()), np.zeros_like(rows))
    middle = np.median(usable, axis=0)
    if is_tensor(question):
        import torch

        return torch.as_tensor(middle).to(dtype=question.dtype, device=question.device)
    return middle.astype(question.dtype)


def numeric(answer: Any) -> Floats:
    """The numbers of any kind of array, as a float64 array of numpy."""
    host = answer.detach().cpu().double().numpy() if is_tensor(answer) else answer
    return np.asarray(host, dtype=np.float64)
