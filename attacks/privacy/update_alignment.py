"""Asks whether a client's messages point where the gradient of a sample points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from typing_extensions import Doc

from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Memberships
from robustfl.threats.privacy.view import PrivacyView

if TYPE_CHECKING:
    from torch import Tensor

_VALUES = 2**22
"""The number of values in the gradients that are computed at once."""


@dataclass(frozen=True, kw_only=True)
class UpdateAlignment(PrivacyAttack):
    """Update alignment: a client whose gradients have a part along that of a sample was trained on it.

    Formula: with the gradient g of a sample at the model w_t, and the mean gradient m_t of its client's message in
    round t, the score is ``sum_t cos(g(w_t), m_t)``. With `centred` the mean of the other clients' gradients of the
    round is subtracted first, since it is what all data have in common, and the score is
    ``sum_t <g(w_t), m_t - mean of the others> / ||g(w_t)||``.

    Shapes: [k, d] messages, [q] candidates -> [q] scores. Cost: one gradient per candidate and watched round. It needs
    no shadow models.

    Knowledge: the messages of single clients and the models from which they started. A candidate is compared with the
    messages of the client whose sample it would be.

    References
    ----------
    M. Nasr, R. Shokri, A. Houmansadr. Comprehensive Privacy Analysis of Deep Learning. IEEE Symposium on Security and
    Privacy, 2019 (attacks by gradients); the score without a trained attack model is robustfl's own.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from robustfl.attacks import UpdateAlignment
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> network = Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)), (1, 1, 2), classes=2)
    >>> model, samples = torch.zeros(6), torch.tensor([[[[3.0, 0.0]]], [[[0.0, 1.0]]]])
    >>> message = network.gradients(model[None], samples[None, :1], torch.tensor([[0]]))[0]  # of the first sample alone
    >>> facts = PrivacyFacts(
    ...     observer="server",
    ...     sightings=[Sighting(round=0, client=5, senders=(5,), model=model, message=message)],
    ...     circumstances=Circumstances(shape=(1, 1, 2), classes=2),
    ...     network=network,
    ...     candidates=(samples, torch.tensor([0, 1])),
    ...     owners=np.array([5, 5]),
    ... )
    >>> UpdateAlignment().spy(facts).scores.numpy().round(3)
    array([ 1.   , -0.224])
    """

    reference: ClassVar[str] = "Nasr, Shokri and Houmansadr, Comprehensive Privacy Analysis of Deep Learning, S&P 2019"
    unfit: ClassVar[str] = (
        "where only sums of messages are seen, as a candidate is compared with the messages of one client"
    )
    observers: ClassVar[tuple[str, ...]] = ("server", "wire")
    knowledge: ClassVar[Capability] = (
        Capability.MESSAGE
        | Capability.MODEL
        | Capability.LOSS
        | Capability.LEARNING_RATE
        | Capability.STEPS
        | Capability.MOMENTUM
        | Capability.HISTORY
    )
    judges_members: ClassVar[bool] = True

    centred: Annotated[bool, Doc("whether the mean of the other clients' gradients is subtracted")] = False

    def infer(self, view: PrivacyView) -> Memberships:
        import torch

        features, labels = view.candidates
        owners, models, sent = view.owners, view.models, self._compared(view)
        scores = torch.zeros(len(labels), dtype=torch.float64, device=sent.device)
        for places in _together(view.rounds, models):
            row = {view.clients[place]: place for place in places}  # the message of each client of the round
            own = np.flatnonzero(np.isin(owners, [client for client in row if client is not None]))
            if len(own):
                rows = [row[client] for client in owners[own].tolist()]
                at = torch.as_tensor(own, device=sent.device)
                scores[at] += self._aligned(view, models[places[0]], features[at], labels[at], sent[rows])
        return Memberships(scores=scores.cpu())

    def _compared(self, view: PrivacyView) -> Tensor:
        """What gradients of samples are compared with: the mean gradient of each message, [k, d]."""
        import torch

        sent, rounds = view.gradients().double(), np.array(view.rounds)
        if not self.centred:
            return sent
        centred = sent.clone()
        for place, number in enumerate(rounds.tolist()):
            others = np.flatnonzero((rounds == number) & (np.arange(len(rounds)) != place))
            if len(others):
                centred[place] -= sent[torch.as_tensor(others, device=sent.device)].mean(dim=0)
        return centred

    def _aligned(self, view: PrivacyView, model: Tensor, features: Tensor, labels: Tensor, sent: Tensor) -> Tensor:
        """How far messages [m, d] point where the gradients of samples [m, *shape] at a model [d] point, [m]."""
        import torch

        found, size = [], max(1, _VALUES // len(model))
        for start in range(0, len(labels), size):
            x, y, message = (part[start : start + size] for part in (features, labels, sent))
            each = view.network.gradients(model.expand(len(y), -1), x[:, None], y[:, None]).double()
            lengths = each.norm(dim=1) * (1.0 if self.centred else message.norm(dim=1))
            inner = (each * message).sum(dim=1)
            found.append(torch.where(lengths > 0, inner / lengths, 0.0))  # nothing to learn, nothing to see
        return torch.cat(found)


def _together(rounds: Sequence[int], models: Tensor) -> list[list[int]]:
    """The places of sightings of one round whose senders started from the same model."""
    import torch

    groups: list[list[int]] = []
    for place, number in enumerate(rounds):
        last = groups[-1][0] if groups else None
        if last is not None and rounds[last] == number and torch.equal(models[last], models[place]):
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
