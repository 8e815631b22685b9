"""What malicious peers send: one letter to each victim, or one to each attacked peer of theirs.

Attacks that are made for peers see all victims at once. An attack on updates sees one victim after the other, as if the
victim was a server: its own model and those of its honest neighbours are the honest updates, and its malicious
neighbours are the malicious clients.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.aggregation.neighbourhoods.letters import ABSENT
from robustfl.aggregation.neighbourhoods.rumours import Rumour
from robustfl.federation.peers.hearing import Hearing
from robustfl.federation.round import Ids
from robustfl.federation.setup import Setup
from robustfl.threats import Adversary, Facts, Knowledge, UpdateAttack
from robustfl.threats.attack import Attack
from robustfl.threats.peers.contract import PeerAttack
from robustfl.threats.peers.rumours import RumourAttack, RumourFacts
from robustfl.threats.peers.space import Space
from robustfl.threats.peers.view import NOBODY, PeerFacts
from robustfl.threats.staging import stages

if TYPE_CHECKING:
    from torch import Tensor

Mask = NDArray[np.bool_]
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One exchange of letters, before the adversary has written its own.

    Attributes
    ----------
    number : the round
    hearing : the neighbourhoods of the honest peers who mix, [h, m]
    bounds : [h] the number of malicious neighbours that the rule of each is told
    models : [h', d] the models of honest peers, as they send them: first of those who mix, then of others who write
    before : [h', d] their models before the steps that they have made last
    malicious : [f] the malicious peers who take part
    own : [f, d] the models that these have
    own_before : [f, d] the same before their last steps
    cut : makes the entry of the Fiedler vector for each of these honest peers, [h']
    rows : [h, m] the row of `models` that stands in each slot; -1 where no honest peer's letter arrives
    ids : [h'] the peers whose models these are; there may be more than lines, whose peers come first
    overheard : [h'] which of the models malicious peers have received themselves
    combines : whether receivers combine the models of others, and not their own
    mixed : what the rules of some lines [v] make of letters [e, d], of which each slot has the row index [v, m],
        without any effect -> [v, d]
    """

    number: int
    hearing: Hearing
    bounds: Ids
    models: Tensor
    before: Tensor
    malicious: Ids
    own: Tensor
    own_before: Tensor
    cut: Callable[[], NDArray[np.float64]]
    rows: Index
    ids: Ids
    overheard: Mask
    combines: bool
    mixed: Callable[[Ids, Tensor, Index], Tensor]

    def index(self, crafted: Index) -> Index:
        """The row in each slot among all letters, the models first, if crafted letters have these rows among theirs."""
        return np.where(crafted != ABSENT, len(self.models) + crafted, self.rows)


@dataclass(frozen=True, kw_only=True)
class Forged:
    """What malicious peers send: letters [e, d], and which of them stands in each slot, [h, m]; -1 for none."""

    letters: Tensor
    index: Index


