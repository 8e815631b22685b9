"""The clean samples that a server keeps, for defenses that measure updates against one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustfl.federation.data.labels import stratified
from robustfl.federation.settings import Federation
from robustfl.federation.streams import stream

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population


class TrustedSamples:
    """A random choice of training samples with their true labels, in the class proportions of all of them.

    They act like a client that nobody can corrupt: batches have the clients' size and are drawn with replacement, and
    momentum is applied as for clients. The choice and the batches have a stream of their own, so they change nothing
    for clients.

    Parameters
    ----------
    population : the population from whose training samples they are chosen; all are taken when there are not enough
    settings : `server.trusted_samples` is their number; steps, batches and momentum are those of the clients
    seed : the seed of the simulation
    """

    def __init__(self, population: Population, settings: Federation, seed: int) -> None:
        self._population, self._settings = population, settings
        self._rng = stream(seed, "trusted")
        self.indices = stratified(population.dataset.train_y, settings.server.trusted_samples, self._rng)
        self._momentum: Tensor | None = None

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """The batches of one round, in the form of a single client's batches.

        Returns the places of the samples [1, steps, batch], the features [1, steps, batch, ...] and the labels
        [1, steps, batch].
        """
        import torch

        population, settings = self._population, self._settings
        shape = (1, settings.local_steps, settings.batch_size)
        drawn = self._rng.choice(self.indices, size=settings.local_steps * settings.batch_size)
        index = torch.as_tensor(drawn, device=population.device)
        features = population.features.index_select(0, index).reshape(*shape, *population.features.shape[1:])
        return index.reshape(shape), features, population.labels.index_select(0, index).reshape(shape)

    def with_momentum(self, message: Tensor) -> Tensor:
        """The message [d] after momentum: it is averaged over the rounds where clients average theirs."""
        if not self._settings.client_momentum:
            return message
        before = message.new_zeros(message.shape) if self._momentum is None else self._momentum
        self._momentum = before.lerp(message, 1.0 - self._settings.client_momentum)
        return self._momentum
