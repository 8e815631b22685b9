"""The errors of robustfl, as a small tree; catching :class:`RobustflError` catches all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 20
"""The largest number of names that an error lists."""


class RobustflError(Exception):
    """The root of every error that robustfl raises on purpose."""


class ParameterError(RobustflError, ValueError):
    """A hyper-parameter is outside its declared range or has the wrong type."""


class UpdatesError(RobustflError, ValueError):
    """Updates cannot be read as one row per client."""


class InfeasibleError(RobustflError, ValueError):
    """A rule has too few usable rows, so its precondition on n and f does not hold.

    `rejected` is the number of rows that had been rejected before.
    """

    def __init__(self, message: str, *, rejected: int = 0) -> None:
        super().__init__(message)
        self.rejected = rejected


class ExceededError(InfeasibleError):
    """More clients were caught than the declared f, and the caller asked for no answer in that case."""


class StateError(RobustflError, ValueError):
    """Updates or a given state do not fit the state of a stateful defense."""


class KnowledgeError(RobustflError, PermissionError):
    """An attack looked at something that it has not declared to know."""


class AttackError(RobustflError):
    """An attack broke its contract: a wrong shape, type or device, or a change to what it may only read."""


class UnknownNameError(RobustflError, LookupError):
    """Nothing is registered under a name."""


class ScenarioError(RobustflError, ValueError):
    """A scenario file is not valid; the message names the path to the wrong key."""


class DataError(RobustflError):
    """Data are missing or malformed; the message says how to get or repair them."""


class StoreError(RobustflError):
    """A record store must not be read or continued in its present state."""


class DisagreementError(RobustflError, ArithmeticError):
    """Two independent computations of the same number differ by more than their stated margin; neither is trusted."""


class MissingExtraError(RobustflError, ImportError):
    """An optional package is not installed; the message says which extra installs it."""


class WorkerError(RobustflError):
    """Worker processes that cannot be started; the message says how to start them, or how to do without."""


class IsolationError(RobustflError):
    """The process of an isolated defense cannot be started, has ended, or sent something that is no answer."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names nearest to `name`, or with the first :data:`MOST_NAMES`; empty without any."""
    choices = sorted(known)
    near = difflib.get_close_matches(name.lower(), choices, n=3, cutoff=0.51)  # more than half of it is the same
    if near:
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    shown = choices[:MOST_NAMES]
    rest = f", and {len(choices) - len(shown)} more" if len(choices) > len(shown) else ""
    return f"Known: {', '.join(shown)}{rest}." if choices else ""
