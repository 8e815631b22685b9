"""Is an attack on updates what it says it is? The same kit as for rules, with promises of attacks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl import registry
from robustfl.aggregation.kernels.base import Floats
from robustfl.components import Component
from robustfl.errors import NotGivenError, ParameterError, RobustflError
from robustfl.testing.catalogue import Catalogue, Property, examined, known_names
from robustfl.testing.conduct import global_generators
from robustfl.testing.questions import Questions, decimals, load_hypothesis
from robustfl.testing.report import ConformanceError, ConformanceReport
from robustfl.testing.subject import array, numeric
from robustfl.testing.violation import Violation
from robustfl.threats import Adversary, Facts, UpdateAttack
from robustfl.threats.updates.function import AttackFromFunction

OF_ATTACKS: Catalogue = {}
"""Every property of attacks on updates, in the order of the report."""

CALL = "attack(honest, f=f, own=own, aggregate=aggregate, history=history, relabelled=relabelled, rng=0)"

CLOSE = 1e-6
"""Relative error that rounding may explain where all inputs are multiplied by a power of two."""


@dataclass(frozen=True)
class Attacked:
    """An attack, and the largest number of malicious clients that is asked for."""

    attack: UpdateAttack
    f: int
    least: int = 2
    """The smallest number of honest clients in a question."""

    def drawn(self, ask: Questions, n: int, columns: int) -> NDArray[Any]:
        """Honest updates [n, d]."""
        d = ask.integer(1, columns)
        return decimals(ask.integers(n * d).reshape(n, d), ask.choose((0, -1, 1, 3, -3)))

    @cached_property
    def aggregate(self) -> Any:
        """The defense that the attack may ask."""
        return registry.build("defense", "median")

    def question(self, ask: Questions) -> dict[str, Any]:
        """Everything that an attack may be shown: numbers of this round, and two models of the past."""
        honest = ask.rows(self)
        d, f = honest.shape[1], ask.integer(1, self.f)
        own = decimals(ask.integers(f * d).reshape(f, d), 0)
        models = [ask.integers(d), ask.integers(d)]
        return {"honest": honest, "f": f, "own": own, "history": models, "relabelled": honest[:, ::-1].copy()}

    def raw(self, question: dict[str, Any], rng: int = 0) -> Any:
        """The answer as it comes; an error becomes a violation."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return self.attack(**{"aggregate": self.aggregate, "rng": rng, **question})
            except Exception as error:  # whatever an attack of somebody else raises
                raise Violation(f"the attack raised {type(error).__name__}: {error}", call=CALL, **question) from error

    def ask(self, question: dict[str, Any], rng: int = 0) -> Floats:
        """The answer as float64 numbers."""
        return numeric(self.raw(question, rng))

    def as_kind(self, question: dict[str, Any], kind: str, number: str) -> dict[str, Any]:
        """A question in arrays of a kind and a type of numbers."""

        def made(value: Any) -> Any:
            if isinstance(value, list):
                return [made(item) for item in value]
            return array(value, kind, number) if isinstance(value, np.ndarray) else value

        return {name: made(value) for name, value in question.items()}


Check = Callable[[Attacked, Questions], None]


def _promise(statement: str, *, unless: Callable[[Attacked], str | None] = lambda _: None) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        stored: Any = check
        inapplicable: Any = unless
        OF_ATTACKS[check.__name__] = Property(check.__name__, statement, stored, inapplicable)
        return check

    return register


@_promise("it makes a row for each malicious client, of the length of the honest ones, also for none and for one")
def shape(subject: Attacked, ask: Questions) -> None:
    question = subject.question(ask)
    if ask.choose((False, True)):
        question |= {"f": 0, "own": question["own"][:0]}
    found, wanted = subject.ask(question).shape, (question["f"], question["honest"].shape[1])
    if found != wanted:
        raise Violation(f"the updates have shape {list(found)} in place of {list(wanted)}", call=CALL, **question)


@_promise("the answer is of the kind and type of the honest updates")
def dtype(subject: Attacked, ask: Questions) -> None:
    kind, number = ask.choose(("numpy", "torch")), ask.choose(("float64", "float32"))
    question = subject.as_kind(subject.question(ask), kind, number)
    answer = subject.raw(question)
    if type(answer) is not type(question["honest"]) or answer.dtype != question["honest"].dtype:
        found = f"{type(answer).__name__} of {getattr(answer, 'dtype', '?')}"
        raise Violation(f"the answer to {kind} of {number} is {found}", call=CALL, **question)


