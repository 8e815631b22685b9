"""The training to come, as a function that can be differentiated in what an attacker adds to each round."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from robustfl.threats.updates.planning.aims import Aim, Named
from robustfl.threats.updates.planning.replay import ReplayedPrediction, ReplayedStep, ReplayedUpdate
from robustfl.threats.updates.planning.surrogates import Surrogate, WrittenSurrogate
from robustfl.threats.updates.planning.unrolled import Unrolled
from robustfl.threats.updates.view import Training

if TYPE_CHECKING:
    from torch import Tensor

KEPT_NUMBERS = 1 << 27
"""The number of values that a roll-out may keep for its gradient, about half a GiB; longer ones play rounds twice."""


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What the imagined clients learn from, and what the attacker judges models by.

    Attributes
    ----------
    features, labels : [clients, m, ...] and [clients, m], as many samples from each client, so that all weigh the same
    judged : [m', ...] the samples whose logits the aim looks at
    """

    features: Tensor
    labels: Tensor
    judged: Tensor


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The rest of a training in which a surrogate stands for the defense.

    Formula: with delta_j the attacker's direction in the j-th round from now, g(w) the clients' mean update at the
    model w, and A the surrogate: ``m <- beta m + (1 - beta) g(w)``, ``w <- step(w, A(m, delta_j))``. In the first of
    these rounds m is what clients have sent already. The value is the mean of the aim over the models that count.

    Shapes: k plans of H rounds are directions [k, H, d], with values [k].

    Cost: as much as H rounds of one client with as many samples, for each plan, and about as much again for the slope.
    Where the training offers its derivatives written out (:mod:`robustfl.threats.updates.planning.replay`) and the
    surrogate has them, too, nothing is left to autograd but the aim, and the bits are the same.
    When the rounds would keep more than :data:`KEPT_NUMBERS` values for the slope, those of a stretch of rounds are
    computed again when they are needed, and the memory is that of one stretch and of a model for each stretch.

    Attributes
    ----------
    training : how the federation learns
    model : [d] the global model now
    sent : [d] the mean of what the clients send in this round, without the attack
    lessons : what is learnt from
    aim : what the attacker wants
    defense : A
    rounds : H
    counted : the numbers of the rounds whose models count, from 0
    """

    training: Training
    model: Tensor
    sent: Tensor
    lessons: Lessons
    aim: Aim
    defense: Surrogate
    rounds: int
    counted: Collection[int]
    _made: dict[int, Unrolled | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def values(self, directions: Tensor) -> Tensor:
        """The values [k] of these plans."""
        import torch

        with torch.no_grad():
            unrolled = self._unrolled(len(directions))
            if unrolled is not None:
                return unrolled.values(directions)
            return self._play(self._start(len(directions)), directions, 0)[1]

    def slopes(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """The values [k] of these plans, and their gradients [k, H, d]."""
        import torch

        with torch.no_grad():
            unrolled = self._unrolled(len(directions))
            if unrolled is not None:
                return unrolled.slopes(directions)
        k, stretch = len(directions), self._stretch(len(directions))
        starts, state = [], self._start(k)
        for first in range(0, self.rounds, stretch):
            starts.append(state)
            if first + stretch < self.rounds:
                with torch.no_grad():
                    state = self._play(state, directions[:, first : first + stretch], first)[0]
        values, slopes = directions.new_zeros(k), torch.zeros_like(directions)
        later: list[Tensor] = []  # how the value depends on the state at the end of a stretch
        for number in reversed(range(len(starts))):
            places = slice(number * stretch, min((number + 1) * stretch, self.rounds))
            state = _State(starts[number].tree, [part.detach().requires_grad_() for part in starts[number].parts])
            pushed = directions[:, places].detach().requires_grad_()
            with torch.enable_grad():
                after, value = self._play(state, pushed, places.start)
                reached = [(part, by) for part, by in zip(after.parts, later, strict=False) if part.requires_grad]
                outputs = [value.sum(), *(part for part, _ in reached)] if value.requires_grad else []
                outputs = outputs or [part for part, _ in reached]
                seeds = [None] * (len(outputs) - len(reached)) + [by for _, by in reached]
                found = torch.autograd.grad(outputs, [*state.parts, pushed], seeds, materialize_grads=True)
            *later, slopes[:, places] = found
            values += value.detach()
        return values, slopes

    def _unrolled(self, plans: int) -> Unrolled | None:
        """The same roll-out without autograd, where all its parts have their derivatives written out; else None."""
        if plans not in self._made:
            self._made.clear()  # the room for another number of plans is not needed again
            self._made[plans] = self._unroll(plans)
        return self._made[plans]

    def _unroll(self, plans: int) -> Unrolled | None:
        training, defense, lessons = self.training, self.defense, self.lessons
        update, step = training.update, training.step
        if not (isinstance(update, ReplayedUpdate) and isinstance(step, ReplayedStep) and training.pooled):
            return None
        linear, stretch = step.linear(training.memory), self._stretch(plans)
        if linear is None or not isinstance(defense, WrittenSurrogate):
            return None
        replay = update.replay(lessons.features.flatten(0, 1), lessons.labels.flatten(), plans, stretch)
        if replay is None:
            return None
        return Unrolled(
            replay=replay,
            step=linear,
            defense=defense,
            beta=training.momentum,
            model=self.model,
            sent=self.sent,
            rounds=self.rounds,
            stretch=stretch,
            judge=self._judged,
        )

    def _judged(self, number: int, models: Tensor, sloped: bool) -> tuple[Tensor, Tensor | None] | None:
        """The part of the values [k] that models [k, d] have after a round, and its gradients; see :data:`Judge`."""
        import torch

        predict = self.training.predict
        if number not in self.counted:
            return None
        models = models.clone()  # whoever looks on may keep it
        if sloped and len(models) == 1 and isinstance(self.aim, Named) and isinstance(predict, ReplayedPrediction):
            written = predict.sloped(models[0], self.lessons.judged)
            if written is not None:
                logits, pulled = written
                values, by_logits = self.aim.sloped(logits[None], 1 / len(self.counted))
                return values / len(self.counted), pulled(by_logits[0])[None]
        with torch.set_grad_enabled(sloped):
            values = self._part(models.requires_grad_(sloped))
            if not values.requires_grad:
                return values, None
            (slopes,) = torch.autograd.grad(values.sum(), models, materialize_grads=True)
        return values.detach(), slopes

    def _part(self, models: Tensor) -> Tensor:
        """The part of the values [k] that models [k, d] have that count."""
        return self.aim(self.training.predict(models, self.lessons.judged)) / len(self.counted)

    def _stretch(self, plans: int) -> int:
        """The number of rounds whose values are kept at a time."""
        fitting = KEPT_NUMBERS // (plans * self._kept_by_a_round)
        return min(self.rounds, max(fitting, math.isqrt(self.rounds), 1))

    @cached_property
    def _kept_by_a_round(self) -> int:
        """The number of values that one round of one plan keeps for the slope, found by playing one."""
        import torch

        kept = [self.model.numel()]

        def keep(values: Tensor) -> Tensor:
            kept.append(values.numel())
            return values

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda values: values):
            self._learnt(self.model[None].detach().requires_grad_())
        return sum(kept)

    def _start(self, plans: int) -> _State:
        def many(vector: Tensor) -> Tensor:
            return vector.expand(plans, -1)

        return _State.of((many(self.model), many(self.sent), _each(self.training.memory, many)))

    def _play(self, state: _State, directions: Tensor, first: int) -> tuple[_State, Tensor]:
        """Play rounds from the one with the number `first`; the state after them, and their part of the values [k]."""
        training = self.training
        models, sent, memory = state.value
        total = directions.new_zeros(len(directions))
        for number, direction in enumerate(directions.unbind(1), first):
            if number:
                learnt = self._learnt(models)
                sent = sent.lerp(learnt, 1 - training.momentum) if training.momentum else learnt
            models, memory = training.step(models, self.defense(sent, direction), memory)
            if number in self.counted:
                total = total + self._part(models)
        return _State.of((models, sent, memory)), total

    def _learnt(self, models: Tensor) -> Tensor:
        """The mean updates [k, d] of the clients at these models [k, d]."""
        features, labels, k = self.lessons.features, self.lessons.labels, len(models)
        if self.training.pooled:
            features, labels = features.flatten(0, 1), labels.flatten()
            return self.training.update(models, features.expand(k, *features.shape), labels.expand(k, -1))
        clients = len(labels)
        each = models.repeat_interleave(clients, dim=0)
        features = features.repeat(k, *[1] * (features.ndim - 1))
        return self.training.update(each, features, labels.repeat(k, 1)).reshape(k, clients, -1).mean(dim=1)


class _State:
    """Models, momentum and the memory of the server's optimiser, of any form, as a list of tensors and a rest."""

    def __init__(self, tree: Any, parts: list[Tensor]) -> None:
        self.tree, self.parts = tree, parts

    @classmethod
    def of(cls, value: Any) -> _State:
        """The state that holds these values."""
        parts: list[Tensor] = []

        def put(tensor: Tensor) -> int:
            parts.append(tensor)
            return len(parts) - 1

        return cls(_each(value, lambda tensor: _Place(put(tensor))), parts)

    @property
    def value(self) -> Any:
        """The values, with the tensors as they are in `parts` now."""
        return _each(self.tree, lambda place: self.parts[place.number], _Place)


@dataclass(frozen=True)
class _Place:
    """The place of a tensor in a list."""

    number: int


def _each(value: Any, change: Callable[[Any], Any], kind: type | None = None) -> Any:
    """The same nested tuples, lists and dictionaries with every tensor (or every value of another `kind`) changed."""
    import torch

    wanted = torch.Tensor if kind is None else kind
    if isinstance(value, wanted):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_each(part, change, kind) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(_each(part, change, kind) for part in value)
    if isinstance(value, dict):
        return {name: _each(part, change, kind) for name, part in value.items()}
    return value
