"""What training without a federation reaches in the same number of steps, on the data of all clients together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from robustfl.federation.channels.server_step import ServerStep
from robustfl.federation.classified import classified
from robustfl.federation.clients.training import trainer_for
from robustfl.federation.observers.contract import Observer
from robustfl.federation.settings import Server
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

ADAM_RATE = 0.01
"""The rate of the second training, whose step does not depend on the scale of the gradients."""


class Central(Observer):
    """The accuracy of a single client that has the data of all honest clients.

    It trains twice, each time with as many samples and steps as the clients of the federation make in a round together:
    with the step of the federation, and with Adam at the rate 0.01, which learns where the former is far too small or
    too large. Of each measure the better value counts. So it says what could have been learnt in this budget, which is
    not an optimum: a reference that nobody tuned.

    Cost: as much as the training of honest clients in two trials. It watches only trials without an attack and with the
    plain rule, once for each world and seed.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("central_balanced_accuracy", "balanced accuracy of training on all data at once", unit="share"),
        Measure("central_plain_accuracy", "share of the test samples that is recognised then", unit="share"),
        Measure("central_macro_f1", "mean F1 over the classes then", unit="share"),
    )

    phase: ClassVar[str] = "central"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def report(self, trace: Trace) -> None:
        settings = self._setup.settings
        federated = ServerStep(settings.server, settings.message)
        adam = ServerStep(Server(optimizer="adam", learning_rate=ADAM_RATE), "gradient")
        scale = -settings.local_learning_rate if settings.message == "delta" else 1 / settings.local_steps
        models = [self._trained(federated, settings.local_steps, scale), self._trained(adam, 1, 1.0)]
        found = [classified(self._setup.population, model) for model in models if bool(model.isfinite().all())]
        if found:
            self.tell(
                trace,
                central_balanced_accuracy=max(one.balanced for one in found),
                central_plain_accuracy=max(one.plain for one in found),
                central_macro_f1=max(one.macro_f1 for one in found),
            )

    def _trained(self, step: ServerStep, local_steps: int, scale: float) -> Tensor:
        """The model [d] after the training.

        `local_steps` local steps are made before each step of the server; their sum of gradients times `scale` is the
        message.
        """
        setup, settings, population = self._setup, self._setup.settings, self._setup.population
        train, rng = trainer_for(population, settings), stream(setup.seed, "central")
        held = population.held(setup.honest[setup.honest < population.clients])
        weights, memory = population.initial, step.start(population.initial)
        shape = (1, local_steps, settings.per_round * settings.batch_size)
        for _ in range(settings.rounds * settings.local_steps // local_steps):
            index = torch.as_tensor(rng.choice(held, size=shape), device=population.device)
            total = train(weights, population.features[index], population.labels[index])[0]
            weights, memory = step(weights, total * scale, memory)
        return weights
