"""A federation with one server: a schedule says who is heard when, and an ownership says who has which model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustfl.federation.channels.contract import Channel
from robustfl.federation.round import Ids, Receiver, Round
from robustfl.federation.setup import Setup
from robustfl.federation.topologies.contract import Topology
from robustfl.federation.topologies.ownership import Ownership
from robustfl.federation.topologies.schedules import Schedule

if TYPE_CHECKING:
    from torch import Tensor


class Server(Topology):
    """All messages of a round go to one server, which is its only receiver."""

    def __init__(self, setup: Setup, channel: Channel, schedule: Schedule, ownership: Ownership) -> None:
        super().__init__(setup, channel)
        self.schedule, self.ownership = schedule, ownership

    def sample(self, number: int) -> Round:
        self.setup.members.number = number
        malicious, honest = self.schedule.sample(number)
        receiver = Receiver(
            who="server",
            defense=self.channel.defense,
            model=self.ownership.server,
            malicious=malicious,
            honest=honest,
        )
        started = self.schedule.started(number)
        return Round(number=number, malicious=malicious, honest=honest, receivers=(receiver,), started=started)

    def models(self, round: Round, ids: Ids) -> Tensor:
        return self.ownership.models(round, ids)

    def advance(self, round: Round) -> None:
        self.ownership.advance(round)
        self.schedule.advance(round.number)

    def served(self) -> Tensor:
        return self.ownership.served()

    def downloaded(self) -> float | None:
        return self.ownership.downloaded()
