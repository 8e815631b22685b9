"""The family of rules whose peers also tell each other about third ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from robustfl.aggregation.neighbourhoods.mixer import Mixer
from robustfl.aggregation.neighbourhoods.one_hearsay import MYSELF
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

    @property
    def hears_updates(self) -> bool:
        """Whether it also reads what neighbours say that their own training has changed: `Occasion.updates`."""
        return False

    @abstractmethod
    def tell(self, edges: Sequence[tuple[int, int]], rng: np.random.Generator) -> dict[int, list[Rumour]]:
        """What goes over some edges (teller, receiver): receiver -> its rumours; nothing changes in the state."""

    def tell_one(
        self, neighbours: Sequence[Any], *, name: Any, state: dict[str, Any] | None, rng: np.random.Generator
    ) -> dict[Any, list[Rumour]]:
        """What one peer tells each of its neighbours: neighbour -> rumours, to go with its letter of the next mixing.

        Parameters
        ----------
        neighbours : who is told something, by the names that `mix_one` gets
        name : the peer's own name
        state : what the last call of `mix_one` told as `told.state`; without one, there is nothing to tell
        rng : decides of whom each neighbour is told

        Examples
        --------
        >>> from robustfl.defenses import SybilWall
        >>> rule, rng = SybilWall(), np.random.default_rng(0)
        >>> _, told = rule.mix_one([0.0, 0.0], {"boris": [1.0, 0.0], "carla": [0.0, 1.0]})
        >>> said = rule.tell_one(["boris", "carla"], name="anna", state=told.state, rng=rng)
        >>> [(neighbour, rumour.teller, rumour.subject) for neighbour, (rumour,) in said.items()]
        [('boris', 'anna', 'carla'), ('carla', 'anna', 'boris')]
        >>> _, told = rule.mix_one([1.0, 0.0], {"anna": [0.0, 0.0]}, rumours={"anna": said["boris"]}, name="boris")
        >>> told.info
        {'believed': {0: 1}, 'refused': {0: []}}
        """
        if not state:
            return {}
        names = list(state["names"])
        names += [one for one in neighbours if one not in names]
        peer = replace(self)
        peer.load_state_dict(state["rule"])
        said = peer.tell([(MYSELF, 1 + names.index(one)) for one in neighbours], rng)
        return {
            names[receiver - 1]: [replace(one, teller=name, subject=names[one.subject - 1]) for one in rumours]
            for receiver, rumours in said.items()
        }
