"""Searches for samples whose gradient is the one that was seen: all restarts of all sightings in one computation.

A :class:`Target` holds what k sightings give. :func:`inverted` follows the sign of the slope with Adam, and answers for
each sighting the restart that explains its message best; :func:`inverted_along` also searches for the model at which a
message of several local steps looks most like one gradient. :func:`lbfgs` minimises any smooth function of many rows,
each with a history of its own. Rows never influence each other, so a sighting has the same answer whoever else is
searched with it, up to rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.privacy.network import Network

Distance = Callable[["Tensor", "Tensor"], "Tensor"]
"""How far gradients [r, d] are from those that were seen [r, d], as numbers [r]."""

Adapted = Literal["nothing", "pruning", "quantisation"]

ROWS_TIMES_PARAMETERS = 8_000_000
"""The largest number of rows times parameters that is computed at once, which bounds the memory."""

_SMALL = 1e-30


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What k sightings give to a search.

    Attributes
    ----------
    network, models, gradients : the network, the models [k, d], and the mean gradients [k, d] that were seen
    labels : [k, T, b] the labels of the samples of every local step, or probabilities [k, T, b, C]
    rate : the local learning rate, with which the T steps are unrolled
    low, high : the range of the data
    images : whether samples are images, so that neighbouring pixels are alike
    received : [k, d] the models at which clients arrived, if all of their samples are explained at a model between
        these and `models`
    """

    network: Network
    models: Tensor
    gradients: Tensor
    labels: Tensor
    rate: float
    low: Tensor | float
    high: Tensor | float
    images: bool = True
    received: Tensor | None = None

    def rows(self, places: Tensor) -> Target:
        """The target of some sightings, which may be repeated."""
        return dataclasses.replace(
            self,
            models=self.models[places],
            gradients=self.gradients[places],
            labels=self.labels[places],
            received=None if self.received is None else self.received[places],
        )

    def ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The ends of the range of the data, in the type and on the device of a tensor."""
        low, high = (torch.as_tensor(end, device=like.device).to(like) for end in (self.low, self.high))
        return low, high

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is searched for, without the rows: [T, b, *shape]."""
        return (*self.labels.shape[1:3], *self.network.shape)

    def between(self, shares: Tensor) -> Target:
        """The target at the models ``shares models + (1 - shares) received``, differentiable in the shares [r]."""
        assert self.received is not None, "there is no other end"
        return dataclasses.replace(self, models=self.received.lerp(self.models, shares[:, None]))

    def explained(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """The gradients [r, d] that samples [r, T, b, *shape] would give; differentiable in them."""
        given = self.labels if labels is None else labels
        found: Tensor = self.network.update(self.models, features, given, self.rate, traced=True)
        return found


def cosine_distance(found: Tensor, seen: Tensor) -> Tensor:
    """``1 - cos`` of rows [r, d], [r]."""
    lengths: Tensor = found.norm(dim=1) * seen.norm(dim=1)
    return 1.0 - (found * seen).sum(dim=1) / lengths.clamp(min=_SMALL)


def relative_distance(found: Tensor, seen: Tensor) -> Tensor:
    """The squared Euclidean distances of rows [r, d] as shares of the squared norms of what was seen, [r]."""
    return (found - seen).square().sum(dim=1) / seen.square().sum(dim=1).clamp(min=_SMALL)


def pruned_distance(found: Tensor, seen: Tensor) -> Tensor:
    """For messages whose small entries were set to zero: a zero says that the entry was no larger than what was kept.

    Formula: ``1 - cos`` over the entries that were kept, plus ``sum max(0, |g_j| - t)^2 / |g|^2`` over the others,
    where t is the smallest magnitude that was kept. To leave the zeros out altogether would be weaker than to take them
    for zeros: they do say that an entry is small.
    """
    kept = seen != 0
    smallest = torch.where(kept, seen.abs(), torch.inf).amin(dim=1, keepdim=True)
    beyond = torch.where(kept, 0.0, (found.abs() - smallest).clamp(min=0.0))
    return cosine_distance(torch.where(kept, found, 0.0), seen) + beyond.square().sum(dim=1) / seen.square().sum(
        dim=1
    ).clamp(min=_SMALL)


def quantised_distance(found: Tensor, seen: Tensor) -> Tensor:
    """For messages with few distinct values: what is compared is the gradient after the same rounding.

    Every entry goes to the nearest of the values that occur in its message, and the slope passes as if it had not been
    rounded (straight through).
    """
    rounded = torch.stack([_nearest(row.detach(), one.unique()) for row, one in zip(found, seen, strict=True)])
    return cosine_distance(found + (rounded - found).detach(), seen)


def _nearest(values: Tensor, levels: Tensor) -> Tensor:
    if len(levels) < 2:
        return levels.expand(len(values))
    edges = (levels[1:] + levels[:-1]) / 2
    return levels[torch.bucketize(values, edges)]


DISTANCES: dict[Adapted, Distance] = {
    "nothing": cosine_distance,
    "pruning": pruned_distance,
    "quantisation": quantised_distance,
}


def total_variation(images: Tensor) -> Tensor:
    """The mean difference of neighbouring pixels, across plus down: [r, ..., height, width] -> [r]."""
    across = (images[..., 1:] - images[..., :-1]).abs().flatten(1).mean(dim=1)
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().flatten(1).mean(dim=1)
    return across + down


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """How :func:`inverted` searches.

    Attributes
    ----------
    iterations, restarts : the steps of each search, and the searches for each sighting
    step_size : the step size of Adam, in the range of the data; it falls to a tenth after 3/8, 5/8 and 7/8 of the steps
    smoothness : the weight of the total variation, for images
    agreement : the weight of the squared distance from the mean of the restarts of a sighting
    distance : how far a gradient is from what was seen
    share_step : the step size of Adam for the share of the model that was sent, where that is searched for
    """

    iterations: int
    restarts: int
    step_size: float = 0.1
    smoothness: float = 1e-3
    agreement: float = 0.0
    distance: Distance = cosine_distance
    share_step: float = 1e-3


def inverted(target: Target, search: Search, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Samples [k, T, b, *shape] whose gradient is nearest to what was seen, and their distance [k].

    Each restart begins at ``1/2 + N(0, 1)/2`` of the range of the data and follows the sign of the slope. The restart
    of the smallest distance, without the weights for smoothness and agreement, is the answer.

    Cost: `iterations` forward passes and two backward passes for k times `restarts` batches.
    """
    return inverted_from(target, search, _drawn(target, search, rng))


def inverted_from(target: Target, search: Search, start: Tensor) -> tuple[Tensor, Tensor]:
    """The same as :func:`inverted`, with restarts that begin at ``1/2 + start/2``: [k, restarts, T, b, *shape]."""
    return _best(target, search, start)[:2]


def inverted_along(target: Target, search: Search, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The same as :func:`inverted`, at the model on the line to `received` that explains what was seen best.

    The third part of the answer are the shares [k] of the model that was sent in that model. Each restart begins at one
    half and follows the slope of its own share, within [0, 1].

    Cost: as for :func:`inverted`.
    """
    assert target.received is not None, "the line ends at the models at which clients arrived"
    return _best(target, search, _drawn(target, search, rng))


def _drawn(target: Target, search: Search, rng: np.random.Generator) -> Tensor:
    drawn = rng.standard_normal((len(target.models), search.restarts, *target.shape), dtype=np.float32)
    return torch.as_tensor(drawn, device=target.models.device)


def _best(target: Target, search: Search, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The samples, distances and shares of the best restart of each sighting."""
    k, rows = len(target.models), search.restarts
    at_once = max(1, ROWS_TIMES_PARAMETERS // (rows * target.network.d))
    found = []
    for first in range(0, k, at_once):
        group = torch.arange(first, min(k, first + at_once), device=start.device)
        parts = _searched(target.rows(group.repeat_interleave(rows)), search, start[group].flatten(0, 1))
        samples, loss, shares = (part.reshape(len(group), rows, *part.shape[1:]) for part in parts)
        place = torch.where(loss.isfinite(), loss, torch.inf).argmin(dim=1)
        within = torch.arange(len(group), device=start.device)
        found.append([part[within, place] for part in (samples, loss, shares)])
    samples, losses, shares = (torch.cat(parts) for parts in zip(*found, strict=True))
    return samples, losses, shares


def _searched(target: Target, search: Search, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The samples [r, T, b, *shape] at the end of each search, their distances [r], and the shares [r] of `models`."""
    low, high = target.ends(start)
    span, line = high - low, target.received is not None
    x = (low + span * (0.5 + 0.5 * start)).clamp(low, high)
    shares = x.new_full((len(x),), 0.5 if line else 1.0)
    adams = [_Adam(x), _Adam(shares)]
    drops = {search.iterations * share // 8 for share in (3, 5, 7)}
    rate = search.step_size
    for step in range(search.iterations):
        leaf = x.detach().requires_grad_()
        along = shares.detach().requires_grad_(line)
        with torch.enable_grad():
            here = target.between(along) if line else target
            loss = search.distance(here.explained(leaf), target.gradients)
            if search.smoothness and target.images:
                loss = loss + search.smoothness * total_variation(leaf)
            if search.agreement:
                groups = leaf.reshape(-1, search.restarts, *leaf.shape[1:])
                apart = (groups - groups.mean(dim=1, keepdim=True).detach()).square()
                loss = loss + search.agreement * apart.flatten(2).mean(dim=2).flatten()
            slope, *slopes = torch.autograd.grad(loss.sum(), [leaf, along] if line else [leaf])
        if step in drops:
            rate /= 10
        x = (x - adams[0].step(slope.sign().nan_to_num(0.0), span * rate)).clamp(low, high)
        for own in slopes:
            shares = (shares - adams[1].step(own.nan_to_num(0.0, 0.0, 0.0), search.share_step)).clamp(0.0, 1.0)
    with torch.no_grad():
        here = target.between(shares) if line else target
        return x, search.distance(here.explained(x).detach(), target.gradients), shares


class _Adam:
    """The steps of Adam for values whose entries never influence each other.

    Reference: D. P. Kingma, J. Ba. Adam: A Method for Stochastic Optimization. ICLR 2015.
    """

    def __init__(self, like: Tensor) -> None:
        self._mean, self._square = torch.zeros_like(like), torch.zeros_like(like)
        self._taken = 0

    def step(self, slope: Tensor, size: Tensor | float) -> Tensor:
        """What is to be subtracted, of about `size` in every entry."""
        self._taken += 1
        self._mean, self._square = self._mean.lerp(slope, 0.1), self._square.lerp(slope * slope, 0.001)
        unbiased = (self._square / (1 - 0.999**self._taken)).sqrt() + 1e-8
        return size * (self._mean / (1 - 0.9**self._taken)) / unbiased


def leaked(
    target: Target, iterations: int, restarts: int, rng: np.random.Generator, *, labels: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Samples [k, T, b, *shape] and labels [k, T, b] whose gradient is nearest to what was seen, and the distance [k].

    With `labels` those of the target are taken, and otherwise they are searched for as well. Samples may leave the
    range of the data. Each search minimises :func:`relative_distance` with :func:`lbfgs`.
    """
    k, size = len(target.models), int(np.prod(target.shape))
    steps, batch, classes = target.labels.shape[1], target.labels.shape[2], target.network.classes
    rows = target.rows(torch.arange(k, device=target.models.device).repeat_interleave(restarts))
    wanted = size if labels else size + steps * batch * classes
    drawn = rng.standard_normal((k * restarts, wanted), dtype=np.float32)
    start = torch.as_tensor(drawn, device=target.models.device)
    low, high = target.ends(start)

    def samples(x: Tensor) -> Tensor:
        return low + (high - low) * (0.5 + 0.5 * x[:, :size].reshape(-1, *target.shape))

    def scores(x: Tensor) -> Tensor:
        return x[:, size:].reshape(-1, steps, batch, classes)

    def value(x: Tensor) -> Tensor:
        chances = None if labels else scores(x).softmax(dim=-1)
        return relative_distance(rows.explained(samples(x), chances), rows.gradients)

    found, losses = lbfgs(value, start, iterations=iterations)
    losses = losses.reshape(k, restarts)
    place = torch.where(losses.isfinite(), losses, torch.inf).argmin(dim=1)
    within = torch.arange(k, device=place.device)
    best = found.reshape(k, restarts, -1)[within, place]
    return samples(best), target.labels if labels else scores(best).argmax(dim=-1), losses[within, place]


def lbfgs(
    value: Callable[[Tensor], Tensor], start: Tensor, *, iterations: int, memory: int = 20, halvings: int = 12
) -> tuple[Tensor, Tensor]:
    """Minimise a function of many rows, [r, p] -> [r], each row on its own; the best rows [r, p] and their values [r].

    Each step goes along the two-loop direction of limited-memory BFGS, from a length of 1, which is halved until the
    value falls by a small part of what the slope promises (Armijo). Rows that find no such length start again from
    their slope, and rows whose slope is not finite stay where they are.

    Reference: J. Nocedal, S. J. Wright. Numerical Optimization, 2nd edition, chapter 7. Springer 2006.

    >>> import torch
    >>> goal = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    >>> scale = torch.tensor([1.0, 10.0])
    >>> x, _ = lbfgs(lambda x: ((x - goal) * scale).square().sum(dim=1), torch.zeros(2, 2), iterations=20)
    >>> torch.allclose(x, goal, atol=1e-4)
    True
    """
    x, (f, g) = start.clone(), _sloped(value, start)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    for _ in range(iterations):
        direction = -_two_loops(g, steps, changes)
        promised = (direction * g).sum(dim=1)
        uphill = ~(promised < 0)
        length = g.abs().sum(dim=1, keepdim=True).clamp(min=1.0) if not steps else 1.0
        direction = torch.where(uphill[:, None], -g, direction) / length
        promised = torch.where(uphill, -(g * g).sum(dim=1), promised)
        scale = torch.ones_like(f)
        waiting = torch.ones_like(f, dtype=torch.bool)
        for _ in range(halvings):
            with torch.no_grad():
                tried = value(x + scale[:, None] * direction)
            waiting = ~(tried <= f + 1e-4 * scale * promised)
            if not bool(waiting.any()):
                break
            scale = torch.where(waiting, scale / 2, scale)
        move = torch.where(waiting[:, None], torch.zeros_like(x), scale[:, None] * direction)
        new_f, new_g = _sloped(value, x + move)
        ok = (new_f.isfinite() & new_g.isfinite().all(dim=1))[:, None]
        move, change = torch.where(ok, move, 0.0), torch.where(ok, new_g - g, 0.0)
        x, f, g = x + move, torch.where(ok[:, 0], new_f, f), torch.where(ok, new_g, g)
        stuck = (move == 0).all(dim=1)
        if bool(stuck.all()):
            break
        keep = (~stuck)[:, None]  # a row that is stuck forgets, and goes down its slope the next time
        steps = [torch.where(keep, one, 0.0) for one in [*steps, move][-memory:]]
        changes = [torch.where(keep, one, 0.0) for one in [*changes, change][-memory:]]
    return x, f


def _sloped(value: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        found = value(leaf)
        (slope,) = torch.autograd.grad(found.sum(), leaf)
    return found.detach(), slope


def _two_loops(slope: Tensor, steps: list[Tensor], changes: list[Tensor]) -> Tensor:
    """The slope [r, p] times each row's own estimate of the inverse Hessian; pairs that curve down do not count."""
    q, parts = slope.clone(), []
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        curve = (step * change).sum(dim=1, keepdim=True)
        weight = torch.where(curve > 1e-20, 1.0 / curve.clamp(min=1e-20), 0.0)
        part = weight * (step * q).sum(dim=1, keepdim=True)
        q = q - part * change
        parts.append((weight, part))
    if steps:
        curve = (steps[-1] * changes[-1]).sum(dim=1, keepdim=True)
        size = changes[-1].square().sum(dim=1, keepdim=True)
        q = q * torch.where((curve > 1e-20) & (size > 0), curve / size.clamp(min=1e-30), 1.0)
    for (weight, part), step, change in zip(reversed(parts), steps, changes, strict=True):
        q = q + step * (part - weight * (change * q).sum(dim=1, keepdim=True))
    return q
