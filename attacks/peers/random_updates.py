"""Updates that nobody has trained, for rules that remember what peers say of their training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from robustfl.aggregation.neighbourhoods import Rumour
from robustfl.threats import Knowledge
from robustfl.threats.peers.rumours import RumourAttack, RumourView

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RandomUpdates(RumourAttack):
    """Random updates: malicious peers say that their own training has changed their models at random.

    Method: in every round each malicious neighbour publishes a new vector of standard normal numbers to each victim, in
    place of what its training has changed. Its letter stays its model. Nobody can check what a peer has trained, and
    random vectors of many numbers are nearly orthogonal to everything, so rules that look for peers whose updates are
    alike find that such peers resemble nobody, even where they all send the same model. It belongs behind an attack on
    the training: `robustfl run sybilwall_updates`.

    Knowledge: none but the size of a model.

    Examples
    --------
    >>> from robustfl.attacks import LabelFlip, RandomUpdates
    >>> print(LabelFlip(mode="swap") >> RandomUpdates())
    LabelFlip(mode=swap) > RandomUpdates
    """

    unfit: ClassVar[str] = "against rules that do not remember published updates, which never hear of it"

    knowledge: ClassVar[Knowledge] = Knowledge.OWN
    made_for: ClassVar[tuple[str, ...]] = ("sybilwall",)

    @classmethod
    def concerns(cls, defense: Any) -> bool:
        return bool(getattr(defense, "hears_updates", False))

    def forge(self, view: RumourView) -> list[Rumour]:
        return []

    def publish(self, view: RumourView) -> dict[int, Tensor]:
        own = view.own
        drawn = own.new_tensor(view.rng.standard_normal(tuple(own.shape)))
        return dict(zip(view.tellers, drawn, strict=True))
