"""SybilWall: Sybils are found because neighbours tell each other what their other neighbours are like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods import Gathering, Mixing
from robustfl.aggregation.neighbourhoods.hearsay import HearsayMixer
from robustfl.aggregation.neighbourhoods.remembering import require_size
from robustfl.aggregation.neighbourhoods.rumours import (
    HEARD_FROM,
    NEAREST,
    Receiver,
    Refused,
    Rumour,
    believed,
    largest_payload,
    readable,
)
from robustfl.errors import ParameterError
from robustfl.reputation.likeness import apart, rescaled, unit_step

Direct = dict[int, tuple[int, Array]]
"""neighbour -> the last round in which its letter came, and its history [d]"""
Hearsay = dict[tuple[int, int], tuple[int, int, Array]]
"""(teller, subject) -> the round, the distance and the history [d] that it was told"""


@dataclass(frozen=True, kw_only=True)
class SybilWall(HearsayMixer):
    """SybilWall: neighbours whose history is like anybody else's, also of peers known by hearsay, lose their weight.

    Formula: ``x_i <- (x_i + sum_j a_j x_j)/(1 + sum_j a_j)`` over the k neighbours j, with the trust a_j in [0, 1] that
    FoolsGold gives them from the cosines between the histories of these neighbours and of all other peers that i has
    been told about; trust is rescaled over the neighbours alone. In every round each peer tells each neighbour the
    history of one peer that it knows, chosen with ``p ~ exp(-decay (distance - 1))``: it never tells a neighbour about
    that neighbour or what it has from it. Direct knowledge is never overwritten by hearsay, and hearsay only by hearsay
    of a later round. A history is the sum of the differences of a neighbour's letters (`models`): that is its latest
    letter while none is missed; or the sum of these differences, each of unit length (`clipped`); or the sum of what a
    neighbour says that its own training has changed (`updates`). Letters of those who say nothing readable have no
    weight. With `updates`, honest peers that resemble each other through mixing are told apart, but nobody can check
    what is said: Sybils that publish random vectors resemble nobody, and win. Use it only where that is impossible.

    With a `quorum` q >= 1, peers tell of their own neighbours alone, without relaying, and such hearsay condemns
    neighbour j with h_j, the q-th largest, over the tellers other than j, of the largest cosine between j's history and
    what the teller has told: ``a_j`` follows from ``1 - max(h_j, pardoned cosine with other neighbours)``.

    Shapes: [N, d] letters -> [n, d]. Cost: n K^2 d for K histories that a peer knows, and n k d for the sums. Memory:
    one vector [d] for each history that somebody remembers; honest peers send one letter to all, so that receivers
    share most of them. A letter and a history go over each edge, and with `updates` another vector.

    Guarantee: no neighbour has more weight than the own model. With a quorum q, and fewer than q lying tellers next to
    a peer, what condemns a neighbour is no more than some honest teller has told; without one, whoever repeats the
    letters of honest peers under invented names condemns these (framing). An adversary with a single Sybil has nobody
    to be compared with, and is not found. With a quorum, a Sybil is found by peers of whom q neighbours meet other
    Sybils: Sybils that each serve a part of the network of their own are found at its borders alone.
    Breakdown point: none is known.

    References
    ----------
    T. Werthenbach, J. Pouwelse. Towards Sybil Resilience in Decentralized Learning. arXiv:2306.15044, 2023. The quorum
    is this project's.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters, Occasion, Rumour
    >>> from robustfl.defenses import SybilWall
    >>> around_0 = Hoods(index=[[0, 1, 2, 3]], weights=np.full((1, 4), 0.25), bounds=[0])
    >>> letters = Letters(np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]]))
    >>> told = Occasion(number=1, rumours={0: [Rumour(teller=1, subject=9, round=0, distance=2, payload=[0, 3, 0])]})
    >>> SybilWall().mix(letters, around_0, told).models.tolist()
    [[1.0, 0.0, 1.0]]
    >>> SybilWall(quorum=2).mix(letters, around_0, told).models.tolist()
    [[0.75, 0.75, 0.75]]
    """

    label: ClassVar[str] = "SybilWall"
    name: ClassVar[str] = "sybilwall"
    uses_bound: ClassVar[bool] = False
    judges: ClassVar[bool] = True
    guarantee: ClassVar[str] = "no neighbour has more weight than the own model"
    breakdown: ClassVar[str] = "not known"
    unfit: ClassVar[str] = (
        "without a quorum where liars may repeat honest letters under invented names, which condemns honest "
        "neighbours; against a single Sybil, which resembles nobody; or where neighbours hold similar data, as "
        "they lose weight; with history='updates' wherever Sybils can publish what they like, as nobody can check it"
    )
    reference: ClassVar[str] = "Werthenbach and Pouwelse, Towards Sybil Resilience in Decentralized Learning, 2023"
    state_keys: ClassVar[tuple[str, ...]] = ("latest", "direct", "hearsay")

    quorum: Annotated[
        int,
        Ge(0),
        Doc("how many tellers must have told of the like before it counts; 0 believes everybody, and relays"),
    ] = 0
    history: Annotated[
        Literal["models", "updates", "clipped"],
        Doc("what is compared: sums of differences of letters, of what peers say they have trained, or of unit steps"),
    ] = "models"
    decay: Annotated[
        float, Ge(0), Le(100), Doc("how much rarer peers are told of with each edge between, without a quorum (lambda)")
    ] = 0.8
    confidence: Annotated[
        float, Gt(0), Lt(float("inf")), Doc("how steeply trust falls with similarity (kappa in the paper)")
    ] = 1.0

    @property
    def hears_updates(self) -> bool:
        return self.history == "updates"

    def tell(self, edges: Sequence[tuple[int, int]], rng: np.random.Generator) -> dict[int, list[Rumour]]:
        found: dict[int, list[Rumour]] = {}
        known: dict[int, dict[int, Rumour]] = {}
        for teller, receiver in edges:
            if teller not in known:
                known[teller] = self._known(teller)
            others = [
                rumour for subject, rumour in known[teller].items() if subject != receiver and rumour.teller != receiver
            ]
            if others:
                chance = np.exp(-self.decay * np.array([rumour.distance - 1.0 for rumour in others]))
                chosen = others[int(rng.choice(len(others), p=chance / chance.sum()))]
                told = Rumour(teller, chosen.subject, chosen.round, chosen.distance + 1, chosen.payload)
                found.setdefault(receiver, []).append(told)
        return found

    def _known(self, peer: int) -> dict[int, Rumour]:
        """What a peer could tell: subject -> the rumour as it has it itself; neighbours have the distance 1."""
        direct: Direct = self._state.get("direct", {}).get(peer, {})
        found = {one: Rumour(one, one, at, 1, history) for one, (at, history) in sorted(direct.items())}
        if not self.quorum:
            hearsay: Hearsay = self._state.get("hearsay", {}).get(peer, {})
            for (teller, subject), (at, distance, history) in sorted(_newest(hearsay, direct).items()):
                found[subject] = Rumour(teller, subject, at, distance, history)
        return found

    def _mix(self, gathering: Gathering) -> Mixing:
        number = gathering.occasion.number
        before: dict[str, dict[int, Any]] = {key: self._state.get(key, {}) for key in self.state_keys}
        after = {key: dict(parts) for key, parts in before.items()}
        copies: dict[int, Array] = {}
        moved: dict[tuple[int, int, int], Array] = {}
        published = _Published(self._asked(gathering), gathering)
        refusals: dict[int, list[Refused]] = {}
        mute: dict[int, dict[int, str]] = {}
        counts: dict[int, int] = {}
        shares = []
        for group in gathering.groups:
            share = np.ones(group.index.shape)
            for line, (rows, ids) in enumerate(zip(group.index.tolist(), group.senders.tolist(), strict=True)):
                peer, latest, direct = ids[0], {}, dict(before["direct"].get(ids[0], {}))
                for row, sender in zip(rows[1:], ids[1:], strict=True):
                    if row not in copies:
                        copies[row] = gathering.rows[row].copy()
                    old = before["latest"].get(peer, {}).get(sender)
                    history = direct[sender][1] if sender in direct else None
                    require_size(self, history, len(copies[row]))
                    latest[sender] = copies[row]
                    said = published.by(peer, sender) if self.hears_updates else None
                    if isinstance(said, str):
                        mute.setdefault(peer, {})[sender] = said
                        continue
                    key = row if said is None else id(said), id(old) if said is None else 0, id(history)
                    if key not in moved:
                        moved[key] = self._moved(old, copies[row], history, said)
                    direct[sender] = number, moved[key]
                hearsay: Hearsay = before["hearsay"].get(peer, {})
                told = {key: at for key, (at, _, _) in hearsay.items()}
                found, refused = believed(
                    gathering.occasion.rumours.get(peer, ()),
                    Receiver(peer, set(ids[1:]), told),
                    number,
                    gathering.rows[rows[0]],
                    self.most,
                    NEAREST if self.quorum else None,
                )
                hearsay = _remembered(hearsay, found)
                after["latest"][peer], after["direct"][peer], after["hearsay"][peer] = latest, direct, hearsay
                silent = mute.get(peer, {})
                speaks = np.array([sender not in silent for sender in ids[1:]], np.bool_)
                speaking = [sender for sender in ids[1:] if sender not in silent]
                share[line, 1:][~speaks] = 0.0
                if speaking:
                    share[line, 1:][speaks] = self._trust(speaking, direct, hearsay)
                counts[peer] = len(found)
                if refused:
                    refusals[peer] = refused
            shares.append(share / share.sum(axis=1, keepdims=True))
        info = {"believed": counts, "refused": refusals} | ({"mute": mute} if self.hears_updates else {})
        return Mixing(shares, info=info, state=after)

    def _asked(self, gathering: Gathering) -> Callable[[int, int], Any] | None:
        """What says what neighbours publish; None where the rule does not ask."""
        if not self.hears_updates:
            return None
        if gathering.occasion.updates is None:
            raise ParameterError(
                "`history='updates'` compares what neighbours say that their own training has changed. Pass it as "
                "`Occasion(updates=...)`, or choose history='models'."
            )
        return gathering.occasion.updates

    def _moved(self, old: Array | None, new: Array, history: Array | None, said: Array | None) -> Array:
        """A neighbour's history after a letter; `old` is its letter of the mixing before, None if none came.

        `said` is what it says that its training has changed, where that is remembered in place of its letters.
        """
        if self.history == "clipped":
            return unit_step(old, new, history)
        step: Array = said if said is not None else new if old is None else new - old
        if history is None:
            return step
        with np.errstate(over="ignore", invalid="ignore"):
            moved: Array = history + step
            bounded = np.abs(moved).max() <= largest_payload(new)
        # Who comes and goes, or lies, could otherwise let it grow beyond all numbers.
        return moved if bounded else new if said is None else said

    def _trust(self, heard: list[int], direct: Direct, hearsay: Hearsay) -> Floats:
        """The trust [k] in the neighbours that were heard."""
        k = len(heard)
        near = [direct[one][1] for one in heard]
        if self.quorum:
            told = sorted(key for key in hearsay if key[1] not in direct)
            cosines = _cosines([*near, *(hearsay[key][2] for key in told)])
            tellers = np.array([teller for teller, _ in told], np.int64)
            condemned = [self._condemned(one, cosines[place, k:], tellers) for place, one in enumerate(heard)]
            return rescaled(np.minimum(apart(cosines[:k, :k]), 1.0 - np.array(condemned)), self.confidence)
        silent = [direct[one][1] for one in sorted(set(direct) - set(heard))]
        far = [known[2] for _, known in sorted(_newest(hearsay, direct).items(), key=lambda entry: entry[0][1])]
        return rescaled(apart(_cosines([*near, *silent, *far]))[:k], self.confidence)

    def _condemned(self, neighbour: int, cosines: Floats, tellers: np.ndarray) -> float:
        """h_j: how much like a neighbour's history is what a quorum of tellers has told."""
        others = np.unique(tellers[tellers != neighbour])
        if len(others) < self.quorum:
            return 0.0
        most = sorted((float(cosines[tellers == teller].max()) for teller in others), reverse=True)
        return max(most[self.quorum - 1], 0.0)


