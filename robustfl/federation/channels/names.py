"""The channels by the names that defenses use. A channel is loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustfl.errors import ParameterError
from robustfl.federation.settings import Federation

if TYPE_CHECKING:
    from robustfl.federation.channels.contract import Channel


def _dense() -> type[Channel]:
    from robustfl.federation.channels.dense import Dense

    return Dense


def _rewards() -> type[Channel]:
    from robustfl.federation.channels.dense import Rewarded

    return Rewarded


def _rankings() -> type[Channel]:
    from robustfl.federation.channels.rankings import Rankings

    return Rankings


def _predictions() -> type[Channel]:
    from robustfl.federation.channels.predictions import Predictions

    return Predictions


def _virtual_data() -> type[Channel]:
    from robustfl.federation.channels.virtual_data import VirtualDataChannel

    return VirtualDataChannel


def _models() -> type[Channel]:
    from robustfl.federation.channels.models import Models

    return Models


CHANNELS = {
    "dense": _dense,
    "rewards": _rewards,
    "predictions": _predictions,
    "rankings": _rankings,
    "virtual_data": _virtual_data,
    "peers": _models,
}
"""The channels by the names that defenses use (:attr:`robustfl.aggregation.Defense.channel`).

Each value is a function that loads the channel when it is called.
"""


def channel_named(name: str) -> type[Channel]:
    """The channel that defenses call by this name.

    Raises ParameterError when there is no channel of this name.
    """
    if name not in CHANNELS:
        raise ParameterError(f"There is no channel {name!r}. Channels that exist: {', '.join(CHANNELS)}.")
    return CHANNELS[name]()


def spoken_channel(name: str, settings: Federation) -> str:
    """The name of the channel that clients speak with a defense of the channel `name`.

    Rules for updates take what clients predict where they distil, the virtual samples that they send, or the models of
    peers.
    """
    if name != "dense":
        return name
    if settings.topology is not None:
        return "peers"
    return "virtual_data" if settings.virtual_data else "predictions" if settings.distillation is not None else name
