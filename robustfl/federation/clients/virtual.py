"""Virtual data: a few synthetic samples whose training leads where a client's own samples have led."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.federation.clients.hardening import feature_range
from robustfl.federation.settings import Federation, VirtualData
from robustfl.federation.task import Population
from robustfl.threats.privacy.inversion import Search, Target, inverted_from, relative_distance
from robustfl.threats.privacy.labels import counted, listed
from robustfl.threats.privacy.network import Network

if TYPE_CHECKING:
    from torch import Tensor

REACH = 1e6
"""What is longer than this is as far out of reach of samples as this, whose square fits into single precision."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Repeated(Target):
    """A target whose samples [k, 1, m, *shape] come again in every local step."""

    steps: int

    def explained(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        given = self.labels if labels is None else labels
        shape = (-1, self.steps, *(-1 for _ in features.shape[2:]))
        repeated = given.expand(-1, self.steps, *given.shape[2:])
        return self.network.update(self.models, features.expand(shape), repeated, self.rate, traced=True)


class VirtualSamples:
    """Makes virtual samples, and computes what a model learns from them.

    Formula: the update of m samples is the mean gradient over the local steps that start from the common model, where
    every step takes all m samples. The virtual samples of a client are those in the range of the data that minimise
    ``||update - g||^2 / ||g||^2``, where g is the mean gradient over the client's steps on its own batches. The search
    begins at noise, follows the sign of the slope with Adam, and keeps the labels that it was given.

    Parameters
    ----------
    population : the models' architecture, and the kind and the range of the samples
    settings : the rules of the federation, with `virtual_data`

    Cost: `steps` times two passes through the local steps, forwards and backwards, for batches of m.

    References
    ----------
    B. Zhao, K. R. Mopuri, H. Bilen. Dataset Condensation with Gradient Matching. ICLR 2021.
    C.-Y. Huang, R. Jin, C. Zhao, D. Xu, X. Li. Federated Learning on Virtual Heterogeneous Data with Local-global
    Distillation. TMLR 2024 (FedLGD).
    """

    def __init__(self, population: Population, settings: Federation) -> None:
        assert settings.virtual_data is not None
        self.rules: VirtualData = settings.virtual_data
        self._shape = tuple(population.features.shape[1:])
        self._network = Network(population.module, self._shape, population.classes)
        self._range = feature_range(population.features)
        self._images = not population.task.data.tabular
        self._rate, self._steps = settings.local_learning_rate, settings.local_steps

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape [m, *shape] of one client's virtual samples."""
        return (self.rules.samples, *self._shape)

    def even_labels(self, rows: int) -> Tensor:
        """Labels [rows, m] of all classes in turn."""
        labels = torch.arange(self.rules.samples, device=self._device) % self._network.classes
        return labels.expand(rows, -1)

    def proportional_labels(self, labels: Tensor) -> Tensor:
        """Labels [k, m] in the proportions of those in each client's own batches [k, steps, batch]."""
        counts = torch.nn.functional.one_hot(labels.flatten(1), self._network.classes).sum(dim=1)
        return listed(counted(counts / counts.sum(dim=1, keepdim=True), self.rules.samples))

    def updates(self, models: Tensor, samples: Tensor, labels: Tensor) -> Tensor:
        """What models [k, d] learn from samples [k, m, *shape] with labels [k, m], as mean gradients [k, d]."""
        return self._target(models, models, labels).explained(samples[:, None]).detach()

    def made(self, models: Tensor, wanted: Tensor, labels: Tensor, rngs: list[np.random.Generator]) -> Tensor:
        """The samples [k, m, *shape] whose updates of models [k, d] come nearest to those that are wanted [k, d].

        Where a search begins is drawn from the generator of its row, so that no row depends on the others.
        """
        drawn = np.stack([rng.standard_normal((1, 1, *self.shape), dtype=np.float32) for rng in rngs])
        lengths = wanted.double().norm(dim=1, keepdim=True)
        within = (wanted * (REACH / lengths.clamp(min=REACH))).to(wanted)
        search = Search(
            iterations=self.rules.steps,
            restarts=1,
            step_size=self.rules.learning_rate,
            smoothness=0.0,
            distance=relative_distance,
        )
        found, _ = inverted_from(self._target(models, within, labels), search, wanted.new_tensor(drawn))
        return found[:, 0]

    def _target(self, models: Tensor, wanted: Tensor, labels: Tensor) -> Target:
        low, high = self._range
        return _Repeated(
            network=self._network,
            models=models,
            gradients=wanted,
            labels=labels[:, None],
            rate=self._rate,
            low=low,
            high=high,
            images=self._images,
            steps=self._steps,
        )

    @property
    def _device(self) -> torch.device:
        return next(self._network.module.parameters()).device
