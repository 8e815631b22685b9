"""Reads off the gradient of the last layer how many samples of each class a batch had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats.privacy.capability import TO_GRADIENTS, Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Labels
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from robustfl.threats.privacy.network import Network


@dataclass(frozen=True, kw_only=True)
class LabelCounts(PrivacyAttack):
    """Label recovery: the gradient of the last bias says how often each class was in the batch.

    Formula: ``db_c = mean_i p_ic - n_c / n``. `features` and `auxiliary` solve ``(M' - I) n = db`` for shares n >= 0
    that sum to 1, where row c of M holds the mean probabilities of samples of class c: those of public samples
    (`auxiliary`), or those of the features ``max(dW_c / db_c, 0)`` that the message itself gives away (`features`).
    `uniform` takes 1/C for every probability, which is right for a model that has learnt nothing.

    Shapes: [k, d] -> counts [k, C]. Cost: one non-negative least-squares problem of size C for each sighting.

    Guarantee: none. What a well-learnt sample does to the gradient is of size 1 - p, so a low number for a trained
    model says that its gradients hold little about labels, not that the attack is weak.

    References
    ----------
    K. Ma, Y. Sun, J. Cui, D. Li, Z. Guan, J. Liu. Instance-wise Batch Label Restoration via Gradients in Federated
    Learning. ICLR 2023.
    L. Geng, Y. Mou, Q. Li, et al. Improved Gradient Inversion Attacks and Defenses in Federated Learning. IEEE
    Transactions on Big Data, 2023.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import LabelCounts
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> network = Network(torch.nn.Linear(2, 3), (2,), classes=3)
    >>> model, x = torch.zeros(network.d), torch.tensor([[[0.1, 0.9], [0.5, 0.3], [0.2, 0.2], [0.7, 0.4]]])
    >>> message = network.gradients(model[None], x, torch.tensor([[2, 0, 2, 2]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(2,), classes=3, batch_size=4)
    >>> facts = PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network)
    >>> LabelCounts().spy(facts).counts
    tensor([[1, 0, 3]])
    """

    reference: ClassVar[str] = "Ma et al., Instance-wise Batch Label Restoration via Gradients, ICLR 2023"
    unfit: ClassVar[str] = (
        "in trained models as a verdict on the attack: what is learnt well leaves little in a gradient, so a low "
        "number tells of the model"
    )
    observers: ClassVar[tuple[str, ...]] = ("server", "wire")
    knowledge: ClassVar[Capability] = (
        Capability.MESSAGE | Capability.MODEL | Capability.LOSS | Capability.BATCH_SIZE | TO_GRADIENTS
    )

    method: Annotated[
        Literal["uniform", "greedy", "features", "auxiliary"],
        Doc("how the probabilities are guessed: `auxiliary` needs public samples"),
    ] = "features"

    def required_knowledge(self) -> Capability:
        return self.knowledge | (Capability.AUX if self.method == "auxiliary" else Capability.NOTHING)

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        return None if network.last is not None else "the last layer of the model is not linear with a bias"

    def infer(self, view: PrivacyView) -> Labels:
        from robustfl.threats.privacy.labels import label_counts

        return Labels(
            counts=label_counts(
                view.network,
                view.models,
                view.gradients(),
                view.batch_size * view.steps,
                method=self.method,
                auxiliary=view.auxiliary if self.method == "auxiliary" else None,
            )
        )
