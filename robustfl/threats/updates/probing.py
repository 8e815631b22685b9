"""Asking the defense under attack what it would make of candidates: the inner loop of every white-box attack.

A crafted row is a combination of vectors that are known before the search. For a defense that only looks at products
between rows (:attr:`~robustfl.aggregation.Defense.rotation_equivariant`) one Gram of the honest rows and those vectors
therefore holds the answer to every candidate: the actual pipeline is asked in as many dimensions as there are vectors.
Column-wise rules, rules with a memory, random draws over columns or a trusted update have no such form; they are asked
in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from robustfl.errors import InfeasibleError
from robustfl.threats.knowledge import View, finite_rows

if TYPE_CHECKING:
    from torch import Tensor


class Probe:
    """The defense, to be asked about malicious rows that agree in one vector.

    Parameters
    ----------
    view : what the attack sees; needs DEFENSE, and PEERS unless `honest` is given
    vectors : name -> finite vector [d], of which candidates are combinations
    offsets : [f, d] what each malicious row adds, in lengths of the candidate; None when all rows are the candidate
    full : whether to ask in all d dimensions although the defense needs fewer
    honest : [h, d] rows that stand in for the honest ones where the attack does not know them

    Attributes
    ----------
    vectors : the given vectors [k] by name, in the space of the search: k is d, or at most the number of vectors
    calls : how often the defense was asked
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
        """From d dimensions to as many as the rows span; left as it is where a row is too large for products."""
        import torch

        from robustfl.aggregation.updates.coordinates import coordinates
        from robustfl.aggregation.updates.source import HostileRows

        usable = finite_rows(self._honest).tolist()
        rows = [row for row, finite in zip(self._honest, usable, strict=True) if finite]
        offsets = [] if self._offsets is None else list(self._offsets)
        try:
            found = coordinates([*rows, *self.vectors.values(), *offsets])
        except HostileRows:
            return
        points = torch.as_tensor(found, device=self._honest.device)
        h, m = len(rows), len(self.vectors)
        known, named, added = points[:h], points[h : h + m], points[h + m :]
        # Rows that are not finite stay what they are: the defense has to meet them in its own way.
        self._honest = points.new_full((len(self._honest), points.shape[1]), float("nan"))
        self._honest[usable] = known
        self.vectors = dict(zip(self.vectors, named, strict=True))
        self._offsets = None if self._offsets is None else added

    @property
    def dimensions(self) -> int:
        """Of the space of the search."""
        return int(self._honest.shape[1])

    def answer(self, candidate: Tensor) -> Tensor | None:
        """The aggregate [k] when the malicious rows are made of `candidate` [k]; None when too few rows are left."""
        f = self._view.f
        if self._rows is None:  # one matrix for all questions: filling it is dearer than most rules
            self._rows = self._honest.new_empty((f + len(self._honest), self.dimensions))
            self._rows[f:] = self._honest
        self._rows[:f] = candidate
        if self._offsets is not None:
            self._rows[:f] += candidate.norm() * self._offsets
        self.calls += 1
        try:
            return self._view.aggregate(self._rows)
        except InfeasibleError:
            return None
