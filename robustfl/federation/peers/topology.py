"""A network without a server: peers train models of their own, send them to their neighbours, and mix what they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods import HearsayMixer, Hoods, Letters, Mixed, Mixer, Occasion
from robustfl.aggregation.neighbourhoods.letters import ABSENT
from robustfl.aggregation.neighbourhoods.passes import Passes
from robustfl.aggregation.neighbourhoods.rumours import Rumour
from robustfl.errors import ParameterError
from robustfl.federation.channels.contract import Channel
from robustfl.federation.clients.training import predict
from robustfl.federation.peers.forging import Forger, Moment
from robustfl.federation.peers.hearing import Exchange, Hearing
from robustfl.federation.peers.trying import Tried, require_output_layer
from robustfl.federation.round import Ids, Round
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.topologies.contract import Stopwatch, Topology

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Post:
    """One mixing before the adversary has written its letters.

    Attributes
    ----------
    sent, heard : the neighbourhoods of the honest peers who mix, [h, m], and what of them arrives
    lost : [h, m] which letters faults have lost
    bounds : [h] the number of malicious neighbours that the rule of each is told
    ids : [h'] the honest peers whose models these are: first those who mix, then others who write
    models, before : [h', d] what they have, and what they had before their last steps
    malicious : [f] the malicious peers who may write
    own, own_before : [f, d] what these have, and had
    combines : whether receivers combine the models of others, and not their own
    overheard : [h'] which of the models malicious peers have received; by default those of who hears malicious peers
    """

    sent: Hearing
    lost: NDArray[np.bool_]
    heard: Hearing
    bounds: Ids
    ids: Ids
    models: Tensor
    before: Tensor
    malicious: Ids
    own: Tensor
    own_before: Tensor
    combines: bool = False
    overheard: NDArray[np.bool_] | None = None


class PeerToPeer(Topology):
    """Every peer has a model of its own, and mixes it with those of its neighbours.

    A round has no receivers: the rule mixes the models of all honest peers at once, and the adversary has written its
    letters to all of them before. Rules know peers by names that are drawn for the trial and tell nothing. Malicious
    peers follow plain averaging of what they get, or never mix. A peer that is absent keeps its model. In rounds
    without letters all peers train alone, and what they send next is as far from their last mixture as all steps since
    have led.

    Parameters
    ----------
    setup, channel : as for every topology; the channel's defense is the rule of all peers, which has a state for each
    equivocation : whether malicious peers may send different letters to different neighbours
    here : the peers, ascending, whose models this process has; all by default

    Raises
    ------
    ParameterError : the defense is no rule for peers, or no rule for such a model; or the attack is on letters alone,
        and strikes in no round in which there are any
    """

    def __init__(self, setup: Setup, channel: Channel, equivocation: bool = True, *, here: Ids | None = None) -> None:
        super().__init__(setup, channel)
        assert setup.network is not None
        if not isinstance(channel.defense, Mixer):
            raise ParameterError(f"Peers need a rule that mixes their models. Found {channel.defense!r}.")
        self.network, self.rules, self.mixer = setup.network, setup.settings.network, channel.defense
        require_output_layer(setup.population, self.mixer)
        self.combines_first = self.rules.order == "combine_then_adapt"
        self.asked: Callable[[Letters, Hoods, Occasion], Mixed] = partial(self.mixer.mix, short=self.rules.short)
        """Asks the rule; whoever watches its conduct puts a question of its own in place of this one."""
        self.forger = Forger(setup, equivocation)
        self.here = np.arange(len(setup.members)) if here is None else here
        self.own = first_models(setup, self.here)
        self.mixings = self.rules.mixings(setup.settings.rounds)
        """The numbers of the rounds in which peers send letters."""
        self._require_struck()
        # What peers had after they mixed last; where they mix in every round, they have it when the next one begins.
        self._before = self.own.clone() if self.combines_first or len(self.mixings) < setup.settings.rounds else None
        self.unanswered = 0
        """The pings that nobody answered, where peers have to be asked whether they take part."""
        self._around: Hoods | None = None
        self._names = self.network.names
        self._peers = np.argsort(self._names)
        self._tried = Tried(setup, self._peers)

    def _require_struck(self) -> None:
        setup = self.setup
        if setup.attack is None or setup.strike is None or setup.poisoning is not None or setup.attackers is not None:
            return
        if not any(map(setup.attack.active, self.mixings)):
            few = ", ".join(map(str, self.mixings[:3])) + (", ..." if len(self.mixings) > 3 else "")
            raise ParameterError(
                f"{setup.attack} changes letters, and strikes in no round in which peers send any. Found letters in "
                f"the rounds {few}. Change start_round, stop_round or every, or `mix_every`."
            )

    def sample(self, number: int) -> Round:
        up, malicious = self.up(number), self.setup.members.malicious
        return Round(number=number, malicious=np.flatnonzero(up & malicious), honest=np.flatnonzero(up & ~malicious))

    def up(self, number: int) -> NDArray[np.bool_]:
        """Which peers are there in round `number`, [n]."""
        setup = self.setup
        setup.members.number = number
        named = setup.members.present() | ~setup.members.malicious  # a peer without samples mixes all the same
        return named & ~setup.faults.absent(number, len(setup.members))

    def models(self, round: Round, ids: Ids) -> Tensor:
        return self.own[torch.as_tensor(np.searchsorted(self.here, ids), device=self.own.device)]

    def gather(self, round: Round, watch: Stopwatch) -> None:
        if self.combines_first and round.number in self.mixings:
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
        mixed, averaged = round.sent, round.own
        honest, bad = (torch.as_tensor(ids, device=self.own.device) for ids in (round.honest, round.malicious))
        if not self.combines_first and round.number in self.mixings:
            if self._before is None:
                place = torch.as_tensor(round.lesson.place, device=self.own.device)
                before, split = round.models[place], len(round.malicious)
                befores = before[split:], before[:split]
            else:
                befores = self._before[honest], self._before[bad]
            mixed, averaged = self._exchanged(round, mixed, averaged, *befores, watch)
            if self._before is not None:
                self._before[honest], self._before[bad] = mixed, averaged
        self.own[honest], self.own[bad] = mixed, averaged

    def advance(self, round: Round) -> None:
        """The models have moved when letters were exchanged."""

    def served(self) -> Tensor:
        honest = np.isin(self.here, self.setup.honest)
        return self.own[torch.as_tensor(np.flatnonzero(honest), device=self.own.device)]

    def _exchanged(
        self, round: Round, models: Tensor, own: Tensor, before: Tensor, own_before: Tensor, watch: Stopwatch
    ) -> tuple[Tensor, Tensor]:
        """The models of honest peers [h, d] and of malicious ones [f, d] after all mixings of a round."""
        if not len(round.honest):
            return models, own
        scene = self.network.scene(round.number, round.honest, round.malicious)
        lost = self._lost(round.number, scene.honest)
        post = Post(
            sent=scene.honest,
            lost=lost,
            heard=scene.honest.without(lost),
            bounds=scene.bounds,
            ids=round.honest,
            models=models,
            before=before,
            malicious=round.malicious,
            own=own,
            own_before=own_before,
        )
        for step in range(self.rules.gossip_steps):
            sent = self._in_time(post.sent, post.bounds, lost, round.number, step)
            now = replace(post, sent=sent, heard=sent.without(lost), models=models, own=own)
            mixed = self.mixed(round, now, watch, step=step)
            with watch.phase("aggregate"):
                if self.rules.malicious_mixing == "average":
                    own = self._averaged(scene.malicious, round, models, own)
                models = torch.as_tensor(mixed.models, device=own.device)
        return models, own

    def _in_time(self, sent: Hearing, bounds: Ids, lost: NDArray[np.bool_], number: int, step: int) -> Hearing:
        """The same neighbourhoods without letters for which their receivers do not wait."""
        if self.rules.read == "all":
            return sent
        hasty = self.setup.members.malicious & (self.rules.read == "malicious_first")
        rng = stream(self.setup.seed, f"letters in time for mixing {step} of round {number}")
        return sent.first(bounds, hasty, lost, rng)

    def mixed(self, round: Round, post: Post, watch: Stopwatch, *, mixer: Mixer | None = None, step: int = 0) -> Mixed:
        """What the rule makes of the letters of one mixing, once the adversary has written its own.

        Another `mixer` takes the place of the rule; nobody watches its conduct.
        """
        heard, bounds = post.heard, post.bounds
        occasion = replace(self._occasion(round), draws=partial(self._draws, round.number, step))
        place = np.full(self.network.n, ABSENT)
        place[post.ids] = np.arange(len(post.ids))
        rows = np.where(heard.present, place[np.maximum(heard.senders, 0)], ABSENT)
        told: dict[int, list[Rumour]] = {}
        rule = mixer or self.mixer

        def asked(lines: Ids, letters: Tensor, index: Ids) -> Tensor:
            hoods = self._hoods(heard.of(lines), index, bounds[lines], post.combines)
            when = replace(occasion, rumours=told)
            answer = rule.preview(Letters(letters.cpu()), hoods, when, short=self.rules.short)
            return torch.as_tensor(answer.models, device=letters.device)

        overheard = post.overheard
        if overheard is None:  # edges go both ways, for the most part: who hears malicious peers also writes to them
            overheard = np.asarray(heard.heard(self.setup.members.malicious).any(axis=1))
        moment = Moment(
            number=round.number,
            hearing=heard,
            bounds=bounds,
            models=post.models,
            before=post.before,
            malicious=post.malicious,
            own=post.own,
            own_before=post.own_before,
            cut=partial(self.network.sides, round.number, post.ids),
            rows=rows,
            ids=post.ids,
            overheard=overheard,
            combines=post.combines,
            mixed=asked,
        )
        if isinstance(rule, HearsayMixer):
            told |= self._told(rule, moment, step, watch)
            if rule.hears_updates:
                occasion = replace(occasion, updates=self._published(moment, trained=step == 0))
        with watch.phase("attack"):
            forged = self.forger.forged(moment)
        with watch.phase("aggregate"):
            hoods = self._hoods(heard, moment.index(forged.index), bounds, post.combines).like(self._around)
            self._around = hoods
            letters, when = Letters(torch.cat([post.models, forged.letters]).cpu()), replace(occasion, rumours=told)
            ask = self.asked if mixer is None else partial(mixer.mix, short=self.rules.short)
            mixed = ask(letters, hoods, when)
        round.exchanges.append(Exchange(hearing=post.sent, names=hoods.senders, lost=post.lost, mixed=mixed))
        return mixed

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

    def _published(self, moment: Moment, trained: bool) -> Callable[[int, int], Array | None]:
        """What a peer's neighbour says that its own training has changed; only the first letters of a round tell it."""
        changes = moment.models - moment.before if trained else torch.zeros_like(moment.models)
        honest = dict(zip(self._names[moment.ids].tolist(), changes.cpu().numpy(), strict=True))
        lies = self.forger.updates(moment, self._names, trained)
        return lambda peer, sender: lies.get((peer, sender), honest.get(sender))

    def _lost(self, number: int, sent: Hearing) -> NDArray[np.bool_]:
        """Which letters [h, m] faults lose on their way."""
        lost = np.zeros(sent.present.shape, dtype=np.bool_)
        travels = sent.present.copy()
        travels[:, 0] = False
        line, _ = np.nonzero(travels)
        lost[travels] = self.setup.faults.lost(number, sent.senders[travels], sent.ids[line])
        return lost

    def _hoods(self, heard: Hearing, index: Ids, bounds: Ids, combines: bool = False) -> Hoods:
        """The neighbourhoods as the rule sees them, under the names of the trial.

        Who combines the models of others has another name for that, as it may write to itself.
        """
        senders = np.where(heard.senders == ABSENT, ABSENT, self._names[np.maximum(heard.senders, 0)])
        senders[:, 0] += self.network.n if combines else 0
        return Hoods(index=index.astype(np.int32), weights=heard.weights, bounds=bounds, senders=senders)

    def _averaged(self, ours: Hearing, round: Round, models: Tensor, own: Tensor) -> Tensor:
        """What malicious peers have after plain averaging of what they got, [f, d]."""
        if not len(own):
            return own
        place = np.full(self.network.n, ABSENT)
        place[round.honest] = np.arange(len(models))
        place[round.malicious] = len(models) + np.arange(len(own))
        rows, shares = averaging(ours, place)
        averaged = np.empty(own.shape, own.cpu().numpy().dtype)
        letters = Passes(torch.cat([models, own]).cpu().numpy(), np.empty(0, dtype=np.int64))
        letters.combine(rows.astype(np.int32), shares, np.arange(len(own)), averaged)
        return torch.as_tensor(averaged, device=own.device)

    def _occasion(self, round: Round) -> Occasion:
        return Occasion(
            number=round.number,
            rounds=self.setup.settings.rounds,
            losses=partial(self._losses, round),
            confusions=self._tried.confusions,
            shared=self._tried.shared,
            layers=tuple(part.stop - part.start for part in self.setup.population.layers),
        )

    def _draws(self, number: int, step: int, name: int) -> np.random.Generator:
        """What the peer of this name leaves to chance in a mixing of a round."""
        return stream(self.setup.seed, f"choices of peer {self._peers[name]} in mixing {step} of round {number}")

    @torch.no_grad()
    def _losses(self, round: Round, name: int, models: Array) -> Floats:
        """The losses [c] of models [c, d] on the samples on which the peer of this name tries models out.

        These are the samples with which it does not train, if it has set some aside, and else its batches of the round.
        """
        population, lesson = self.setup.population, round.lesson
        peer, apart = int(self._peers[name]), self.rules.train_per_class is not None
        if lesson is None or apart:  # peers who mix first have not drawn the batches of the round yet
            part = self.setup.tried[peer] if apart else population.parts[peer][: self.setup.settings.batch_size]
            index = torch.as_tensor(part, device=population.device)
            features, labels = population.features[index], population.labels[index]
        else:
            row = int(np.flatnonzero(lesson.ids == peer)[0])
            features, labels = lesson.features[row].flatten(0, 1), lesson.labels[row].flatten()
        rows = torch.as_tensor(np.ascontiguousarray(models), device=population.device)
        found = [cross_entropy(predict(population, row, features), labels) for row in rows]
        return np.array([float(loss) for loss in found])


def averaging(ours: Hearing, place: Ids) -> tuple[Ids, Floats]:
    """How malicious peers average what they get: rows [f, m] and their shares, of sum 1; who is absent has no say.

    `place` [n] is the row of the model of each peer.
    """
    hears = ours.present & (ours.senders != ABSENT)
    rows = np.where(hears, place[np.maximum(ours.senders, 0)], place[ours.ids][:, None])
    shares = np.where(hears, ours.weights, 0.0)
    shares[:, 0] += 1.0 - shares.sum(axis=1)
    return rows, shares


def first_models(setup: Setup, peers: Ids) -> Tensor:
    """The models [n, d] with which some peers begin."""
    initial = setup.population.initial
    if setup.settings.network.start != "own" or not len(peers):
        return initial.repeat(len(peers), 1)
    another = setup.population.another_initial
    return torch.stack([another(stream(setup.seed, f"first model of peer {peer}")) for peer in peers.tolist()])
