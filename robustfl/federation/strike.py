"""The rounds in which an attack strikes, when these are not all rounds of the training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from robustfl.threats.attack import Attack


@dataclass(frozen=True, kw_only=True)
class Strike:
    """The first attacked round, and the end of the attack.

    Attributes
    ----------
    first : the number of the first attacked round, which is the number of rounds finished before it
    stopped : the number of rounds that are finished when the attack has stopped for good; None when it goes on to the
        end of the training
    """

    first: int
    stopped: int | None

    @property
    def edges(self) -> frozenset[int]:
        """The numbers of finished rounds at which the model is as it was before the attack, and as the attack left it.

        An attack from the first round on has no state before it, and one that goes on to the end leaves nothing.
        """
        return frozenset(edge for edge in (self.first, self.stopped) if edge)


def strike_of(attack: Attack | None, rounds: int) -> Strike | None:
    """When an attack strikes within so many rounds; None without an attack, or when it would strike later.

    An attack that pauses has stopped when the rounds that follow its last attacked round are at least as many as its
    longest step from one attacked round to the next.
    """
    struck = [] if attack is None else [number for number in range(rounds) if attack.active(number)]
    if not struck:
        return None
    step = max((after - before for before, after in pairwise(struck)), default=1)
    stopped = struck[-1] + 1
    return Strike(first=struck[0], stopped=stopped if rounds - stopped >= step else None)