@_promise("it looks only at what it declares to know, and what it declares is enough")
def knowledge(subject: Attacked, ask: Questions) -> None:
    subject.ask(subject.question(ask))  # the view refuses everything else: the error names it


@_promise("what it is shown is never changed, and what it makes shares no memory with it or between rows")
def mutation(subject: Attacked, ask: Questions) -> None:
    question = subject.question(ask)
    before = {name: np.array(question[name]) for name in ("honest", "own", "relabelled")}
    answer = subject.raw(question)
    for name, kept in before.items():
        if not np.array_equal(kept, question[name], equal_nan=True):
            raise Violation(f"`{name}` was changed", call=CALL, **{**question, name: kept})
    first = np.array(answer[1:])
    answer[0] = 42.0
    apart = np.array_equal(first, answer[1:], equal_nan=True)
    if not apart or any(not np.array_equal(before[name], question[name]) for name in before):
        raise Violation("a row shares memory with another one, or with what was shown", call=CALL, **question)


@_promise("the same question with the same generator gives the same bits")
def deterministic(subject: Attacked, ask: Questions) -> None:
    question = subject.question(ask)
    first, again = subject.ask(question), subject.ask(question)
    if not np.array_equal(first, again, equal_nan=True):
        raise Violation("the same question gets two answers", call=CALL, expected=first, found=again, **question)


@_promise("the global random generators of Python, numpy and torch are neither moved nor read")
def generators(subject: Attacked, ask: Questions) -> None:
    question = subject.question(ask)
    answers = []
    for seed in (1, 2):
        with global_generators(seed) as moved:
            answers.append(subject.ask(question))
            names = moved()
        if names:
            raise Violation(
                f"it draws from the global random generator of {' and '.join(names)}", call=CALL, **question
            )
    if not np.array_equal(answers[0], answers[1], equal_nan=True):
        raise Violation("the answer depends on the seed of a global random generator", call=CALL, **question)


def _overflows(subject: Attacked) -> str | None:
    return "the attack is about numbers that are not finite" if subject.attack.overflows else None


@_promise("the answer is finite, also where an honest client sends something that is not", unless=_overflows)
def finite(subject: Attacked, ask: Questions) -> None:
    question = subject.question(ask)
    question["honest"][0, 0] = ask.choose((1.0, np.nan, np.inf, -np.inf))
    found = subject.ask(question)
    if not np.isfinite(found).all():
        raise Violation("the answer is not finite", call=CALL, found=found, **question)


@_promise("where everything is multiplied by a number, so is the answer")
def scaling(subject: Attacked, ask: Questions) -> None:
    question, factor = subject.question(ask), ask.choose((2.0, 0.5, 1024.0))
    scaled = {
        name: [factor * item for item in value] if isinstance(value, list) else factor * value if name != "f" else value
        for name, value in question.items()
    }
    expected, found = factor * subject.ask(question), subject.ask(scaled)
    size = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    if not np.allclose(found, expected, rtol=CLOSE, atol=CLOSE * size, equal_nan=True):
        raise Violation(
            f"everything times {factor:g} does not give the answer times {factor:g}",
            call=CALL,
            expected=expected,
            found=found,
            **scaled,
        )


@_promise("in rounds in which it is not active, malicious clients send what they would have sent honestly")
def window(subject: Attacked, ask: Questions) -> None:
    import torch

    attack = replace(subject.attack, start_round=2, stop_round=5, every=2)
    question = subject.question(ask)
    own = torch.as_tensor(question["own"])
    adversary = Adversary(attack)
    for number in (0, 1, 3, 5):
        facts = Facts(
            round=number,
            f=question["f"],
            declared_f=question["f"],
            honest=torch.as_tensor(question["honest"]),
            honest_ids=tuple(range(len(question["honest"]))),
            own=lambda: own,
            rng=np.random.default_rng(number),
        )
        found = adversary.craft(facts)
        if not torch.equal(found, own):
            raise Violation(
                f"round {number} is attacked with start_round=2, stop_round=5, every=2",
                call=CALL,
                found=found,
                **question,
            )


