"""Fang's attack on Krum: it goes as far against the honest mean as Krum still selects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View
from robustfl.threats.updates.geometry import needed, products, squared_distances

if TYPE_CHECKING:
    from torch import Tensor

STOP = 1e-5
"""The search gives up when lambda falls below this share of its first value."""


@dataclass(frozen=True, kw_only=True)
class FangKrum(UpdateAttack):
    """Fang's Krum attack: the longest update against the signs of the honest mean that Krum still selects.

    Formula: ``v = -lambda sign(mu)``. The other f - 1 malicious rows support v: their distance from it is at most
    `epsilon` times its length. lambda starts at
    ``min_i sum_{l in N(i)} ||x_l - x_i||/((n - 2f - 1) sqrt(d)) + max_i ||x_i||/sqrt(d)``, where N(i) are the h-f-2
    honest rows nearest to row i. It is halved until Krum on all n rows selects a malicious one, or until it is 1e-5 of
    its first value. In the second case the last lambda is sent, and ``memory["failed"]`` is true.
    With ``estimate="own"`` the attack knows no honest update. It then simulates Krum on the f updates that the
    malicious clients would have sent and on j crafted ones. It starts with j = 1, and adds one more crafted update, up
    to f - 1, as long as Krum selects none for any lambda.

    The attack itself simulates Krum, with the f that the defense declares or else with the true f. The result can be
    sent to any defense.

    Knowledge: all honest updates, or only the malicious clients' own updates.

    References
    ----------
    M. Fang, X. Cao, J. Jia, N. Z. Gong. Local Model Poisoning Attacks to Byzantine-Robust Federated Learning.
    USENIX Security 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import FangKrum
    >>> from robustfl.defenses import Krum
    >>> honest = np.random.default_rng(0).normal(1.0, 2.0, size=(8, 10))
    >>> crafted = FangKrum()(honest, f=3)
    >>> selected = Krum(f=3)(np.vstack([crafted, honest]))
    >>> bool((selected < 0).all() and (crafted == selected).all(axis=1).any())
    True
    """

    reference: ClassVar[str] = (
        "Fang et al., Local Model Poisoning Attacks to Byzantine-Robust Federated Learning, USENIX Security 2020"
    )
    unfit: ClassVar[str] = (
        "as a test of rules unlike Krum, whose selection it simulates; or where its search fails, as "
        '`memory["failed"]` tells'
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    estimate: Annotated[
        Literal["peers", "own"],
        Doc("whose updates are known: those of all honest clients, or the malicious clients' own"),
    ] = "peers"
    epsilon: Annotated[float, Ge(0), Doc("largest distance of the other malicious rows from v, in lengths of v")] = 0.01

    def required_knowledge(self) -> Knowledge:
        return needed(self.estimate)

    def craft(self, view: View) -> Tensor:
        import torch

        rows = view.finite(self.estimate)
        shape = self._shape(view, rows)  # the malicious rows for lambda = 1
        if not len(rows):
            return shape
        gram = products(torch.cat([shape, rows]))
        factor, won = 0.0, False
        supporters = [view.f] if self.estimate == "peers" else range(1, max(view.f, 2))
        for j in supporters:
            f = (view.declared_f or view.f) if self.estimate == "peers" else j
            kept = [*range(j), *range(view.f, len(gram))]
            factor, won = halved(gram[kept][:, kept], j, f, view.d)
            if won:
                break
        view.memory["failed"] = not won
        return factor * shape

    def _shape(self, view: View, rows: Tensor) -> Tensor:
        sign = rows.mean(dim=0).sign() if len(rows) else view.full(0.0)
        shape = -sign.repeat(view.f, 1)
        if self.epsilon and view.f > 1:
            noise = view.normal(view.f - 1)
            radius = noise.new_tensor(view.rng.random((view.f - 1, 1)) ** (1.0 / view.d))
            shape[1:] += self.epsilon * sign.norm() * radius * noise / noise.norm(dim=1, keepdim=True)
        return shape


def halved(gram: Tensor, crafted: int, f: int, d: int) -> tuple[float, bool]:
    """The first of a falling sequence of factors for which Krum selects a crafted row, and whether there is one.

    `gram` holds the products between all rows: first the `crafted` rows, which the factor multiplies, then the benign
    rows.
    """
    import torch

    benign = gram[crafted:, crafted:]
    distances = squared_distances(benign).sqrt().sort(dim=1).values[:, 1:]  # without the distance of a row to itself
    h, n = len(benign), len(gram)
    spread = distances[:, : max(h - f - 2, 0)].sum(dim=1).min() / max(n - 2 * f - 1, 1)
    factor = first = float(spread + benign.diagonal().max().sqrt()) / d**0.5
    scale = torch.ones(n, dtype=gram.dtype)
    while True:
        scale[:crafted] = factor
        won = krum(squared_distances(gram * scale[:, None] * scale), f) < crafted
        if won or factor <= STOP * first:
            return factor, won
        factor /= 2


def krum(squares: Tensor, f: int) -> int:
    """The row whose squared distances, given as [n, n], to its n-f-2 nearest other rows have the smallest sum."""
    others = squares.clone().fill_diagonal_(float("inf"))
    neighbours = min(max(len(squares) - f - 2, 1), len(squares) - 1)
    return int(others.sort(dim=1).values[:, :neighbours].sum(dim=1).argmin())
