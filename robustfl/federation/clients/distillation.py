"""How clients learn from predictions: what their models believe of public samples, and steps towards an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, log_softmax

from robustfl.errors import ParameterError
from robustfl.federation.clients.training import predict
from robustfl.federation.round import Lesson
from robustfl.federation.settings import Distillation, Federation
from robustfl.federation.task import Population

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 2048
"""The number of public samples that a model classifies at a time."""


class Distiller:
    """Predictions of models for public samples, and the steps by which models learn an answer to such predictions.

    Formula: with temperature T, a model's prediction for a sample with logits z is ``softmax(z / T)``. A step towards
    an answer q goes against the gradient of ``T^2 KL(q || softmax(z / T))``, as a mean over a batch of public samples,
    plus `own_weight` times the cross-entropy on a batch of the client's own samples. T^2 keeps the gradient's size.

    Public samples come in turn, in the same order for all clients: step s of all rounds takes those from s times the
    size of a batch on, and begins again at the end.

    Parameters
    ----------
    population : the models' architecture and the kind of samples
    settings : the rules of the federation, with `distillation`
    features : [m, ...] the public samples

    Reference: G. Hinton, O. Vinyals, J. Dean. Distilling the Knowledge in a Neural Network. 2015.
    """

    def __init__(self, population: Population, settings: Federation, features: Tensor) -> None:
        assert settings.distillation is not None
        if getattr(population.module, "normalises", False):
            raise ParameterError(
                f"{population.task.model!r} has batch normalisation, and clients who learn answers are judged and "
                "taught by the same samples. Use GroupNorm."
            )
        self._population, self._features, self._rate = population, features, settings.local_learning_rate
        self.rules: Distillation = settings.distillation
        self._batch = min(self.rules.batch_size, len(features))
        convolutions = population.task.model.convolutional and population.device.type == "cpu"
        self._together = settings.client_mode == "vmap" or (settings.client_mode == "auto" and not convolutions)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (m, C) of one client's predictions."""
        return len(self._features), self._population.classes

    @torch.no_grad()
    def predicted(self, models: Tensor) -> Tensor:
        """The predictions [k, m C] of models [k, d]."""
        parts = [self._features[start : start + CHUNK] for start in range(0, len(self._features), CHUNK)]
        logits = [torch.cat([predict(self._population, model, part) for part in parts]) for model in models]
        return (torch.stack(logits) / self.rules.temperature).softmax(dim=-1).flatten(1)

    def learnt(self, models: Tensor, answers: Tensor, number: int, lesson: Lesson | None = None) -> Tensor:
        """The models [k, d] after they have learnt the answers [m C], or [k, m C] for each its own, of round `number`.

        `lesson` holds the clients' own batches; without it there are no own samples.
        """
        targets = answers.reshape(-1, *self.shape).expand(len(models), *self.shape)
        for step in range(self.rules.steps):
            start = (number * self.rules.steps + step) * self._batch
            places = torch.arange(start, start + self._batch, device=models.device) % len(self._features)
            wanted = targets[:, places]
            inputs = self._features[places].expand(len(models), self._batch, *self._features.shape[1:])
            labels = None
            if lesson is not None and self.rules.own_weight:
                turn = step % lesson.labels.shape[1]
                inputs, labels = torch.cat([inputs, lesson.features[:, turn]], dim=1), lesson.labels[:, turn]
            models = models - self._rate * self._slopes(models, inputs, wanted, labels)
        return models

    def _slopes(self, models: Tensor, inputs: Tensor, wanted: Tensor, labels: Tensor | None) -> Tensor:
        """The gradients [k, d] of all clients, computed together or one by one, whichever is faster."""
        if self._together:
            return self._slope(models, inputs, wanted, labels)
        alone = [slice(place, place + 1) for place in range(len(models))]
        return torch.cat(
            [self._slope(models[k], inputs[k], wanted[k], None if labels is None else labels[k]) for k in alone]
        )

    def _slope(self, models: Tensor, inputs: Tensor, wanted: Tensor, labels: Tensor | None) -> Tensor:
        heat = self.rules.temperature
        with torch.enable_grad():
            leaf = models.detach().requires_grad_()
            logits = predict(self._population, leaf, inputs)
            believed = log_softmax(logits[:, : self._batch] / heat, dim=-1)
            loss = -(heat**2) * (wanted * believed).sum() / self._batch
            if labels is not None:
                own = logits[:, self._batch :].flatten(0, 1)
                loss = (
                    loss
                    + self.rules.own_weight * cross_entropy(own, labels.flatten(), reduction="sum") / (labels.shape[1])
                )
            (slope,) = torch.autograd.grad(loss, leaf)
        found: Tensor = slope
        return found
