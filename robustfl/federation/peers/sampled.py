"""A network in which the members of a sample train one model, and the next sample carries it on (MoDeST)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.neighbourhoods import ColumnMixer, Mixed
from robustfl.federation.channels.contract import Channel
from robustfl.federation.peers.hearing import Hearing
from robustfl.federation.peers.sampling import answering
from robustfl.federation.peers.topology import PeerToPeer, Post
from robustfl.federation.round import Ids, Round
from robustfl.federation.setup import Setup
from robustfl.federation.topologies.contract import Stopwatch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MiddleModel(ColumnMixer):
    """What a member makes of the models that it gets: the median in each column; its own, older model has no say."""

    uses_bound: ClassVar[bool] = False

    def columns(self, block: Array, b: int, ops: Kernels) -> Array:
        return ops.median(block[1:])


class SampledPeers(PeerToPeer):
    """The peers of a sample train and write to aggregators, who write to the next sample.

    Round k: the sample of k trains from the models that it got. Its members write to the aggregators, the first who are
    there in the order of round k + 1. Each aggregator applies the rule to what arrives, and to nothing of its own,
    unless it was in the sample as well. It writes to the first in that order who answer when round k + 1 begins: these
    are the next sample, and each of them has the median of the models that it gets. An aggregator whom no usable letter
    reached writes nothing; a member that gets no model keeps its own.

    Malicious members and malicious aggregators write what the attack says, to each receiver. A malicious aggregator
    that does not attack sends the mean of what it got. A peer's model is the last one that it was given, so peers who
    have not been in a sample for long have old models.

    Parameters
    ----------
    setup, channel, equivocation : as for every network of peers
    """

    def __init__(self, setup: Setup, channel: Channel, equivocation: bool = True) -> None:
        super().__init__(setup, channel, equivocation)
        assert self.network.samples is not None
        self.samples, self.middle = self.network.samples, MiddleModel()
        self._next: tuple[int, Ids] | None = None
        self._there: dict[int, NDArray[np.bool_]] = {}

    def sample(self, number: int) -> Round:
        chosen = self._next[1] if self._next is not None and self._next[0] == number else self._sampled(number)
        self.setup.members.number = number
        malicious, chosen = self.setup.members.malicious, np.sort(chosen)
        return Round(number=number, malicious=chosen[malicious[chosen]], honest=chosen[~malicious[chosen]])

    def gather(self, round: Round, watch: Stopwatch) -> None:
        """Members have the models that they were given at the end of the round before."""

    def exchange(self, round: Round, watch: Stopwatch) -> None:
        assert round.own is not None
        assert round.models is not None
        assert round.lesson is not None
        malicious = self.setup.members.malicious
        found, silent = answering(
            self.samples.order(round.number + 1), self._up(round.number), self.samples.aggregators
        )
        self.unanswered += silent
        aggregators, spoilt = np.sort(found[~malicious[found]]), np.sort(found[malicious[found]])
        starts = round.models[torch.as_tensor(round.lesson.place, device=self.own.device)]
        start = starts.mean(dim=0) if len(starts) else self.own.mean(dim=0)
        own = self._averages(round, spoilt)
        combined = self._collected(round, aggregators, len(spoilt) > 0, start, watch)
        chosen = np.sort(self._sampled(round.number + 1))
        self.setup.members.number = round.number
        self._next = round.number + 1, chosen
        self._handed_out(round, chosen, combined, (spoilt, own), start, watch)

    def _sampled(self, number: int) -> Ids:
        found, silent = answering(self.samples.order(number), self._up(number), self.samples.size)
        self.unanswered += silent
        return found

    def _up(self, number: int) -> NDArray[np.bool_]:
        """Who is there in a round; faults are asked once about each, in order."""
        if number not in self._there:
            self._there = {known: there for known, there in self._there.items() if known >= number - 1}
            self._there[number] = self.up(number)
        return self._there[number]

    def _averages(self, round: Round, spoilt: Ids) -> Tensor:
        """What malicious aggregators make of what they get: its mean, or their own model if they get nothing."""
        assert round.own is not None
        letters = torch.cat([round.sent, round.own])
        own = self.own[torch.as_tensor(spoilt, device=self.own.device)]
        return letters.mean(dim=0).repeat(len(spoilt), 1) if len(letters) else own

    def _collected(
        self, round: Round, aggregators: Ids, overheard: bool, start: Tensor, watch: Stopwatch
    ) -> tuple[Ids, Tensor]:
        """The honest aggregators who have a model to send, and these models [a, d]."""
        senders = np.union1d(round.honest, round.malicious)
        if not len(aggregators) or not len(senders):
            return aggregators[:0], self.own[:0]
        assert round.own is not None
        ids = np.concatenate([aggregators, np.setdiff1d(round.honest, aggregators)])
        models = self.own[torch.as_tensor(ids, device=self.own.device)]
        trained = np.flatnonzero(np.isin(ids, round.honest))
        models[torch.as_tensor(trained, device=models.device)] = round.sent[
            torch.as_tensor(np.searchsorted(round.honest, ids[trained]), device=models.device)
        ]
        bounds = self.network.bounds(self.network.graph())[aggregators]
        if self.rules.bound == "local":
            bounds = np.full(len(aggregators), len(round.malicious))
        post = self._post(round, aggregators, senders, ids, models, (round.malicious, round.own), start)
        mixed = self.mixed(round, replace(post, bounds=bounds, overheard=np.full(len(ids), overheard)), watch)
        return _usable(mixed, aggregators, self.own.device)

    def _handed_out(
        self,
        round: Round,
        chosen: Ids,
        combined: tuple[Ids, Tensor],
        spoilt: tuple[Ids, Tensor],
        start: Tensor,
        watch: Stopwatch,
    ) -> None:
        """Let the next sample have the models of its aggregators: `combined` of honest, `spoilt` of malicious ones."""
        malicious = self.setup.members.malicious
        members, others = chosen[~malicious[chosen]], torch.as_tensor(chosen[malicious[chosen]])
        senders = np.union1d(combined[0], spoilt[0])
        if not len(senders):
            return
        if len(members):
            ids = np.concatenate([members, np.setdiff1d(combined[0], members)])
            models = self.own[torch.as_tensor(ids, device=self.own.device)]
            place = {peer: at for at, peer in enumerate(ids.tolist())}
            rows = torch.as_tensor([place[peer] for peer in combined[0].tolist()], dtype=torch.int64)
            models[rows.to(models.device)] = combined[1]
            post = self._post(round, members, senders, ids, models, spoilt, start)
            mixed = self.mixed(round, post, watch, mixer=self.middle)
            given, found = _usable(mixed, members, self.own.device)
            self.own[torch.as_tensor(given, device=self.own.device)] = found
        whole = combined[1] if len(combined[1]) else spoilt[1]
        self.own[others.to(self.own.device)] = whole.mean(dim=0)

    def _post(
        self,
        round: Round,
        receivers: Ids,
        senders: Ids,
        ids: Ids,
        models: Tensor,
        bad: tuple[Ids, Tensor],
        start: Tensor,
    ) -> Post:
        """Letters from all senders to all receivers; those that arrive have equal weights."""
        table = np.concatenate([receivers[:, None], np.broadcast_to(senders, (len(receivers), len(senders)))], axis=1)
        present = np.ones(table.shape, dtype=np.bool_)
        sent = Hearing(senders=table, weights=_equal(present), present=present)
        lost = self._lost(round.number, sent)
        heard = replace(sent.without(lost), weights=_equal(present & ~lost))
        return Post(
            sent=sent,
            lost=lost,
            heard=heard,
            bounds=np.zeros(len(receivers), dtype=np.int64),
            ids=ids,
            models=models,
            before=start.repeat(len(ids), 1),
            malicious=bad[0],
            own=bad[1],
            own_before=start.repeat(len(bad[0]), 1),
            combines=True,
            overheard=np.ones(len(ids), dtype=np.bool_),
        )


def _equal(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Equal gossip weights of the letters that arrive, and nothing for the own model unless none does, [k, m]."""
    weights = present.astype(np.float64)
    weights[:, 0] = 0.0
    count = weights.sum(axis=1, keepdims=True)
    weights[:, 0] = count[:, 0] == 0
    return np.asarray(weights / np.maximum(count, 1.0))


def _usable(mixed: Mixed, who: Ids, device: torch.device) -> tuple[Ids, Tensor]:
    """Those who have made a model of letters, and these models."""
    made = np.array([line not in mixed.info["kept"] for line in range(len(who))], dtype=np.bool_)
    return who[made], torch.as_tensor(mixed.models[made], device=device)
