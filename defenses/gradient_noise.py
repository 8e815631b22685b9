"""Noise that clients add to their updates; no differential privacy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.aggregation import ClientSide

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.aggregation.client_side import Shapes


@dataclass(frozen=True, kw_only=True)
class GradientNoise(ClientSide):
    """Gradient noise: clients add Gaussian noise to their updates, in proportion to the length of each. It is NOT DP.

    Formula: ``x + (ratio |x| / sqrt(d)) z`` with standard normal z [d], so that the noise is `ratio` times as long as
    the update. A row with NaN or infinity has no length, and all of it becomes NaN.

    This is **not differential privacy**, and no epsilon follows from it: the noise follows the update's own length,
    which nothing bounds, and that length is itself a function of the data. Even with lengths clipped to one value,
    inversion stops long before epsilon means anything: at ratio 3 nothing is recognised any more, while one release of
    d = 1810 numbers would have epsilon 162 at delta = 1e-5. A defense that only stops inversion must not be called
    private; for a guarantee clip, account for every round, and take a mechanism made for it.

    Shapes: [k, d] -> [k, d], at the clients. Cost: one pass and d random numbers a client. In accuracy: the mean of n
    updates gets noise ``ratio/sqrt(n)`` times as long as one update, so at ratio 1 and 15 clients it costs little, and
    at ratio 10 the noise is longer than what is learnt. Rules that select rows see rows further apart by
    ``sqrt(1 + ratio^2)``: their guarantee holds with that spread.

    An adaptive attacker gains nothing from knowing it in one round, since the best guess of the gradient is the message
    itself; it regularises more. Over rounds it averages: the noise is new each time, the data are not.

    References
    ----------
    L. Zhu, Z. Liu, S. Han. Deep Leakage from Gradients. NeurIPS 2019, section 5.

    Examples
    --------
    >>> from robustfl.defenses import GradientNoise, Median
    >>> rule = GradientNoise(ratio=0.5) >> Median()  # a simulation lets its clients add the noise
    >>> rule([[1.0], [2.0], [9.0]]).tolist()  # the server's part of it is empty
    [2.0]
    """

    guarantee: ClassVar[str] = "none; it is no differential privacy, however long the noise is"
    unfit: ClassVar[str] = (
        "as protection with a proof: no ε follows from it, and over rounds an observer averages the noise away"
    )
    reference: ClassVar[str] = "Zhu et al., Deep Leakage from Gradients, NeurIPS 2019"
    label_parameters: ClassVar[tuple[str, ...]] = ("ratio",)

    ratio: Annotated[float, Ge(0), Le(1e6), Doc("length of the noise over the length of the update")] = 1.0

    def message(self, messages: Tensor, shapes: Shapes, rngs: Sequence[np.random.Generator]) -> Tensor:
        width = messages.shape[1]
        noise = messages.new_tensor(np.array([rng.standard_normal(width, dtype=np.float32) for rng in rngs]))
        deviations = messages.double().norm(dim=1, keepdim=True) * (self.ratio / width**0.5)  # squares overflow early
        noised: Tensor = messages + noise.reshape(messages.shape) * deviations.to(messages)
        return noised
