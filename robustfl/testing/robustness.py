"""Checks with hostile rows: rows that are not finite, too large for arithmetic, or far away from the honest rows."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import reduce
from operator import rshift
from typing import Any

import numpy as np

from robustfl.aggregation import Aggregator
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import RELATIONS
from robustfl.errors import InfeasibleError
from robustfl.testing.catalogue import not_own, promise
from robustfl.testing.compare import ROUNDING, close, extent, spread
from robustfl.testing.questions import Questions, decimals
from robustfl.testing.subject import Subject, array, numeric
from robustfl.testing.violation import Violation
from robustfl.wording import counted

CLEAR = (ValueError, ArithmeticError, RuntimeError)
"""Exceptions with which a rule may refuse rows on purpose; an IndexError or a TypeError is taken for an accident."""

REACH = 10.0
"""How far f rows may move a robust rule: this number, times f + 1, times the honest spread."""

MANY = 10**6
"""A number of rows for which any bound that falls with it is one."""

OWN_LENGTH = 1e3
"""Smallest unit for rules with a length of their own (such as a clipping radius), which do not scale with the rows."""


@promise("zeros, duplicates, ties, few rows and numbers of any size give finite answers")
def degenerate(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject, less_than=3)
    case = ask.choose(("as they are", "zeros", "duplicates", "one other row", "opposite"))
    if case == "zeros":
        x = np.zeros_like(x)
    elif case == "duplicates":
        x[: len(x) // 2] = x[0]
    elif case == "one other row":
        x[1:] = x[-1]
    elif case == "opposite":
        x[1::2] = -x[0]
        x[::2] = x[0]
    subject.ask(x * ask.choose((1.0, 1e-12, 1e15, 1e-40, 1e30, 1e-310, 1e100)))


@promise("a row with NaN, infinity or the largest numbers is refused or harmless: never a silent NaN")
def hostile(subject: Subject, ask: Questions) -> None:
    count = ask.integer(1, max(subject.f, 1))
    clean = ask.rows(subject, less_than=3)
    kind, number = ask.choose(subject.accepts), ask.choose(("float64", "float32"))
    largest = 1e38 if number == "float32" else 1e300
    value = ask.choose((np.nan, np.inf, -np.inf, largest, -largest))
    bad = clean[:count].copy() if len(clean) >= count else np.zeros((count, clean.shape[1]))
    bad[:, : ask.integer(1, clean.shape[1])] = value
    place = ask.integer(0, len(clean))
    x = array(np.concatenate([clean[:place], bad, clean[place:]]), kind, number)
    answer = answer_or_refusal(subject, x)
    if answer is None:
        return
    if subject.own is not None:
        _as_without(subject, x, array(clean, kind, number), answer)
    elif not np.isfinite(value):
        reach = REACH * (count + 1) * max(extent(clean), 1.0)
        if extent(answer) > reach:
            raise Violation(f"{counted(count, 'hostile row')} moved the answer beyond {reach:g}", found=answer, x=x)


def answer_or_refusal(subject: Subject, x: Any) -> Floats | None:
    """The answer to hostile rows, or None if the rule refuses them with a clear error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            raw = subject.answer(subject.fresh(), x)
        except Exception as error:
            if isinstance(error, CLEAR) and not isinstance(error, ZeroDivisionError) and str(error):
                return None
            raise Violation(f"hostile rows end in an accidental {_shown(error)}", x=x) from error
    try:
        return subject.read(raw, x)
    except Violation as violation:
        came = None if raw is None else numeric(raw)
        raise Violation(f"hostile rows get through: {violation.complaint}", found=came, x=x) from violation


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__} without a word"


def _as_without(subject: Subject, x: Any, clean: Any, answer: Floats) -> None:
    """Check that a rule of robustfl rejects the hostile rows, keeps f, and answers as without them."""
    if subject.fresh().infeasible(len(clean)) is not None:
        raise Violation(f"{len(clean)} clean rows are too few, yet the rule answers", found=answer, x=x)
    expected = subject.read(subject.call(clean), clean)
    if subject.maps_rows and answer.shape != expected.shape:
        raise Violation("hostile rows leave rows in the answer", found=answer, expected=expected, x=x)
    if not close(answer, expected, ROUNDING * extent(numeric(clean))):
        raise Violation(
            "the answer is not that to the rows without the hostile ones", found=answer, expected=expected, x=x
        )


def _not_told(subject: Subject) -> str | None:
    return not_own(subject) or (None if subject.told and subject.f else "f is no part of the rule, or there is none")


