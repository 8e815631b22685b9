"""Updates of which clients send the large values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Lt
from typing_extensions import Doc

from robustfl.aggregation import ClientSide
from robustfl.aggregation.client_side import Scope, places

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.aggregation.client_side import Shapes


@dataclass(frozen=True, kw_only=True)
class GradientPruning(ClientSide):
    """Gradient pruning: clients set the smallest values of each tensor of their updates to zero.

    Formula: of a tensor with m values, or of a message with m values, as `scope` says, the ``floor(share m)`` values of
    smallest magnitude become 0; of equal magnitudes the earlier ones do. The other values stay as they are, so this is
    biased: nothing makes up for what is cut. Every tensor keeps at least one value. NaN and infinity count as larger
    than every number and are kept, so the server sees them and can refuse the row.

    Shapes: [k, d] -> [k, d], at the clients. Cost: a sort of each tensor. In accuracy: little up to a share of 0.9
    where clients are alike, as training goes on along the large values, and more where they differ in the small ones.
    Coordinate-wise rules suffer first: where most clients send 0, a median is 0.

    A share of 0.5 hardly touches inversion, and 0.99 still leaves recognisable samples. An adaptive attacker gains
    nothing by leaving the zeros out, because a zero says that the value is small. It matches the kept values and
    penalises ``max(0, |g_j| - t)`` on the others, where t is the smallest magnitude that the tensor kept: `imitated`
    does that, and `kept_magnitudes` says t.

    References
    ----------
    L. Zhu, Z. Liu, S. Han. Deep Leakage from Gradients. NeurIPS 2019, section 5.
    Y. Lin, S. Han, H. Mao, Y. Wang, W. Dally. Deep Gradient Compression. ICLR 2018 (without its error feedback).

    Examples
    --------
    >>> import numpy as np, torch
    >>> from robustfl.defenses import GradientPruning
    >>> rule, shapes = GradientPruning(share=0.5), {"weight": torch.Size([4])}
    >>> rule.message(torch.tensor([[0.1, -3.0, 2.0, 0.2]]), shapes, [np.random.default_rng(0)]).tolist()
    [[0.0, -3.0, 2.0, 0.0]]
    """

    guarantee: ClassVar[str] = "none"
    unfit: ClassVar[str] = (
        "in front of coordinate-wise rules, whose answer is 0 where most clients send 0; and as the only "
        "protection, since 1 % of the values still shows samples"
    )
    reference: ClassVar[str] = "Zhu et al., Deep Leakage from Gradients, NeurIPS 2019"
    label_parameters: ClassVar[tuple[str, ...]] = ("share",)

    share: Annotated[float, Ge(0), Lt(1), Doc("share of each tensor's values that becomes zero")] = 0.9
    scope: Annotated[Scope, Doc("whether each tensor loses this share, or the message as a whole")] = "tensor"

    def message(self, messages: Tensor, shapes: Shapes, rngs: Sequence[np.random.Generator]) -> Tensor:
        pruned = messages.clone()
        for place in places(shapes, self.scope).values():
            part = pruned[:, place]  # a view
            # share times size is meant exactly, and 0.29 * 100 is a little less than 29
            count = int(self.share * part.shape[1] + 1e-9)
            smallest = part.abs().sort(dim=1, stable=True).indices[:, : min(count, part.shape[1] - 1)]
            part.scatter_(1, smallest, 0.0)
        return pruned

    def kept_magnitudes(self, message: Tensor, shapes: Shapes) -> Tensor:
        """The smallest magnitude that each tensor kept, at every place of the message [d]; 0 if it kept nothing.

        It is read off the message alone: what is 0 was cut, or was 0 before.
        """
        bounds = message.new_zeros(message.shape)
        for place in places(shapes, self.scope).values():
            kept = message[place].abs()
            kept = kept[kept > 0]
            if len(kept):
                bounds[place] = kept.min()
        return bounds

    def imitated(self, guess: Tensor, message: Tensor, shapes: Shapes) -> Tensor:
        """The guess at the kept places, and on the others what it exceeds the smallest kept magnitude by."""
        bounds = self.kept_magnitudes(message, shapes)
        excess = guess.sign() * (guess.abs() - bounds).clamp(min=0.0)
        return guess.where(message != 0, excess)
