"""Messages that are rankings: clients rank the edges of a frozen network, and the server counts votes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from robustfl.aggregation import Aggregation
from robustfl.errors import ParameterError
from robustfl.federation.briefing import imagined_order
from robustfl.federation.channels.contract import Channel
from robustfl.federation.channels.supermask import Supermask
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.round import Ids, Lesson, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.federation.transforms import Transform
from robustfl.threats import Adversary, Knowledge
from robustfl.threats.rankings import Layers, RankAttack, RankFacts

if TYPE_CHECKING:
    from torch import Tensor


class RankedModel:
    """A frozen network whose scores follow from the global ranking; see :class:`ServerModel`.

    `state` [d] holds the scores; `weights` [d] holds the weights of the masked network, so that the model is measured
    like any other.
    """

    def __init__(self, network: Supermask) -> None:
        self._network = network
        self.state = network.scores
        self.weights = network.masked(self.state)
        self.previous: Tensor | None = None

    def step(self, aggregate: Tensor) -> None:
        """Set the scores to those that a global ranking [sum of n_l] stands for."""
        self.previous = self.weights
        self.state = self._network.ranked(_split(aggregate[None], self._network.edges, first=True))
        self.weights = self._network.masked(self.state)


class Rankings(Channel):
    """Rankings of the edges of a frozen random network, layer by layer.

    Clients, identities, samples, batches and local steps are the same as in every other federation with this seed.
    Every client starts from the scores that the global ranking stands for, trains them as the defense says, and sends
    the ranking of its scores. The settings `message`, `local_learning_rate`, `client_momentum` and the server's
    optimiser have no meaning here.

    Shapes: messages are integers [k, sum of m_l], with one layer after the other.

    Raises
    ------
    ParameterError : the defense does not vote on rankings
    """

    name: ClassVar[str] = "rankings"
    scales: ClassVar[bool] = False

    def __init__(self, setup: Setup, work: ClientWork, defense: Any, transforms: Sequence[Transform] = ()) -> None:
        if not hasattr(defense, "training"):
            raise ParameterError(f"The rounds of the channel 'rankings' need a RankAggregator. Found {defense!r}.")
        super().__init__(setup, work, defense, transforms)
        self.network = Supermask(setup.population, defense.training, work.trainer, setup.seed)
        self.sent = tuple(defense.sent(edges) for edges in self.network.edges)
        self._keep = defense.training.keep
        self._adversary = Adversary(setup.attack) if isinstance(setup.attack, RankAttack) else None

    def model(self) -> RankedModel:
        return RankedModel(self.network)

    def messages(self, models: Tensor, lesson: Lesson, number: int) -> Tensor:
        scores = self.network.trained(models, lesson.features, lesson.labels, number, lesson.starts)
        rankings = self.network.rankings(scores)
        return _joined([layer[:, -sent:] for layer, sent in zip(rankings, self.sent, strict=True)])

    def wants_own(self, number: int) -> bool:
        attack = self.setup.attack
        if not isinstance(attack, RankAttack):
            return True
        return Knowledge.OWN in attack.required_knowledge() or not attack.active(number)

    def crafted(self, round: Round, receiver: Receiver, messages: Tensor) -> Tensor | None:
        if self._adversary is None:
            return None
        edges = self.network.edges

        @cache  # many attacks never ask the defense
        def asked() -> tuple[Ids, list[Hashable]]:
            order = imagined_order(self.setup, round, receiver)
            members = np.concatenate([receiver.malicious, receiver.honest])[order]
            return order, self.setup.pseudonyms.of(self.setup.members.names(members).tolist())

        def vote(rankings: Layers) -> Layers:
            order, names = asked()
            shuffled = [layer[order] for layer in rankings]
            value: Layers = receiver.defense.preview(shuffled, ids=names, edges=edges).value
            return value

        facts = RankFacts(
            round=round.number,
            f=len(receiver.malicious),
            edges=edges,
            sent=self.sent,
            keep=self._keep,
            honest=self._layers(messages),
            own=lambda: self._layers(self.own_messages(round, receiver)),
            aggregate=vote,
            receiver=receiver.who,
            rng=self.setup.rng["attack"],
        )
        return _joined(self._adversary.craft(facts))

    def ask(self, receiver: Receiver, rows: Tensor, names: list[Hashable], *, preview: bool = False) -> Aggregation:
        asked = receiver.defense.preview if preview else receiver.defense.aggregate
        answer: Aggregation = asked(self._layers(rows), ids=names, edges=self.network.edges)
        return answer

    def vector(self, answer: Aggregation) -> Tensor:
        return _joined([ranking[None] for ranking in answer.value])[0]

    def message_bytes(self) -> tuple[float, float]:
        edges = self.network.edges
        return self.defense.upload_bytes(edges), self.defense.download_bytes(edges)

    def _layers(self, messages: Tensor) -> list[Any]:
        return _split(messages, self.sent)


def _joined(layers: Sequence[Any]) -> Tensor:
    return torch.as_tensor(np.concatenate(layers, axis=1, dtype=np.int64))


def _split(messages: Tensor, lengths: tuple[int, ...], first: bool = False) -> list[Any]:
    """Split messages [k, sum of m_l] into their layers [k, m_l], or, with `first`, the first row into layers [m_l]."""
    layers = [messages[:, start:stop].numpy() for start, stop in pairwise(accumulate(lengths, initial=0))]
    return [layer[0] for layer in layers] if first else layers
