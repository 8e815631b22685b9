"""What a rule decided about a client, and how that is read from an aggregation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustfl.aggregation import Aggregation


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
    """

    client: Hashable
    action: str
    score: float
    evidence: Mapping[str, Any] = field(default_factory=dict)


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