class Forger:
    """The adversary of a network of peers, with its memory: one for each victim.

    Parameters
    ----------
    setup : says who is malicious and with which attack
    equivocation : whether a malicious peer may send different letters to different neighbours in one round
    """

    def __init__(self, setup: Setup, equivocation: bool) -> None:
        attack = setup.attack
        self._setup, self._equivocates = setup, equivocation
        self._attack: Attack | None = attack if isinstance(attack, UpdateAttack | PeerAttack) else None
        self._space = next((stage for stage in stages(attack) if isinstance(stage, Space)), None)
        self._telling = next((stage for stage in stages(attack) if isinstance(stage, RumourAttack)), None)
        self._tellers: dict[int, Adversary[RumourFacts, list[Rumour]]] = {}
        self._invented = 0
        self._known = Knowledge.NOTHING if self._attack is None else self._attack.required_knowledge()
        self._adversaries: dict[int, Adversary[Any, Tensor]] = {}
        self.unseen = 0
        """The honest letters that an attack which knows only NEIGHBOURS would have seen with PEERS, over all rounds."""

    def forged(self, moment: Moment) -> Forged:
        """What malicious peers send in one exchange: their own models where nothing else is asked of them."""
        hit = moment.hearing.heard(self._setup.members.malicious)
        if self._attack is None or not self._attack.active(moment.number) or not hit.any():
            return self._theirs(moment, hit, moment.own)
        if isinstance(self._attack, PeerAttack):
            return self._for_all(moment, hit)
        return self._one_by_one(moment, hit) if self._equivocates else self._consistent(moment, hit)

    def rumours(self, moment: Moment, names: Ids, allowed: int) -> dict[int, list[Rumour]]:
        """What malicious peers tell: receiver -> rumours, by the names [n] by which rules call peers.

        A peer may tell each neighbour `allowed` of them. Without an attack by rumours, malicious peers are silent.
        """
        found: dict[int, list[Rumour]] = {}
        for victim, facts in self._told(moment, names, allowed):
            told = self._teller(victim).craft(facts)
            found[int(names[victim])] = [replace(one, payload=_copied(one.payload)) for one in told]
        return found

    def updates(self, moment: Moment, names: Ids, trained: bool) -> dict[tuple[int, int], Any]:
        """What malicious peers say to their victims that their training has changed: (receiver, sender) -> [d].

        That is the truth, unless the attack lies. Where nobody has `trained` since the last letters, it is zero.
        """
        changes = list(((moment.own - moment.own_before) if trained else moment.own.new_zeros(moment.own.shape)).cpu())
        rows = [change.numpy() for change in changes]
        hit, places = moment.hearing.heard(self._setup.members.malicious), _places(moment.malicious, len(names))
        found: dict[tuple[int, int], Any] = {}
        for line in np.flatnonzero(hit.any(axis=1)).tolist():
            victim, senders = int(names[moment.hearing.ids[line]]), moment.hearing.senders[line][hit[line]]
            found |= {(victim, int(names[sender])): rows[places[sender]] for sender in senders.tolist()}
        for victim, facts in self._told(moment, names, 0):
            adversary = self._teller(victim)
            assert isinstance(adversary.attack, RumourAttack)
            said = adversary.attack.published(facts, adversary.memory)
            found |= {(int(names[victim]), teller): _copied(update) for teller, update in said.items()}
        return found

    def _teller(self, victim: int) -> Adversary[RumourFacts, list[Rumour]]:
        assert self._telling is not None
        return self._tellers.setdefault(victim, Adversary(self._telling))

    def _told(self, moment: Moment, names: Ids, allowed: int) -> Iterator[tuple[int, RumourFacts]]:
        """Each victim of an attack by what malicious peers tell, and what there is to know of it; none without one."""
        if self._telling is None or not self._telling.active(moment.number):
            return
        hit = moment.hearing.heard(self._setup.members.malicious)
        sees_all = Knowledge.PEERS in self._telling.required_knowledge()
        victims = np.flatnonzero(hit.any(axis=1))
        for line in victims.tolist():
            victim, senders = int(moment.hearing.ids[line]), moment.hearing.senders[line]
            around = moment.rows[line, 1:]
            around = around[(around != ABSENT) & (sees_all | np.isin(around, victims))]
            own = _index(_places(moment.malicious, len(names))[senders[hit[line]]])
            yield (
                victim,
                RumourFacts(
                    round=moment.number,
                    f=int(hit[line].sum()),
                    honest=moment.models[_index(around)],
                    honest_ids=tuple(names[moment.hearing.ids[around]].tolist()),
                    own=partial(moment.own.__getitem__, own),
                    receiver=int(names[victim]),
                    model=moment.models[line],
                    tellers=tuple(names[senders[hit[line]]].tolist()),
                    allowed=allowed,
                    invent=partial(self._invent, len(names)),
                    rng=self._setup.rng["attack"],
                ),
            )

    def _invent(self, taken: int) -> int:
        """A name that nobody has; the first `taken` numbers are names of peers."""
        self._invented += 1
        return taken + self._invented - 1

    def _theirs(self, moment: Moment, hit: Mask, rows: Tensor) -> Forged:
        """One letter from each malicious peer to all its neighbours, rows [f, d]."""
        places = _places(moment.malicious, len(self._setup.members))
        return Forged(
            letters=self._disguised(rows, moment.malicious),
            index=np.where(hit, places[np.maximum(moment.hearing.senders, 0)], ABSENT),
        )

    def _for_all(self, moment: Moment, hit: Mask) -> Forged:
        """One letter for each victim, which all its malicious neighbours send."""
        lines = np.flatnonzero(hit.any(axis=1))
        told, hears = moment.hearing.of(lines), hit[lines]
        around = moment.rows[lines, 1:]
        index = np.where(hit, _places(lines, len(hit))[:, None], ABSENT)
        facts = PeerFacts(
            round=moment.number,
            f=len(moment.malicious),
            honest=moment.models,
            honest_ids=tuple(moment.ids.tolist()),
            own=lambda: moment.own,
            victims=lines,
            around=around,
            attackers=hears.sum(axis=1),
            bounds=moment.bounds[lines],
            weights=np.where(around != NOBODY, told.weights[:, 1:], 0.0),
            say=np.where(hears, told.weights, 0.0).sum(axis=1),
            initial=self._setup.population.initial,
            cut=moment.cut,
            layers=tuple(part.stop - part.start for part in self._setup.population.layers),
            knows=lambda: self._setup.knows[moment.hearing.ids[lines]],
            mix=lambda letters: moment.mixed(lines, torch.cat([moment.models, letters]), moment.index(index)[lines]),
            rng=self._setup.rng["attack"],
        )
        if Knowledge.PEERS not in self._known and Knowledge.NEIGHBOURS in self._known:
            self.unseen += int((around != NOBODY).sum() - np.isin(around, lines).sum())
        rows = self._adversary(ABSENT).craft(facts)
        if self._equivocates:
            return Forged(letters=rows, index=index)
        # What is sent to all is the mean of what would be sent to each.
        sends = moment.hearing.senders[lines][:, :, None] == moment.malicious
        share = (sends & hears[:, :, None]).any(axis=1).T.astype(np.float64)  # [f, v]
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1.0)
        return self._theirs(moment, hit, rows.new_tensor(share) @ rows)

    def _one_by_one(self, moment: Moment, hit: Mask) -> Forged:
        """The letters of an attack on updates, victim by victim; each malicious neighbour sends a row of its own."""
        index = np.full(hit.shape, ABSENT)
        found, count = [], 0
        for line in np.flatnonzero(hit.any(axis=1)).tolist():
            slots, senders = np.flatnonzero(hit[line]), moment.hearing.senders[line]
            around = moment.rows[line, 1 if moment.combines else 0 :]
            honest = self._visible(moment, around[around != NOBODY])
            if not len(honest):  # everybody who writes to this victim is malicious
                honest = moment.rows[line, :1]
            facts = self._facts(moment, honest, senders[slots], moment.before[line], int(moment.bounds[line]))
            facts.receiver = int(senders[0])
            facts.aggregate = self._answers(moment, line, slots, honest)
            found.append(self._disguised(self._sent(int(senders[0]), facts, moment.before[line]), senders[slots]))
            index[line, slots] = count + np.arange(len(slots))
            count += len(slots)
        return Forged(letters=torch.cat(found), index=index)

    def _consistent(self, moment: Moment, hit: Mask) -> Forged:
        """One letter of an attack on updates from each malicious peer, crafted on all its neighbourhoods together."""
        rows = moment.own.clone()
        for place, sender in enumerate(moment.malicious.tolist()):
            lines = np.flatnonzero((hit & (moment.hearing.senders == sender)).any(axis=1))
            if not len(lines):
                continue
            union = np.unique(moment.rows[lines])
            honest, bound = self._visible(moment, union[union != NOBODY]), int(moment.bounds[lines].max())
            before = moment.own_before[place]
            facts = self._facts(moment, honest, np.array([sender]), before, bound)
            rows[place] = self._sent(sender, facts, before)[0]
        return self._theirs(moment, hit, rows)

    def _facts(self, moment: Moment, honest: Ids, senders: Ids, before: Tensor, bound: int) -> Facts:
        """What there is to know of one neighbourhood: rows of honest models, and the malicious peers who send to it."""
        places = _places(moment.malicious, len(self._setup.members))[senders]
        setup, population = self._setup, self._setup.population
        names: list[Hashable] = setup.pseudonyms.of(setup.members.names(senders).tolist())
        return Facts(
            round=moment.number,
            f=len(senders),
            declared_f=bound,
            honest=self._shown(moment.models[_index(honest)], before),
            honest_ids=tuple(moment.ids[honest].tolist()),
            ids=tuple(names),
            own=lambda: self._shown(moment.own[_index(places)], before),
            layers=population.layers,
            message="delta",
            rng=setup.rng["attack"],
        )

    def _visible(self, moment: Moment, honest: Ids) -> Ids:
        """Those of some rows of honest models that the attack may know: all, or what malicious peers got themselves."""
        if Knowledge.PEERS in self._known or Knowledge.NEIGHBOURS not in self._known:
            return honest
        seen = moment.overheard[honest]
        self.unseen += int((~seen).sum())
        return honest[seen]

    def _answers(self, moment: Moment, line: int, slots: Ids, honest: Ids) -> Callable[[Tensor], Tensor]:
        """What a victim's rule makes of rows, malicious ones first, in the order in which the attack knows them."""
        place = np.full(len(moment.models) + 1, ABSENT)  # the last entry is that of slots without an honest letter
        place[honest] = len(slots) + np.arange(len(honest))
        index = place[moment.rows[line]]
        index[0] = max(int(index[0]), 0)  # a model of its own that it does not use may be unknown
        index[slots] = np.arange(len(slots))
        before = moment.before[line]

        def answer(rows: Tensor) -> Tensor:
            letters = self._sending(rows, before)
            return self._shown(moment.mixed(np.array([line]), letters, index[None]), before)[0]

        return answer

    def _sent(self, victim: int, facts: Facts, before: Tensor) -> Tensor:
        return self._sending(self._adversary(victim).craft(facts), before)

    def _disguised(self, rows: Tensor, senders: Ids) -> Tensor:
        """What malicious peers [f] send, each with what hides under its name that several are one."""
        return self._setup.members.disguised(rows, self._setup.members.names(senders)) if len(rows) else rows

    def _shown(self, rows: Tensor, before: Tensor) -> Tensor:
        return rows if self._space is None else self._space.shown(rows, before)

    def _sending(self, rows: Tensor, before: Tensor) -> Tensor:
        return rows if self._space is None else self._space.sent(rows, before)

    def _adversary(self, victim: int) -> Adversary[Any, Tensor]:
        assert isinstance(self._attack, UpdateAttack | PeerAttack)
        return self._adversaries.setdefault(victim, Adversary(self._attack))


def _places(ids: Ids, n: int) -> Index:
    """The place of each of n numbers in `ids`; -1 for those that are not there."""
    found = np.full(n, ABSENT)
    found[ids] = np.arange(len(ids))
    return found


def _copied(payload: Any) -> Any:
    """A payload in memory of its own, on the host."""
    return payload.detach().cpu().numpy().copy() if isinstance(payload, torch.Tensor) else copy.copy(payload)


def _index(rows: Ids) -> Any:
    return torch.as_tensor(rows)
