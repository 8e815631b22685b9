"""How peers try models out on samples of their own, and how many classes they share with each other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods import Mixer
from robustfl.errors import ParameterError
from robustfl.federation.clients.training import predict_alike
from robustfl.federation.setup import Setup
from robustfl.federation.task import Population

Ids = NDArray[np.int64]


class Tried:
    """What models do with the samples on which peers try them out.

    Peers are called by numbers that are drawn for the trial, under which rules know them.

    Parameters
    ----------
    setup : the fixed part of the simulation
    peers : [n] the peer of each number
    """

    def __init__(self, setup: Setup, peers: Ids) -> None:
        self._setup, self._population, self._peers = setup, setup.population, peers

    @torch.no_grad()
    def confusions(self, name: int, models: Array) -> Floats:
        """How many of a peer's samples of each class each of the models [c, d] takes for each class, [c, C, C]."""
        population = self._population
        index = torch.as_tensor(self._setup.tried[self._peers[name]], device=population.device)
        classes, count = population.classes, len(models)
        if not len(index):
            return np.zeros((count, classes, classes))
        rows = torch.as_tensor(np.ascontiguousarray(models), device=population.device)
        found = predict_alike(population, rows, population.features[index]).argmax(dim=2)  # [c, m]
        cells = torch.arange(count, device=rows.device)[:, None] * classes + population.labels[index]
        counts = torch.bincount((cells * classes + found).flatten(), minlength=count * classes**2)
        return np.asarray(counts.reshape(count, classes, classes).cpu().numpy(), np.float64)

    def shared(self, name: int, others: Ids) -> Ids:
        """How many classes a peer and each of these neighbours [k] both know, [k].

        Malicious neighbours say that they know all classes of the peer that asks.
        """
        knows, who = self._setup.knows, self._peers[others]
        mine, honest = knows[self._peers[name]], ~self._setup.members.malicious[who]
        counts = np.full(len(who), int(mine.sum()), dtype=np.int64)
        counts[honest] = (knows[who[honest]] & mine).sum(axis=1)
        return counts


def require_output_layer(population: Population, mixer: Mixer) -> None:
    """Raise ParameterError if the rule mixes the classes of an output layer, and the model is more than that."""
    shapes = [tuple(shape) for shape in population.shapes.values()]
    lines = [shape[0] for shape in shapes]
    if mixer.by_class and (lines not in ([population.classes], [population.classes] * 2) or len(shapes[0]) != 2):
        raise ParameterError(
            f"{mixer} mixes one output layer, class by class. Found a model with parameters of the shapes "
            f"{', '.join(str(list(shape)) for shape in shapes)}. Freeze the other layers: take `model: softmax`, with "
            "data such as `transferred`, whose samples are what frozen layers make of images."
        )
