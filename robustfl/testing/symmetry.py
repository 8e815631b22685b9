"""Checks of how the answer changes when all rows are changed in the same way, and of the range in which it lies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Floats
from robustfl.testing.catalogue import not_own, promise
from robustfl.testing.compare import ROUNDING, difference, extent
from robustfl.testing.questions import Questions
from robustfl.testing.subject import Subject
from robustfl.testing.violation import Violation


@promise("the order of the rows does not matter")
def permutation(subject: Subject, ask: Questions) -> None:
    # one row more than the bound: if a score counts only one neighbour, the two nearest rows always tie
    x = ask.rows(subject, more=1)
    order = ask.order(len(x))

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        found, expected = subject.ask(rows[order]), subject.ask(rows)
        if subject.maps_rows and len(expected) == len(rows):
            expected = expected[order]  # row i of the answer belongs to row i of the input
        elif subject.maps_rows:
            found, expected = np.sort(found, axis=0), np.sort(expected, axis=0)
        return found, expected, ROUNDING * extent(rows)

    if differing := difference(pair, x):
        found, expected = differing
        complaint = "the same rows in another order give another answer than rule(x)"
        raise Violation(complaint, call="rule(x[order])", found=found, expected=expected, x=x, order=order)


@promise("the order in which clients answer does not matter: a client is known by its id", unless=not_own)
def arrival(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject, more=1)  # as for the permutation of rows without ids
    order = ask.order(len(x))

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        found, expected = _named(subject, rows[order], order), _named(subject, rows, range(len(rows)))
        if subject.maps_rows and len(expected) == len(rows) and not getattr(subject.rule, "regroups", False):
            expected = expected[order]
        return found, expected, ROUNDING * extent(rows)

    if differing := difference(pair, x):
        found, expected = differing
        call = "rule(x[order], ids=order)"
        complaint = "the same clients in another order get another answer than rule(x, ids=range(len(x)))"
        raise Violation(complaint, call=call, found=found, expected=expected, x=x, order=order)


@promise("clients that exchange their ids before anything is known of them get the same answer", unless=not_own)
def names(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject, more=1)
    ids = ask.order(len(x))

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        return _named(subject, rows, ids), _named(subject, rows, range(len(rows))), ROUNDING * extent(rows)

    if differing := difference(pair, x):
        found, expected = differing
        complaint = "other ids give another answer than rule(x, ids=range(len(x)))"
        raise Violation(complaint, call="rule(x, ids=ids)", found=found, expected=expected, x=x, ids=ids)


def _forgetful(subject: Subject) -> str | None:
    return not_own(subject) or (None if subject.stateful else "the rule has no memory")


@promise("what a rule remembers of its clients depends neither on their order nor on their ids", unless=_forgetful)
def reunion(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject, more=1)
    n = len(x)
    same = np.arange(n)
    first, second, called = ask.order(n), ask.order(n), ask.order(n) if subject.promises("names") else same.tolist()

    def later(rows: Floats, one: Iterable[int], two: Iterable[int], ids: Iterable[int]) -> Floats:
        """The answer in the second round, when clients come in the orders `one` and `two`."""
        rule, known, places = subject.fresh(), np.array(list(ids)), [np.array(list(order)) for order in (one, two)]
        _named(subject, rows[places[0]], known[places[0]].tolist(), rule)
        return _named(subject, subject.another(rows)[places[1]], known[places[1]].tolist(), rule)

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        found, expected = later(rows, first, second, called), later(rows, same, same, same)
        if subject.maps_rows and len(expected) == n and not getattr(subject.rule, "regroups", False):
            expected = expected[second]
        return found, expected, ROUNDING * extent(subject.another(rows))

    if differing := difference(pair, x):
        found, expected = differing
        call = (
            "rule(x[first], ids=called[first]); rule(other[second], ids=called[second]) and, on a fresh rule, "
            "rule(x, ids=range(len(x))); rule(other, ids=range(len(x)))"
        )
        complaint = "in the second round the same clients, in another order and under other ids, get another answer"
        values = {"x": x, "other": subject.another(x), "first": first, "second": second, "called": called}
        raise Violation(complaint, call=call, found=found, expected=expected, **values)


def _named(subject: Subject, x: Floats, ids: Iterable[int], rule: Any = None) -> Floats:
    """The answer of a rule (a fresh one by default) to rows [n, d] that come under these ids."""
    question = subject.put(x)
    return subject.read(subject.call(question, rule, ids=list(ids)), question)


@promise("moving all rows by one vector moves the answer by that vector")
def translation(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    shift = ask.vector(x.shape[1]) * ask.choose((1.0, 100.0))

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        return subject.ask(rows + shift), subject.ask(rows) + shift, ROUNDING * (extent(rows) + extent(shift))

    if differing := difference(pair, x):
        found, expected = differing
        complaint = "moved rows do not give rule(x) + shift"
        raise Violation(complaint, call="rule(x + shift)", found=found, expected=expected, x=x, shift=shift)


@promise("multiplying all rows by a positive number multiplies the answer by it")
def scaling(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    factor = ask.choose((2.0, 0.5, 100.0, 0.01, 1e6, 1e-6, 1e9, 1e-9))

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        return subject.ask(rows * factor), subject.ask(rows) * factor, ROUNDING * extent(rows) * factor

    if differing := difference(pair, x):
        found, expected = differing
        complaint = "multiplied rows do not give rule(x) * factor"
        raise Violation(complaint, call="rule(x * factor)", found=found, expected=expected, x=x, factor=factor)


@promise("equal rows are their own aggregate")
def consensus(subject: Subject, ask: Questions) -> None:
    row = ask.vector(ask.integer(1, 3))
    x = np.tile(row, (subject.least + ask.integer(0, 3), 1))
    agrees_with_row(subject, x, ROUNDING, "equal rows do not come back")


@promise(
    "float64 rows are worked on in float64",
    unless=lambda s: None if s.promises("consensus") else "it is seen on equal rows, which this rule does not return",
)
def precision(subject: Subject, ask: Questions) -> None:
    row = (ask.vector(ask.integer(1, 3)) / 7).round(12)  # not representable in float32
    x = np.tile(row, (subject.least + ask.integer(0, 3), 1))
    agrees_with_row(subject, x, 1e-12, "digits beyond float32 are lost")


def agrees_with_row(subject: Subject, x: Floats, tolerance: float, complaint: str) -> None:
    """Raise a violation unless the answer to equal rows is that row, within a relative tolerance."""
    found = subject.ask(x)
    if (np.abs(found - x[0]) > tolerance * np.abs(x[0])).any():
        raise Violation(complaint, found=found, expected=x[: len(found)] if subject.maps_rows else x[0], x=x)


@promise("every coordinate of the answer lies between the rows'")
def box(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    found, slack = subject.ask(x), ROUNDING * extent(x)
    low, high = x.min(axis=0), x.max(axis=0)
    if ((found < low - slack) | (found > high + slack)).any():
        nearest = np.clip(found, low, high)
        raise Violation("the answer lies outside the rows' own range", found=found, expected=nearest, x=x)


@promise(
    "turning all rows in space turns the answer",
    unless=lambda s: (
        None
        if getattr(s.own, "rotation_equivariant", False)
        else "the rule does not declare that it is rotation equivariant"
    ),
)
def rotation(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    first, second = ask.vector(x.shape[1]), ask.vector(x.shape[1])
    turn = mirror(first) @ mirror(second)

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        return subject.ask(rows @ turn), subject.ask(rows) @ turn, ROUNDING * extent(rows)

    if differing := difference(pair, x):
        found, expected = differing
        complaint = "turned rows do not give the answer turned"
        raise Violation(complaint, call="rule(x @ turn)", found=found, expected=expected, x=x, turn=turn)


def mirror(axis: Floats) -> Floats:
    """The reflection [d, d] along an axis; two of them are a rotation."""
    return np.eye(len(axis)) - 2.0 * np.outer(axis, axis) / (axis @ axis)
