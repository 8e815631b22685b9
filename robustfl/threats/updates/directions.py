"""Perturbations that make equal rows look different: pairs of opposite directions that are kept for a whole trial."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor

REMEMBERED = 256
"""When there are more directions than this, those of absent identities are forgotten, because an adversary may use any
number of names but memory is limited."""


class PairedDirections:
    """Unit directions for identities: each identity keeps its direction, and at most one other has the opposite one.

    A new identity takes the opposite of a direction whose only holder is present. If there is none, it shares a new
    direction, which is orthogonal to all remembered ones, with another new identity. When the number of identities is
    odd, one of them has no partner.
    """

    def __init__(self) -> None:
        self._vectors: Tensor | None = None  # [m, d], double
        self._held: dict[Hashable, tuple[int, float]] = {}

    def rows(self, identities: Sequence[Hashable], normal: Callable[[int], Tensor]) -> Tensor:
        """The directions [f, d] of these identities.

        `normal` draws m Gaussian rows [m, d]; the directions have the type and device of these rows.

        Raises ParameterError when there are more pairs than dimensions.
        """
        import torch

        present = set(identities)
        new = [identity for identity in identities if identity not in self._held]
        holders = [index for index, _ in self._held.values()]
        for identity, (index, _) in list(self._held.items()):
            if new and identity in present and holders.count(index) == 1:
                self._held[new.pop(0)] = (index, -1.0)
        half = -(-len(new) // 2)
        if self._vectors is None:
            self._vectors = normal(0).double()
        d = self._vectors.shape[1]
        if half and len(self._vectors) + half > min(d, REMEMBERED):
            self._forget(present)
        start = len(self._vectors)
        if start + half > d:
            raise ParameterError(f"Perturbations in pairs need f/2 <= d. Found f={len(identities)}, d={d}.")
        if half:
            grown = torch.cat([self._vectors, normal(half).double()])
            self._vectors = torch.cat([self._vectors, torch.linalg.qr(grown.T).Q.T[start:]])
        for place, identity in enumerate(new):
            self._held[identity] = (start + place % half, 1.0 if place < half else -1.0)
        places, signs = zip(*(self._held[identity] for identity in identities), strict=True)
        return (self._vectors[list(places)] * self._vectors.new_tensor(signs)[:, None]).to(normal(0))

    def _forget(self, present: set[Hashable]) -> None:
        """Drop the directions that no present identity holds."""
        assert self._vectors is not None
        self._held = {identity: held for identity, held in self._held.items() if identity in present}
        kept = sorted({index for index, _ in self._held.values()})
        self._held = {identity: (kept.index(index), sign) for identity, (index, sign) in self._held.items()}
        self._vectors = self._vectors[kept]
