"""What a server sees of clients that learn from real digits, and the samples behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from robustfl import registry
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.spying.matching import matched
from robustfl.federation.task import Population, Task
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting

SHAPE, CLASSES, RATE = (1, 8, 8), 10, 0.1


@cache
def digits(model: str = "mlp(hidden=(24,))", seed: int = 0) -> Population:
    """All digits with an untrained model."""
    parts = {"model": registry.build("model", model), "partition": registry.build("partition", "iid")}
    return Task(data=Digits(), **parts).prepare(clients=1, seed=seed)


@cache
def trained(model: str = "mlp(hidden=(24,))", steps: int = 300) -> Tensor:
    """A model after steps of SGD on all digits."""
    population, network, rng = digits(model), network_of(model), np.random.default_rng(5)
    weights = population.initial.clone()
    for _ in range(steps):
        rows = torch.as_tensor(rng.choice(len(population.labels), 64, replace=False))
        weights = (
            weights
            - 0.5 * network.gradients(weights[None], population.features[None, rows], population.labels[None, rows])[0]
        )
    return weights


def network_of(model: str = "mlp(hidden=(24,))") -> Network:
    return Network(digits(model).module, SHAPE, CLASSES)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Sightings of k clients with n samples each, and these samples."""

    facts: PrivacyFacts
    features: Tensor
    labels: Tensor

    @property
    def messages(self) -> Tensor:
        return torch.stack([s.message for s in self.facts.sightings if s.message is not None])

    def psnr(self, found: Reconstruction) -> list[float]:
        """The mean PSNR over the distinct samples of each client."""
        return [
            float(matched(got, true, 0.0, 1.0).psnr.mean())
            for got, true in zip(found.features, self.features, strict=True)
        ]


def scene(
    *,
    model: str = "mlp(hidden=(24,))",
    batch: int = 1,
    victims: int = 2,
    steps: int = 1,
    weights: Tensor | None = None,
    noise: float = 0.0,
    pruned: float = 0.0,
    classes: int = CLASSES,
    seed: int = 0,
    again: bool = False,
    rate: float = RATE,
) -> Scene:
    """`victims` clients, with distinct samples; `noise` is a share of the norm, `pruned` one of the entries.

    The samples of a client are of so many `classes`, which differ from client to client. If they come `again`, all
    local steps are made with the same ones.
    """
    population, network, rng = digits(model), network_of(model), np.random.default_rng(seed)
    different = 1 if again else steps
    count = different * batch
    held, order = population.labels.numpy(), rng.permutation(len(population.labels))
    chosen = []
    for _ in range(victims):
        own = np.isin(held[order], rng.permutation(CLASSES)[:classes])
        chosen.append(order[own][:count])
        order = np.concatenate([order[own][count:], order[~own]])
    rows = torch.as_tensor(np.concatenate(chosen))
    x = population.features[rows].reshape(victims, different, batch, *SHAPE)
    y = population.labels[rows].reshape(victims, different, batch)
    start = (population.initial if weights is None else weights).expand(victims, -1)
    x_of_steps, y_of_steps = x.expand(-1, steps, -1, *SHAPE), y.expand(-1, steps, -1)
    message = network.update(start, x_of_steps, y_of_steps, rate)
    drawn = torch.as_tensor(rng.standard_normal(tuple(message.shape)), dtype=message.dtype)
    message = message + noise * drawn * (message.norm(dim=1) / drawn.norm(dim=1))[:, None]
    if pruned:
        edge = message.abs().quantile(pruned, dim=1, keepdim=True)
        message = torch.where(message.abs() > edge, message, 0.0)
    seen = [
        Sighting(round=0, client=client, senders=(client,), model=start[client], message=message[client])
        for client in range(victims)
    ]
    return Scene(
        facts=PrivacyFacts(
            observer="server",
            sightings=seen,
            circumstances=Circumstances(
                shape=SHAPE, classes=CLASSES, clients=victims, batch_size=batch, steps=steps, learning_rate=rate
            ),
            network=network,
            auxiliary=(population.test_features, population.test_labels),
            labels=y_of_steps.flatten(1),
            rng=np.random.default_rng(seed),
        ),
        features=x.flatten(1, 2),
        labels=y.flatten(1),
    )
