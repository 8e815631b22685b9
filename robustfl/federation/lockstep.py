"""Plays several simulations at once, so that the clients of all of them train in one batched computation.

Small models spend their time between the operations and not in them, so one computation for 170 clients takes little
longer than one for 10. The simulations need not know: each is played as always, with a trainer that waits until all
others have asked it as well.

Only one simulation runs at any time, in the order in which they are given, until it asks its trainer or ends. Threads
only keep their places. So nothing depends on timing, and whatever watches global state sees one simulation alone.

>>> import torch
>>> def doubled(weights, features, labels, starts=None, draws=None):
...     print("computes", len(features))
...     return 2 * weights
>>> def play(number):
...     batch = torch.zeros(1, 1, 1), torch.zeros(1, 1)
...     return lambda train: train(torch.full((1, 1), float(number)), *batch).item()
>>> together([play(1), play(2), play(3)], doubled)
computes 3
[2.0, 4.0, 6.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch

from robustfl.federation.clients.local_steps import Trainer

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

MOST_VALUES = 2**24
"""The number of values in the batches of one computation, at most: 64 MiB; a single question may have more."""


def together(plays: Sequence[Callable[[Trainer], T]], train: Trainer) -> list[T]:
    """What each of `plays` returns; each is handed a trainer that answers as `train` does, for all of them at once.

    Raises the first error that a play or the training raises; all others then end where they are.
    """
    strands = [_Strand(play) for play in plays]
    try:
        running = strands
        while running:
            running = [strand for strand in running if strand.resume()]
            for strand, answer in zip(running, _answers([strand.question for strand in running], train), strict=True):
                strand.answer = answer
        return [strand.result() for strand in strands]
    finally:
        for strand in strands:
            strand.end()


class _Question(NamedTuple):
    """What a trainer is asked; see :class:`robustfl.federation.clients.local_steps.Trainer`."""

    weights: Tensor
    features: Tensor
    labels: Tensor
    starts: Tensor | None
    draws: Tensor | None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What two questions have in common that one computation can answer."""
        return tuple(self.features.shape[1:]), self.starts is None, self.draws is None


class _Ended(BaseException):
    """Ends a play whose answer will not come."""


class _Strand(Generic[T]):
    """One play, which stands still whenever it waits for an answer."""

    question: _Question
    answer: Tensor

    def __init__(self, play: Callable[[Trainer], T]) -> None:
        self._play = play
        self._told: SimpleQueue[bool] = SimpleQueue()  # whether to go on
        self._waits: SimpleQueue[bool] = SimpleQueue()  # whether there is a question
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread: Thread | None = None

    def resume(self) -> bool:
        """Play on until there is a question or the end; returns whether there is a question."""
        if self._thread is None:
            self._thread = Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._told.put(True)
        asks = self._waits.get()
        if self._error is not None:
            raise self._error
        return asks

    def result(self) -> T:
        return self._results[0]

    def end(self) -> None:
        """Let the thread end, wherever the play stands."""
        if self._thread is not None:
            self._told.put(False)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._results.append(self._play(self._ask))
        except _Ended:
            pass
        except BaseException as error:
            self._error = error
        self._waits.put(False)

    def _ask(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        self.question = _Question(weights, features, labels, starts, draws)
        self._waits.put(True)
        if not self._told.get():
            raise _Ended
        return self.answer


def _answers(questions: Sequence[_Question], train: Trainer) -> list[Tensor]:
    """The answer to each question, from as few computations as their shapes and the memory allow."""
    found: list[Tensor | None] = [None] * len(questions)
    for places in _groups(questions):
        asked = [questions[place] for place in places]
        sizes = [len(one.features) for one in asked]
        weights = torch.cat([one.weights.expand(size, -1) for one, size in zip(asked, sizes, strict=True)])
        starts = [one.starts for one in asked if one.starts is not None]
        draws = [one.draws for one in asked if one.draws is not None]
        answer = train(
            weights,
            torch.cat([one.features for one in asked]),
            torch.cat([one.labels for one in asked]),
            torch.cat(starts) if starts else None,
            torch.cat(draws) if draws else None,
        )
        for place, part in zip(places, torch.split(answer, sizes), strict=True):
            found[place] = part.clone()  # whoever asks may change what is answered
    return [answer for answer in found if answer is not None]


def _groups(questions: Sequence[_Question]) -> Iterator[list[int]]:
    """The places of questions that are answered together."""
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for place, question in enumerate(questions):
        kinds.setdefault(question.kind, []).append(place)
    for places in kinds.values():
        group, values = [places[0]], questions[places[0]].features.numel()
        for place in places[1:]:
            if values + questions[place].features.numel() > MOST_VALUES:
                yield group
                group, values = [], 0
            group.append(place)
            values += questions[place].features.numel()
        yield group
