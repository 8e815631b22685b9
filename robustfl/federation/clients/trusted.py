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

    It plays a client that nobody can corrupt: batches of the clients' size, drawn with replacement, and the clients'
    momentum. The choice and the batches have a stream of their own, so no client notices.

    Parameters
    ----------
    population : whose training samples are chosen from; all are taken where there are no more than wanted
    settings : `server.trusted_samples` says how many; steps, batches and momentum are those of the clients
    seed : of the simulation
    """

    def __init__(self, population: Population, settings: Federation, seed: int) -> None:
        self._population, self._settings = population, settings
        self._rng = stream(seed, "trusted")
        self.indices = stratified(population.dataset.train_y, settings.server.trusted_samples, self._rng)
        self._momentum: Tensor | None = None

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """The batches of one round as of a single client.

        The places of the samples [1, steps, batch], the features [1, steps, batch, ...], the labels [1, steps, batch].
        """
        import torch

        population, settings = self._population, self._settings
        shape = (1, settings.local_steps, settings.batch_size)
        drawn = self._rng.choice(self.indices, size=settings.local_steps * settings.batch_size)
        index = torch.as_tensor(drawn, device=population.device)
        features = population.features.index_select(0, index).reshape(*shape, *population.features.shape[1:])
        return index.reshape(shape), features, population.labels.index_select(0, index).reshape(shape)

    def with_momentum(self, message: Tensor) -> Tensor:
        """The message [d] that counts: like a client's, averaged over the rounds where clients do so."""
        if not self._settings.client_momentum:
            return message
        before = message.new_zeros(message.shape) if self._momentum is None else self._momentum
        self._momentum = before.lerp(message, 1.0 - self._settings.client_momentum)
        return self._momentum
