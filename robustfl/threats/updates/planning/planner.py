"""The search for a plan: one direction for each round to come, so that the models that count become bad."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from robustfl.threats.updates.constant_directions import steady_direction
from robustfl.threats.updates.planning.aims import Aim, Named, balanced, wrong
from robustfl.threats.updates.planning.imagined import drawn
from robustfl.threats.updates.planning.rollout import Lessons, Rollout
from robustfl.threats.updates.planning.surrogates import LARGEST, surrogate
from robustfl.threats.updates.view import View, Whose, finite_rows

if TYPE_CHECKING:
    from torch import Tensor

FIRST_STEP, LATER_STEP = 0.6, 0.3
"""How far a plan moves towards its gradient: in the first half of the steps, and in the second half."""

PAUSE = 0.2
"""Share of the rounds that are left after which a plan is made again: near the end it is new in every round."""

LONGEST = 1 / 12
"""The longest pause between two plans, as a share of all rounds."""

SINGULAR = 1e-6
"""The plan and the honest mean are parallel when the share of their squared lengths that is not common is smaller."""

INERTIA = 0.7
"""Weight of the past in the running mean of how far answers moved."""

Aims = Literal["accuracy", "target", "victim", "backdoor"]

JUDGED = 5
"""The largest number of models in the tail of a run by which a plan is judged, spread evenly over the tail."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What the models that count should be, and on whose data the planner learns and judges.

    Attributes
    ----------
    learns, judges : whose data the imagined clients learn from, and by whose data models are judged
    aim : mistakes ("accuracy"), the class `target`, mistakes on the data of one honest client ("victim"), or what the
        backdoor before this attack wants of marked samples, beside right answers for the others ("backdoor")
    target, victim : the class, and the place of the client among the honest clients
    tail : share of all rounds whose models count, from the end; the last model alone for 0, and those that the score
        counts for None
    """

    learns: Whose
    judges: Whose
    aim: Aims = "accuracy"
    target: int = 0
    victim: int = 0
    tail: float | None = None

    def counted(self, number: int, rounds: int, scored: int) -> list[int]:
        """The rounds whose models the planner judges, counted from the round `number`; at least the last one.

        `scored` is the number of rounds at the end that the score counts.
        """
        tail = scored if self.tail is None else math.ceil(self.tail * rounds)
        first = max(number, rounds - max(1, tail))
        found = rounds - first
        places = np.linspace(first, rounds - 1, min(JUDGED, found)) if found > 1 else [rounds - 1]
        return [round(place) - number for place in places]

    def samples(self, view: View, most: int) -> tuple[Lessons, Aim] | None:
        """What is learnt from, about `most` samples, and what the attacker wants; None when it holds no samples."""
        import torch

        found = drawn(view, self.learns, most)
        if found is None:
            return None
        features, labels = found
        judged, right = features.flatten(0, 1), labels.flatten()
        aim = wrong(right)
        if self.aim == "victim":
            held = view.holdings(self.judges)
            judged, right = held[self.victim % len(held)]
            aim = wrong(right)
        elif self.aim == "target":
            others = right != self.target
            judged = judged[others] if bool(others.any()) else judged
            wanted = torch.full((len(judged),), self.target, device=right.device)
            aim = Named(wanted, balanced(wanted))
        elif self.aim == "backdoor":
            marked, wanted = view.marked(judged, right)
            weights = torch.cat([balanced(torch.zeros_like(wanted)), balanced(right)]) / 2
            judged, aim = torch.cat([marked, judged]), Named(torch.cat([wanted, right]), weights)
        return Lessons(features=features, labels=labels, judged=judged), aim


class Planner:
    """Plans, remembers its plan, and learns how far the defense lets answers move.

    Parameters
    ----------
    objective : what is wanted
    every : the number of rounds from one plan to the next; :data:`PAUSE` of the rounds that are left, and
        at most :data:`LONGEST` of all rounds, when not given
    open_loop : whether the first plan is kept
    steps : the number of steps that improve the first plan; later ones begin with the last one and need half as many
    samples : about the number of samples from which the imagined clients learn

    Attributes
    ----------
    reach : how far the defense recently let the answer move along the plan, in the units of updates
    value : what the planner expects of its last plan
    """

    def __init__(
        self, *, objective: Objective, every: int | None, steps: int, samples: int, open_loop: bool = False
    ) -> None:
        self._objective, self._every, self._steps, self._samples = objective, every, steps, samples
        self._open_loop = open_loop
        self._first = 0
        self._directions: Tensor | None = None
        self.reach: float | None = None
        self.share: float | None = None
        self.value = -math.inf

    def direction(self, view: View, rows: Tensor) -> Tensor:
        """The unit direction [d] of this round, after a new plan when one is due.

        `rows` [h, d] are the honest updates of the round, or what stands for them; some of them are finite.
        """
        if self.reach is None:
            usable = rows[finite_rows(rows).tolist()]
            self.reach = float((usable - usable.mean(dim=0)).norm(dim=1).mean()) / 4
        if self._directions is None or self._due(view.round, view.training.rounds):
            self._replan(view, rows)
        directions = self._directions
        return steady_direction(view, "ones") if directions is None else directions[view.round - self._first]

    def _due(self, number: int, rounds: int) -> bool:
        """Whether the plan is to be made again in this round."""
        if self._open_loop:
            return False
        longest = min(PAUSE * (rounds - self._first), LONGEST * rounds)
        pause = round(longest) if self._every is None else self._every
        return number - self._first >= max(1, pause)

    def answered(self, answer: Tensor, mean: Tensor, unit: Tensor) -> None:
        """Learn from an answer [k] which share of the honest mean [k] it keeps, and how far it moves along the plan.

        Both are found by least squares, as the factors in ``answer = share mean + reach unit``, in any space in which
        the products of these vectors are the true ones.
        """
        length, across, squared = float(mean @ mean), float(mean @ unit), float(unit @ unit)
        along, moved = float(answer @ mean), float(answer @ unit)
        determinant = length * squared - across * across
        if not determinant > SINGULAR * length * squared or not math.isfinite(along + moved):
            return
        share = min(max((along * squared - moved * across) / determinant, 0.0), LARGEST)
        moved = max((moved - share * across) / squared, 0.0)
        self.share = INERTIA * (share if self.share is None else self.share) + (1 - INERTIA) * share
        if self.reach is not None:
            self.reach = INERTIA * self.reach + (1 - INERTIA) * moved

    def _replan(self, view: View, rows: Tensor) -> None:
        objective, training = self._objective, view.training
        found = objective.samples(view, self._samples)
        if found is None:
            return
        lessons, aim = found
        rollout = Rollout(
            training=training,
            model=view.weights,
            sent=rows[finite_rows(rows).tolist()].mean(dim=0),
            lessons=lessons,
            aim=aim,
            defense=surrogate(view, rows, self.reach or 0.0, self.share),
            rounds=training.rounds - view.round,
            counted=objective.counted(view.round, training.rounds, training.tail),
        )
        known = None if self._directions is None else self._directions[view.round - self._first :][None]
        starts = first_plans(view, rollout.rounds) if known is None else known
        steps = self._steps if known is None else -(-self._steps // 2)
        self._directions, self.value = improved(rollout, starts, steps)
        self._first = view.round


def first_plans(view: View, rounds: int) -> Tensor:
    """Plans [3, H, d] to begin with: all weights grow, all shrink, and all but those of the last layer shrink.

    The third stops units with a ReLU, whose inputs are mostly not negative, and with it everything that a model can
    tell apart. The last layer are the last two tensors of a model, its weights and its biases.
    """
    import torch

    growing = steady_direction(view, "ones")
    inner = view.layers[:-2] or view.layers[:1]
    stopping = torch.zeros_like(growing)
    for place in inner:
        stopping[place] = -growing[place]
    starts = torch.stack([growing, -growing, stopping / stopping.norm()])
    return starts[:, None].expand(-1, rounds, -1)


def improved(rollout: Rollout, starts: Tensor, steps: int) -> tuple[Tensor, float]:
    """The best of the plans [H, d] that are met on the way from several starts [k, H, d], and its value.

    Formula: with g the gradient of the value, each direction moves by ``delta <- unit((1 - s) delta + s unit(g))``,
    s = 0.6 in the first half of the steps and 0.3 after that. Directions without a gradient stay. After a quarter of
    the steps only the plan that is best by then goes on. A plan whose value is not finite, because the imagined
    training diverges, counts as 0.
    """
    directions = starts
    best, highest = starts[0], -math.inf
    for step in range(steps + 1):
        last = step == steps
        values, slopes = (rollout.values(directions), None) if last else rollout.slopes(directions)
        values = values.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        place = int(values.argmax())
        if float(values[place]) > highest:
            best, highest = directions[place], float(values[place])
        if 4 * step >= steps and len(directions) > 1 and slopes is not None:
            directions, slopes = directions[place : place + 1], slopes[place : place + 1]
        if slopes is not None:
            share = FIRST_STEP if 2 * step < steps else LATER_STEP
            directions = _moved(directions, slopes.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), share)
    return best.clone(), highest


def _moved(directions: Tensor, slopes: Tensor, share: float) -> Tensor:
    lengths = slopes.norm(dim=-1, keepdim=True)
    moved = (1 - share) * directions + share * slopes / lengths
    units: Tensor = moved / moved.norm(dim=-1, keepdim=True)
    return units.where(lengths > 0, directions)
