"""One network of peers on several processes, for peers or models that are too many or too large for one memory.

Every process has some of the peers: it trains and tests their models, and holds no others. To mix them, one all-to-all
gives each process all letters in its share of the columns, and another brings the new models back
(:mod:`robustfl.aggregation.neighbourhoods.spread`). Processes are started by torchrun, by Ray, or by Slurm::

    torchrun --nproc-per-node 4 my_network.py

>>> import torch.distributed as dist
>>> from robustfl.federation.distributed_peers import DistributedPeers
>>> dist.init_process_group("gloo")  # doctest: +SKIP
>>> simulation = DistributedPeers(population, settings, NNA(), attack=LabelFlip(), f=4)  # doctest: +SKIP
>>> trace = simulation.run()  # doctest: +SKIP
>>> trace.more["worst_peer"]  # the same on every process  # doctest: +SKIP
0.87

Under Ray, each worker of a placement group is an actor that joins the process group and plays its part::

    @ray.remote(num_cpus=1)
    class Part:
        def address(self):
            with socket.socket() as free:
                free.bind(("", 0))
                return f"tcp://{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"

        def play(self, address, rank, size):
            dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
            return DistributedPeers(population(), settings, NNA(), f=4).run()

    parts = [Part.remote() for _ in range(4)]
    address = ray.get(parts[0].address.remote())
    traces = ray.get([part.play.remote(address, rank, 4) for rank, part in enumerate(parts)])

What is found does not depend on the number of processes, to the last bit, for networks whose gradients are written out
(:mod:`robustfl.federation.clients.written_out`): each peer is trained for itself there, and distances are added up in
the order of the columns. Other networks may differ by rounding, as `consensus` does, the distance of models from their
mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist

from robustfl.aggregation.neighbourhoods.letters import ABSENT
from robustfl.aggregation.neighbourhoods.spread import SpreadLetters, mix_spread, spread, whole_letters
from robustfl.aggregation.reductions import Reductions
from robustfl.errors import ParameterError
from robustfl.federation.assembly import refusal
from robustfl.federation.channels.models import Models
from robustfl.federation.classified import Classified
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.graphs.sampled import Sampled
from robustfl.federation.observers.peers.accuracy import PeerAccuracy
from robustfl.federation.observers.peers.places import largest_part
from robustfl.federation.peers.fitting import rule_for
from robustfl.federation.peers.hearing import Exchange
from robustfl.federation.peers.topology import PeerToPeer, averaging
from robustfl.federation.round import Ids, Round
from robustfl.federation.settings import Federation
from robustfl.federation.setup import Setup, set_up
from robustfl.federation.task import Population
from robustfl.federation.trace import Trace
from robustfl.threats import Attack, Fault

if TYPE_CHECKING:
    from torch import Tensor


class DistributedPeers:
    """A network of peers without a server, played by all processes of a group together.

    Cost per process, for n peers, W processes and d parameters: the training of n/W peers, memory for about 4 n/W
    models, and for each mixing 4 n d/W numbers sent and received.

    Parameters
    ----------
    population, settings : the task and the rules of the network, equal on every process
    defense : the rule of all peers, equal on every process; one by weights, distances or columns
    attack : a poisoning of data; None when malicious peers do nothing. Attacks that craft letters need the models of
        others, which no process has: they are refused
    f : the number of malicious peers
    faults : what goes wrong without malice
    seed : decides everything random
    root : the folder of data files, for a graph that is in one
    group : the process group; None for the default group. It has to be able to send tensors in memory, as gloo can

    Raises
    ------
    ParameterError : the parts cannot be combined, or need what no process has: whole letters, rumours, crafted letters
    """

    def __init__(
        self,
        population: Population,
        settings: Federation,
        defense: Any,
        *,
        attack: Attack | None = None,
        f: int = 0,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        root: Path | None = None,
        group: Any = None,
    ) -> None:
        reason = refusal(defense, settings, attack=attack, faults=faults) or _beyond(defense, settings)
        if reason is not None:
            raise ParameterError(reason)
        setup = set_up(population, settings, Models.name, attack=attack, f=f, faults=faults, seed=seed, root=root)
        crafts = setup.attack is not None and (setup.poisoning is None or setup.attackers is not None)
        if crafts or setup.identities is not None:
            raise ParameterError(
                f"On several processes, `attack` should poison data. Found {attack}, which needs the models or the "
                "training of others, and no process has those of all. Play it in one process."
            )
        self.setup = setup
        self.channel = Models(setup, ClientWork(setup), rule_for(defense, settings))
        self.topology = SpreadPeers(setup, self.channel, group)

    def run(self) -> Trace:
        """Play all rounds, or stop when a model diverges; every process returns the same."""
        topology = self.topology
        accuracy = _Everybody(topology)
        trace = Trace(malicious=self.setup.malicious_clients)
        for number in range(self.setup.settings.rounds):
            round = self.play(number)
            trace.rejected_rows += sum(exchange.refused for exchange in round.exchanges)
            accuracy.hear(round)
            if round.diverged:
                break
        accuracy.report(trace)
        return trace

    def play(self, number: int) -> Round:
        """Play one round."""
        topology = self.topology
        round = topology.sample(number)
        round.mark(self.setup.settings, self.setup.strike)
        if topology.combines_first:
            topology.mix(round)
        here = topology.part(round)
        self.channel.compute(here, topology.models)
        topology.keep(here)
        if not topology.combines_first:
            topology.mix(round)
        if round.measured:
            round.served = topology.served()
        return round


class SpreadPeers(PeerToPeer):
    """The peers of one process in a network whose other peers are on the other processes of a group."""

    def __init__(self, setup: Setup, channel: Models, group: Any) -> None:
        self.group = group
        self._parts = np.array_split(np.arange(len(setup.members)), dist.get_world_size(group))
        super().__init__(setup, channel, here=self._parts[dist.get_rank(group)])

    def part(self, round: Round) -> Round:
        """The same round, of the peers of this process alone."""
        mine = [ids[np.isin(ids, self.here)] for ids in (round.malicious, round.honest)]
        return Round(number=round.number, malicious=mine[0], honest=mine[1], last=round.last, measured=round.measured)

    def keep(self, here: Round) -> None:
        """Take the models that peers of this process have after the steps of their part of a round."""
        assert here.own is not None
        self._set(here.malicious, here.own)
        self._set(here.honest, here.sent)

    def mix(self, round: Round) -> None:
        """All mixings of a round, if it has any; malicious peers do plain averaging, or never mix."""
        if not len(round.honest) or round.number not in self.mixings:
            return
        scene = self.network.scene(round.number, round.honest, round.malicious)
        lost = self._lost(round.number, scene.honest)
        up = np.sort(np.concatenate([round.honest, round.malicious]))
        place = np.full(self.network.n, ABSENT)
        place[up] = np.arange(len(up))
        for step in range(self.rules.gossip_steps):
            sent = self._in_time(scene.honest, scene.bounds, lost, round.number, step)
            heard = sent.without(lost)
            index = np.where(heard.present, place[np.maximum(heard.senders, 0)], ABSENT)
            hoods = self._hoods(heard, index, scene.bounds).like(self._around)
            self._around = hoods
            letters = self._letters(up, round)
            occasion = replace(self._occasion(round), losses=None, confusions=None)
            mixed = mix_spread(self.mixer, letters, hoods, occasion, short=self.rules.short)
            if self.rules.malicious_mixing == "average":
                averaged = self._averages(letters, *averaging(scene.malicious, place), place[round.malicious])
                self._set(np.intersect1d(round.malicious, self.here), torch.as_tensor(averaged))
            self._set(np.intersect1d(round.honest, self.here), torch.as_tensor(mixed.models))
            round.exchanges.append(Exchange(hearing=sent, names=hoods.senders, lost=lost, mixed=mixed))

    def _letters(self, up: Ids, round: Round) -> SpreadLetters:
        """The models of all who take part, in this process's columns."""
        counts = [int(np.isin(up, part).sum()) for part in self._parts]
        return spread(self.models(round, np.intersect1d(up, self.here)), counts, self.group)

    @staticmethod
    def _averages(letters: SpreadLetters, rows: Ids, shares: Any, own: Ids) -> Any:
        """The sums [f', d] of the malicious peers of this process, of letters with shares [f, m] around rows [f]."""
        made = np.empty((len(own), letters.d), letters.rows.dtype)
        if len(own):
            nobody = np.empty(0, dtype=np.int64)
            letters.passes(nobody, np.inf).combine(rows.astype(np.int32), shares, np.arange(len(own)), made)
        return letters.returned(made, own)

    def _set(self, ids: Ids, models: Tensor) -> None:
        self.own[torch.as_tensor(np.searchsorted(self.here, ids))] = models