class _Published:
    """What neighbours say that their training has changed, each read and copied once."""

    def __init__(self, asked: Callable[[int, int], Any] | None, gathering: Gathering) -> None:
        self._asked, self._gathering = asked, gathering
        self._read: dict[int, tuple[Any, Array | str]] = {}

    def by(self, peer: int, sender: int) -> Array | str:
        """What a sender says to a peer, or why nobody can read that."""
        assert self._asked is not None
        said = self._asked(peer, sender)
        if id(said) not in self._read:
            like = self._gathering.rows[0]
            found = readable(said, like, largest_payload(like))
            # What was said is kept, too: as long as it lives, nothing else has its id.
            self._read[id(said)] = said, found if isinstance(found, str) else found.copy()
        return self._read[id(said)][1]


def _newest(hearsay: Hearsay, direct: Direct) -> Hearsay:
    """Of what was told about each peer that is no neighbour, what is newest; then what came over the fewest edges."""
    teller_of: dict[int, int] = {}
    for teller, subject in sorted(hearsay):
        at, distance, _ = hearsay[teller, subject]
        if subject in direct:
            continue
        if subject in teller_of:
            other = hearsay[teller_of[subject], subject]
            if (-at, distance) >= (-other[0], other[1]):
                continue
        teller_of[subject] = teller
    return {(teller, subject): hearsay[teller, subject] for subject, teller in teller_of.items()}


def _remembered(hearsay: Hearsay, found: list[Rumour]) -> Hearsay:
    """What is known by hearsay after some rumours; of what one teller has told, the latest are remembered."""
    known = dict(hearsay)
    for rumour in found:
        key = rumour.teller, rumour.subject
        known.pop(key, None)  # the latest stand last
        known[key] = rumour.round, rumour.distance, rumour.payload
    for teller in {rumour.teller for rumour in found}:
        told = [key for key in known if key[0] == teller]
        for key in told[: max(len(told) - HEARD_FROM, 0)]:
            del known[key]
    return known


def _cosines(histories: list[Array]) -> Floats:
    """The cosines [m, m] between vectors; 0 with a vector that is zero."""
    rows = np.stack(histories).astype(np.float64)
    products = rows @ rows.T
    lengths = np.sqrt(np.diag(products))
    outer = lengths[:, None] * lengths[None, :]
    cosines: Floats = np.clip(np.divide(products, outer, out=np.zeros_like(products), where=outer > 0), -1.0, 1.0)
    return cosines
