"""One federation on several processes, for models that are too large for the updates of all clients in one memory.

Every process trains some of the clients that take part, one after the other, and holds their updates alone. One
all-to-all then gives each process all rows of its share of the columns, the rule is asked on them, and every process
gets the answer and moves the same model. Processes are started by torchrun, by Ray, or by Slurm::

    torchrun --nproc-per-node 4 my_federation.py

>>> import torch.distributed as dist
>>> from robustfl.federation.distributed import DistributedSimulation
>>> dist.init_process_group("gloo")  # doctest: +SKIP
>>> simulation = DistributedSimulation(population, settings, rule, f=2, attack=flip)  # doctest: +SKIP
>>> trace = simulation.run()  # doctest: +SKIP
>>> trace.accuracy[-1]  # the same on every process  # doctest: +SKIP
(60, 0.87)

What is found does not depend on the number of processes: clients, batches, identities and the order of the rows are
those of :class:`robustfl.federation.engine.Simulation` with the same seed, and each client is trained for itself. Rules
that sort entries or pick rows then give the same bits; weighted sums differ by rounding, since sums over columns are
added up in another order.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import Tensor

from robustfl.aggregation import Aggregation, Aggregator
from robustfl.aggregation.sharded import exchange
from robustfl.errors import ParameterError
from robustfl.federation.anonymity import row_order
from robustfl.federation.assembly import refusal, topology_for
from robustfl.federation.channels.dense import Dense
from robustfl.federation.clients.work import ClientWork
from robustfl.federation.observers.accuracy import Accuracy
from robustfl.federation.round import Ids, Lesson, Receiver, Round
from robustfl.federation.settings import Federation
from robustfl.federation.setup import set_up
from robustfl.federation.task import Population
from robustfl.federation.trace import Trace
from robustfl.threats import Attack


class DistributedSimulation:
    """A federation with one server, played by all processes of a group together.

    Cost per process, for k clients in a round, n processes and d parameters: the training of k/n clients, memory for
    k/n + k/n updates, and 2 k d / n + 2 d values sent in a round.

    Parameters
    ----------
    population, settings : the task and the rules of the federation, equal on every process
    defense : an aggregator or pipeline that is equal on every process; each keeps its share of the rule's state
    attack : a poisoning of data; None when malicious clients do nothing. Attacks that craft updates need the updates of
        others, which no process has: they are refused
    f : the number of malicious clients
    seed : decides everything random
    group : the process group; None for the default group

    Raises
    ------
    ParameterError : the parts cannot be combined, or need what no process has: momenta of all clients, an asynchronous
        server, a trusted update, a mechanism for privacy, crafted updates
    """

    def __init__(
        self,
        population: Population,
        settings: Federation,
        defense: Aggregator,
        *,
        attack: Attack | None = None,
        f: int = 0,
        seed: int = 0,
        group: Any = None,
    ) -> None:
        reason = refusal(defense, settings, attack=attack) or _beyond(defense, settings)
        if reason is not None:
            raise ParameterError(reason)
        self.setup = set_up(population, settings, "dense", attack=attack, f=f, faults=(), seed=seed)
        setup = self.setup
        crafts = setup.attack is not None and (setup.poisoning is None or setup.attackers is not None)
        if crafts or setup.identities is not None:
            raise ParameterError(
                f"On several processes, `attack` should poison data. Found {attack}, which needs the updates or the "
                "training of others, and no process has those of all. Play it in one process."
            )
        self.group = group
        self.channel = Dense(setup, ClientWork(setup), defense)
        self.topology = topology_for(setup, self.channel)
        self._held: list[int] = []
        self._rows = setup.population.initial.new_zeros((0, setup.population.d))

    def run(self) -> Trace:
        """Play all rounds, or stop when the model diverges; every process returns the same."""
        settings, accuracy = self.setup.settings, Accuracy(self.setup.population, self.setup.settings)
        trace = Trace(malicious=self.setup.malicious_clients)
        for number in range(settings.rounds):
            round = self.play(number)
            (receiver,) = round.receivers
            answer = receiver.answer
            trace.held_rounds += answer is None and len(receiver.ids) > 0
            trace.rejected_rows += receiver.refused if answer is None else int(answer.rejected.sum())
            accuracy.hear(round)
            if round.diverged:
                break
        accuracy.report(trace)
        return trace

    def play(self, number: int) -> Round:
        """Play one round."""
        round = self.topology.sample(number)
        round.mark(self.setup.settings, self.setup.strike)
        (receiver,) = round.receivers
        ids = np.concatenate([round.malicious, round.honest])
        receiver.ids = ids[row_order(self.setup.seed, number, receiver.who, len(ids))]
        parts = np.array_split(receiver.ids, dist.get_world_size(self.group))
        self._held = [len(part) for part in parts]
        self._rows = self.trained(round, parts[dist.get_rank(self.group)])
        self.topology.aggregate(round, self)
        self.topology.advance(round)
        if round.measured:
            round.served = self.topology.served()
        return round

    def trained(self, round: Round, ids: Ids) -> Tensor:
        """The updates [m, d] of these members, each trained for itself, so that none depends on who the others are."""
        lesson = self.channel.work.lesson(round.number, ids, dirty=len(round.malicious) > 0)
        model = round.receivers[0].model.state
        rows = model.new_empty((len(ids), self.setup.population.d))
        for place in range(len(ids)):
            rows[place] = self.channel.messages(model, _alone(lesson, place), round.number)[0]
        return rows

    def ask(self, receiver: Receiver, round: Round) -> Aggregation:
        """The answer of the defense to the updates of all processes, on every process."""
        shard = exchange(self._rows, self.group, counts=self._held)
        names: list[Hashable] = receiver.names
        answer: Aggregation = receiver.defense.aggregate(shard, ids=names)
        return replace(answer, value=shard.whole(answer.value))


def _alone(lesson: Lesson, place: int) -> Lesson:
    """The part of a lesson that is about one member."""
    own: dict[str, Any] = {
        field.name: None if (value := getattr(lesson, field.name)) is None else value[place : place + 1]
        for field in fields(lesson)
    }
    return Lesson(**{**own, "place": np.zeros(1, dtype=np.int64)})


def _beyond(defense: Aggregator, settings: Federation) -> str | None:
    """What a federation on several processes cannot do, of what these parts ask for; None if nothing."""
    if defense.channel != "dense" or defense.wants_trusted or defense.client_side or defense.protection is not None:
        return f"On several processes, `defense` should be a rule for updates alone. Found {defense}."
    if settings.server.asynchronous:
        return "On several processes, the server should be synchronous. Found an asynchronous one."
    if settings.client_momentum:
        return (
            "On several processes, clients have no momentum, as none of them stays with one process. Found "
            f"client_momentum={settings.client_momentum}. Put `ClientMomentum` before the rule."
        )
    return None


__all__ = ["DistributedSimulation"]
