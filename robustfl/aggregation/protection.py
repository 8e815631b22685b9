"""What a mechanism asks of a federation, as plain values that may also come from another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal["server", "clients", "shares", "steps"]
"""Who adds the noise: the server, to the answer of its rule; each client, all of it; each client, a share that is
enough in the sum; or each client in each of its local steps."""


@dataclass(frozen=True, kw_only=True)
class AdaptiveClip:
    """How the clip follows the lengths of the messages: towards their quantile, by steps of the logarithm."""

    quantile: float
    rate: float
    count_noise: float


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What a federation has to do for a mechanism, as plain values; the parameters of mechanisms say what they mean."""

    name: str
    place: Place
    clip: float
    delta: float
    noise_multiplier: float | None
    target_epsilon: float | None
    max_epsilon: float | None
    claims: bool
    adaptive: AdaptiveClip | None = None
    honest: float = 1.0

    @property
    def unit(self) -> Literal["client", "example"]:
        """Whose privacy it is."""
        return "example" if self.place == "steps" else "client"
