"""Knowledge fusion: every client is answered by those who believe what it believes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.reputation.identities import own_shares


@dataclass(frozen=True, kw_only=True)
class KnFu(Aggregator):
    """KnFu: each client gets an answer of its own, in which the predictions of its neighbours weigh most.

    Formula: the disagreement of clients i and j is ``D_ij = ||x_i - x_j||^2 / (||x_i||^2 + ||x_j||^2)``: 0 for the same
    predictions, 1 for predictions that have nothing to do with each other, and 2 for opposite ones (two rows of zeros
    agree). Client i listens to client j with the weight ``a_ij = exp(-beta D_ij) / sum_k exp(-beta D_ik)`` and is
    answered ``sum_j a_ij x_j``. The common answer, for those who sent nothing, is the mean of all these answers,
    ``sum_j w_j x_j`` with ``w_j = sum_i a_ij / n``.

    From the publication are the aim, that each client only hears those whose knowledge is effective for it, and the
    exponential with beta = 10 (there over divergences of estimated class distributions; its exact equation could not be
    reproduced). The disagreement is ours. It compares sample by sample, as client distributions would also trust
    somebody who shuffles the right predictions among the samples. It is relative to the confidence of the two clients,
    which frees beta from the number of samples, and nobody else's rows change it.

    `info["fusion"]` holds the weights of each client's answer, by the ids of the clients that it listens to. The rows
    have to be the clients' own, though they may be clipped before.

    Shapes: [n, d] -> [d], with d = m C. Cost: n^2 d for the Gram, two passes over the data; and n d for each client's
    answer, where it is made.

    Guarantee: answers are convex combinations of rows, so they are distributions when rows are. There is none in terms
    of f: what malicious clients move depends on how many rows are nearer to a client than theirs.

    References
    ----------
    S. J. Seyedmohammadi, S. K. Atapour, J. Abouei, A. Mohammadi. KnFu: Effective Knowledge Fusion. arXiv:2403.11892,
    2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.defenses import KnFu
    >>> beliefs = np.array([[0.4, -0.4], [0.3, -0.3], [-0.4, 0.4], [-0.3, 0.3]])
    >>> answer = KnFu().aggregate(beliefs, ids=["anna", "boris", "carla", "dora"])
    >>> {other: round(weight, 2) for other, weight in answer.info["fusion"]["anna"].items()}
    {'anna': 0.6, 'boris': 0.4, 'carla': 0.0, 'dora': 0.0}
    """

    name: ClassVar[str] = "kn_fu"
    channel: ClassVar[str] = "predictions"
    family: ClassVar[str] = "personalised"
    requires: ClassVar[tuple[int, int]] = (0, 1)
    no_sensitivity: ClassVar[str] = "each client has an answer of its own, which its own predictions weigh"
    guarantee: ClassVar[str] = "answers are mixtures of what clients sent; far predictions have next to no weight"
    breakdown: ClassVar[str] = "none in theory; by experiment"
    unfit: ClassVar[str] = (
        "where the identity of neighbours cannot be trusted: malicious clients that predict like a client are "
        "heard by it, whatever their number"
    )
    reference: ClassVar[str] = "Seyedmohammadi et al., KnFu: Effective Knowledge Fusion, arXiv:2403.11892, 2024"

    beta: Annotated[float, Gt(0), Le(1e6), Doc("how fast weights fall with the disagreement")] = 10.0

    @property
    def unclaimed(self) -> frozenset[str]:
        return frozenset({"breakdown", "translation"})

    @property
    def geometric(self) -> bool:
        return True

    def _aggregate(self, rows: Rows) -> Outcome:
        own = own_shares(rows, self)
        fusion = self._fusion(rows)
        weights = fusion.mean(axis=0)
        ids = rows.source.ids
        told = {
            one: dict(zip(ids, (own * heard).tolist(), strict=True)) for one, heard in zip(ids, fusion, strict=True)
        }
        return Outcome(rows.combine(weights), rows.source_weights(weights), {"fusion": told})

    def _fusion(self, rows: Rows) -> Floats:
        """The weights [n, n] with which clients listen, one row for each client that does."""
        sizes = rows.squared_norms
        together = sizes[:, None] + sizes[None, :]
        distances = rows.gram.squared_distances
        apart = np.divide(distances, together, out=np.zeros_like(distances), where=together > 0)
        heard = np.exp(-self.beta * apart)
        return np.asarray(heard / heard.sum(axis=1, keepdims=True))
