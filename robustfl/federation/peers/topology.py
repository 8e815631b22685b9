"""A network without a server: peers train models of their own, send them to their neighbours, and mix what they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods import HearsayMixer, Hoods, Letters, Mixed, Mixer, Occasion
from robustfl.aggregation.neighbourhoods.letters import ABSENT
from robustfl.aggregation.neighbourhoods.rumours import Rumour
from robustfl.errors import ParameterError
from robustfl.federation.channels.contract import Channel
from robustfl.federation.clients.training import predict
from robustfl.federation.peers.forging import Forger, Moment
from robustfl.federation.peers.hearing import Exchange, Hearing
from robustfl.federation.round import Ids, Round
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.topologies.contract import Stopwatch, Topology

if TYPE_CHECKING:
    from torch import Tensor


class PeerToPeer(Topology):
    """Every peer has a model of its own, and mixes it with those of its neighbours.

    A round has no receivers: the rule mixes the models of all honest peers at once, and the adversary has written its
    letters to all of them before. Rules know peers by names that are drawn for the trial and tell nothing. Malicious
    peers follow plain averaging of what they get. A peer that is absent keeps its model.

    Parameters
    ----------
    setup, channel : as for every topology; the channel's defense is the rule of all peers, which has a state for each
    equivocation : whether malicious peers may send different letters to different neighbours

    Raises
    ------
    ParameterError : the defense is no rule for peers
    """

    def __init__(self, setup: Setup, channel: Channel, equivocation: bool = True) -> None:
        super().__init__(setup, channel)
        assert setup.network is not None
        if not isinstance(channel.defense, Mixer):
            raise ParameterError(f"Peers need a rule that mixes their models. Found {channel.defense!r}.")
        self.network, self.rules, self.mixer = setup.network, setup.settings.network, channel.defense
        self.combines_first = self.rules.order == "combine_then_adapt"
        self.asked: Callable[[Letters, Hoods, Occasion], Mixed] = partial(self.mixer.mix, short=self.rules.short)
        """Asks the rule; whoever watches its conduct puts a question of its own in place of this one."""
        self.forger = Forger(setup, equivocation)
        self.own = _first_models(setup)
        self._before = self.own.clone() if self.combines_first else None
        self._around: Hoods | None = None
        self._names = stream(setup.seed, "names of peers").permutation(self.network.n)
        self._peers = np.argsort(self._names)

    def sample(self, number: int) -> Round:
        setup = self.setup
        setup.members.number = number
        named = setup.members.present() | ~setup.members.malicious  # a peer without samples mixes all the same
        up = named & ~setup.faults.absent(number, len(setup.members))
        malicious = setup.members.malicious
        return Round(number=number, malicious=np.flatnonzero(up & malicious), honest=np.flatnonzero(up & ~malicious))

    def models(self, round: Round, ids: Ids) -> Tensor:
        return self.own[torch.as_tensor(ids, device=self.own.device)]

    def gather(self, round: Round, watch: Stopwatch) -> None:
        if self.combines_first:
            assert self._before is not None
            honest, bad = (torch.as_tensor(ids, device=self.own.device) for ids in (round.honest, round.malicious))
            models = self.own[honest], self.own[bad]
            mixed, averaged = self._exchanged(round, *models, self._before[honest], self._before[bad], watch)
            self.own[honest], self.own[bad] = mixed, averaged
            self._before[honest], self._before[bad] = mixed, averaged

    def exchange(self, round: Round, watch: Stopwatch) -> None:
        assert round.own is not None
        assert round.models is not None
        assert round.lesson is not None
        place = torch.as_tensor(round.lesson.place, device=self.own.device)
        before, split = round.models[place], len(round.malicious)
        mixed, averaged = round.sent, round.own
        if not self.combines_first:
            models = mixed, averaged, before[split:], before[:split]
            mixed, averaged = self._exchanged(round, *models, watch)
        honest, bad = (torch.as_tensor(ids, device=self.own.device) for ids in (round.honest, round.malicious))
        self.own[honest], self.own[bad] = mixed, averaged

    def advance(self, round: Round) -> None:
        """The models have moved when letters were exchanged."""

    def served(self) -> Tensor:
        return self.own[torch.as_tensor(self.setup.honest, device=self.own.device)]

    def _exchanged(
        self, round: Round, models: Tensor, own: Tensor, before: Tensor, own_before: Tensor, watch: Stopwatch
    ) -> tuple[Tensor, Tensor]:
        """The models of honest peers [h, d] and of malicious ones [f, d] after all mixings of a round."""
        if not len(round.honest):
            return models, own
        scene = self.network.scene(round.number, round.honest, round.malicious)
        sent, bounds = scene.honest, scene.bounds
        lost = self._lost(round.number, sent)
        heard, occasion = sent.without(lost), self._occasion(round)
        place = np.full(self.network.n, ABSENT)
        place[round.honest] = np.arange(len(round.honest))
        rows = np.where(heard.present, place[np.maximum(heard.senders, 0)], ABSENT)

        told: dict[int, list[Rumour]] = {}

        def asked(lines: Ids, letters: Tensor, index: Ids) -> Tensor:
            hoods = self._hoods(heard.of(lines), index, bounds[lines])
            when = replace(occasion, rumours=told)
            answer = self.mixer.preview(Letters(letters.cpu()), hoods, when, short=self.rules.short)
            return torch.as_tensor(answer.models, device=letters.device)

        for step in range(self.rules.gossip_steps):
            moment = Moment(
                number=round.number,
                hearing=heard,
                bounds=bounds,
                models=models,
                before=before,
                malicious=round.malicious,
                own=own,
                own_before=own_before,
                cut=partial(self.network.sides, round.number, round.honest),
                rows=rows,
                mixed=asked,
            )
            if isinstance(self.mixer, HearsayMixer):
                told.clear()
                told |= self._told(self.mixer, moment, step, watch)
            with watch.phase("attack"):
                forged = self.forger.forged(moment)
            with watch.phase("aggregate"):
                self._around = self._hoods(heard, moment.index(forged.index), bounds).like(self._around)
                hoods = self._around
                letters = Letters(torch.cat([models, forged.letters]).cpu())
                mixed = self.asked(letters, hoods, replace(occasion, rumours=told))
                own = _averaged(scene.malicious, round, models, own)
                models = torch.as_tensor(mixed.models, device=own.device)
            round.exchanges.append(Exchange(hearing=sent, names=hoods.senders, lost=lost, mixed=mixed))
        return models, own

    def _told(self, mixer: HearsayMixer, moment: Moment, step: int, watch: Stopwatch) -> dict[int, list[Rumour]]:
        """What peers are told in one mixing: by honest neighbours whose letter arrives, and by malicious ones."""
        heard = moment.hearing
        travels = heard.present & (moment.rows != ABSENT)
        travels[:, 0] = False
        line, _ = np.nonzero(travels)
        edges = zip(self._names[heard.senders[travels]].tolist(), self._names[heard.ids[line]].tolist(), strict=True)
        with watch.phase("aggregate"):
            told = mixer.tell(
                list(edges), stream(self.setup.seed, f"rumours of mixing {step} in round {moment.number}")
            )
        with watch.phase("attack"):
            for receiver, rumours in self.forger.rumours(moment, self._names, mixer.most).items():
                told.setdefault(receiver, []).extend(rumours)
        return told

    def _lost(self, number: int, sent: Hearing) -> NDArray[np.bool_]:
        """Which letters [h, m] faults lose on their way."""
        lost = np.zeros(sent.present.shape, dtype=np.bool_)
        travels = sent.present.copy()
        travels[:, 0] = False
        line, _ = np.nonzero(travels)
        lost[travels] = self.setup.faults.lost(number, sent.senders[travels], sent.ids[line])
        return lost

    def _hoods(self, heard: Hearing, index: Ids, bounds: Ids) -> Hoods:
        """The neighbourhoods as the rule sees them, under the names of the trial."""
        senders = np.where(heard.senders == ABSENT, ABSENT, self._names[np.maximum(heard.senders, 0)])
        return Hoods(index=index.astype(np.int32), weights=heard.weights, bounds=bounds, senders=senders)

    def _occasion(self, round: Round) -> Occasion:
        return Occasion(
            number=round.number,
            rounds=self.setup.settings.rounds,
            losses=partial(self._losses, round),
            layers=tuple(part.stop - part.start for part in self.setup.population.layers),
        )

    @torch.no_grad()
    def _losses(self, round: Round, name: int, models: Array) -> Floats:
        """The losses [c] of models [c, d] on the batches that the peer of this name has in the round."""
        population, lesson = self.setup.population, round.lesson
        peer = int(self._peers[name])
        if lesson is None:  # peers who mix first have not drawn the batches of the round yet
            part = self.setup.population.parts[peer][: self.setup.settings.batch_size]
            index = torch.as_tensor(part, device=population.device)
            features, labels = population.features[index], population.labels[index]
        else:
            row = int(np.flatnonzero(lesson.ids == peer)[0])
            features, labels = lesson.features[row].flatten(0, 1), lesson.labels[row].flatten()
        rows = torch.as_tensor(np.ascontiguousarray(models), device=population.device)
        found = [cross_entropy(predict(population, row, features), labels) for row in rows]
        return np.array([float(loss) for loss in found])


def _averaged(ours: Hearing, round: Round, models: Tensor, own: Tensor) -> Tensor:
    """What malicious peers have after plain averaging of what they got, [f, d]; who is absent has no say."""
    if not len(own):
        return own
    count, n = len(models), int(max(round.honest.max(), round.malicious.max())) + 1
    place = np.full(max(n, int(ours.senders.max()) + 1), ABSENT)
    place[round.honest] = np.arange(count)
    place[round.malicious] = count + np.arange(len(own))
    shares = np.zeros((len(own), count + len(own)))
    hears = ours.present & (ours.senders != ABSENT)
    line, _ = np.nonzero(hears)
    np.add.at(shares, (line, place[ours.senders[hears]]), ours.weights[hears])
    shares[np.arange(len(own)), count + np.arange(len(own))] += 1.0 - shares.sum(axis=1)
    averaged: Tensor = own.new_tensor(shares) @ torch.cat([models, own])
    return averaged


def _first_models(setup: Setup) -> Tensor:
    """The models [n, d] with which peers begin."""
    initial, n = setup.population.initial, len(setup.members)
    if setup.settings.network.start == "common":
        return initial.repeat(n, 1)
    return torch.stack(
        [setup.population.another_initial(stream(setup.seed, f"first model of peer {peer}")) for peer in range(n)]
    )
