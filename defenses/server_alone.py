"""The yardstick of rules around a trusted update: what the server reaches without any client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation import Aggregator, Outcome, Rows
from robustfl.aggregation.sensitivity import Change, Term


@dataclass(frozen=True, kw_only=True)
class ServerAlone(Aggregator):
    """The server alone: the trusted update, whatever the clients send. It is a yardstick, and no defense.

    Formula: ``y = g``, where g is the update that the server computes on its own clean samples. Nobody can attack it,
    because nobody is heard. A rule around a trusted update is worth something only as far as it keeps more than this;
    suites with such a rule therefore always have this row as well.

    Shapes: [n, d] and [d] -> [d]. Cost: one reading of the rows, to say which are hostile. `weights` are None.

    Guarantee: the result does not depend on the rows. Breakdown point: there is none while g can be trusted.

    Sensitivity: 0, since no row is heard. There is nothing to noise and nothing to learn about clients.

    References
    ----------
    For training on the server's own samples as what trust begins with: X. Cao, M. Fang, J. Liu, N. Z. Gong. FLTrust:
    Byzantine-robust Federated Learning via Trust Bootstrapping. NDSS 2021.

    Examples
    --------
    >>> from robustfl.defenses import ServerAlone
    >>> ServerAlone()([[2.0, 0.0], [-9.0, -9.0]], trusted=[1.0, 0.5]).tolist()
    [1.0, 0.5]
    """

    name: ClassVar[str] = "server_alone"
    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "the trusted update itself; no client is heard"
    breakdown: ClassVar[str] = "none while the trusted update is honest"
    unfit: ClassVar[str] = "as a defense: it hears no client, so nothing is learnt from them"
    reference: ClassVar[str] = (
        "Cao et al., FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping, NDSS 2021"
    )

    def __str__(self) -> str:
        return "server alone"

    @property
    def wants_trusted(self) -> bool:
        return True

    def _aggregate(self, rows: Rows) -> Outcome:
        trusted = rows.source.zeros()
        trusted[:] = rows.source.trusted
        return Outcome(trusted)

    def moved(self, change: Change) -> Term:
        return Term(0.0, "0")
