"""Clients that keep models of their own and get different parts of the aggregate, according to their merit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from robustfl.errors import ParameterError
from robustfl.federation.channels.contract import Channel
from robustfl.federation.round import Ids, Round
from robustfl.federation.setup import Setup
from robustfl.federation.topologies.ownership import Ownership
from robustfl.reputation.rewards import cutoffs

if TYPE_CHECKING:
    from torch import Tensor

INDEX_BYTES = 4
"""The number of bytes that state the place of an entry of a sparse reward."""


class Rewarding(Protocol):
    """What a defense that speaks the channel `rewards` must offer in addition to the contract of every aggregator.

    The `info` of its answers holds, by client, `quotas` (0 to 1, the share of the aggregate that the client gets),
    `kept` (the share of its own step that the client is to make) and `reputations`, and it holds `excluded`, the
    clients that are excluded for ever.
    """

    def begin(self, sizes: Mapping[Hashable, float]) -> None:
        """Forget everything; `sizes` are the clients' numbers of samples."""


class OwnModels(Ownership):
    """Clients start from the same model, train their own models, and never exchange these models.

    A client's own step is the message that it computed: a delta as it is, or a gradient times minus the server's
    learning rate. No client gets anything from the server. The server's model is the model that all the aggregates, in
    full, would have made.
    """

    def __init__(self, setup: Setup, channel: Channel) -> None:
        self._setup, self._settings = setup, setup.settings
        self.server = channel.model()
        self.own = setup.population.initial.repeat(setup.settings.clients, 1)  # [n, d]

    def models(self, round: Round, ids: Ids) -> Tensor:
        return self.own[ids]

    def served(self) -> Tensor:
        return self.own[self._setup.honest]

    def advance(self, round: Round) -> None:
        super().advance(round)
        self._step(round, {})

    def _step(self, round: Round, kept: Mapping[int, float]) -> None:
        """Move the model of every client that trained in this round; `kept` says to which share a step is cut."""
        assert round.lesson is not None
        assert round.computed is not None
        ids, messages = round.lesson.ids, round.computed
        rate = -self._settings.server.learning_rate if self._settings.message == "gradient" else 1.0
        factors = messages.new_tensor([rate * kept.get(client, 1.0) for client in ids.tolist()])
        self.own[ids] += factors[:, None] * messages


class Rewards(OwnModels):
    """Clients move their models by their own steps and by rewards from the server.

    A client that takes part in a round trains from its own model and sends the result. It then moves its model by its
    own step (which is cut if the defense says so) and by its reward. The reward consists, in each layer, of the entries
    of largest magnitude of the server's step, as many as the client's quota allows. Malicious clients get rewards as
    well, and an excluded client continues to train alone.

    Raises
    ------
    ParameterError : the defense is not a :class:`Rewarding`
    """

    def __init__(self, setup: Setup, channel: Channel) -> None:
        super().__init__(setup, channel)
        rule = channel.defense.stages[-1]
        if not hasattr(rule, "begin"):
            raise ParameterError(
                f"{rule!r} speaks the channel 'rewards' and should have a method `begin(sizes)`. See "
                f"{Rewarding.__module__}.Rewarding."
            )
        # These are the sizes that clients have declared, before any of them loses its samples to a fault.
        names = setup.pseudonyms.of(range(setup.settings.clients))
        rule.begin({name: float(len(part)) for name, part in zip(names, setup.clean.parts, strict=True)})
        self._malicious = set(setup.malicious.tolist())
        self._sent = 0.0

    def advance(self, round: Round) -> None:
        Ownership.advance(self, round)
        answer = round.receivers[0].answer
        kept = {} if answer is None else answer.info.get("kept", {})
        # Nobody can make malicious clients cut their steps.
        self._step(round, {client: part for client, part in kept.items() if client not in self._malicious})
        if answer is not None:
            self._reward(answer.info["quotas"])

    def downloaded(self) -> float:
        """The mean number of bytes that a client got in a round; rewards are sent sparse if that needs fewer bytes."""
        return self._sent / (self._settings.rounds * self._settings.per_round)

    def _reward(self, quotas: Mapping[int, float]) -> None:
        """Add to each client's own model its entries of the server's last step."""
        assert self.server.previous is not None
        step, ids = self.server.weights - self.server.previous, np.array(list(quotas), dtype=np.int64)
        received, start = step.new_zeros(len(ids)), 0
        for shape in self._setup.population.shapes.values():
            layer = step[start : start + shape.numel()]
            least = layer.new_tensor(cutoffs(layer, quotas.values()))
            mine = layer.abs() >= least[:, None]  # [k, size of the layer]
            self.own[ids, start : start + shape.numel()] += layer * mine
            received += mine.sum(dim=1)
            start += shape.numel()
        entry = step.element_size()
        most = entry * self._setup.population.d
        self._sent += float((received * (entry + INDEX_BYTES)).clamp(max=most).sum())
