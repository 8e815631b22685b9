"""The attack that believes most what should be believed least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats import Knowledge, PredictionAttack, View
from robustfl.threats.predictions import beliefs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ReversedBeliefs(PredictionAttack):
    """Reversed beliefs: the probabilities of every sample, handed to the classes in reverse order.

    Formula: with q the mean of the known predictions of a sample, ``reversed`` gives the largest probability of q to
    the class that has the smallest, the second largest to the class with the second smallest, and so on. Length,
    entropy and confidence of a row are then those of an honest one, so that a rule that looks only at these cannot
    tell. ``complement`` claims ``(1 - q_c)/(C - 1)``, which is nearly uniform when there are many classes.

    Knowledge: the malicious clients' own predictions, or all honest ones with ``estimate="peers"``.

    References
    ----------
    The idea is that of a reversed sign, for distributions.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ReversedBeliefs
    >>> known = np.array([[0.7, 0.2, 0.1]]) - 1 / 3
    >>> (ReversedBeliefs(estimate="peers")(known, f=1, classes=3) + 1 / 3).round(6).tolist()
    [[0.1, 0.2, 0.7]]
    >>> (ReversedBeliefs(mode="complement", estimate="peers")(known, f=1, classes=3) + 1 / 3).round(6).tolist()
    [[0.15, 0.4, 0.45]]
    """

    unfit: ClassVar[str] = 'with `mode="complement"` and many classes, where the claim is nearly uniform'

    label_parameters: ClassVar[tuple[str, ...]] = ("mode",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    mode: Annotated[
        Literal["reversed", "complement"], Doc("probabilities in reverse order, or 1 less each of them, scaled")
    ] = "reversed"
    estimate: Annotated[Literal["own", "peers"], Doc("whose predictions are reversed")] = "own"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.OWN if self.estimate == "own" else Knowledge.PEERS

    def claimed(self, view: View) -> Tensor:
        mean = beliefs(view, self.estimate).mean(dim=0)
        if self.mode == "complement":
            return (1.0 - mean) / (view.classes - 1)
        ordered, order = mean.sort(dim=1, descending=True, stable=True)
        return mean.scatter(1, order, ordered.flip(1))
