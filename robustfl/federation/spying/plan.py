"""Who watches a federation: the observer, its attacks, and what of the training it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robustfl.errors import ParameterError
from robustfl.threats.privacy.capability import OBSERVERS
from robustfl.threats.privacy.contract import PrivacyAttack

Moment = int | Literal["first", "middle", "last"]


@dataclass(frozen=True, kw_only=True)
class Spying:
    """Who watches, with which attacks, in which rounds, and how many clients.

    Attributes
    ----------
    observer : one of :data:`~robustfl.threats.privacy.capability.OBSERVERS`
    attacks : what it tries
    rounds : the watched rounds, as numbers from 0 or words
    targets : the largest number of clients that are spied on in a watched round

    Raises ParameterError for an attack that cannot watch as this observer.

    >>> Spying(observer="server", attacks=(), rounds=("last", 3, "first")).numbers(20)
    (0, 3, 19)
    """

    observer: str
    attacks: Sequence[PrivacyAttack]
    rounds: Sequence[Moment] = ("first", "middle", "last")
    targets: int = 5

    def __post_init__(self) -> None:
        if self.observer not in OBSERVERS:
            raise ParameterError(f"There is no observer {self.observer!r}. Observers: {', '.join(OBSERVERS)}.")
        reasons = [reason for attack in self.attacks if (reason := attack.refusal(self.observer)) is not None]
        if reasons:
            raise ParameterError(" ".join(reasons))

    def numbers(self, rounds: int) -> tuple[int, ...]:
        """The watched rounds of a training in ascending order, each once.

        Raises ParameterError for a round that the training does not have.
        """
        words = {"first": 0, "middle": rounds // 2, "last": rounds - 1}
        found = sorted({words[one] if isinstance(one, str) else one for one in self.rounds})
        beyond = [number for number in found if not 0 <= number < rounds]
        if beyond:
            raise ParameterError(
                f"A watched round should satisfy 0 <= round < {rounds}, the number of rounds. Found {beyond[0]}."
            )
        return tuple(found)
