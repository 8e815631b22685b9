"""Clients compare the models that they got, and send nothing when these differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.aggregation import PreAggregation, Rows
from robustfl.aggregation.sensitivity import Change


@dataclass(frozen=True, kw_only=True)
class ConsistencyCheck(PreAggregation):
    """Consistency check: clients compare a hash of the model that they got, and send nothing when hashes differ.

    A server that watches its clients may send each of them another model. Behind secure aggregation it can so silence
    all clients but one, and read that one's message off the sum (:class:`~robustfl.attacks.InconsistentModel`). Clients
    that should have got the same model notice when they exchange hashes on a way that the server does not control.

    The check is a part of the protocol: what arrives is not changed. Robust rules and ε are not affected by it.

    Shapes: [n, d] -> [n, d], the same rows. Cost: one hash for each client, and nothing at the server.

    Sensitivity: that of the next rule, as no row changes.

    Guarantee: all clients that answer have computed with the same model. A model that is malicious for all of them,
    such as that of :class:`~robustfl.attacks.Imprint`, passes. In asynchronous training and with rewards only the
    clients that should have the same model can compare it.

    References
    ----------
    D. Pasquini, D. Francati, G. Ateniese. Eluding Secure Aggregation in Federated Learning via Model Inconsistency.
    ACM CCS 2022.

    Examples
    --------
    >>> from robustfl.defenses import ConsistencyCheck, Mean
    >>> (ConsistencyCheck() >> Mean())([[1.0, 2.0], [3.0, 4.0]]).tolist()
    [2.0, 3.0]
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "all clients that answer have computed with the same model"
    breakdown: ClassVar[str] = "the breakdown point of the next rule"
    unfit: ClassVar[str] = "against malicious clients: it only asks whether the server gave all clients one model"
    reference: ClassVar[str] = (
        "Pasquini et al., Eluding Secure Aggregation in Federated Learning via Model Inconsistency, CCS 2022"
    )
    compares_models: ClassVar[bool] = True

    @property
    def rotation_equivariant(self) -> bool:
        return True

    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any] | None]:
        return rows, None

    def carried(self, change: Change) -> Change:
        return change
