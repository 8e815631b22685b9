"""The family of rules whose peers also tell each other about third ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation.neighbourhoods.mixer import Mixer
from robustfl.aggregation.neighbourhoods.rumours import Rumour


@dataclass(frozen=True, kw_only=True)
class HearsayMixer(Mixer):
    """A rule that remembers its neighbours, tells others about them, and believes some of what it is told.

    In every mixing, peers :meth:`tell` first, from what they remember of the mixings before. What each is told then
    stands in :attr:`~robustfl.aggregation.neighbourhoods.Occasion.rumours`, and among it what an adversary invents. The
    rule says which of it is believed, see :func:`~robustfl.aggregation.neighbourhoods.rumours.believed`, and reports as
    `info["refused"]` (receiver -> list) and `info["believed"]` (receiver -> how many).
    """

    family: ClassVar[str] = "peers, with rumours"
    most: ClassVar[int] = 1
    """The number of rumours that a peer tells each of its neighbours in one mixing."""

    @abstractmethod
    def tell(self, edges: Sequence[tuple[int, int]], rng: np.random.Generator) -> dict[int, list[Rumour]]:
        """What goes over some edges (teller, receiver): receiver -> its rumours; nothing changes in the state."""
