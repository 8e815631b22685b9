"""What a rule decided about a client, and how that is read from an aggregation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustfl.aggregation import Aggregation
    from robustfl.aggregation.neighbourhoods import Mixed

LITTLE = 0.1
"""The part of an equal share below which a letter counts for nothing."""


@dataclass(frozen=True)
class Decision:
    """What a rule decided about one client in one round.

    Attributes
    ----------
    client : the client's id
    action : `"weighted"`; `"explored"` (the client has no reputation yet and counts on trial); `"excluded"`;
        `"readmitted"` (it was excluded when it last took part); `"rejected"` (its row was rejected before the rule saw
        it)
    score : the number from which the action follows, such as a weight or a reputation
    evidence : what the rule gives as the reason: numbers, texts, or ids of clients
    by : the id of the peer that decided, in a network without a server; None for a server
    """

    client: Hashable
    action: str
    score: float
    evidence: Mapping[str, Any] = field(default_factory=dict)
    by: Hashable = None


def decisions_of(aggregation: Aggregation) -> tuple[Decision, ...]:
    """The decisions in an aggregation, in the order of the rows, with rejected rows at the end.

    A rule that keeps no reputation decides by its weights. A rule without weights has decided about no client.
    """
    ids, reasons = aggregation.info["ids"], aggregation.info["reasons"]
    made = aggregation.info.get("decisions")
    if made is None and aggregation.weights is not None:
        accepted = ((ids[row], float(w)) for row, w in enumerate(aggregation.weights) if row not in reasons)
        made = tuple(Decision(client, "weighted" if w else "excluded", w) for client, w in accepted)
    refused = (Decision(ids[row], "rejected", 0.0, {"reason": reason}) for row, reason in reasons.items())
    return (*(made or ()), *refused)


def decisions_of_peers(mixed: Mixed, names: NDArray[np.int64]) -> tuple[Decision, ...]:
    """What all peers decided about the letters of a mixing; `names` [n, m] are the senders' ids, -1 where nobody is.

    A rule that keeps a reputation says it itself. Any other decides by its shares: a letter with less than a tenth of
    an equal share is excluded. A rule whose models are no weighted sums has decided about the letters that it refused.
    """
    made, found = mixed.info.get("decisions", {}), []
    for line, (peer, *senders) in enumerate(names.tolist()):
        reasons = mixed.reasons.get(line, {})
        found += [replace(decision, by=peer) for decision in made.get(line, ()) if decision.client != peer]
        heard = [slot for slot, sender in enumerate(senders, 1) if sender >= 0 and slot not in reasons]
        if line not in made and mixed.weights is not None:
            for slot in heard:
                equal = float(mixed.weights[line, slot]) * (len(heard) + 1)
                action = "excluded" if equal < LITTLE else "weighted"
                found.append(Decision(senders[slot - 1], action, equal, {"letters": len(heard) + 1}, peer))
        for slot, reason in sorted(reasons.items()):
            if slot:  # not the own model
                found.append(Decision(senders[slot - 1], "rejected", 0.0, {"reason": reason}, peer))
    return tuple(found)
