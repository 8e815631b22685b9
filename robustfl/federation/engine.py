"""The loop over rounds. Parts do everything that happens in a round, and no part knows the loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robustfl.federation.anonymity import row_order
from robustfl.federation.channels.contract import Channel
from robustfl.federation.observers.conduct import Conduct
from robustfl.federation.observers.contract import Observer
from robustfl.federation.observers.stopwatch import Stopwatch
from robustfl.federation.round import Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.federation.topologies.contract import Topology
from robustfl.federation.trace import Trace
from robustfl.federation.transforms import Transform


class Simulation:
    """A federation under attack, put together by :func:`robustfl.federation.assembly.assemble`.

    Parameters
    ----------
    setup : the part that stays fixed: the task, the rules, and who takes part
    topology : decides who hears whom, and who owns a model
    channel : decides what a message is
    transforms : change messages between client and defense
    conduct : asks the defenses and watches them
    observers : hear every round and report in the end, both in this order
    """

    def __init__(
        self,
        setup: Setup,
        topology: Topology,
        channel: Channel,
        transforms: Sequence[Transform],
        conduct: Conduct,
        observers: Sequence[Observer],
    ) -> None:
        self.setup, self.topology, self.channel = setup, topology, channel
        self.transforms, self.conduct, self.observers = tuple(transforms), conduct, list(observers)
        self.watch = Stopwatch(setup.population.device)

    def run(self) -> Trace:
        """Play all rounds, or stop when a model diverges or a budget is spent, and let all observers report."""
        self.watch = Stopwatch(self.setup.population.device)
        for number in range(self.setup.settings.rounds):
            if not all(transform.allows(number) for transform in self.transforms) or self.play(number).diverged:
                break
        trace = Trace(malicious=self.setup.malicious_clients)
        for observer in self.observers:
            with self.watch.phase(observer.phase):
                observer.report(trace)
        trace.seconds = self.watch.seconds()
        return trace

    def shuffle(self, round: Round, receiver: Receiver) -> None:
        """Put the rows of a receiver into a random order: the place of a row must not tell who sent it."""
        order = row_order(self.setup.seed, round.number, receiver.who, len(receiver.ids))
        places = torch.as_tensor(order, device=receiver.arrived.device)
        receiver.rows, receiver.ids = receiver.arrived.index_select(0, places), receiver.ids[order]

    def play(self, number: int) -> Round:
        """Play one round, from the choice of who takes part to the new models."""
        topology, channel, watch = self.topology, self.channel, self.watch
        round = topology.sample(number)
        round.mark(self.setup.settings, self.setup.strike)
        topology.gather(round, watch)
        with watch.phase("compute"):
            channel.compute(round, topology.models)
            for receiver in round.receivers:
                topology.trust(round, receiver)
        with watch.phase("attack"):
            for transform in self.transforms:
                round.messages = transform.sent(round.sent, round.honest, round)
            seen = round.sent
            for transform in self.transforms:
                seen = transform.shown(seen, round.honest, round)
            round.seen = seen
            channel.craft(round)
        topology.exchange(round, watch)
        for receiver in round.receivers:
            receiver.rows, receiver.ids = self.setup.faults.deliver(round, receiver)
            for transform in self.transforms:
                receiver.rows, receiver.ids = transform.received(receiver, round)
            self.shuffle(round, receiver)
        with watch.phase("aggregate"):
            topology.aggregate(round, self.conduct)
            for receiver in round.receivers:
                for transform in self.transforms:
                    receiver.aggregate = transform.answered(receiver, round)
            topology.advance(round)
        with watch.phase("evaluate"):
            if round.measured:
                round.served = topology.served()
            for observer in self.observers:
                observer.hear(round)
        return round
