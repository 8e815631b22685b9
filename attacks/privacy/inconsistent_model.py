"""Turns a secure sum into the message of one client, by models that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.privacy.network import Network


@dataclass(frozen=True, kw_only=True)
class InconsistentModel(PrivacyAttack):
    """Model inconsistency: the first layer of all clients but the victim is dead, so that the sum is the victim's.

    Formula: the victim gets the honest model, and all others one with the biases ``-bias`` in the first layer. ReLU
    leaves every neuron of theirs inactive, so their gradients of that layer are exactly zero, and the sum of all
    messages is the victim's message there, to the last bit. Its batch is then recovered as by
    :class:`~robustfl.attacks.ExactBatches`. Certificates compare the first layer alone, since the other layers hold
    what the others learnt.

    Secure aggregation does not help, for it hides who sent what and not what was asked. Clients that compare the models
    that they got do notice; see :class:`~robustfl.defenses.ConsistencyCheck`.

    Shapes and cost: as for `ExactBatches`, for one victim in each sighting.

    Guarantee: the sum of the first layer is the victim's message exactly if no sender has momentum. With client
    momentum the sum of the round before is subtracted, which leaves rounding.

    Knowledge: the choice of each client's model, the sum of messages, and the loss.

    References
    ----------
    D. Pasquini, D. Francati, G. Ateniese. Eluding Secure Aggregation in Federated Learning via Model Inconsistency.
    ACM CCS 2022.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import InconsistentModel
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = [torch.nn.Flatten(), torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)]
    >>> network = Network(torch.nn.Sequential(*layers), (1, 2, 2), classes=3)
    >>> model = torch.randn(network.d, generator=torch.Generator().manual_seed(1))
    >>> asked = Sighting(round=0, client=1, senders=(1,), model=model)
    >>> about = Circumstances(shape=(1, 2, 2), classes=3)
    >>> facts = PrivacyFacts(observer="active", sightings=[asked], circumstances=about, network=network)
    >>> view = InconsistentModel().view(facts)
    >>> InconsistentModel().model(view, 1) is None
    True
    >>> dead = InconsistentModel().model(view, 2)
    >>> message = network.gradients(dead[None], torch.rand(1, 5, 1, 2, 2), torch.tensor([[0, 1, 2, 0, 1]]))[0]
    >>> [int(part.count_nonzero()) for part in network.first.of(message)]
    [0, 0]
    """

    reference: ClassVar[str] = (
        "Pasquini et al., Eluding Secure Aggregation in Federated Learning via Model Inconsistency, CCS 2022"
    )
    unfit: ClassVar[str] = (
        "where clients compare the models that they got, see `consistency_check`; or where the server follows the "
        "protocol"
    )
    observers: ClassVar[tuple[str, ...]] = ("active",)
    knowledge: ClassVar[Capability] = (
        Capability.SUM
        | Capability.ACTIVE
        | Capability.MODEL
        | Capability.LOSS
        | Capability.LEARNING_RATE
        | Capability.STEPS
        | Capability.MOMENTUM
        | Capability.HISTORY
    )
    singles_out: ClassVar[bool] = True

    bias: Annotated[
        float, Gt(0), Le(1e30), Doc("minus the biases that switch a first layer off; far above any sum of its inputs")
    ] = 1000.0
    subsets: Annotated[
        int, Ge(1), Le(10_000_000), Doc("sets of neurons that are tried; more find larger batches, in more time")
    ] = 60_000
    restarts: Annotated[int, Ge(1), Le(1000), Doc("how often the choice among what was found begins again")] = 12

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        from robustfl.threats.privacy.proving import rectified

        return None if rectified(network) else "the model does not begin with a fully connected layer and ReLU"

    def model(self, view: PrivacyView, client: int) -> Tensor | None:
        if client == view.clients[0]:
            return None
        first = view.network.first
        assert first is not None, "not applicable without"
        dead = view.models[0].clone()
        dead[first.bias] = -self.bias
        return dead

    def infer(self, view: PrivacyView) -> Reconstruction:
        from robustfl.threats.privacy.proving import reconstruction, recover_batch

        network, models = view.network, view.models
        found = [
            recover_batch(
                network,
                model,
                gradient,
                rng=view.rng,
                subsets=self.subsets,
                restarts=self.restarts,
                first_layer_only=True,
            )
            for model, gradient in zip(models, view.gradients(), strict=True)
        ]
        return reconstruction(found, view)
