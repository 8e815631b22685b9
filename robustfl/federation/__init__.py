"""The simulated world: tasks, clients, servers, and the round.

* :class:`Task` is data, a partition of it over clients, and a model; :class:`Population` is a task made ready.
* :class:`Federation` holds the rules of the game: how many clients, how they train, how the server steps.
* :class:`Round` is the value that passes through the stages of :class:`Simulation`, the loop over rounds, and
  :func:`assemble` chooses its parts: a channel (what a message is), a topology (who hears whom and who owns a model),
  transforms (what happens to messages), and observers (who watches). Each has a room, and a contract in it.
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
    """The engine needs torch, which takes long to import: it is loaded when it is first asked for."""
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