class _Everybody(PeerAccuracy):
    """The accuracy of the peers of all processes, each of which measures its own."""

    def __init__(self, topology: SpreadPeers) -> None:
        super().__init__(topology.setup, largest_part(topology.network, topology.setup.honest))
        self._group, self._reductions = topology.group, Reductions(topology.group, torch.device("cpu"))

    def finite(self, models: Tensor) -> bool:
        return self._reductions.agreed(bool(models.isfinite().all()))

    def measured(self, models: Tensor, few: Tensor | None) -> list[Classified]:
        parts: list[list[Classified]] = [[] for _ in range(dist.get_world_size(self._group))]
        dist.all_gather_object(parts, super().measured(models, few) if len(models) else [], group=self._group)
        return [one for part in parts for one in part]

    def disagreement(self, models: Tensor) -> float:
        rows = models.double()
        count, squares = self._reductions.sum(np.array([float(len(rows)), float(rows.square().sum())]))
        mean = self._reductions.sum(rows.sum(dim=0).numpy()) / count
        apart = self._reductions.sum(np.array(float((rows - torch.as_tensor(mean)).square().sum())))
        return float((apart / squares) ** 0.5) if squares > 0 else 0.0

    def remember(self, models: Tensor, accuracies: Sequence[float]) -> None:
        """No process has the model that stands for all of them."""


def _beyond(defense: Any, settings: Federation) -> str | None:
    """What a network on several processes cannot do, of what these parts ask for; None if nothing."""
    if settings.topology is None:
        return "A network of peers needs a `topology`. Found none, which means a server: take `DistributedSimulation`."
    rule = rule_for(defense, settings)
    if isinstance(settings.topology, Sampled):
        return f"On several processes, all peers should take part. Found {settings.topology}."
    return None if rule.by_columns else whole_letters(rule)


__all__ = ["DistributedPeers", "SpreadPeers"]
