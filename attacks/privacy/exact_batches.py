"""Recovers whole small batches exactly from the gradient of a fully connected first layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from robustfl.threats.privacy.network import Network


@dataclass(frozen=True, kw_only=True)
class ExactBatches(PrivacyAttack):
    """Exact batches: splits the gradient of the first layer into the samples of the batch, and proves the result.

    Formula: a first layer with ReLU has the gradient ``[dW | db] = D [X | 1]``, where column i of D is zero at every
    neuron that sample i leaves inactive. A singular value decomposition gives both factors up to a B x B matrix, and
    the zeros of D tell that matrix; see :func:`~robustfl.threats.privacy.exact_batches.solve_batch`. Then the label of
    each sample is the one that explains its column of D. The batch is certified when the gradient of the recovered
    samples and labels equals the message to 1e-4: the attacker knows that it has succeeded, without the truth.

    Shapes: [k, d] -> as many samples as the gradient has ranks, for each of k sightings; none for batches above 12.

    Cost: some 2 ms for a batch of 2, 0.1 s for 4, and up to 1 s for 8 with 64 neurons, on one core.

    Guarantee: a certified batch is right. Batches are recovered where each sample leaves B - 1 or more neurons
    inactive that tell the other samples apart: as a rule up to B = 8 early in a training with 64 neurons or more, and
    up to 3 or 4 later, when most neurons are active for most samples. Noise of any size stops it, and so do several
    local steps, whose gradients are those of different models.

    Knowledge: messages, the model, and its loss.

    References
    ----------
    D. I. Dimitrov, M. Baader, M. N. Müller, M. Vechev. SPEAR: Exact Gradient Inversion of Batches in Federated
    Learning. NeurIPS 2024.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import ExactBatches
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = [torch.nn.Flatten(), torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)]
    >>> network = Network(torch.nn.Sequential(*layers), (1, 2, 2), classes=3)
    >>> model = torch.randn(network.d, generator=torch.Generator().manual_seed(3))
    >>> secret = torch.rand(1, 2, 1, 2, 2, generator=torch.Generator().manual_seed(2))  # one client, two samples
    >>> message = network.gradients(model[None], secret, torch.tensor([[2, 0]]))[0]
    >>> seen = Sighting(round=0, client=0, senders=(0,), model=model, message=message)
    >>> about = Circumstances(shape=(1, 2, 2), classes=3, batch_size=2)
    >>> facts = PrivacyFacts(observer="server", sightings=[seen], circumstances=about, network=network)
    >>> found = ExactBatches().spy(facts)
    >>> found.certified.tolist(), sorted(found.labels[0].tolist())
    ([2], [0, 2])
    >>> apart = torch.cdist(found.features[0].flatten(1), secret[0].flatten(1)).amin(dim=1)
    >>> bool((apart < 1e-4).all())
    True
    """

    reference: ClassVar[str] = "Dimitrov et al., SPEAR: Exact Gradient Inversion of Batches, NeurIPS 2024"
    unfit: ClassVar[str] = (
        "where messages hold noise or several local steps, which stop it; or for batches of more than 12 samples, "
        "which it does not try"
    )
    observers: ClassVar[tuple[str, ...]] = ("server", "wire", "sum")
    knowledge: ClassVar[Capability] = (
        Capability.MESSAGE
        | Capability.MODEL
        | Capability.LOSS
        | Capability.LEARNING_RATE
        | Capability.STEPS
        | Capability.MOMENTUM
        | Capability.HISTORY
    )

    summed: Annotated[
        bool, Doc("whether it takes the sum of all messages for one batch, which is all that the observer `sum` sees")
    ] = False
    subsets: Annotated[
        int, Ge(1), Le(10_000_000), Doc("sets of neurons that are tried; more find larger batches, in more time")
    ] = 60_000
    restarts: Annotated[int, Ge(1), Le(1000), Doc("how often the choice among what was found begins again")] = 12

    def required_knowledge(self) -> Capability:
        return self.knowledge & ~Capability.MESSAGE | Capability.SUM if self.summed else self.knowledge

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        from robustfl.threats.privacy.proving import rectified

        return None if rectified(network) else "the model does not begin with a fully connected layer and ReLU"

    def infer(self, view: PrivacyView) -> Reconstruction:
        from robustfl.threats.privacy.proving import reconstruction, recover_batch

        network, models = view.network, view.models
        found = [
            recover_batch(network, model, gradient, rng=view.rng, subsets=self.subsets, restarts=self.restarts)
            for model, gradient in zip(models, view.gradients(), strict=True)
        ]
        return reconstruction(found, view)
