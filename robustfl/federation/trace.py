"""What a simulation leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustfl.privacy.account import AccountReport


@dataclass(kw_only=True)
class Trace:
    """What the observers of a simulation have found.

    Attributes
    ----------
    accuracy, loss : pairs (round, value) on the test set; the round is the number of finished rounds
    malicious : the ids of the malicious clients
    malicious_share : the mean share of the aggregation weights that malicious rows got; None for rules without weights
    rejected_rows : the number of rows that the defense refused, over all rounds
    lost_rows : the number of messages that faults have lost, over all rounds
    held_rounds : the number of rounds in which too few rows were left, so that the model stayed as it was
    diverged : whether the weights, or the loss on the test set, stopped being finite
    bytes_up, bytes_down : the bytes that a client sends, and gets, in a round
    seconds : the time of each phase
    more : the measures that observers declare, by name, as far as they are defined
    account : the privacy account of a defense that begins with a mechanism, see :mod:`robustfl.privacy`; else None
    """

    accuracy: list[tuple[int, float]] = field(default_factory=list)
    loss: list[tuple[int, float]] = field(default_factory=list)
    malicious: list[int] = field(default_factory=list)
    malicious_share: float | None = None
    rejected_rows: int = 0
    lost_rows: int = 0
    held_rounds: int = 0
    diverged: bool = False
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    account: AccountReport | None = None
