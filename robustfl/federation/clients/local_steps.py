"""Local steps of many clients: what trainers do, and steps in place by gradients that are written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from robustfl.federation.clients.sharpness import stretches

Parts = TypeVar("Parts")
"""Views of the weights of each layer in vectors [k, d]."""

ALIGNED = 4
"""Matrices that begin at multiples of so many numbers are all multiplied alike.

The library behind torch's products has routines for small matrices that sum up in another order where a matrix does not
begin at a multiple of 16 bytes. A vector [d] of a matrix [k, d] may or may not, as its place among the others has it.
"""


class Trainer(Protocol):
    """Computes the messages of several clients from their batches."""

    def __call__(
        self,
        weights: Tensor,
        features: Tensor,
        labels: Tensor,
        starts: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Tensor:
        """The sums of gradients over the local steps, or of what the steps follow in place of gradients.

        With `weights` [k, d] each client starts from its own model. In adversarial training the search for hard samples
        begins at `starts`, which have the shape of the features, or at the samples themselves. `draws` are the random
        numbers [k, steps, batch, columns] of an objective that is random.

        Shapes: [d] or [k, d], [k, steps, batch, ...], [k, steps, batch] -> [k, d].
        """


def summed(
    models: Tensor,
    features: Tensor,
    labels: Tensor,
    rate: float,
    chunk: int,
    parts_of: Callable[[Tensor], Parts],
    write: Callable[[Parts, Tensor, Tensor, Parts, int], Any],
    *,
    aligned: bool,
    radius: float = 0.0,
) -> Tensor:
    """The sums of the gradients of the mean loss over the local steps of k clients.

    Formula: ``s_0 = 0``, ``s_{t+1} = s_t + grad L_t(w - rate s_t)``, or with a `radius` the gradient of L_t at the
    place that :func:`~robustfl.federation.clients.sharpness.raised` makes of ``w - rate s_t``.

    Shapes: models [d] or [k, d], features [k, steps, m, ...], labels [k, steps, m]; the result is [k, d].

    Cost: what `write` costs for each step, twice with a radius. Beside the result, at most 2 chunk d numbers of memory.
    With `aligned`, the gradients are copied once where d is no multiple of `ALIGNED`, and so are the samples where m is
    none.

    Guarantee: where `write` treats models and samples alike that begin at multiples of `ALIGNED`, `aligned` makes the
    bits of a row of the result depend on no other client.

    Parameters
    ----------
    chunk : so many clients make their steps together, or one if it is 0
    parts_of : the layers in vectors [k, d], as views
    write : writes the gradients of models into views of other vectors: on samples [k, m, ...] with labels [k, m], of
        which the number that comes last counts; the others only fill the batch up to a multiple of `ALIGNED`
    aligned : whether all models, gradients and samples are handed to `write` at multiples of `ALIGNED`
    radius : how far the place of the gradient of each step is from the model
    """
    clients, steps, samples = labels.shape
    d, apart = models.shape[-1], models.ndim > 1
    if aligned and samples % ALIGNED:
        filled = torch.arange(up(samples), device=labels.device).clamp_max_(samples - 1)
        features, labels = features[:, :, filled], labels[:, :, filled]
    if aligned and not apart:
        models = models.clone()  # which begins where it should, whatever it was a part of
    moved = aligned and d % ALIGNED > 0  # then the rows of the result are not aligned alike
    total, chunk = models.new_empty((clients, d)), max(1, min(chunk, clients))
    width = up(d) if aligned else d
    at = models.new_empty((chunk, width))[:, :d] if steps > 1 or radius or (moved and apart) else total
    slope = models.new_empty((chunk, width))[:, :d] if steps > 1 or moved else total
    for start in range(0, clients, chunk):
        rows = slice(start, start + chunk)
        reached = total[rows]
        count = len(reached)
        begun = models[rows] if apart else models.expand(count, d)
        first = at[:count].copy_(begun) if moved and apart else begun
        change = slope[:count] if moved else reached
        write(parts_of(first), features[rows, 0], labels[rows, 0], parts_of(change), samples)
        if radius:
            higher = torch.addcmul(begun, change, stretches(change, radius), out=at[:count])
            write(parts_of(higher), features[rows, 0], labels[rows, 0], parts_of(change), samples)
        if moved:
            reached.copy_(change)
        if steps == 1:
            continue
        here, change = at[:count], slope[:count]
        places, changes = parts_of(here), parts_of(change)
        for step in range(1, steps):
            torch.mul(reached, -rate, out=here).add_(begun)
            write(places, features[rows, step], labels[rows, step], changes, samples)
            if radius:
                here.addcmul_(change, stretches(change, radius))
                write(places, features[rows, step], labels[rows, step], changes, samples)
            reached.add_(change)
    return total


def up(number: int) -> int:
    """The multiple of `ALIGNED` that is not below a number."""
    return -(-number // ALIGNED) * ALIGNED
