"""Updates that clients round to a few levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.aggregation import ClientSide
from robustfl.aggregation.client_side import Scope, places

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.aggregation.client_side import Shapes


@dataclass(frozen=True, kw_only=True)
class GradientQuantisation(ClientSide):
    """Gradient quantisation: clients round the values of each tensor of their updates to a few levels.

    Formula: with b >= 2 `bits` and s the largest magnitude of the tensor (or of the message, with `scope`), the levels
    are ``s j / (2^(b-1) - 1)`` for whole j from ``-(2^(b-1) - 1)`` to its opposite: ``2^b - 1`` levels with 0 among
    them. `nearest` rounds to the nearest level, a half to the even one. `stochastic` rounds up or down with the
    probability that makes the expected value the value itself: it is unbiased. With 1 bit, `nearest` sends the sign of
    each value times the mean magnitude of the tensor, 0 for 0 (scaled sign descent, which is biased), and `stochastic`
    sends +s with probability ``(1 + x/s)/2`` and else -s, which is unbiased. A tensor of zeros stays as it is. A tensor
    with NaN or infinity has no scale, and all of it becomes NaN.

    Shapes: [k, d] -> [k, d], at the clients; the simulation still counts messages as numbers of full size. Cost: one
    pass. In accuracy: next to nothing from 4 bits on with the mean; one bit costs the last percent, and stochastic
    rounding to one bit makes updates of ``sqrt(m)`` times their length, which rules that compare rows feel.

    8 bits do not stop inversion and 4 bits hardly, least of all with levels for each tensor; 2 bits for the message
    do. An adaptive attacker rounds the gradient of its guess in
    the same way and lets the derivative pass straight through: `imitated` does that (for `stochastic` with the rounding
    to the nearest level, the guess of least error).

    References
    ----------
    D. Alistarh, D. Grubic, J. Li, R. Tomioka, M. Vojnovic. QSGD: Communication-Efficient SGD via Gradient Quantization
    and Encoding. NeurIPS 2017.
    J. Bernstein, Y.-X. Wang, K. Azizzadenesheli, A. Anandkumar. signSGD: Compressed Optimisation for Non-Convex
    Problems. ICML 2018.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from robustfl.defenses import GradientQuantisation
    >>> rule, shapes = GradientQuantisation(bits=2), {"weight": torch.Size([4])}
    >>> rule.message(torch.tensor([[0.4, -3.0, 2.0, 0.0]]), shapes, [np.random.default_rng(0)]).tolist()
    [[0.0, -3.0, 3.0, 0.0]]
    """

    guarantee: ClassVar[str] = "none; stochastic rounding keeps the mean of honest updates"
    unfit: ClassVar[str] = "as the only protection: 8 and 4 bits hardly disturb the inversion of gradients"
    reference: ClassVar[str] = "Alistarh et al., QSGD, NeurIPS 2017"
    label_parameters: ClassVar[tuple[str, ...]] = ("bits",)

    bits: Annotated[int, Ge(1), Le(16), Doc("bits that a value takes; 1 keeps its sign")] = 4
    rounding: Annotated[
        Literal["nearest", "stochastic"], Doc("nearest level, or up and down by chance so that the mean is kept")
    ] = "nearest"
    scope: Annotated[Scope, Doc("whether each tensor has levels of its own, or the message as a whole")] = "tensor"

    def message(self, messages: Tensor, shapes: Shapes, rngs: Sequence[np.random.Generator]) -> Tensor:
        chance = None
        if self.rounding == "stochastic":
            width = messages.shape[1]
            drawn = np.array([rng.random(width, dtype=np.float32) for rng in rngs])
            chance = messages.new_tensor(drawn).reshape(messages.shape)
        return self._rounded(messages, shapes, chance)

    def imitated(self, guess: Tensor, message: Tensor, shapes: Shapes) -> Tensor:
        """The rounded guess, with the derivative of the guess itself."""
        flat = guess.reshape(-1, guess.shape[-1])
        rounded = self._rounded(flat.detach(), shapes, None).reshape(guess.shape)
        return guess + (rounded - guess).detach()

    def _rounded(self, messages: Tensor, shapes: Shapes, chance: Tensor | None) -> Tensor:
        """The messages [k, d] on their levels; `chance` [k, d] in [0, 1) decides between two levels."""
        rounded = messages.clone()
        for place in places(shapes, self.scope).values():
            part = messages[:, place]
            magnitudes = part.abs()
            scale = magnitudes.amax(dim=1, keepdim=True)
            drawn = None if chance is None else chance[:, place]
            if self.bits > 1:
                steps = 2 ** (self.bits - 1) - 1
                inner = part / scale * steps
                whole = inner.round() if drawn is None else (inner + drawn).floor()
                levels = whole * (scale / steps)
            elif drawn is None:
                levels = part.sign() * magnitudes.mean(dim=1, keepdim=True)
            else:
                levels = scale.where(drawn < (1 + part / scale) / 2, -scale)
            finite = scale.isfinite()
            levels = levels.where(finite, scale.new_full((), float("nan")))
            rounded[:, place] = levels.where(scale != 0, part)
        return rounded
