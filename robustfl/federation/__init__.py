"""The simulated world: tasks, clients, servers, and the round.

Start here:

* :class:`Task` is data, a partition of the data over clients, and a model; :class:`Population` is a task made ready.
* :class:`Federation` holds the rules: how many clients there are, how they train, and how the server steps.
* :class:`Simulation` is the loop over rounds; a :class:`Round` is the value that passes through its stages, and a
  :class:`Trace` is what the simulation has found in the end.
* :func:`assemble` chooses the parts of a simulation: a channel (what a message is), a topology (who hears whom and who
  owns a model), transforms (what happens to messages), and observers (who watches).

The folders ``data``, ``models``, ``clients``, ``channels``, ``topologies`` and ``observers`` hold these parts; each
folder describes its files. ``peers`` is a network without a server, and ``graphs`` are the families of networks.
``spying`` holds what observers see of clients, and judges what attacks on privacy make of
it. ``faults`` applies the faults of a scenario, and ``transforms`` holds the transforms.
``classified`` has the measures of accuracy, and ``curvature`` says which steps are stable.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from robustfl.federation.settings import Federation, Server
from robustfl.federation.task import Population, Task

if TYPE_CHECKING:
    from robustfl.federation.assembly import assemble
    from robustfl.federation.engine import Simulation
    from robustfl.federation.round import Round
    from robustfl.federation.trace import Trace

__all__ = ["Federation", "Population", "Round", "Server", "Simulation", "Task", "Trace", "assemble"]

_LAZY = {"Round": "round", "Simulation": "engine", "Trace": "trace", "assemble": "assembly"}


def __getattr__(name: str) -> Any:
    """Load the engine when it is first asked for, because it needs torch, which takes long to import."""
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
