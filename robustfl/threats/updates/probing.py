"""Asks the defense under attack for its answer to candidates: this is the inner loop of every white-box attack.

A crafted row is a combination of vectors that are known before the search. Some defenses only use products between
rows (:attr:`~robustfl.aggregation.Defense.rotation_equivariant`). For them, one Gram of the honest rows and these
vectors determines the answer to every candidate, so the actual pipeline can be asked in as many dimensions as there are
vectors. This does not work for column-wise rules, nor for rules with a memory, with random draws over columns or with a
trusted update. They are asked in all d dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from robustfl.errors import InfeasibleError
from robustfl.threats.updates.view import View, finite_rows

if TYPE_CHECKING:
    from torch import Tensor


class Probe:
    """The defense, which can be asked about malicious rows that have one vector in common.

    Parameters
    ----------
    view : what the attack sees; the attack needs DEFENSE, and PEERS unless `honest` is given
    vectors : finite vectors [d] by name, or a row for each malicious client, [f, d]; candidates are combinations of
        them
    offsets : what each malicious row adds, [f, d] in lengths of the candidate; None when all rows are the candidate
    full : whether to ask in all d dimensions, although the defense needs fewer
    honest : rows [h, d] that replace the honest ones when the attack does not know these

    Attributes
    ----------
    vectors : the given vectors [k] or [f, k] by name, in the space of the search; k is d, or at most the number of all
        vectors
    calls : number of times that the defense was asked
    """

    def __init__(
        self,
        view: View,
        vectors: Mapping[str, Tensor],
        offsets: Tensor | None = None,
        *,
        full: bool = False,
        honest: Tensor | None = None,
    ) -> None:
        self._view, self.calls = view, 0
        self._honest = view.honest if honest is None else honest
        self._offsets, self.vectors = offsets, dict(vectors)
        self._rows: Tensor | None = None
        if view.rotation_equivariant and not full:
            self._reduce()

    def _reduce(self) -> None:
        """Reduce d dimensions to those that the rows span; do nothing when products of a row would overflow."""
        import torch

        from robustfl.aggregation.updates.coordinates import coordinates
        from robustfl.aggregation.updates.source import HostileRows

        usable = finite_rows(self._honest).tolist()
        rows = [row for row, finite in zip(self._honest, usable, strict=True) if finite]
        offsets = [] if self._offsets is None else list(self._offsets)
        try:
            vectors = [row for vector in self.vectors.values() for row in vector.reshape(-1, vector.shape[-1])]
            found = coordinates([*rows, *vectors, *offsets])
        except HostileRows:
            return
        points = torch.as_tensor(found, device=self._honest.device)
        h = len(rows)
        m = h + sum(1 if vector.ndim == 1 else len(vector) for vector in self.vectors.values())
        known, added = points[:h], points[m:]
        # Rows that are not finite stay so, because the defense has to handle them in its own way.
        self._honest = points.new_full((len(self._honest), points.shape[1]), float("nan"))
        self._honest[usable] = known
        named = iter(points[h:m])
        for name, vector in self.vectors.items():
            one = vector.ndim == 1
            self.vectors[name] = next(named) if one else torch.stack([next(named) for _ in range(len(vector))])
        self._offsets = None if self._offsets is None else added

    @property
    def dimensions(self) -> int:
        """The number of dimensions of the space of the search."""
        return int(self._honest.shape[1])

    def answer(self, candidate: Tensor) -> Tensor | None:
        """The aggregate [k] when malicious rows are made from `candidate` [k] or [f, k]; None with too few rows."""
        f = self._view.f
        if self._rows is None:  # reused for all questions, since filling it costs more than most rules
            self._rows = self._honest.new_empty((f + len(self._honest), self.dimensions))
            self._rows[f:] = self._honest
        self._rows[:f] = candidate
        if self._offsets is not None:
            self._rows[:f] += candidate.norm(dim=-1, keepdim=True) * self._offsets
        self.calls += 1
        try:
            return self._view.aggregate(self._rows)
        except InfeasibleError:
            return None
