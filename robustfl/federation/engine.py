"""The loop over rounds. Everything that happens in one is done by a part, and no part knows the loop."""

from __future__ import annotations

from collections.abc import Sequence

from robustfl.federation.channels.contract import Channel
from robustfl.federation.observers.conduct import Conduct
from robustfl.federation.observers.contract import Observer
from robustfl.federation.observers.stopwatch import Stopwatch
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.topologies.contract import Topology
from robustfl.federation.trace import Trace
from robustfl.federation.transforms import Transform


class Simulation:
    """A federation under attack, put together by :func:`robustfl.federation.assembly.assemble`.

    Parameters
    ----------
    setup : the fixed part: the task, the rules, who takes part
    topology : who hears whom, and who owns a model
    channel : what a message is
    transforms : what happens to messages between client and defense
    conduct : asks the defenses and watches them
    observers : hear every round, in this order, and report in this order
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
        """Play all rounds, or until a model diverges, and let all observers report."""
        self.watch = Stopwatch(self.setup.population.device)
        for number in range(self.setup.settings.rounds):
            if self.play(number).diverged:
                break
        trace = Trace(malicious=self.setup.malicious_clients)
        for observer in self.observers:
            with self.watch.phase(observer.phase):
                observer.report(trace)
        trace.seconds = self.watch.seconds()
        return trace

    def play(self, number: int) -> Round:
        """One round, from the choice of who takes part to the models that come of it."""
        topology, channel, watch = self.topology, self.channel, self.watch
        round = topology.sample(number)
        round.mark(self.setup.settings)
        with watch.phase("compute"):
            channel.compute(round, topology.models)
            for receiver in round.receivers:
                topology.trust(round, receiver)
        with watch.phase("attack"):
            for transform in self.transforms:
                round.messages = transform.sent(round.sent, round.honest, round)
            round.seen = round.messages
            for transform in self.transforms:
                round.seen = transform.shown(round.seen, round.honest, round)
            channel.craft(round)
        for receiver in round.receivers:
            receiver.rows, receiver.ids = self.setup.faults.deliver(round, receiver)
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
