"""Fang's attack on Krum: as far against the honest mean as Krum still selects."""

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
"""Share of the first lambda below which the search gives up."""


@dataclass(frozen=True, kw_only=True)
class FangKrum(UpdateAttack):
    """Fang's Krum attack: against the signs of the honest mean, as far as Krum still selects a malicious update.

    Formula: ``v = -lambda sign(mu)``; the other f - 1 rows support it from within `epsilon` of its length. lambda
    starts at ``min_i sum_{l in N(i)} ||x_l - x_i||/((n - 2f - 1) sqrt(d)) + max_i ||x_i||/sqrt(d)``, N(i) the h-f-2
    honest rows nearest to row i, and is halved until Krum on all n rows selects a malicious one, or to 1e-5 of where it
    started; the last lambda is then sent, and ``memory["failed"]`` says so.
    ``estimate="own"`` knows no honest update: Krum is simulated on the f updates that the malicious clients would have
    sent, and j of the crafted ones; when no lambda wins with j = 1, with one more, up to f - 1.

    Krum is simulated in the attack itself, with the f that the defense declares, or the true one. Any defense may be
    attacked with the result.

    Knowledge: all honest updates, or the malicious clients' own.

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
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    estimate: Annotated[
        Literal["peers", "own"], Doc("whose updates are looked at: all honest ones, or the attackers' own")
    ] = "peers"
    epsilon: Annotated[float, Ge(0), Doc("radius around the crafted update for its supporters, in its lengths")] = 0.01

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
    """The largest of a falling sequence of factors for which Krum selects a crafted row, and whether any does.

    `gram` holds the products between the `crafted` rows, that the factor multiplies, and the benign ones after them.
    """
    import torch

    benign = gram[crafted:, crafted:]
    distances = squared_distances(benign).sqrt().sort(dim=1).values[:, 1:]  # without a row's own
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
    """The row of which the squared distances [n, n] to the n-f-2 nearest other rows have the smallest sum."""
    others = squares.clone().fill_diagonal_(float("inf"))
    neighbours = min(max(len(squares) - f - 2, 1), len(squares) - 1)
    return int(others.sort(dim=1).values[:, :neighbours].sum(dim=1).argmin())
