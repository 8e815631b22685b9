"""Sybil identities that use several names in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats import Identities


@dataclass(frozen=True, kw_only=True)
class TakingTurns(Identities):
    """Taking turns: each identity has several names and uses another one of them in every round, in turn.

    Two names of one identity never meet in a round, so only a defense that remembers absent clients can compare them.

    `TakingTurns` stands before an attack: ``TakingTurns(names=3) >> LabelFlip()``. In a suite one writes
    ``[taking_turns, label_flip]``.

    Examples
    --------
    >>> from robustfl.attacks import TakingTurns
    >>> [TakingTurns(names=3).alias(number, identity=0) for number in range(6)]
    [0, 1, 2, 0, 1, 2]
    """

    unfit: ClassVar[str] = (
        "against rules without a memory, which do not notice a change of names; or where clients are authenticated"
    )

    label_parameters: ClassVar[tuple[str, ...]] = ("count", "names")

    names: Annotated[int, Ge(2), Doc("number of names of each identity")] = 2

    def alias(self, number: int, identity: int) -> int | None:
        return number % self.names
