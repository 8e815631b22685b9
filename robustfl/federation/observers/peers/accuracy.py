"""How good the models of honest peers are: the worst, the lowest tenth, and the mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.federation.classified import Classified, all_classified
from robustfl.federation.data.labels import stratified
from robustfl.federation.observers.accuracy import Accuracy, tail_mean
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SCORED: dict[str, Callable[[Floats], float]] = {
    "worst": lambda values: float(values.min()),
    "lowest_tenth": lambda values: lowest(values, 0.1),
    "mean": lambda values: float(values.mean()),
}
"""The numbers of honest peers [h] -> the number from which the score is made, by the setting `score_by`."""


class PeerAccuracy(Accuracy):
    """How the models of honest peers classify test samples.

    The accuracy of a trial, in every measure, is that of the worst honest peer, of the lowest tenth of them, or of
    their mean, as `peers.score_by` says. A rule can serve most peers well and give up a few, which only their mean
    hides. If malicious peers cut the network of honest ones, those of its largest part count.

    Curves are measured on a fixed choice of test samples, in the proportions of the classes and the same for all
    trials of a world; the last round is measured on all of them. The model that stands for all is that of the peer with
    the middle accuracy. What peers do with classes of which they have samples is told apart from what they do with
    foreign ones, which they know from others alone. A model that is no longer finite ends the training.

    Parameters
    ----------
    setup : the fixed part of the simulation
    counted : [h] which honest peers count: those of the largest part of their network
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        *Accuracy.measures,
        Measure("worst_peer", "accuracy of the honest peer that is served worst", unit="share", better="higher"),
        Measure("lowest_tenth", "mean accuracy of the lowest tenth of honest peers", unit="share", better="higher"),
        Measure("mean_peer", "mean accuracy of honest peers", unit="share", better="higher"),
        Measure("median_peer", "accuracy of the honest peer in the middle", unit="share", better="higher"),
        Measure(
            "familiar_accuracy",
            "mean recall of honest peers over the classes of which they have samples",
            unit="share",
            better="higher",
        ),
        Measure(
            "foreign_accuracy",
            "mean recall of honest peers over the classes of which they have none, if there are some",
            unit="share",
            better="higher",
        ),
        Measure("peer_accuracy", "accuracy of each honest peer in the end", unit="share", better="higher", form="list"),
        Measure("worst_peer_curve", "worst_peer at every measurement", unit="share", better="higher", form="list"),
        Measure("lowest_tenth_curve", "lowest_tenth at every measurement", unit="share", better="higher", form="list"),
        Measure("mean_peer_curve", "mean_peer at every measurement", unit="share", better="higher", form="list"),
        Measure("best_peer_curve", "accuracy of the best honest peer at every measurement", unit="share", form="list"),
        Measure(
            "consensus",
            "mean distance of honest models from their mean at every measurement, over their mean length",
            better="lower",
            form="list",
        ),
    )

    def __init__(self, setup: Setup, counted: Mask) -> None:
        super().__init__(setup.population, setup.settings)
        rules, labels = setup.settings.network, setup.population.dataset.test_y
        few = stratified(labels, rules.evaluate_samples, stream(0, "test samples of curves"))
        self._few = None if len(few) >= len(labels) else torch.as_tensor(few, device=setup.population.device)
        self._reduce, self._counted = SCORED[rules.score_by], counted
        self._peers: list[tuple[int, Floats]] = []
        self._knows = setup.knows[setup.honest]
        self._apart: list[tuple[int, Floats]] = []
        self._consensus: list[float] = []

    def classified(self, models: Tensor, round: Round) -> list[Classified]:
        self._consensus.append(self.disagreement(models))
        found = [_finite(one) for one in self.measured(models, None if round.last else self._few)]
        self._peers.append((round.finished, np.array([one.plain for one in found])))
        self._apart.append((round.finished, divided(np.array([one.recalls for one in found]), self._knows)))
        return found

    def measured(self, models: Tensor, few: Tensor | None) -> list[Classified]:
        """How each of the models [h, d] classifies a `few` test samples, or all of them."""
        return all_classified(self._population, models, few)

    def disagreement(self, models: Tensor) -> float:
        """See :func:`disagreement`."""
        return disagreement(models)

    def reduced(self, values: Sequence[float]) -> float:
        return self._reduce(np.array(values)[self._counted])

    def representative(self, accuracies: Sequence[float]) -> int:
        return int(np.argsort(accuracies, kind="stable")[(len(accuracies) - 1) // 2])

    def report(self, trace: Trace) -> None:
        super().report(trace)
        if not self._peers:
            return
        told = [(finished, values[self._counted]) for finished, values in self._peers]

        def over_the_end(reduce: Callable[[Floats], float]) -> float | None:
            return tail_mean([(finished, reduce(values)) for finished, values in told], self._settings)

        self.tell(
            trace,
            worst_peer=over_the_end(SCORED["worst"]),
            lowest_tenth=over_the_end(SCORED["lowest_tenth"]),
            mean_peer=over_the_end(SCORED["mean"]),
            median_peer=over_the_end(lambda values: float(np.median(values))),
            familiar_accuracy=self._of_classes(0),
            foreign_accuracy=self._of_classes(1),
            peer_accuracy=self._peers[-1][1].tolist(),
            worst_peer_curve=[SCORED["worst"](values) for _, values in told],
            lowest_tenth_curve=[SCORED["lowest_tenth"](values) for _, values in told],
            mean_peer_curve=[SCORED["mean"](values) for _, values in told],
            best_peer_curve=[float(values.max()) for _, values in told],
            consensus=self._consensus,
        )

    def _of_classes(self, part: int) -> float | None:
        """The mean over peers of the familiar (0) or the foreign (1) classes, over the end of the training."""
        counted = [(finished, values[self._counted, part]) for finished, values in self._apart]
        told = [
            (finished, float(values[np.isfinite(values)].mean()))
            for finished, values in counted
            if np.isfinite(values).any()
        ]
        return tail_mean(told, self._settings)

    @property
    def last(self) -> Floats | None:
        """The accuracy of each honest peer at the last measurement, [h]; None before the first."""
        return self._peers[-1][1] if self._peers else None


def divided(recalls: Floats, knows: Mask) -> Floats:
    """The mean recalls [h, 2] of h peers over the classes that each knows and over the others; NaN where none is.

    A recall [h, C] is NaN for a class without test samples, which counts for nothing.

    >>> divided(np.array([[1.0, 0.5, np.nan]]), np.array([[True, False, False]])).tolist()
    [[1.0, 0.5]]
    """
    tested, known = np.isfinite(recalls), np.nan_to_num(recalls)
    parts = [knows & tested, ~knows & tested]
    with np.errstate(invalid="ignore"):
        return np.stack([(known * part).sum(axis=1) / part.sum(axis=1) for part in parts], axis=1)


def lowest(values: Floats, share: float) -> float:
    """The mean of the lowest share of some numbers, of one of them at least.

    >>> lowest(np.array([0.4, 0.1, 0.2]), 0.1)
    0.1
    """
    return float(np.sort(values)[: max(1, math.ceil(share * len(values) - 1e-9))].mean())


def disagreement(models: Tensor) -> float:
    """The root mean square distance of models [h, d] from their mean, over the root mean square of their lengths.

    >>> disagreement(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    1.0
    """
    size = float(models.double().square().sum(dim=1).mean()) ** 0.5
    apart = float((models - models.mean(dim=0)).double().square().sum(dim=1).mean()) ** 0.5
    return apart / size if size > 0 else 0.0


def _finite(one: Classified) -> Classified:
    """The same, but that a model which has diverged recognises nothing: its numbers would all be one class."""
    if np.isfinite(one.loss):
        return one
    return replace(one, right=np.zeros_like(one.right), found=np.zeros_like(one.found))
