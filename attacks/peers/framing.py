"""Rumours that make honest peers look like Sybils."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.aggregation.neighbourhoods import Rumour
from robustfl.threats import Knowledge
from robustfl.threats.peers.rumours import RumourAttack, RumourView


@dataclass(frozen=True, kw_only=True)
class Framing(RumourAttack):
    """Framing: malicious neighbours tell a peer of strangers whose models are those of its honest neighbours.

    Method: each honest neighbour of the victim gets a double with a name that nobody has, and it keeps this name. In
    every round each malicious neighbour tells as much as it may about the doubles, one after the other, always with the
    current model of the honest peer. A rule that distrusts peers whose history is like somebody else's then distrusts
    all honest neighbours, and trusts whoever sent the rumours. Signatures do not help, because names cost nothing.

    Knowledge: the models of the victim's honest neighbours, which colluding neighbours of these have as well.

    Examples
    --------
    >>> from robustfl.attacks import Framing, LabelFlip
    >>> print(LabelFlip(mode="swap") >> Framing())
    LabelFlip(mode=swap) > Framing
    """

    unfit: ClassVar[str] = "against rules that listen to no rumours, which never hear of it"

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS
    made_for: ClassVar[tuple[str, ...]] = ("sybilwall",)

    def forge(self, view: RumourView) -> list[Rumour]:
        doubles: dict[Any, int] = view.memory.setdefault("doubles", {})
        turn: int = view.memory.get("turn", 0)
        models, names, told = view.honest, view.honest_ids, []
        for teller in view.tellers:
            for _ in range(min(view.allowed, len(names))):
                place = turn % len(names)
                if names[place] not in doubles:
                    doubles[names[place]] = view.invent()
                told.append(Rumour(teller, doubles[names[place]], view.round, 2, models[place].clone()))
                turn += 1
        view.memory["turn"] = turn
        return told
