"""The gradients of fully connected networks round after round, with room that is made once, for attackers who plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from robustfl.federation.clients.fully_connected import Layers, layers_of, passed, pushed, sent_back
from robustfl.threats.updates.planning.replay import Replay


class FullyConnectedReplay(Replay):
    """The gradients of the mean cross-entropy of k models on the same samples, and their derivatives.

    Formula: those of :func:`~robustfl.federation.clients.fully_connected.gradients`, made into messages.

    Guarantee: the bits are those of :func:`~robustfl.federation.clients.fully_connected.gradients` and of autograd
    through it, as the operations are the same, in the same order, on tensors of the same form.

    Cost: three products of the size of the forward pass, and six for the derivative. The memory of a place is that of
    its models and of twice the outputs of all layers, which is less than autograd keeps.

    Parameters
    ----------
    features, labels : samples [m, ...] and their classes [m]
    widths : those of the network, see :func:`~robustfl.federation.clients.fully_connected.widths_of`
    plans : k
    places : the number of places
    messages : multiplies vectors by a number, in place: what clients do with their gradients before they send them
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        widths: Sequence[int],
        plans: int,
        places: int,
        messages: Callable[[Tensor], Tensor],
    ) -> None:
        new, samples, classes = features.new_empty, len(labels), widths[-1]
        inputs = features.expand(plans, *features.shape).flatten(2).mT
        self._messages, d = messages, sum((before + 1) * after for before, after in pairwise(widths))
        self.models = [new((plans, d)) for _ in range(places + 1)]
        self.along = new((plans, d))
        self._pushes = layers_of(self.along, widths)
        self._learnt, self._pulled = _Vectors.of(new((plans, d)), widths), _Vectors.of(new((plans, d)), widths)

        def room(of: Sequence[int]) -> list[Tensor]:
            return [new((plans, width, samples)) for width in of]

        self._changes, logits, slope = room(widths[1:]), new((plans, classes, samples)), room(widths[1:2])
        self._places = [
            _Place(
                layers=layers_of(models, widths),
                features=inputs,
                outputs=[*room(widths[1:-1]), logits],
                slopes=[*slope, *room(widths[2:])],
                likely=torch.empty_like(logits),
            )
            for models in self.models[:-1]
        ]
        # What a mean of cross-entropies subtracts from the mean of probabilities.
        self._wanted = new((plans, classes, samples)).zero_()
        self._wanted.scatter_(1, labels.expand(plans, -1)[:, None], -1 / samples)

    def learn(self, place: int) -> Tensor:
        here, found = self._places[place], self._learnt
        inputs, logits = passed(here.layers, here.features, here.outputs)
        torch.softmax(logits, 1, out=here.likely)
        slope = torch.div(here.likely, logits.shape[2], out=here.slopes[-1]).add_(self._wanted)
        sent_back(here.layers, inputs, slope, found.layers, here.slopes)
        return self._messages(found.all)

    def pull(self, place: int) -> Tensor:
        here, found = self._places[place], self._pulled
        self._messages(self.along)  # the derivative by what is multiplied by a number is the other one times it
        inputs = [here.features, *here.outputs[:-1]]
        pushed(here.layers, self._pushes, here.likely, inputs, here.slopes, found.layers, self._changes)
        return found.all


class _Vectors(NamedTuple):
    """Vectors [k, d], and the layers in them."""

    all: Tensor
    layers: Layers

    @classmethod
    def of(cls, vectors: Tensor, widths: Sequence[int]) -> _Vectors:
        return cls(vectors, layers_of(vectors, widths))


class _Place(NamedTuple):
    """The layers of the models at a place, and what is kept of their pass: outputs and slopes [k, width, m].

    The last of the outputs, the logits, and the slopes of the first layer are not needed again: all places write them
    into one tensor each.
    """

    layers: Layers
    features: Tensor
    outputs: list[Tensor]
    slopes: list[Tensor]
    likely: Tensor
