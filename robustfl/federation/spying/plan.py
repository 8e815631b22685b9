"""Who watches a federation: the observer, its attacks, and what of the training it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from robustfl.errors import ParameterError
from robustfl.federation.settings import Federation
from robustfl.privacy.rotation import FEWEST_RUNS
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
    federations : the number of federations that are trained on halves of the samples, to attack membership

    Raises ParameterError for an attack that cannot watch as this observer, and for fewer than 4 federations.

    >>> Spying(observer="server", attacks=(), rounds=("last", 3, "first")).numbers(20)
    (0, 3, 19)
    """

    observer: str
    attacks: Sequence[PrivacyAttack]
    rounds: Sequence[Moment] = ("first", "middle", "last")
    targets: int = 5
    federations: int = 17

    def __post_init__(self) -> None:
        if self.observer not in OBSERVERS:
            raise ParameterError(f"There is no observer {self.observer!r}. Observers: {', '.join(OBSERVERS)}.")
        if self.federations < FEWEST_RUNS:
            raise ParameterError(
                f"`federations` should satisfy federations >= {FEWEST_RUNS}, or a target has no shadows. "
                f"Found federations={self.federations}."
            )
        reasons = [reason for attack in self.attacks if (reason := attack.refusal(self.observer)) is not None]
        if reasons:
            raise ParameterError(" ".join(reasons))

    def only(self, *, members: bool) -> Spying:
        """The same with those attacks alone that do, or do not, judge who was a member."""
        return replace(self, attacks=tuple(one for one in self.attacks if one.judges_members is members))

    def require_plain_steps(self, settings: Federation) -> None:
        """Raise ParameterError if attacks take messages for gradients, and the steps of clients follow none at w."""
        found = [str(attack) for attack in self.attacks if not attack.judges_members]
        if settings.sharpness_radius and found:
            raise ParameterError(
                f"{found[0]} imitates gradients that clients compute at the model which they get, and sharpness-aware "
                "steps follow those at places that only clients know: it would find less than there is to find. Found "
                f"sharpness_radius={settings.sharpness_radius}. Leave it out, or watch with attacks on membership."
            )

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
