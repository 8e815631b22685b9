"""Which kind of federation a defense lives in: what clients send decides what a round looks like."""

from __future__ import annotations

from importlib import import_module

from robustfl.aggregation import Defense
from robustfl.errors import ParameterError
from robustfl.federation.settings import Federation
from robustfl.federation.simulation import Simulation

_SIMULATIONS = {
    "dense": "robustfl.federation.simulation:Simulation",
    "rankings": "robustfl.federation.ranked:RankedSimulation",
    "rewards": "robustfl.federation.rewarded:RewardedSimulation",
}
"""Channel of a defense -> the simulation of its rounds."""


def simulation_for(defense: Defense, settings: Federation | None = None) -> type[Simulation]:
    """The simulation that speaks the defense's channel, with a server as the settings say.

    Raises ParameterError for a channel that does not exist, or that knows no asynchronous server.
    """
    if settings is not None and settings.server.asynchronous:
        if defense.channel != "dense":
            raise ParameterError(
                f"{defense!r} speaks the channel {defense.channel!r}, for which there is no asynchronous server."
            )
        from robustfl.federation.asynchronous import AsynchronousSimulation

        return AsynchronousSimulation
    if defense.channel not in _SIMULATIONS:
        known = ", ".join(_SIMULATIONS)
        raise ParameterError(f"{defense!r} speaks the channel {defense.channel!r}. Channels that exist: {known}.")
    module, _, name = _SIMULATIONS[defense.channel].partition(":")
    found: type[Simulation] = getattr(import_module(module), name)
    return found