@promise(
    "f malicious rows gain nothing from rows that arrive again, nor from clients that send two, none or NaN",
    unless=_not_told,
)
def f_kept(subject: Subject, ask: Questions) -> None:
    f, d = subject.f, ask.integer(1, 3)
    n = max(f + 1, subject.least + ask.integer(-2, 2))
    honest = decimals(ask.integers((n - f) * d).reshape(n - f, d), ask.choose((0, -1)))
    lies = _far_away(f, d, ask.choose((1e6, 1e3, 1e15)), ask.choose(("together", "apart", "one column")))
    clean = list(np.concatenate([lies, honest]))
    trusted = {"trusted": np.median(honest, axis=0)} if subject.rule.wants_trusted else {}
    rows, ids = list(clean), list(range(n))
    for kind in ("sent twice", "missing", "nan"):
        for _ in range(ask.integer(0, 2)):
            sent = {"sent twice": [lies[0], 2.0 * lies[0]], "missing": [None], "nan": [np.full(d, np.nan)]}[kind]
            rows += sent
            ids += [max(ids) + 1] * len(sent)
    for _ in range(ask.integer(0, 2)):  # a message that is delivered twice, or replayed
        again = ask.integer(0, n - 1)
        rows.append(clean[again])
        ids.append(again)
    call = f"rule(x, ids={ids})"
    refusal = subject.rule.infeasible(n)
    try:
        found = np.array(subject.answer(subject.fresh(), rows, ids=ids, **trusted))
    except InfeasibleError as error:
        if refusal is None:
            raise Violation(f"{n} rows are enough beside the rejected ones, yet {error}", call=call, x=rows) from error
        return
    if refusal is not None:
        raise Violation(f"{n} rows are below the bound, yet the rule answers", call=call, found=found, x=rows)
    expected = np.array(subject.call(clean, ids=ids[:n], **trusted))
    if not close(found, expected, ROUNDING * extent(expected)):
        complaint = "the answer is not that of the same rule to the accepted rows alone"
        raise Violation(complaint, call=call, found=found, expected=expected, x=rows)


def _no_breakdown(subject: Subject) -> str | None:
    if subject.maps_rows:
        return "a pre-aggregation alone does not bound anything"
    if subject.f == 0:
        return "there is no Byzantine row; pass f=1 or more"
    return None


@promise(
    "f rows of any size and place move the answer by a bounded multiple of the honest spread", unless=_no_breakdown
)
def breakdown(subject: Subject, ask: Questions) -> None:
    f = subject.f
    n = max(subject.least, 2 * f + 1) + ask.integer(0, 3)
    d = ask.integer(1, 3)
    honest = ask.choose((0.0, 1e3)) + decimals(ask.integers((n - f) * d).reshape(n - f, d), ask.choose((0, -1)))
    lies = _far_away(f, d, ask.choose((1e6, 1e3, 1e10, 1e15, 1e30)), ask.choose(("together", "apart", "one column")))
    number = ask.choose(("float64", "float32"))
    x = np.concatenate([lies, honest]).astype(number)
    answer = subject.read(subject.call(question := subject.put(x)), question)
    reach = REACH * (f + 1) * _unit(subject, honest) + 32 * n * float(np.finfo(number).eps) * extent(honest)
    low, high = honest.min(axis=0) - reach, honest.max(axis=0) + reach
    if ((answer < low) | (answer > high)).any():
        complaint = f"the first {f} of {n} rows move the answer further than {reach:.3g} from the range of the others"
        raise Violation(complaint, found=answer, expected=np.clip(answer, low, high), x=x)


def _unit(subject: Subject, honest: Floats) -> float:
    """The unit of influence: the honest spread, or the honest length for rules that are not translation equivariant."""
    unit = spread(honest) if subject.promises("translation") else max(extent(honest), spread(honest))
    return unit if subject.promises("scaling") else max(unit, OWN_LENGTH)


def _far_away(f: int, d: int, size: float, pattern: str) -> Floats:
    """f rows [f, d] at a distance of about `size`: all in one place, on both sides, or far only in the first column."""
    lies = np.full((f, d), size)
    if pattern == "apart":
        lies *= np.where(np.arange(f) % 2, -1.0, 1.0)[:, None] * np.arange(1, f + 1)[:, None]
    elif pattern == "one column":
        lies[:, 1:] = 0.0
    return lies


@promise("the answer depends on the rows: it is not the same for all of a few very different questions")
def responsive(subject: Subject, ask: Questions) -> None:
    n, d = subject.least + 1 + ask.integer(0, 2), ask.integer(1, 3)
    base = np.arange(1.0, n * d + 1).reshape(n, d)
    moved = base.copy()
    moved[1:] = -1e6 * np.arange(1.0, d + 1)  # all rows but one, which is beyond any bound on f
    questions = (base, -base, base**2 - 3.0, moved)
    answers = [subject.ask(question) for question in questions]
    if all(np.array_equal(answer, answers[0]) for answer in answers):
        complaint = "very different rows, even all but one in another place, get one answer"
        call = "rule(x), rule(-x), rule(x**2 - 3), rule(far)"
        raise Violation(complaint, call=call, found=answers[0], x=base, far=moved)


