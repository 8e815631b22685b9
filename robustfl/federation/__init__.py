"""The simulated world: tasks, clients, the server and the round.

* :class:`Task` is data, a partition of it over clients, and a model; :class:`Population` is a task made ready.
* :class:`Federation` holds the rules of the game: how many clients, how they train, how the server steps.
* :mod:`~robustfl.federation.faults` is where faults strike, :mod:`~robustfl.federation.asynchronous` a server that
  waits for nobody.
* :class:`Simulation` plays the rounds: sample, honest messages, adversary, faults, defense, apply, measure.
"""

from typing import TYPE_CHECKING, Any

from robustfl.federation.settings import Federation, Server
from robustfl.federation.task import Population, Task

if TYPE_CHECKING:
    from robustfl.federation.simulation import Simulation, Trace

__all__ = ["Federation", "Population", "Server", "Simulation", "Task", "Trace"]


def __getattr__(name: str) -> Any:
    """The simulation needs torch, which takes long to import: it is loaded when it is first asked for."""
    if name in ("Simulation", "Trace"):
        from robustfl.federation import simulation

        return getattr(simulation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
