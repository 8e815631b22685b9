"""What a property is, and how one is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from robustfl.errors import ParameterError, did_you_mean
from robustfl.testing.questions import Questions
from robustfl.testing.subject import Subject

Check = Callable[[Subject, Questions], None]


@dataclass(frozen=True)
class Property:
    """One thing that a rule can promise.

    Attributes
    ----------
    name : what `skip`, `claims` and a rule's `unclaimed` call it
    statement : the promise, in one sentence
    check : asks one question and raises a `Violation` when the answer breaks the promise
    inapplicable : why the property has no meaning for a subject, or None
    """

    name: str
    statement: str
    check: Check
    inapplicable: Callable[[Subject], str | None]


Catalogue = dict[str, Property]
"""Properties by name."""

ALL: Catalogue = {}
"""Every property of rules for updates, once the modules that hold the checks are imported."""

OF_VOTES: Catalogue = {}
"""Every property that only rules for rankings have."""


def promise(
    statement: str, *, unless: Callable[[Subject], str | None] = lambda subject: None, among: Catalogue = ALL
) -> Callable[[Check], Check]:
    """Register a check under its function's name; `unless` gives the reason why it does not apply."""

    def register(check: Check) -> Check:
        among[check.__name__] = Property(check.__name__, statement, check, unless)
        return check

    return register


def known_names(names: Iterable[str], where: str, among: Catalogue) -> frozenset[str]:
    """`names` as a set, or an error that names the nearest properties."""
    given = [names] if isinstance(names, str) else list(names)
    for name in given:
        if name not in among:
            raise ParameterError(f"`{where}` names no property {name!r}. {did_you_mean(str(name), among)}")
    return frozenset(given)


def not_own(subject: Subject) -> str | None:
    """Properties of robustfl's contracts mean nothing for a plain callable."""
    return "a plain callable makes no such promise" if subject.own is None else None
