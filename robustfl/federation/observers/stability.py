"""Whether the step of a training is small enough for the curvature that it meets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from robustfl.federation.curvature import hessian, largest_eigenvalue, stable_curvature
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

LOOKS = 8
"""The number of rounds, equally far apart, after which the curvature is measured; the last round is one of them."""

SAMPLES = 512
"""About how many training samples stand for all of them; every honest client gives as many, or chance chooses."""


class Stability(Observer):
    """The largest eigenvalue of the Hessian of the training loss, beside the largest for which the step is stable.

    The loss is that of the honest clients, each of which weighs the same, on unchanged samples. It is measured after a
    few rounds; the middle value (median) is told, since single rounds say little: above the bound the training jumps
    out of every valley, and is in a flat place just after. See
    :func:`~robustfl.federation.curvature.stable_curvature` for the bound.

    Cost: at most `LOOKS` times 20 products with the Hessian on `SAMPLES` samples. It watches only trials without an
    attack and with the plain rule, once for each world and seed.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("sharpness", "largest eigenvalue of the Hessian of the training loss, median over rounds"),
        Measure("sharpness_by_round", "the same after each round that was looked at", form="by name"),
        Measure(
            "instability",
            "sharpness, divided by the largest for which the step of the federation is stable",
            better="lower",
        ),
    )

    phase: ClassVar[str] = "stability"

    def __init__(self, setup: Setup) -> None:
        rounds = setup.settings.rounds
        self._setup = setup
        self._rounds = {-(-rounds * look // LOOKS) for look in range(1, LOOKS + 1)}
        self._found: dict[int, float] = {}
        self._rng = stream(setup.seed, "curvature")
        self._index = self._samples()
        self._direction: Tensor | None = None

    def _samples(self) -> Tensor:
        """The places of the samples among all training samples."""
        population, setup = self._setup.population, self._setup
        if population.shared is not None:  # very many clients may share samples, so chance chooses among them
            able = setup.honest[setup.honest < population.clients]
            able = able[population.sizes[able] > 0]
            some = np.sort(self._rng.choice(able, SAMPLES, replace=len(able) < SAMPLES))
            drawn = population.shared.draw(some, self._rng.random((SAMPLES, 1)))
            return torch.as_tensor(drawn.reshape(-1), device=population.device)
        clients = [client for client in setup.honest if client < population.clients and len(population.parts[client])]
        drawn = population.draw(self._rng, -(-SAMPLES // max(1, len(clients))))[clients]
        return torch.as_tensor(drawn.reshape(-1), device=population.device)

    def hear(self, round: Round) -> None:
        weights = round.receivers[0].model.weights
        if round.finished not in self._rounds or round.diverged or not bool(weights.isfinite().all()):
            return
        population = self._setup.population
        if self._direction is None:
            self._direction = weights.new_tensor(self._rng.standard_normal(population.d, dtype=np.float32))
        features, labels = population.features[self._index], population.labels[self._index]
        value, self._direction = largest_eigenvalue(hessian(population, weights, features, labels), self._direction)
        if np.isfinite(value):
            self._found[round.finished] = value

    def report(self, trace: Trace) -> None:
        if not self._found:
            return
        sharpness = float(np.median(list(self._found.values())))
        self.tell(
            trace,
            sharpness=sharpness,
            sharpness_by_round={str(finished): value for finished, value in self._found.items()},
        )
        bound = stable_curvature(self._setup.settings)
        if bound is not None:
            self.tell(trace, instability=sharpness / bound)
