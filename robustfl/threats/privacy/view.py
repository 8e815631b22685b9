"""What was seen of a federation, and what an attack on privacy is handed of it.

:class:`Sighting` is one thing that was seen. :class:`PrivacyFacts` holds everything that an observer could know, and
only the machine sees it. An attack sees a :class:`PrivacyView`, which hands out what the attack has declared. For the
rest it raises :class:`~robustfl.errors.KnowledgeError`. The samples of the senders are in none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import AttackError, KnowledgeError
from robustfl.threats.privacy.capability import Capability

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.privacy.membership import Shadows
    from robustfl.privacy.pairs import FloatArray
    from robustfl.threats.privacy.network import Network

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """What was seen once: a message, or only a model.

    Attributes
    ----------
    round : the number of the round, from 0; for the final model the number of all rounds
    client : the client that is spied on; None where nobody is singled out
    senders : the clients whose samples are behind the message; for a sum all of them
    model : [d] the model from which they started; where clients have models of their own that nobody sees, the copy
        that the observer has made of the client's model, or a model that learns what everybody hears
    message : [m] what was seen, after everything that clients do to messages; a sum if there are several senders; None
        for an observer that sees models alone
    samples : [b, *shape] and [b] the virtual samples and labels that the client sent, if it sends such; the message is
        then the update that they give
    previous : [m] what the same sender sent the last time; None if it never did, or nobody asked for it
    """

    round: int
    client: int | None
    senders: tuple[int, ...]
    model: Tensor
    message: Tensor | None = None
    samples: tuple[Tensor, Tensor] | None = None
    previous: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is public about a federation, for everybody who watches it.

    Attributes
    ----------
    shape : the shape of one sample
    classes : the number of classes, C
    low, high : the range of the data: a number each, or one value per feature
    images : whether samples are images [channels, height, width]
    clients : the number of clients
    message : whether messages are gradients, or differences of models
    own_models : whether clients have models of their own, so that each sample should be asked about at its owner's
    batch_size, steps, learning_rate, momentum : what clients do in a round, see the settings of a federation
    """

    shape: tuple[int, ...]
    classes: int
    low: Tensor | float = 0.0
    high: Tensor | float = 1.0
    images: bool = True
    clients: int = 1
    message: Literal["gradient", "delta"] = "gradient"
    own_models: bool = False
    batch_size: int = 1
    steps: int = 1
    learning_rate: float = 0.1
    momentum: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ShadowRuns:
    """Federations that a spy has trained itself, with the same settings, each on another half of the candidates.

    Attributes
    ----------
    models : [s, d] the last model of each that the observer would have seen
    candidates : what these models say of the candidates, and which candidates were among their training data
    auxiliary : [s, N] what they say of the public samples, see :func:`robustfl.privacy.confidence`
    """

    models: Tensor
    candidates: Shadows
    auxiliary: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PrivacyFacts:
    """Everything that an observer could know; only the machine sees it.

    Attributes
    ----------
    observer : who watches, one of :data:`~robustfl.threats.privacy.capability.OBSERVERS`
    sightings : the k sightings, in the order of rounds
    circumstances, network : the rules of the federation, and the network that its clients train
    auxiliary : public samples [N, *shape] and their labels [N]
    labels : [k, n] the true labels behind each sighting
    candidates : [q, *shape] and [q]: samples of which an attack on membership says whether they were trained on
    owners : [q] the client that would have trained on each candidate
    shadows : federations like this one, whose training data are known
    rng : the attack's own generator
    """

    observer: str
    sightings: Sequence[Sighting]
    circumstances: Circumstances
    network: Network
    auxiliary: tuple[Tensor, Tensor] | None = None
    labels: Tensor | None = None
    candidates: tuple[Tensor, Tensor] | None = None
    owners: NDArray[np.int64] | None = None
    shadows: ShadowRuns | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class PrivacyView:
    """What an attack on privacy sees: k sightings at once, so that all of them share one computation.

    Every attack may see the `observer` as which it watches, its own generator `rng`, and the shape, the classes and the
    range of the data (`shape`, `classes`, `low`, `high`, `images`); of each sighting its round, its client and its
    senders. Everything else needs the capability that its description names.
    """

    def __init__(self, facts: PrivacyFacts, capability: Capability, owner: str) -> None:
        self._facts, self._capability, self._owner = facts, capability, owner
        about = facts.circumstances
        self.observer, self.rng = facts.observer, facts.rng
        self.shape, self.classes, self.images = about.shape, about.classes, about.images
        self.low, self.high = about.low, about.high
        self.rounds = tuple(sighting.round for sighting in facts.sightings)
        self.clients = tuple(sighting.client for sighting in facts.sightings)
        self.senders = tuple(sighting.senders for sighting in facts.sightings)

    def __len__(self) -> int:
        """The number k of sightings."""
        return len(self._facts.sightings)

    @property
    def models(self) -> Tensor:
        """The models [k, d] from which the senders started (needs MODEL)."""
        self._need(Capability.MODEL, "the models of clients")
        return self._stacked([sighting.model for sighting in self._facts.sightings])

    @property
    def messages(self) -> Tensor:
        """The messages [k, m], after everything that clients do to them (needs MESSAGE; for sums, SUM)."""
        summed = any(len(senders) > 1 for senders in self.senders)
        if summed or Capability.MESSAGE not in self._capability:
            self._need(Capability.SUM, "the sum of messages")
        found = [sighting.message for sighting in self._facts.sightings]
        return self._stacked([self._given(message, "a message") for message in found])

    @property
    def samples(self) -> list[tuple[Tensor, Tensor]]:
        """For each sighting the virtual samples ``[b, *shape]`` and labels [b] that its client sent (needs MESSAGE)."""
        self._need(Capability.MESSAGE, "the samples that clients send")
        return [self._given(sighting.samples, "virtual samples") for sighting in self._facts.sightings]

    @property
    def previous(self) -> Tensor:
        """What the same senders sent the last time, [k, m]; zeros if they never did (needs HISTORY)."""
        self._need(Capability.HISTORY, "earlier messages")
        found = [(s.previous, self._given(s.message, "a message")) for s in self._facts.sightings]
        return self._stacked([now.new_zeros(now.shape) if before is None else before for before, now in found])

    @property
    def batch_size(self) -> int:
        """The number of samples in a batch (needs BATCH_SIZE)."""
        self._need(Capability.BATCH_SIZE, "the batch size")
        return self._facts.circumstances.batch_size

    @property
    def steps(self) -> int:
        """The number of local steps (needs STEPS)."""
        self._need(Capability.STEPS, "the number of local steps")
        return self._facts.circumstances.steps

    @property
    def learning_rate(self) -> float:
        """The step size of local steps (needs LEARNING_RATE)."""
        self._need(Capability.LEARNING_RATE, "the local learning rate")
        return self._facts.circumstances.learning_rate

    @property
    def momentum(self) -> float:
        """The momentum of clients (needs MOMENTUM)."""
        self._need(Capability.MOMENTUM, "the momentum of clients")
        return self._facts.circumstances.momentum

    @property
    def network(self) -> Network:
        """The network and its loss (needs LOSS)."""
        self._need(Capability.LOSS, "the network and its loss")
        return self._facts.network

    @property
    def labels(self) -> Tensor:
        """The true labels [k, n] behind each sighting (needs LABELS, which no real spy has)."""
        self._need(Capability.LABELS, "the true labels")
        return self._given(self._facts.labels, "true labels")

    @property
    def auxiliary(self) -> tuple[Tensor, Tensor]:
        """Public samples ``[N, *shape]`` and their labels [N] (needs AUX)."""
        self._need(Capability.AUX, "public samples")
        return self._given(self._facts.auxiliary, "public samples")

    @property
    def candidates(self) -> tuple[Tensor, Tensor]:
        """The samples ``[q, *shape]`` and labels [q] of which an attack on membership speaks."""
        return self._given(self._facts.candidates, "candidates for membership")

    @property
    def owners(self) -> NDArray[np.int64]:
        """The client [q] that would have trained on each candidate (needs MESSAGE, since a message has a sender)."""
        self._need(Capability.MESSAGE, "the owners of candidates")
        return self._given(self._facts.owners, "the owners of candidates")

    @property
    def shadows(self) -> ShadowRuns:
        """Federations that the spy has trained itself (needs SHADOWS)."""
        self._need(Capability.SHADOWS, "shadow federations")
        return self._given(self._facts.shadows, "shadow federations")

    def confidences(self, samples: tuple[Tensor, Tensor]) -> FloatArray:
        """What the last model that was seen says of samples ``[m, *shape]`` and labels [m], [m] (needs MODEL and LOSS).

        See :func:`robustfl.privacy.confidence`.
        """
        self._need(Capability.MODEL, "the models of clients")
        return self.network.confidences(self._facts.sightings[-1].model, *samples)

    def known(self) -> FloatArray:
        """What the models that were seen say of the candidates [q] (needs MODEL and LOSS).

        It is the last model, or where clients have models of their own, the last one that was seen of each owner.
        """
        self._need(Capability.MODEL, "the models of clients")
        facts = self._facts
        return asked(self.network, facts.sightings, self.candidates, facts.owners, own=facts.circumstances.own_models)

    def gradients(self) -> Tensor:
        """The mean gradients [k, d] of the senders' samples, as far as messages tell them.

        Formula: a difference of models is divided by minus the learning rate and the number of steps, which gives the
        mean of the gradients over the steps. With momentum beta, an attack that declares MOMENTUM and HISTORY gets
        ``(m_t - beta m_{t-1}) / (1 - beta)``, where m_{t-1} is 0 for the first message; others get m_t itself. A sum is
        divided by the number of senders.

        Needs MESSAGE, or SUM for sums; for differences also LEARNING_RATE and STEPS.
        """
        about, found = self._facts.circumstances, self.messages
        if about.momentum and Capability.MOMENTUM | Capability.HISTORY in self._capability:
            found = (found - about.momentum * self.previous) / (1.0 - about.momentum)
        if about.message == "delta":
            found = found / (-self.learning_rate * self.steps)
        return found / found.new_tensor([len(senders) for senders in self.senders])[:, None]

    def clamped(self, features: Tensor) -> Tensor:
        """The features ``[..., *shape]`` within the range of the data."""
        import torch

        low, high = (torch.as_tensor(end).to(features) for end in (self.low, self.high))
        return features.clamp(low, high)

    def _stacked(self, parts: Sequence[Tensor]) -> Tensor:
        import torch

        return torch.stack(list(parts))

    def _need(self, capability: Capability, what: str) -> None:
        if capability not in self._capability:
            declared = ", ".join(self._capability.names()) or "nothing"
            raise KnowledgeError(
                f"{self._owner} looked at {what}, which needs the capability '{capability.names()[0]}'. "
                f"It declares: {declared}. Declare it, or do without."
            )

    def _given(self, value: T | None, what: str) -> T:
        if value is None:
            raise AttackError(f"{self._owner} needs {what}, which was not given.")
        return value


def asked(
    network: Network,
    sightings: Sequence[Sighting],
    samples: tuple[Tensor, Tensor],
    owners: NDArray[np.int64] | None,
    *,
    own: bool,
) -> FloatArray:
    """The confidences [q] in samples: of the last model that was seen, or with `own` of the last one of each owner.

    An owner of whom nothing was seen is asked for at the last model of all.
    """
    last = sightings[-1].model
    if not own or owners is None:
        return network.confidences(last, *samples)
    models = {sighting.client: sighting.model for sighting in sightings}
    found = np.empty(len(owners), dtype=np.float64)
    for owner in np.unique(owners).tolist():
        rows = np.flatnonzero(owners == owner)
        found[rows] = network.confidences(models.get(owner, last), samples[0][rows], samples[1][rows])
    return found
