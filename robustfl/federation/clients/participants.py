"""Everybody who may send a row: the clients of the federation, and the identities that an adversary adds to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.federation.clients.hardening import Hardening
from robustfl.federation.settings import Federation
from robustfl.federation.streams import stream
from robustfl.federation.task import Population
from robustfl.threats.identities import Identities
from robustfl.threats.updates.directions import PairedDirections

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Members:
    """Who takes part in a simulation, with which samples, and under which names.

    Members are numbered: the clients come first, then the identities that the adversary adds. The first identity of an
    attacker that is a client of the federation is the client itself. In round `number` some identities may be absent,
    and each identity has a name: member m under its a-th name is called ``m + a members``. Two members therefore never
    share a name, and a member that keeps its first name (a = 0) is called by its number.

    Without identities the members are the clients. What the adversary adds is drawn from streams of its own, so the
    clients have the same batches and changes as in a federation without these identities.

    Parameters
    ----------
    population, settings : the clients, their data and the rules
    identities : the adversary's strategy for identities, or None
    order : the clients in random order; the first of them are malicious
    f : the number of malicious clients
    seed : the seed of the simulation
    """

    def __init__(
        self,
        population: Population,
        settings: Federation,
        identities: Identities | None,
        order: Ids,
        f: int,
        seed: int,
    ) -> None:
        self.number = 0
        self._population, self._identities = population, identities
        outside = identities is not None and identities.outside
        clients, count = settings.clients, 1 if identities is None else identities.count
        leaders = clients + count * np.arange(f) if outside else np.sort(order[:f])
        added = np.repeat(leaders, count) if outside else np.repeat(leaders, count - 1)
        self.leaders: Ids = np.concatenate([np.arange(clients), added])  # [members] whose data and update it uses
        self.malicious: Mask = np.isin(self.leaders, leaders)
        self._identity = np.zeros(len(self), dtype=np.int64)
        self._identity[clients:] = np.tile(np.arange(0 if outside else 1, count), f)
        self._clients, self._outside = clients, outside
        sizes = np.concatenate([population.sizes, np.repeat(len(population.labels), count * f * outside)])
        self._supplied: Mask = sizes[self.leaders] > 0
        self._suppliers = int(self._supplied.sum())
        own = [] if self.sharing else np.flatnonzero(self.malicious).tolist()
        self._held = {m: self._samples(m) for m in own}
        self._used: dict[int, Ids] = {}
        self._chosen: Mask | None = None  # the samples on which attackers that share theirs with others train
        self._directions, self._spread = PairedDirections(), 0.0 if identities is None else identities.disguise
        self._rng = {name: stream(seed, f"identities' {name}") for name in ("batches", "disguise")}
        self._hardening = Hardening(population, settings, seed, members=clients)
        self._added_hardening = Hardening(population, settings, seed, who="identities' ", members=len(added))

    def __len__(self) -> int:
        return len(self.leaders)

    @property
    def supplied(self) -> Mask:
        """Which members have samples, [members]."""
        return self._supplied

    @property
    def sharing(self) -> bool:
        """Whether clients share samples, so that there may be many more clients than take part in any round."""
        return self._population.shared is not None

    def present(self) -> Mask:
        """Which members could take part in this round, [members]; a member without samples cannot."""
        if self._identities is None:
            return self._supplied
        identities = range(self._identities.count)
        absent = np.array([self._identities.alias(self.number, identity) is None for identity in identities])
        present: Mask = ~(self.malicious & absent[self._identity]) & self._supplied
        return present

    @property
    def presence(self) -> int:
        """The number of members who could take part in this round."""
        return self._suppliers if self._identities is None else int(self.present().sum())

    def names(self, ids: Ids) -> Ids:
        """The names by which defenses call these members in this round."""
        if self._identities is None:
            return ids
        aliases = [(self._alias(m) or 0) if self.malicious[m] else 0 for m in ids.tolist()]
        return ids + len(self) * np.array(aliases, dtype=np.int64)

    @cached_property
    def _together(self) -> Ids:
        if self._outside:
            return np.arange(len(self._population.labels))
        clients = np.flatnonzero(self.malicious[: self._clients])
        return self._population.held(clients)

    def samples(self) -> Ids:
        """All training samples that malicious members hold."""
        return self._together

    def parts(self) -> list[Ids]:
        """The training samples of each malicious client; attackers from outside hold all samples together."""
        if self._outside:
            return [self.samples()]
        clients = np.flatnonzero(self.malicious[: self._clients]).tolist()
        return [self._population.parts[client] for client in clients]

    def restrict(self, used: Mask) -> None:
        """Let malicious members that attack train only on those of their samples that `used` [N] marks.

        A malicious client that has none of these samples uses all of its samples.
        """
        self._chosen = None if used.all() else used
        for member, held in self._held.items():
            if not used[held].all() and used[held].any():
                self._used[member] = held[used[held]]

    def trained(self, ids: Ids) -> tuple[Ids, Ids]:
        """The members whose training these members use, each once, and for each member its place among them, [k]."""
        if self._identities is None or self._identities.shared == "data":
            return ids, np.arange(len(ids))
        who, first, place = np.unique(self.leaders[ids], return_index=True, return_inverse=True)
        order = np.argsort(first)  # the order in which they first occur
        return who[order], np.argsort(order)[place]

    def changed(self, drawn: Ids, attacking: bool) -> Ids:
        """What all members draw, [members, samples], where clients draw the samples `drawn` [clients, samples].

        It is `drawn` itself unless an adversary adds members or chooses its samples, which are then drawn uniformly
        with replacement within each member's.
        """
        samples = drawn.shape[1]
        if len(self) == self._clients and not self._used:
            return drawn
        drawn = np.concatenate([drawn, np.zeros((len(self) - self._clients, samples), dtype=np.int64)])
        for (member, held), uniform in zip(
            self._held.items(), self._rng["batches"].random((len(self._held), samples)), strict=True
        ):
            pool = self._used.get(member, held) if attacking else held
            if len(pool) and (member >= self._clients or pool is not held):
                drawn[member] = pool[(uniform * len(pool)).astype(np.int64)]
        return drawn

    def drawn(self, ids: Ids, uniform: NDArray[np.float64], attacking: bool) -> Ids:
        """Samples [k, m] of these members, drawn with replacement by numbers [k, m] that are uniform on [0, 1).

        It is for clients that share samples; :meth:`draw` is for the others.
        """
        parts = self._population.shared
        assert parts is not None, "clients that share nothing have batches that are drawn for everybody"
        leaders, found = self.leaders[ids], np.zeros(uniform.shape, dtype=np.int64)
        choosing = self.malicious[ids] & (attacking and self._chosen is not None)
        outside = leaders >= self._clients
        for rows, used in ((~choosing & ~outside, None), (choosing & ~outside, self._chosen)):
            if rows.any():
                found[rows] = parts.draw(leaders[rows], uniform[rows], used)
        if outside.any():  # they hold copies of all samples
            pool = self.samples() if self._chosen is None or not attacking else np.flatnonzero(self._chosen)
            pool = pool if len(pool) else self.samples()
            found[outside] = pool[(uniform[outside] * len(pool)).astype(np.int64)]
        return found

    def hardened(self, features: Tensor, ids: Ids) -> tuple[Tensor, Tensor | None]:
        """The batches of members after augmentation, and the starts of the search of adversarial training."""
        added = ids >= self._clients
        if not added.any():
            return self._hardening(features, ids)
        place = torch.as_tensor(np.argsort(np.argsort(added, kind="stable")), device=features.device)
        pairs = [
            self._hardening(features[torch.as_tensor(~added)], ids[~added]),
            self._added_hardening(features[torch.as_tensor(added)], ids[added] - self._clients),
        ]
        batches = torch.cat([batch for batch, _ in pairs])[place]
        starts = [start for _, start in pairs if start is not None]
        return batches, torch.cat(starts)[place] if starts else None

    def disguised(self, messages: Tensor, names: Ids) -> Tensor:
        """The malicious messages [f, d], each with the lasting perturbation of its name.

        Rows with NaN or infinity stay as they are.
        """
        finite = messages.isfinite().all(dim=1)
        if not self._spread or not bool(finite.any()):
            return messages
        length = self._spread * messages[finite].norm(dim=1).mean()
        directions = self._directions.rows(names.tolist(), self._normal(messages))
        return torch.where(finite[:, None], messages + length * directions, messages)

    def _normal(self, like: Tensor) -> Callable[[int], Tensor]:
        return lambda rows: like.new_tensor(
            self._rng["disguise"].standard_normal((rows, like.shape[1]), dtype=np.float32)
        )

    def _alias(self, member: int) -> int | None:
        assert self._identities is not None
        return self._identities.alias(self.number, int(self._identity[member]))

    def _samples(self, member: int) -> Ids:
        """The training samples that a malicious member has."""
        if self._outside:
            return np.arange(len(self._population.labels))
        samples: Ids = self._population.parts[self.leaders[member]]
        return samples
