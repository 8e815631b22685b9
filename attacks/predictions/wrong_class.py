"""The attack that is sure of a wrong class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, PredictionAttack, View
from robustfl.threats.predictions import beliefs

if TYPE_CHECKING:
    from torch import Tensor

Choice = Literal["next", "runner_up", "least"]


@dataclass(frozen=True, kw_only=True)
class WrongClass(PredictionAttack):
    """Wrong class: malicious clients agree, sample by sample, on one wrong class, and claim to be sure of it.

    Formula: with mu the mean of the known predictions and a the class that it believes most, the wrong class b is the
    class after a (`next`), the one that mu believes second (`runner_up`), or the one that it believes least (`least`).
    The claim is `confidence` for b and equal shares of the rest for all other classes; with confidence 1 it is one-hot.

    In a mean over n clients, f such claims turn a sample over when ``mu_a - mu_b < f/(n - f)``. That happens most often
    for the runner-up. A model nevertheless suffers more from `next`: the same classes are always taken for each other,
    and that is a function which can be learnt.

    Knowledge: the malicious clients' own predictions, or all honest ones with ``estimate="peers"``.

    References
    ----------
    The idea is that of label flipping, for soft labels on public samples.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import WrongClass
    >>> known = np.array([[0.6, 0.3, 0.1], [0.8, 0.1, 0.1]]) - 1 / 3
    >>> claim = WrongClass(estimate="peers")(known, f=1, classes=3) + 1 / 3
    >>> claim.round(6).tolist()
    [[0.0, 1.0, 0.0]]
    >>> (WrongClass(choice="least", estimate="peers")(known, f=1, classes=3) + 1 / 3).round(6).tolist()
    [[0.0, 0.0, 1.0]]
    """

    unfit: ClassVar[str] = (
        "with full confidence against rules that look at confidence, which see one-hot claims at once: "
        "`reversed_beliefs` has the confidence of an honest row"
    )

    label_parameters: ClassVar[tuple[str, ...]] = ("choice",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    choice: Annotated[Choice, Doc("which wrong class: the next, the second most likely, or the least likely")] = "next"
    confidence: Annotated[float, Gt(0), Le(1), Doc("probability that is claimed for the wrong class")] = 1.0
    estimate: Annotated[Literal["own", "peers"], Doc("whose predictions say which class is right")] = "own"

    def required_knowledge(self) -> Knowledge:
        return Knowledge.OWN if self.estimate == "own" else Knowledge.PEERS

    def claimed(self, view: View) -> Tensor:
        import torch

        mean = beliefs(view, self.estimate).mean(dim=0)
        wrong = wrong_classes(mean, self.choice)
        rest = (1.0 - self.confidence) / (view.classes - 1)
        return torch.full_like(mean, rest).scatter_(1, wrong[:, None], self.confidence)


def wrong_classes(mean: Tensor, choice: Choice) -> Tensor:
    """For each distribution of [m, C], C >= 2, a class [m] other than the one that it believes most."""
    order = mean.argsort(dim=1, descending=True, stable=True)
    if choice == "next":
        return (order[:, 0] + 1) % mean.shape[1]
    return order[:, 1] if choice == "runner_up" else order[:, -1]
