"""What a server receives in a federation in which something fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robustfl.federation import Simulation, Trace
from robustfl.federation.setup import Setup
from robustfl.threats import Fault
from tests.federation.worlds import Kept, simulation


@dataclass(frozen=True, kw_only=True)
class Received:
    """A simulation that has been run, and who sent the messages that reached the server in each round, with these."""

    sim: Simulation
    trace: Trace
    rounds: list[tuple[list[int], Tensor]]

    @property
    def setup(self) -> Setup:
        return self.sim.setup

    @property
    def senders(self) -> list[list[int]]:
        return [ids for ids, _ in self.rounds]


def received(*faults: Fault, defense: Any = None, **values: Any) -> Received:
    """A simulation that has been run."""
    kept = Kept()
    sim = simulation(defense, faults=faults, observers=[kept], **values)
    trace = sim.run()
    return Received(sim=sim, trace=trace, rounds=[(server.ids.tolist(), server.arrived) for server in kept.server])


# -- streams and order
