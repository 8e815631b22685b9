"""What clients minimise, and the random numbers that it takes: the model's objective behind the clients' defenses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robustfl.aggregation.client_side import ClientSide
from robustfl.federation.clients.training import objective_of
from robustfl.federation.round import Ids
from robustfl.federation.streams import stream
from robustfl.federation.task import Population

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.aggregation.client_side import Objective


class ClientObjective:
    """The objective of all clients of a simulation.

    Defenses change it in their order: the first one is the outermost. Each gets the random numbers that it declares
    before those of the next, and the model's own come last. They are drawn for each member and round from a stream of
    its own, so they depend neither on who takes part nor on what else is drawn.

    Parameters
    ----------
    population : the model, and the number of classes
    stages : the defenses that clients carry out
    seed : the seed of the simulation
    """

    def __init__(self, population: Population, stages: Sequence[ClientSide], seed: int) -> None:
        self._seed, self._like = seed, population.initial
        network = population.module
        for stage in reversed(stages):
            network = stage.network(network)
        self.loss: Objective = objective_of(population, network)
        self.undrawn: Objective = self.loss
        """The objective where there are no random numbers, without the stages that then leave it as it is."""
        for stage in reversed(stages):
            self.loss = stage.objective(self.loss, population.classes)
            if not stage.plain_without_draws:
                self.undrawn = stage.objective(self.undrawn, population.classes)
        sources: list[Any] = [*stages, network]
        self._sources = [source for source in sources if getattr(source, "columns", 0)]

    def draws(self, number: int, ids: Ids, steps: int, batch: int) -> Tensor | None:
        """The random numbers [k, steps, batch, columns] of these members in round `number`; None when it takes none."""
        if not self._sources:
            return None
        found = []
        for member in ids.tolist():
            rng = stream(self._seed, f"objective of {member} in round {number}")
            found.append([np.concatenate([s.drawn(rng, batch) for s in self._sources], axis=1) for _ in range(steps)])
        return self._like.new_tensor(np.array(found))
