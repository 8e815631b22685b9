"""What a property is, and how its check is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from robustfl.errors import ParameterError, did_you_mean
from robustfl.testing.questions import Questions, search
from robustfl.testing.report import Finding
from robustfl.testing.subject import Subject

Check = Callable[[Subject, Questions], None]


@dataclass(frozen=True)
class Property:
    """One thing that a rule can promise.

    Attributes
    ----------
    name : the name that `skip`, `claims` and a rule's `unclaimed` use
    statement : the promise, in one sentence
    check : a function that asks one question and raises a `Violation` if the answer breaks the promise
    inapplicable : a function that returns the reason why the property has no meaning for a subject, or None
    """

    name: str
    statement: str
    check: Check
    inapplicable: Callable[[Subject], str | None]


Catalogue = dict[str, Property]
"""Properties by name."""

ALL: Catalogue = {}
"""Every property of rules for updates; it is complete once the modules with the checks are imported."""

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
    """The `names` as a set; an unknown name raises an error that suggests similar ones."""
    given = [names] if isinstance(names, str) else list(names)
    for name in given:
        if name not in among:
            raise ParameterError(f"`{where}` names no property {name!r}. {did_you_mean(str(name), among)}")
    return frozenset(given)


def not_own(subject: Subject) -> str | None:
    """The reason why properties of robustfl's contracts do not apply to a plain callable; None for other rules."""
    return "a plain callable makes no such promise" if subject.own is None else None


def examined(each: Property, subject: Any, chosen: frozenset[str], examples: int, seed: int, what: str) -> Finding:
    """What is found out about one property of a subject; `what` it is, a rule or an attack, is for the reader."""
    if each.name not in chosen:
        return Finding(each.name, each.statement, "not claimed", f"not among the promises of this {what}")
    reason = each.inapplicable(subject)
    if reason is not None:
        return Finding(each.name, each.statement, "not applicable", reason)
    violation = search(each.check, subject, examples=examples, seed=seed)
    if violation is None:
        return Finding(each.name, each.statement, "held")
    return Finding(each.name, each.statement, "violated", violation.complaint, violation.code)
