"""Sybil identities that keep their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Identities


@dataclass(frozen=True, kw_only=True)
class Clones(Identities):
    """Clones: each malicious client takes part under several names, which it keeps.

    The clones may join late and leave early. A defense is told the number of all identities, also before they have
    joined, and may therefore find too few rows. Such a round is held: the model stays as it was.

    `Clones` stands before an attack, as in the example. In a suite one writes
    ``[{clones: {count: 3}}, {label_flip: {mode: cyclic}}]``.

    References
    ----------
    C. Fung, C. J. M. Yoon, I. Beschastnikh. The Limitations of Federated Learning in Sybil Settings. RAID 2020.

    Examples
    --------
    >>> from robustfl.attacks import Clones, LabelFlip
    >>> Clones(count=3) >> LabelFlip(mode="cyclic")
    Clones(count=3, shared='update', outside=False, disguise=0.0, join_round=0, leave_round=None) >> \
LabelFlip(start_round=0, stop_round=None, every=1, mode='cyclic', source=0, target=1, fraction=1.0, only_flipped=False)
    """

    reference: ClassVar[str] = "Fung et al., The Limitations of Federated Learning in Sybil Settings, RAID 2020"
    unfit: ClassVar[str] = "where clients are authenticated, so that one adversary has one name"
    label_parameters: ClassVar[tuple[str, ...]] = ("count",)

    join_round: Annotated[int, Ge(0), Doc("first round in which the identities take part")] = 0
    leave_round: Annotated[int | None, Ge(0), Doc("round in which the identities leave; they stay when not given")] = (
        None
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leave_round is not None and self.leave_round <= self.join_round:
            raise ParameterError(
                f"Clones: `leave_round` should satisfy leave_round > join_round, or they never take part. "
                f"Found join_round={self.join_round}, leave_round={self.leave_round}."
            )

    def alias(self, number: int, identity: int) -> int | None:
        here = number >= self.join_round and (self.leave_round is None or number < self.leave_round)
        return 0 if here else None