@_promise("honest updates that are none get an error of this library in place of an answer")
def refusal(subject: Attacked, ask: Questions) -> None:
    question = subject.question(ask)
    wrong = ask.choose(("whole numbers", "one row without an axis", "no honest client"))
    honest = question["honest"]
    given = {"whole numbers": honest.astype(np.int64), "one row without an axis": honest[0]}.get(wrong, honest[:0])
    if wrong == "no honest client":
        question["relabelled"] = question["relabelled"][:0]
    try:
        subject.attack(**{"aggregate": subject.aggregate, "rng": 0, **question, "honest": given})
    except RobustflError:
        return
    except Exception as error:  # what an attack of somebody else raises
        name = type(error).__name__
        raise Violation(f"{wrong} end in {name}: {error}", call=CALL, **{**question, "honest": given}) from error
    raise Violation(f"{wrong} get an answer", call=CALL, **{**question, "honest": given})


def check_attack(
    attack: Any,
    *,
    f: int = 2,
    skip: Iterable[str] = (),
    claims: Iterable[str] | None = None,
    max_examples: int = 20,
    seed: int = 0,
    raise_on_violation: bool = True,
) -> ConformanceReport:
    """Examine what an attack on updates promises, each with many small questions; see :func:`check_aggregator`.

    The properties: `shape`, `dtype`, `knowledge` (it looks at no more than it declares), `mutation`, `deterministic`,
    `generators`, `finite` (unless it is about numbers that are not), `scaling`, `window`, `refusal`. Attacks whose
    numbers have a length of their own, such as noise, do not promise `scaling`: skip it.

    Parameters
    ----------
    attack : an attack on updates, or a function as for :class:`robustfl.adapters.AttackFromFunction`
    f : the largest number of malicious clients in a question
    skip : names of properties that the attack does not promise
    claims : names of the only properties to examine
    max_examples : number of questions per property
    seed : seed of the questions; the same seed asks the same questions
    raise_on_violation : whether a violated property raises an error, or is only an entry of the report

    Raises
    ------
    ConformanceError : a promise is broken; the message has the smallest counter-example to each broken promise
    ParameterError : a property has an unknown name, or `attack` is none on updates
    RobustflError : hypothesis is not installed

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.testing import check_attack
    >>> def opposite(honest):
    ...     return -honest.mean(axis=0)
    >>> report = check_attack(opposite, claims=["shape", "finite"], raise_on_violation=False)
    >>> report.violated, report["finite"].reason
    (('finite',), 'the answer is not finite')
    """
    load_hypothesis()
    other = isinstance(attack, type | Component) or not callable(attack)
    if other and not isinstance(attack, UpdateAttack):
        raise ParameterError(f"`attack` should be an attack on updates, or a function that makes them: {attack!r}.")
    if isinstance(f, bool) or not isinstance(f, int) or f < 1:
        raise ParameterError(f"`f` should satisfy f >= 1. Found f={f!r}.")
    if max_examples < 1:
        raise ParameterError(f"`max_examples` should satisfy max_examples >= 1. Found max_examples={max_examples}.")
    left_out = known_names(skip, "skip", OF_ATTACKS)
    chosen = (frozenset(OF_ATTACKS) if claims is None else known_names(claims, "claims", OF_ATTACKS)) - left_out
    own = attack if isinstance(attack, UpdateAttack) else AttackFromFunction(attack)
    subject = Attacked(own, f)
    _answerable(subject)
    findings = tuple(examined(each, subject, chosen, max_examples, seed, "attack") for each in OF_ATTACKS.values())
    report = ConformanceReport(repr(own), f, subject.least, findings)
    if raise_on_violation and not report.conforms:
        raise ConformanceError(report)
    return report


def _answerable(subject: Attacked) -> None:
    """Refuse an attack that needs more than questions can hold, such as a federation that trains."""
    rows = np.arange(6.0).reshape(3, 2)
    question: dict[str, Any] = {"honest": rows, "own": rows[:1], "history": [rows[0], rows[1]], "relabelled": -rows}
    try:
        subject.attack(f=1, aggregate=subject.aggregate, rng=0, **question)
    except NotGivenError as error:
        raise ParameterError(f"This attack cannot be examined by questions: {error} Play it in a scenario.") from None
    except Exception:  # whatever else is wrong with it, the properties say
        return
