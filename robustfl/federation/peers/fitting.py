"""What can be combined with a network of peers: the reasons why other things cannot."""

from __future__ import annotations

from typing import Any

from robustfl.aggregation.neighbourhoods import Mixer
from robustfl.aggregation.neighbourhoods.lifted import for_peers, for_samples
from robustfl.errors import ParameterError
from robustfl.federation.graphs.sampled import Sampled
from robustfl.federation.settings import Federation


def rule_for(defense: Any, settings: Federation) -> Mixer:
    """The defense as the rule of the peers of a network.

    Raises ParameterError when it cannot be one.
    """
    return for_samples(defense) if isinstance(settings.topology, Sampled) else for_peers(defense)


def unfit_among_peers(defense: Any, settings: Federation) -> str | None:
    """The reason why a defense cannot be the rule of peers, or that of a server; None when it fits the federation."""
    if settings.topology is None:
        if isinstance(defense, Mixer):
            return f"{defense} mixes the models of peers, which have no server. Give the federation a `topology`."
        return None
    try:
        rule_for(defense, settings)
    except ParameterError as error:
        return str(error)
    return None
