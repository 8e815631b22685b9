"""How good a model is for those that it serves worst: the accuracy of each class, and of each honest client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.classified import classified
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population

Floats = NDArray[np.float64]

MOST_CLIENTS = 10_000
"""The largest number of honest clients whose mixes of classes are looked at where clients share samples."""


def honest_mixes(population: Population, malicious: NDArray[np.int64]) -> Floats:
    """The share of each class in the training data of each honest client, [h, C], by the true labels.

    `malicious` holds the clients that are left out. A client without samples has zeros. Where clients share samples,
    `MOST_CLIENTS` of the honest ones, spread evenly over their numbers, stand for more than these.
    """
    honest = np.delete(np.arange(population.clients), malicious[malicious < population.clients])
    if population.shared is not None and len(honest) > MOST_CLIENTS:
        honest = honest[np.linspace(0, len(honest) - 1, MOST_CLIENTS).astype(np.int64)]
    counts = population.histogram(honest)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True).clip(min=1))


class Served(Observer):
    """The accuracy of each class, and of each honest client, with the models that honest clients have in the end.

    The accuracy of a client is the accuracy on test samples with the client's own mix of classes, `sum over c of
    p_ic a_c`. It needs only the accuracy a_c of each class, and no client gains from samples that it has memorised.
    Differences between clients within a class cannot be seen. Classes without test samples are left out, and so are
    clients that have only such classes or no samples. Of very many clients that share samples, `MOST_CLIENTS` are
    looked at.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "class_accuracy",
            "accuracy on each class, a mean over the models",
            unit="share",
            better="higher",
            form="list",
        ),
        Measure("worst_class", "accuracy on the class that is served worst", unit="share", better="higher"),
        Measure("worst_client", "accuracy of the honest client that is served worst", unit="share", better="higher"),
        Measure(
            "client_spread", "standard deviation of the accuracy over honest clients", unit="share", better="lower"
        ),
    )

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._models: Tensor | None = None

    def hear(self, round: Round) -> None:
        if round.served is not None:
            self._models = None if round.diverged else round.served

    def report(self, trace: Trace) -> None:
        if self._models is None:
            return
        population = self._setup.population
        accuracy = np.array([classified(population, model).recalls for model in self._models])  # [1 or h, C]
        self.tell(trace, **worst_served(accuracy, honest_mixes(population, self._setup.malicious)))


def worst_served(accuracy: Floats, mixes: Floats) -> dict[str, Any]:
    """The accuracy of the classes and of the clients.

    Parameters
    ----------
    accuracy : [1, C] of the common model, or [h, C] of each honest client's own; NaN for a class without test samples
    mixes : [h, C] the share of each class in the data of each honest client
    """
    tested, classes = ~np.isnan(accuracy[0]), accuracy.mean(axis=0)
    mixes = mixes[:, tested]
    served = mixes.any(axis=1)
    found: dict[str, Any] = {
        "class_accuracy": [value if known else None for value, known in zip(classes.tolist(), tested, strict=True)],
        "worst_class": float(classes[tested].min()),
    }
    if served.any():
        own = ((mixes * accuracy[:, tested]).sum(axis=1))[served] / mixes[served].sum(axis=1)
        found |= {"worst_client": float(own.min()), "client_spread": float(own.std())}
    return found
