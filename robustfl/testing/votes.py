"""Checks of what only a rule for rankings promises, and how such a rule is asked.

A question consists of full rankings [n, e]: every client puts the edges 0 to e - 1 in order, with the most important
one last. A rule whose clients send only some of the edges gets the ends of these rankings, and is told e.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.votes.contract import RankAggregator
from robustfl.testing.catalogue import OF_VOTES, not_own, promise
from robustfl.testing.questions import Questions
from robustfl.testing.robustness import answer_or_refusal
from robustfl.testing.subject import Subject, numeric
from robustfl.testing.violation import Violation

Ranks = NDArray[np.int64]

MANY = (2, 3, 5, 10, 20, 100)
"""Numbers of edges in questions with ties: an unstable sort may be stable for few edges, but not for more than ten."""


@dataclass(frozen=True)
class Vote(Subject):
    """A rule from rankings to one ranking."""

    @property
    def numbers(self) -> tuple[str, ...]:
        return ("int64", "int32")

    def drawn(self, ask: Questions, n: int, columns: int) -> Ranks:
        """Rankings [n, e] of at most twice as many edges as `columns`."""
        edges = ask.integer(1, 2 * columns)
        return np.array([ask.order(edges) for _ in range(n)], dtype=np.int64)

    def another(self, x: Ranks) -> Ranks:
        return np.ascontiguousarray(x[:, ::-1])

    def sent(self, edges: int) -> int:
        """How many edges a client names."""
        return self.rule.sent(edges) if isinstance(self.rule, RankAggregator) else edges

    def parts(self, x: Ranks) -> dict[str, Any]:
        return {"edges": [x.shape[1]]} if self.own is not None else {}

    def put(self, x: Ranks, kind: str | None = None) -> Any:
        return super().put(self._cut(x), kind)

    def made(self, x: Ranks, kind: str, number: str, device: str = "cpu") -> Any:
        return super().made(self._cut(x), kind, number, device)

    def read(self, answer: Any, question: Any, **parts: Any) -> Ranks:
        """An answer as a ranking [e]; it is a violation if it is none."""
        edges = parts["edges"][0] if parts else question.shape[1]
        try:
            numbers = numeric(answer)
        except (TypeError, ValueError, RuntimeError) as error:
            raise Violation(f"the rule returned {type(answer).__name__}, not numbers", x=question) from error
        if numbers.shape != (edges,) or not np.array_equal(np.sort(numbers), np.arange(edges)):
            complaint = f"the answer is no ranking of the edges 0 to {edges - 1}"
            raise Violation(complaint, found=numbers, x=question)
        return numbers.astype(np.int64)

    def support(self, x: Ranks) -> Ranks:
        """The sums [e] of the positions of each edge; an edge that a client does not name has the position 0."""
        positions, edges = np.argsort(x, axis=1), x.shape[1]
        found: Ranks = np.where(positions >= edges - self.sent(edges), positions, 0).sum(axis=0)
        return found

    def _cut(self, x: Ranks) -> Ranks:
        edges = x.shape[1]
        return np.ascontiguousarray(x[:, edges - self.sent(edges) :])


def of_votes(
    statement: str, *, unless: Callable[[Vote], str | None] = lambda subject: None
) -> Callable[[Callable[[Vote, Questions], None]], Any]:
    """Register a check of rules for rankings."""
    return promise(statement, unless=unless, among=OF_VOTES)  # type: ignore[arg-type, return-value]  # asked votes only


@of_votes("the order of the clients does not matter")
def permutation(subject: Vote, ask: Questions) -> None:
    x = ask.rows(subject)
    order = ask.order(len(x))
    found, expected = subject.ask(x[order]), subject.ask(x)
    if not np.array_equal(found, expected):
        complaint = "the same rankings in another order give another answer than rule(x)"
        raise Violation(complaint, call="rule(x[order])", found=found, expected=expected, x=x, order=order)


@of_votes("other numbers for the edges give the same ranking with these numbers, up to edges with equal support")
def relabelling(subject: Vote, ask: Questions) -> None:
    x = ask.rows(subject)
    names = np.array(ask.order(x.shape[1]))
    found, expected = subject.ask(names[x]), names[subject.ask(x)]
    support = subject.support(names[x])
    if not np.array_equal(support[found], support[expected]):
        complaint = "renamed edges do not give names[rule(x)]"
        raise Violation(complaint, call="rule(names[x])", found=found, expected=expected, x=x, names=names)


@of_votes("a ranking that all clients send is the answer")
def unanimity(subject: Vote, ask: Questions) -> None:
    x = ask.rows(subject)
    x[1:] = x[0]
    named = subject.sent(x.shape[1])
    found = subject.ask(x)
    if not np.array_equal(found[-named:], x[0, -named:]):
        raise Violation("equal rankings do not come back", found=found, expected=x[0], x=x)


@of_votes("edges with equal support keep the order of their numbers")
def ties(subject: Vote, ask: Questions) -> None:
    edges = np.arange(ask.choose(MANY))
    # edges form groups; within a group, half of the clients have the reverse of the other half's order
    group = np.random.default_rng(ask.integer(0, 9)).integers(0, ask.integer(1, 3), len(edges))
    halves = [np.lexsort((edges, group)), np.lexsort((-edges, group))]
    x = np.tile(halves, ((subject.least + 1) // 2, 1))
    found, support = subject.ask(x), subject.support(x)
    if ((np.diff(found) < 0) & (support[found][1:] == support[found][:-1])).any():
        expected = np.lexsort((edges, support))
        raise Violation("edges with equal support change their places", found=found, expected=expected, x=x)


@of_votes(
    "f clients cannot turn two edges around that the others put more than f (e - 1) places apart",
    unless=lambda subject: None if subject.f else "there is no Byzantine client; pass f=1 or more",
)
def influence(subject: Vote, ask: Questions) -> None:
    f, n = subject.f, max(subject.least, 2 * subject.f + 1) + ask.integer(0, 2)
    x = subject.drawn(ask, n, 3)
    lead = ask.integer(1, n - f)
    x[f : f + lead] = x[f]  # some honest clients have to agree, else hardly any edges are far apart
    edges = x.shape[1]
    place, others = np.argsort(subject.ask(x)), subject.support(x[f:])
    gap, above = others[:, None] - others[None, :], place[:, None] > place[None, :]
    turned = np.argwhere((gap > f * (edges - 1)) & ~above)
    if len(turned):
        high, low = turned[0].tolist()
        complaint = (
            f"the first {f} of {n} clients put edge {high} below edge {low}, which the others put "
            f"{gap[high, low]} places apart the other way round; each has {edges - 1} places to give"
        )
        raise Violation(complaint, found=np.argsort(place), x=x)


BAD: dict[str, Callable[[Ranks, int], Any]] = {
    "an edge twice": lambda ranking, edges: np.concatenate([ranking[:-1], ranking[:1]]),
    "an edge that does not exist": lambda ranking, edges: np.concatenate([ranking[:-1], [edges]]),
    "a negative edge": lambda ranking, edges: np.concatenate([ranking[:-1], [-1]]),
    "an edge too few": lambda ranking, edges: ranking[1:],
    "an edge too many": lambda ranking, edges: np.concatenate([ranking, ranking[:1]]),
    "numbers that are not whole": lambda ranking, edges: ranking + 0.5,
    "nothing": lambda ranking, edges: None,
}
"""Messages that are no rankings; the first three fit into a matrix."""

IN_A_MATRIX = tuple(BAD)[:3]


@of_votes("whoever sends no ranking is refused and counted, and the answer is that to the others")
def hostile(subject: Vote, ask: Questions) -> None:
    clean = ask.rows(subject)
    edges = clean.shape[1]
    sent = subject.put(clean, "numpy")
    kinds = tuple(BAD) if subject.own is not None else IN_A_MATRIX
    kind = ask.choose(kinds if sent.shape[1] > 1 else kinds[1:])  # a single edge cannot occur twice
    bad, place = BAD[kind](np.array(ask.order(edges))[-sent.shape[1] :], edges), ask.integer(0, len(clean))
    expected = subject.ask(clean)
    rows = [*sent[:place], bad, *sent[place:]]
    if isinstance(subject.rule, RankAggregator):
        parts = subject.parts(clean)
        try:
            answer = subject.fresh().aggregate(rows, **parts)
        except Exception as error:
            raise Violation(f"a client that sends {kind} ends in {type(error).__name__}: {error}", x=rows) from error
        found = subject.read(answer.value, sent, **parts)
        if answer.rejected.tolist() != [row == place for row in range(len(rows))]:
            raise Violation(f"a client that sends {kind} is not the one that is refused", x=rows)
    else:
        matrix = subject.put(np.array(rows))
        refused = answer_or_refusal(subject, matrix)
        if refused is None:
            return
        found = np.asarray(refused, dtype=np.int64)
    if not np.array_equal(found, expected):
        complaint = f"a client that sends {kind} counts: the answer is not that to the others"
        raise Violation(complaint, found=found, expected=expected, x=rows)


@of_votes("the layers of a network are ranked one by one", unless=not_own)
def layers(subject: Vote, ask: Questions) -> None:
    first = ask.rows(subject)
    second = subject.drawn(ask, len(first), 2)
    edges = [first.shape[1], second.shape[1]]
    found = subject.call([subject.put(first), subject.put(second)], edges=edges)
    for number, (layer, answer) in enumerate(zip((first, second), found, strict=True)):
        expected = subject.ask(layer)
        if not np.array_equal(numeric(answer), expected):
            complaint = f"layer {number} is ranked in another way when it is not alone"
            raise Violation(complaint, call="rule([x, y])", found=answer, expected=expected, x=first, y=second)