@promise("n at the bound works, and one row below it is an error that names n and f", unless=not_own)
def bounds(subject: Subject, ask: Questions) -> None:
    subject.ask(subject.drawn(ask, subject.least, 3))
    fewest = subject.least
    if not subject.told:  # a rule that does not hold f can only enforce the bound for f = 0
        fewest = next(n for n in range(1, subject.least + 1) if subject.rule.infeasible(n, 0) is None)
    if fewest == 1:
        return
    x = subject.drawn(ask, fewest - 1, 3)
    try:
        answer = subject.answer(subject.fresh(), subject.put(x), **subject.parts(x))
    except InfeasibleError as error:
        if str(len(x)) not in str(error) or "f=" not in str(error):
            raise Violation(f"the refusal does not name n={len(x)} and f: {error}", x=x) from error
        return
    except Exception as error:
        raise Violation(f"too few rows end in {_shown(error)} instead of an InfeasibleError", x=x) from error
    raise Violation(f"{len(x)} rows are below the bound, yet the rule answers", found=numeric(answer), x=x)


@promise(
    "f = 0 is allowed, and then equal rows come back",
    unless=lambda s: None if s.told else "f is not part of the rule",
)
def f_zero(subject: Subject, ask: Questions) -> None:
    none = without_f(subject.rule)
    call = f"{none!r}(x)"
    n = next(n for n in range(1, subject.least + 1) if none.infeasible(n) is None) + ask.integer(0, 3)
    d = ask.integer(1, 3)
    rows, equal = ask.integers(n * d).reshape(n, d), np.tile(ask.vector(d), (n, 1))
    for x in (rows, equal):
        try:
            found = subject.ask(x, none)
        except Violation as violation:
            raise Violation(f"with f=0, {violation.complaint}", call=call, x=x) from violation
    wanted = equal[: len(found)] if subject.maps_rows else equal[0]
    if subject.promises("consensus") and not close(found, wanted, ROUNDING * extent(equal)):
        raise Violation("with f=0, equal rows do not come back", call=call, found=found, expected=wanted, x=equal)


def without_f(rule: Any) -> Any:
    """The same rule, in all its stages, for no Byzantine row."""
    return reduce(rshift, [replace(stage, f=0) if stage.byzantine else stage for stage in rule.stages])


def _not_bounded(subject: Subject) -> str | None:
    if subject.own is None or subject.maps_rows or not isinstance(subject.own, Aggregator):
        return not_own(subject) or "only a rule for updates can say how far a row moves its answer"
    many = subject.own.sensitivity_bound(MANY, 1.0)
    return None if many.value is not None else f"no bound is declared ({many.reason})"


@promise("no row of n clipped rows moves the answer further than its declared sensitivity", unless=_not_bounded)
def sensitivity(subject: Subject, ask: Questions) -> None:
    assert isinstance(subject.own, Aggregator)
    n, d = subject.least + ask.integer(0, 6), ask.integer(1, 3)
    clip = ask.choose((1.0, 0.1, 10.0))
    relation = ask.choose(RELATIONS)
    bound = subject.own.sensitivity(n, clip, relation=relation)
    if bound is None:
        return
    size = ask.integer(0, n)
    cluster = np.append(np.ones(size), -np.ones(n - size))[:, None] * np.eye(d)[0]
    rows = ask.choose((cluster, cluster + ask.integers(n * d).reshape(n, d) / 9.0))
    other = ask.integers(d) * (relation == "replace_one")
    lengths = np.linalg.norm(np.vstack([rows, other]), axis=1, keepdims=True)
    first = np.vstack([rows, other]) * clip / np.maximum(lengths, 1.0)
    place = ask.integer(0, n - 1)
    second = first[:-1].copy()
    second[place] = first[-1]
    trusted = {"trusted": ask.integers(d) / 9.0 * clip} if subject.rule.wants_trusted else {}
    answers = [subject.read(subject.call(x, **trusted), x) for x in (first[:-1], second)]
    apart = float(np.linalg.norm(answers[0] - answers[1]))
    if apart > bound + ROUNDING * clip:
        complaint = f"row {place} moves the answer by {apart:.4g}, and {bound:.4g} is declared for n={n}, clip={clip:g}"
        raise Violation(
            f"{complaint}: it takes the place of {first[place]}", found=answers[1], expected=answers[0], x=second
        )
