"""A roll-out without autograd, for trainings that can be replayed: all rounds forward, and then their derivatives back.

For small networks autograd spends several times as long on finding out what to compute as the arithmetic takes. Here
the room for all rounds is made once for a plan, and filled again by each of the steps that improve it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from robustfl.threats.updates.planning.replay import LinearStep, Replay
from robustfl.threats.updates.planning.surrogates import Kept, WrittenSurrogate

if TYPE_CHECKING:
    from torch import Tensor

Judge = Callable[[int, "Tensor", bool], "tuple[Tensor, Tensor | None] | None"]
"""The number of a round, the models [k, d] after it, and whether their slopes are wanted -> their part of the values
[k] and its gradients [k, d], which are None if they are not wanted or do not exist; None if the models do not count."""


@dataclass(frozen=True, kw_only=True)
class Unrolled:
    """The values of plans and their slopes, as :class:`~robustfl.threats.updates.planning.rollout.Rollout` has them.

    Formula: with G_j the derivative of the value by the model after round j, the j-th direction has the slope that the
    surrogate gives to ``U_j = momentum U_{j+1} - rate G_j``, and so has what clients sent, S_j. This is
    ``beta S_{j+1}`` more with client momentum. With H_j the second derivative of the clients' loss,
    ``G_{j-1} = G_j + (1 - beta) H_j S_j``, and the derivative of the aim where that model counts.

    Guarantee: these are the operations of autograd in their order, so the bits are the same.

    Attributes
    ----------
    replay : the clients' updates, with a place for each round of a stretch
    step, defense, beta : the server's step, what stands for the defense, and the clients' momentum
    model, sent : [d] the global model now, and the mean of what clients send in this round
    rounds, stretch : the number of rounds, and of those that are kept at a time
    judge : what models are worth
    """

    replay: Replay
    step: LinearStep
    defense: WrittenSurrogate
    beta: float
    model: Tensor
    sent: Tensor
    rounds: int
    stretch: int
    judge: Judge

    def values(self, directions: Tensor) -> Tensor:
        """The values [k] of plans [k, H, d]."""
        state, values = self._start(len(directions)), directions.new_zeros(len(directions))
        for first in range(0, self.rounds, self.stretch):
            state, values = self._play(state, directions, first, values)
        return values

    def slopes(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """The values [k] of plans [k, H, d], and their gradients [k, H, d]."""
        import torch

        nothing, slopes, later = directions.new_zeros(len(directions)), torch.zeros_like(directions), _Later()
        starts, values = [self._start(len(directions))], nothing
        for first in range(0, self.rounds - self.stretch, self.stretch):
            starts.append(self._play(starts[-1], directions, first, nothing)[0])
        for place, start in reversed(list(enumerate(starts))):
            rounds: list[_Round] = []
            _, value = self._play(start, directions, place * self.stretch, nothing, rounds)
            later = self._pulled(later, rounds, place * self.stretch, slopes)
            values = values + value
        return values, slopes

    def _start(self, plans: int) -> _State:
        return _State(self.model, self.sent.expand(plans, -1), self.step.velocity)

    def _play(
        self, state: _State, directions: Tensor, first: int, values: Tensor, kept: list[_Round] | None = None
    ) -> tuple[_State, Tensor]:
        """Play a stretch from the round `first`: the state after it, and the values with its part; rounds are kept."""
        import torch

        rate, momentum, models = self.step.rate, self.step.momentum, self.replay.models
        models[0].copy_(state.models)
        _, sent, velocity = state
        places = directions.unbind(1)[first : first + self.stretch]
        for place, direction in enumerate(places):
            if first + place:
                learnt = self.replay.learn(place)
                sent = sent.lerp(learnt, 1 - self.beta) if self.beta else learnt
            answer, of_answer = self.defense.answer(sent, direction)
            if momentum:
                velocity = answer = answer if velocity is None else velocity * momentum + answer
            after = torch.add(models[place], answer, alpha=-rate, out=models[place + 1])
            judged = self.judge(first + place, after, kept is not None)
            if judged is not None:
                values = values + judged[0]
            if kept is not None:
                kept.append(_Round(of_answer, None if judged is None else judged[1]))
        return _State(models[len(places)].clone(), sent, velocity), values

    def _pulled(self, later: _Later, rounds: list[_Round], first: int, slopes: Tensor) -> _Later:
        """Write the slopes of a stretch, and find the derivatives by the state before it from those by that behind."""
        import torch

        by_models, by_sent, by_velocity = later
        along, parts = self.replay.along, slopes.unbind(1)
        beta, (rate, momentum, _) = self.beta, self.step
        for place, (of_answer, judged) in reversed(list(enumerate(rounds))):
            if judged is not None:
                by_models = judged if by_models is None else by_models + judged
            if by_models is None:
                continue  # no model from here on counts
            by_answer = by_models * -rate
            if by_velocity is not None:
                by_answer = by_velocity + by_answer
            by_velocity = by_answer * momentum if momentum else None
            of_sent, of_direction = self.defense.pulled(by_answer, of_answer)
            parts[first + place].copy_(of_direction)
            if first + place:
                by_sent = of_sent if by_sent is None else by_sent + of_sent
                torch.mul(by_sent, 1 - beta, out=along)
                by_sent = by_sent * (1 - (1 - beta)) if beta else None
                by_models = by_models + self.replay.pull(place)
        return _Later(by_models, by_sent, by_velocity)


class _State(NamedTuple):
    """Models [k, d] or one for all plans [d], what clients have sent [k, d], and the velocity of the server's step."""

    models: Tensor
    sent: Tensor
    velocity: Tensor | None


class _Round(NamedTuple):
    """What a round keeps: what the surrogate does, and the derivative [k, d] of the aim by the models after it."""

    of_answer: Kept
    judged: Tensor | None


class _Later(NamedTuple):
    """The derivatives [k, d] of the value by a state, None where it does not depend on it."""

    models: Tensor | None = None
    sent: Tensor | None = None
    velocity: Tensor | None = None
