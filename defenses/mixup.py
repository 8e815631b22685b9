"""Batches whose samples clients mix before they learn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.aggregation import ClientSide

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.aggregation.client_side import Objective

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Mixup(ClientSide):
    """Mixup: clients learn from mixtures of two samples and of their labels.

    Formula: for each batch a share l from Beta(alpha, alpha) and a permutation p; the client minimises the loss at
    ``l x_i + (1 - l) x_p(i)`` with the probabilities ``l y_i + (1 - l) y_p(i)`` as labels. A batch of one sample has
    nothing to be mixed with and stays as it is, as a sample does whose partner is itself.

    Shapes: features [batch, ...] and labels [batch] of each local step, at the clients. Cost: one pass over the batch.
    In accuracy: mostly none, it is a regulariser; with a few local samples of one class it does nothing at all.

    It does not hide anything from an attacker that inverts gradients: it finds the mixtures, and a mixture
    with a share below 0.15 or above 0.85, three batches in ten at alpha = 1, is recognisable as its stronger half. What
    it makes harder is the count of labels. An adaptive attacker who has the mixtures of many rounds solves for the
    samples, because they are mixed linearly.

    References
    ----------
    H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz. mixup: Beyond Empirical Risk Minimization. ICLR 2018.
    Y. Huang, S. Gupta, Z. Song, K. Li, S. Arora. Evaluating Gradient Inversion Attacks and Defenses in Federated
    Learning. NeurIPS 2021.

    Examples
    --------
    >>> from robustfl.defenses import Mean, Mixup
    >>> rule = Mixup(alpha=0.5) >> Mean()  # a simulation lets its clients mix
    >>> rule([[1.0], [3.0]]).tolist()  # the server's part of it is empty
    [2.0]
    """

    guarantee: ClassVar[str] = "none"
    unfit: ClassVar[str] = (
        "as protection on its own: an attacker that inverts gradients finds the mixtures, and three batches in ten"
        " are recognisable"
    )
    reference: ClassVar[str] = "Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018"
    columns: ClassVar[int] = 2
    plain_without_draws: ClassVar[bool] = True

    alpha: Annotated[float, Gt(0), Doc("parameter of the Beta distribution of shares: 1 is uniform")] = 1.0

    def drawn(self, rng: np.random.Generator, batch: int) -> Floats:
        """The partner of each sample, and the share of the batch in every row: [batch, 2]."""
        share = rng.beta(self.alpha, self.alpha)
        return np.stack([rng.permutation(batch), np.full(batch, share)], axis=1)

    def objective(self, plain: Objective, classes: int) -> Objective:
        def mixed(parameters: dict[str, Tensor], features: Tensor, labels: Tensor, draws: Tensor | None) -> Tensor:
            if draws is None:
                return plain(parameters, features, labels, None)
            own, rest = draws[:, : self.columns], draws[:, self.columns :]
            partner, share = own[:, 0].long(), own[:, 1]
            chances = (labels[:, None] == labels.new_tensor(range(classes))).to(features.dtype)
            across = share.reshape(-1, *[1] * (features.ndim - 1))
            features = across * features + (1 - across) * features[partner]
            chances = share[:, None] * chances + (1 - share[:, None]) * chances[partner]
            return plain(parameters, features, chances, rest if rest.shape[1] else None)

        return mixed
