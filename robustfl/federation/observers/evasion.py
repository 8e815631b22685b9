"""How a trained model fares when its test samples are attacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from robustfl.federation.clients.hardening import feature_range
from robustfl.federation.clients.training import predict
from robustfl.federation.observers.accuracy import Accuracy
from robustfl.federation.observers.contract import Observer
from robustfl.federation.streams import stream
from robustfl.federation.trace import Trace
from robustfl.measures import Measure
from robustfl.threats.evasion import Evasion

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population


class EvasionTests(Observer):
    """Attacks the test samples of the final model, or of the best one if each client has its own model.

    Parameters
    ----------
    population : the population whose samples are attacked, before any fault in them
    accuracy : the observer that knows the best model
    evasions, samples, seed : see :func:`robustness`
    """

    phase: ClassVar[str] = "evade"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "clean_accuracy",
            "accuracy on the chosen test samples before any attack on them",
            unit="share",
            better="higher",
        ),
        Measure(
            "robust_accuracy",
            "accuracy under each attack on test samples",
            unit="share",
            better="higher",
            form="by name",
        ),
        Measure(
            "worst_robust_accuracy",
            "share of the samples that stay right under all attacks",
            unit="share",
            better="higher",
        ),
        Measure("robust_gap", "clean_accuracy less worst_robust_accuracy", unit="share", better="lower"),
    )

    def __init__(
        self, population: Population, accuracy: Accuracy, evasions: Sequence[Evasion], samples: int, seed: int
    ) -> None:
        self._population, self._accuracy = population, accuracy
        self._evasions, self._samples, self._seed = evasions, samples, seed

    def report(self, trace: Trace) -> None:
        if trace.diverged:
            return

        def predicted(features: Tensor) -> Tensor:
            return predict(self._population, self._accuracy.best, features)

        self.tell(trace, **robustness(predicted, self._population, self._evasions, self._samples, self._seed))


def robustness(
    predict: Callable[[Tensor], Tensor], population: Population, evasions: Sequence[Evasion], samples: int, seed: int
) -> dict[str, Any]:
    """The accuracy on test samples before and after each attack on them.

    The samples are a random choice, which is the same for equal seeds, and each attack has a random stream of its own.
    The choice and the streams depend neither on the model nor on the other attacks. Only samples that the model
    classifies correctly are attacked, and all others always count as wrong. Attacked samples stay in the range of the
    training data.

    Parameters
    ----------
    predict : maps samples [m, ...] to logits [m, classes] and is differentiable in the samples
    samples : the number of test samples; all are taken if there are fewer

    Returns
    -------
    `clean_accuracy` is the accuracy before any attack, and `robust_accuracy` the accuracy after each attack, by its
    label. `worst_robust_accuracy` is the share of the samples on which the model stays right under all attacks, and
    `robust_gap` is `clean_accuracy` minus `worst_robust_accuracy`.
    """
    order = stream(seed, "evasion").permutation(len(population.test_labels))[:samples]
    rows = torch.as_tensor(order, device=population.device)
    features, labels = population.test_features[rows], population.test_labels[rows]
    low, high = feature_range(population.features)
    with torch.no_grad():
        right = predict(features).argmax(dim=1) == labels
    unbroken, shares = right.clone(), {}
    for evasion in evasions:
        rng = stream(seed, f"evasion {evasion!r}")
        changed = evasion(predict, features[right], labels[right], low=low, high=high, rng=rng)
        held = right.clone()
        with torch.no_grad():
            held[right] = predict(changed).argmax(dim=1) == labels[right]
        shares[str(evasion)] = float(held.double().mean())
        unbroken &= held
    clean, worst = float(right.double().mean()), float(unbroken.double().mean())
    return {
        "clean_accuracy": clean,
        "robust_accuracy": shares,
        "worst_robust_accuracy": worst,
        "robust_gap": clean - worst,
    }
