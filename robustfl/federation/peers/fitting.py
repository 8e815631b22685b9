"""What can be combined with a network of peers: the reasons why other things cannot."""

from __future__ import annotations

from typing import Any

from robustfl.aggregation.neighbourhoods import Mixer
from robustfl.federation.settings import Federation


def unfit_among_peers(defense: Any, settings: Federation) -> str | None:
    """The reason why a defense cannot be the rule of peers, or that of a server; None when it fits the federation."""
    mixes = isinstance(defense, Mixer)
    if settings.topology is None:
        if mixes:
            return f"{defense} mixes the models of peers, which have no server. Give the federation a `topology`."
        return None
    if getattr(defense, "protection", None) is not None:
        return f"{defense.stages[0]} is carried out by a server, and peers of a `topology` have none. Leave it out."
    if not mixes:
        return f"{defense} is no rule for peers."
    return None
