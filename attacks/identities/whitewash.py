"""Sybil identities that drop their names and come back under new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats import Identities


@dataclass(frozen=True, kw_only=True)
class Whitewash(Identities):
    """Whitewashing: every `lifetime` rounds, identities leave and come back under new names with an empty history.

    `Whitewash` stands before an attack: ``Whitewash(lifetime=20) >> LabelFlip()``. In a suite one writes
    ``[whitewash, label_flip]``.

    References
    ----------
    M. Feldman, C. Papadimitriou, J. Chuang, I. Stoica. Free-Riding and Whitewashing in Peer-to-Peer Systems. IEEE
    Journal on Selected Areas in Communications 24(5), 2006.

    Examples
    --------
    >>> from robustfl.attacks import Whitewash
    >>> [Whitewash(lifetime=2).alias(number, identity=0) for number in range(6)]
    [0, 0, 1, 1, 2, 2]
    """

    reference: ClassVar[str] = "Feldman et al., Free-Riding and Whitewashing in Peer-to-Peer Systems, IEEE JSAC 2006"
    unfit: ClassVar[str] = (
        "against rules without a memory, which have no history to forget; or where clients are authenticated"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("count", "lifetime")

    lifetime: Annotated[int, Ge(1), Doc("number of rounds for which a name is used")] = 1

    def alias(self, number: int, identity: int) -> int | None:
        return number // self.lifetime
