"""Checks of a rule as an object: determinism, no side effects on the program around it, copies, text and state."""

from __future__ import annotations

import copy
import pickle
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from robustfl import registry
from robustfl.aggregation import Aggregator
from robustfl.aggregation.kernels.base import Floats, is_tensor
from robustfl.testing.catalogue import not_own, promise
from robustfl.testing.questions import Questions
from robustfl.testing.subject import Subject, trusted_update
from robustfl.testing.violation import Violation


def _twice(subject: Subject, ask: Questions) -> tuple[Floats, Floats]:
    """Two different questions of the same shape."""
    first = ask.rows(subject)
    return first, subject.another(first)


@promise("two fresh copies give the same bits")
def deterministic(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    first, second = subject.ask(x), subject.ask(x)
    if not np.array_equal(first, second):
        call = "copy.deepcopy(rule)(x), copy.deepcopy(rule)(x)"
        raise Violation("the same question gets two answers", call=call, expected=first, found=second, x=x)


def _stateful(subject: Subject) -> str | None:
    return "the rule says that it has a memory" if subject.stateful else None


@promise(
    "a rule without a declared memory gives one answer however often and after whatever it is asked", unless=_stateful
)
def repeatable(subject: Subject, ask: Questions) -> None:
    x, other = _twice(subject, ask)
    rule = subject.fresh()
    first = subject.ask(x, rule)
    subject.ask(other, rule)
    again = subject.ask(x, rule)
    if not np.array_equal(first, again):
        complaint = "the rule answers differently after another question, and does not say that it has a memory"
        raise Violation(complaint, call="rule(x); rule(other); rule(x)", expected=first, found=again, x=x, other=other)


@promise("the global random generators of Python, numpy and torch are neither moved nor read")
def generators(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    first, second = _under_seed(subject, x, 1), _under_seed(subject, x, 2)
    if not np.array_equal(first, second):
        complaint = "the answer depends on the seed of a global random generator"
        raise Violation(complaint, expected=first, found=second, x=x)


def _under_seed(subject: Subject, x: Floats, seed: int) -> Floats:
    """The answer while the global generators have this seed; it is a violation if one of them changes its state."""
    with global_generators(seed) as moved:
        answer = subject.ask(x)
        if names := moved():
            raise Violation(f"the rule draws from the global random generator of {' and '.join(names)}", x=x)
    return answer


@contextmanager
def global_generators(seed: int) -> Iterator[Any]:
    """Seed the global generators within a block; its value is a function that names those whose state has changed.

    This is the only place that may touch them: it detects rules that do so, and restores the state of every generator.
    """
    torch = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state(), None if torch is None else torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if torch is not None:
        torch.manual_seed(seed)
    start = _fingerprints()

    def moved() -> list[str]:
        return [name for name, state in _fingerprints().items() if start.get(name, state) != state]

    try:
        yield moved
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(before[2])


def _fingerprints() -> dict[str, Any]:
    state: Any = np.random.get_state()  # noqa: NPY002
    found = {"Python": random.getstate(), "numpy": (state[1].tobytes(), *state[2:])}
    torch = sys.modules.get("torch")
    return found if torch is None else {**found, "torch": torch.get_rng_state().numpy().tobytes()}


@promise("no warning escapes, whatever the rows are")
def quiet(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    case = ask.choose(("as they are", "zeros", "duplicates", "one huge row", "nan"))
    if case == "zeros":
        x = np.zeros_like(x)
    elif case == "duplicates":
        x[1:] = x[0]
    elif case == "one huge row":
        x[0] = 1e300
    elif case == "nan":
        x[0, 0] = np.nan
    question = subject.put(x)
    with warnings.catch_warnings(), np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"):
        warnings.simplefilter("error")
        try:
            subject.answer(subject.fresh(), question)
        except Warning as warning:
            raise Violation(f"{type(warning).__name__}: {warning}", x=question) from warning
        except Exception:
            return  # other properties examine whether an error is right


COPY, PICKLE = "copy.deepcopy(rule)", "pickle.loads(pickle.dumps(rule))"


@promise("pickles and copies are equal to the rule, answer alike and have a memory of their own", unless=not_own)
def pickling(subject: Subject, ask: Questions) -> None:
    x, other = _twice(subject, ask)
    rule = subject.fresh()
    subject.ask(x, rule)
    before = rule.state_dict()
    try:
        twins = [(COPY, copy.deepcopy(rule)), (PICKLE, pickle.loads(pickle.dumps(rule)))]
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Violation(f"the rule cannot be pickled ({error})", call="pickle.dumps(rule)") from error
    for way, twin in twins:
        if twin != rule:
            raise Violation("a copy is not equal to the rule", call=f"{way} == rule")
        # a stateless rule may cache something that a copy lacks, because a cache does not influence the answer
        expected = subject.ask(other, copy.deepcopy(rule) if subject.stateful else subject.fresh())
        found = subject.ask(other, twin)
        if not np.array_equal(found, expected):
            call = f"rule(x); {way}(other)"
            raise Violation("a copy answers differently", call=call, expected=expected, found=found, x=x, other=other)
        if not same_state(rule.state_dict(), before):
            call = f"rule(x); twin = {way}; twin(other); rule.state_dict()"
            raise Violation("asking a copy changes the state of the rule", call=call, x=x, other=other)


@promise("the text of the rule is code that makes an equal one", unless=not_own)
def text(subject: Subject, ask: Questions) -> None:
    rule = subject.fresh()
    registered = set(registry.find("defense").values())
    if all(type(part) in registered for part in rule.stages):
        call = f"registry.build('defense', {repr(rule)!r})"
        try:
            twin = registry.build("defense", repr(rule))
        except Exception as error:
            raise Violation(f"the registry cannot read repr(rule) ({error})", call=call) from error
    else:  # a class that is not registered can only be built by its constructor
        call = f"type(rule)(**{rule.parameters()!r})"
        try:
            twin = type(rule)(**rule.parameters())
        except Exception as error:
            raise Violation(f"the rule's own parameters() do not make one ({error})", call=call) from error
    if twin != rule or repr(twin) != repr(rule):
        raise Violation(f"what the rule's own text makes is not equal to it: {twin!r}", call=call)
    if not str(rule):
        raise Violation("the label is empty", call="str(rule)")


def _stateless(subject: Subject) -> str | None:
    return not_own(subject) or (None if subject.stateful else "the rule has no memory")


@promise("a state moves to a fresh rule, looking ahead changes nothing, and reset forgets", unless=_stateless)
def state(subject: Subject, ask: Questions) -> None:
    x, other = _twice(subject, ask)
    rule, heir = subject.fresh(), subject.fresh()
    opening = subject.ask(x, rule)
    saved = rule.state_dict()
    kept = copy.deepcopy(saved)
    if isinstance(rule, Aggregator):
        rule.preview(other, **({"trusted": trusted_update(other)} if rule.wants_trusted else {}))
        if not same_state(rule.state_dict(), kept):
            raise Violation("preview changes the state", call="rule(x); rule.preview(other)", x=x, other=other)
    heir.load_state_dict(pickle.loads(pickle.dumps(saved)))
    expected, found = subject.ask(other, rule), subject.ask(other, heir)
    if not np.array_equal(expected, found):
        call = "heir = copy.deepcopy(rule); rule(x); heir.load_state_dict(rule.state_dict()); heir(other), rule(other)"
        complaint = "a fresh rule with the state of another one answers differently"
        raise Violation(complaint, call=call, expected=expected, found=found, x=x, other=other)
    if not same_state(saved, kept):
        complaint = "a saved state changes with later calls; it has to be a copy"
        raise Violation(complaint, call="rule(x); saved = rule.state_dict(); rule(other)", x=x, other=other)
    rule.reset()
    again = subject.ask(x, rule)
    if not np.array_equal(again, opening):
        call = "rule(x); rule(other); rule.reset(); rule(x)"
        complaint = "after reset the rule does not answer like a fresh one"
        raise Violation(complaint, call=call, expected=opening, found=again, x=x, other=other)


def same_state(one: Any, other: Any) -> bool:
    """Whether two states are equal; they consist of mappings and sequences of arrays and plain values."""
    if isinstance(one, dict):
        same_keys = isinstance(other, dict) and one.keys() == other.keys()
        return same_keys and all(same_state(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        same_length = type(one) is type(other) and len(one) == len(other)
        return same_length and all(map(same_state, one, other))
    if is_tensor(one) or isinstance(one, np.ndarray):
        return np.array_equal(np.asarray(one), np.asarray(other))
    return bool(one == other)
