"""Rounds in which clients rank the edges of a frozen network, and the server counts votes: the channel `rankings`."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from robustfl.aggregation.votes.contract import RankAggregator
from robustfl.errors import InfeasibleError, ParameterError
from robustfl.federation.channels.supermask import Supermask
from robustfl.federation.settings import Federation
from robustfl.federation.simulation import Ids, Simulation
from robustfl.federation.task import Population
from robustfl.threats import Attack, Knowledge, SybilAttack
from robustfl.threats.rankings import Layers, RankAdversary, RankAttack, RankFacts

if TYPE_CHECKING:
    from torch import Tensor


class RankedSimulation(Simulation):
    """A federation that learns which edges of a frozen random network to keep.

    Clients, identities, samples, batches and local steps are those of every other federation with this seed. A round:
    every client starts from the scores that the global ranking stands for, trains them as the defense says, and sends
    the ranking of its scores, layer by layer; the server votes. Of the settings, `message`, `local_learning_rate`,
    `client_momentum` and the server's optimiser have no meaning here.

    `weights` are those of the masked network, so that it is measured like any other. Messages are [k, sum of m_l]
    integers, the layers one after the other.

    Raises
    ------
    ParameterError : the defense does not vote on rankings, or the attack is made for other messages
    """

    def __init__(
        self,
        population: Population,
        settings: Federation,
        defense: Any,
        *,
        attack: Attack | SybilAttack | None = None,
        seed: int = 0,
        **values: Any,
    ) -> None:
        if not isinstance(defense, RankAggregator):
            raise ParameterError(f"The rounds of the channel 'rankings' need a RankAggregator. Found {defense!r}.")
        if attack is not None and not attack.fits(defense.channel):
            raise ParameterError(f"{attack!r} attacks other messages than rankings. {defense!r} cannot meet it.")
        settings = settings.model_copy(update={"client_momentum": 0.0})
        server: Any = defense  # all that the base class would ask an aggregator for is overridden below
        super().__init__(population, settings, server, attack=attack, seed=seed, **values)
        self.rule = defense
        self.network = Supermask(population, defense.training, self._train, seed)
        self.scores = self.network.scores
        self.weights = self.network.masked(self.scores)
        self.rank_adversary = RankAdversary(self.attack) if isinstance(self.attack, RankAttack) else None
        self.sent = tuple(defense.sent(edges) for edges in self.network.edges)

    def client_messages(self, number: int, ids: Ids, features: Tensor, labels: Tensor) -> Tensor:
        scores = self.network.trained(self.scores, features, labels, number, self.starts)
        rankings = self.network.rankings(scores)
        return self._joined([layer[:, -sent:] for layer, sent in zip(rankings, self.sent, strict=True)])

    def attacked(self, number: int, malicious: Ids, honest: Ids, own: Tensor | None, messages: Tensor) -> Tensor:
        if not len(malicious):
            return messages
        if self.rank_adversary is None or not len(honest):
            assert own is not None
            return torch.cat([own, messages])

        def own_rankings() -> Layers:
            assert own is not None, "computed whenever the attack declares to know it or pauses"
            return self._layers(own)

        facts = RankFacts(
            round=number,
            f=len(malicious),
            edges=self.network.edges,
            sent=self.sent,
            keep=self.rule.training.keep,
            honest=self._layers(messages),
            own=own_rankings,
            vote=self._vote,
            rng=self.rng["attack"],
        )
        return torch.cat([self._joined(self.rank_adversary.craft(facts)), messages])

    def aggregated(self, messages: Tensor, ids: Ids) -> Tensor | None:
        self.answer = None
        if not len(ids):
            self.trace.held_rounds += 1
            return None
        try:
            names = self.members.names(ids).tolist()
            answer = self.answer = self.rule.aggregate(self._layers(messages), ids=names, edges=self.network.edges)
        except InfeasibleError:
            self.trace.held_rounds += 1
            self.trace.rejected_rows += len(ids)
            return None
        self.trace.rejected_rows += int(answer.rejected.sum())
        return self._joined([ranking[None] for ranking in answer.value])[0]

    def apply(self, aggregate: Tensor) -> None:
        self.previous_weights = self.weights
        self.scores = self.network.ranked(_split(aggregate[None], self.network.edges, first=True))
        self.weights = self.network.masked(self.scores)

    def message_bytes(self) -> tuple[float, float]:
        edges = self.network.edges
        return self.rule.upload_bytes(edges), self.rule.download_bytes(edges)

    def _own_messages_wanted(self, number: int) -> bool:
        if not isinstance(self.attack, RankAttack):
            return True
        return Knowledge.OWN in self.attack.required_knowledge() or not self.attack.active(number)

    def _vote(self, rankings: Layers) -> Layers:
        value: Layers = self.rule.preview(list(rankings), edges=self.network.edges).value
        return value

    def _joined(self, layers: Layers) -> Tensor:
        return torch.as_tensor(np.concatenate(layers, axis=1, dtype=np.int64))

    def _layers(self, messages: Tensor) -> list[Any]:
        return _split(messages, self.sent)


def _split(messages: Tensor, lengths: tuple[int, ...], first: bool = False) -> list[Any]:
    """The layers [k, m_l] of messages [k, sum of m_l]; of the first row alone, [m_l]."""
    layers = [messages[:, start:stop].numpy() for start, stop in pairwise(accumulate(lengths, initial=0))]
    return [layer[0] for layer in layers] if first else layers
