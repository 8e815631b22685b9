"""What can go wrong, as a small tree: catch :class:`RobustflError` for all of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RobustflError(Exception):
    """The root of every error that robustfl raises on purpose."""


class ParameterError(RobustflError, ValueError):
    """A hyper-parameter outside its declared range or of the wrong type."""


class UpdatesError(RobustflError, ValueError):
    """Updates that cannot be read as one row per client."""


class InfeasibleError(RobustflError, ValueError):
    """Too few usable rows for a rule: its precondition on n and f does not hold."""


class StateError(RobustflError, ValueError):
    """A stateful defense met updates, or was given a state, that do not fit its own."""


class KnowledgeError(RobustflError, PermissionError):
    """An attack reached for something that it had not declared to know."""


class AttackError(RobustflError):
    """An attack broke its contract: wrong shape, type or device, or a change to what it may only read."""


class UnknownNameError(RobustflError, LookupError):
    """A name that nothing is registered under."""


class ScenarioError(RobustflError, ValueError):
    """A scenario file that is not valid; the message names the path to the offending key."""


class DataError(RobustflError):
    """Data that is absent or malformed; the message says how to get or mend it."""


class StoreError(RobustflError):
    """A record store that must not be read or continued as it is."""


class WorkerError(RobustflError):
    """Worker processes that cannot be started; the message says how to start them, or how to do without."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the names nearest to `name`, or the list of all when none is near (empty without any)."""
    choices = sorted(known)
    near = difflib.get_close_matches(name.lower(), choices, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    return f"Known: {', '.join(choices)}." if choices else ""
