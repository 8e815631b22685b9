"""Gossip that gives each layer back the variance that averaging takes from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from typing_extensions import Doc

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods import Gathering, Mixer, Mixing
from robustfl.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class VarianceCorrected(Mixer):
    """Variance-corrected averaging: gossip, and then each layer is stretched to the variance that its sources had.

    Formula: with ``a = sum_j w_ij x_j`` and, in each layer l, ``s_l^2 = sum_j w_ij Var(x_j)`` over the entries of the
    layer, layer l becomes ``(a - mean(a)) s_l/std(a) + mean(a)``. The average of n models that are not correlated, such
    as different initial models, has an n times smaller variance, and learning with it stalls. Later the models are
    correlated, and the factor is near 1. A layer whose average has no variance stays as it is.

    Shapes: [N, d] letters -> [n, d]. Cost: one pass over the letters for the sums, and one for the variances. Peers
    have to know where layers begin (`Occasion.layers`); by default a model is one layer.

    Guarantee: none against malicious neighbours, as it is an average; with ``spread="median"`` a neighbour with a huge
    variance at least does not decide the factor. Breakdown point: none is tolerated.

    References
    ----------
    Y. Tian, Z. Al-Ars, M. Kitsak, P. Hofstee. Vanishing Variance Problem in Fully Decentralized Neural-Network Systems.
    arXiv:2404.04616, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import VarianceCorrected
    >>> pair = Hoods(index=[[0, 1]], weights=np.full((1, 2), 0.5), bounds=[0])
    >>> letters = Letters(np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 2.0]]))
    >>> VarianceCorrected().mix(letters, pair).models.round(6).tolist()
    [[2.056742, 2.056742, 2.056742, 4.329773]]
    """

    family: ClassVar[str] = "peers, linear"
    uses_bound: ClassVar[bool] = False
    guarantee: ClassVar[str] = "keeps the average variance of each layer, while nobody lies"
    breakdown: ClassVar[str] = "0"
    unfit: ClassVar[str] = (
        "against malicious neighbours, as it is an average; or late in a training, when models are correlated and "
        "it changes little"
    )
    reference: ClassVar[str] = (
        "Tian et al., Vanishing Variance Problem in Fully Decentralized Neural-Network Systems, 2024"
    )

    spread: Annotated[
        Literal["mean", "median"],
        Doc("how the variances of the letters are averaged: by the gossip weights, as published, or by their median"),
    ] = "mean"

    def _mix(self, gathering: Gathering) -> Mixing:
        layers = _slices(gathering.occasion.layers, gathering.rows.shape[1])
        shares = [group.weights for group in gathering.groups]
        return Mixing(shares, partial(self._fill, gathering, layers, self._wanted(gathering, layers)))

    def _wanted(self, gathering: Gathering, layers: Sequence[slice]) -> list[Floats]:
        """The variances [g, l] that the layers of each group's new models should have."""
        used = np.unique(np.concatenate([group.index.ravel() for group in gathering.groups]))
        variances = np.zeros((len(gathering.rows), len(layers)))
        for row in used.tolist():
            variances[row] = [_moments(gathering.rows[row, layer])[1] for layer in layers]
        found = []
        for group in gathering.groups:
            own = variances[group.index]
            weighted = np.einsum("gm,gml->gl", group.weights, own)
            found.append(weighted if self.spread == "mean" else np.median(own, axis=1))
        return found

    @staticmethod
    def _fill(gathering: Gathering, layers: Sequence[slice], wanted: Sequence[Floats], out: Array) -> None:
        gathering.combine([group.weights for group in gathering.groups], out)
        for group, variances in zip(gathering.groups, wanted, strict=True):
            for line, targets in zip(group.lines.tolist(), variances, strict=True):
                for layer, target in zip(layers, targets.tolist(), strict=True):
                    part = out[line, layer]
                    mean, variance = _moments(part)
                    if variance > 0.0:
                        part[...] = (part - mean) * np.sqrt(target / variance) + mean


def _moments(values: Array) -> tuple[float, float]:
    """The mean and the variance of some numbers, in float64."""
    exact = values.astype(np.float64)
    mean = float(exact.mean())
    exact -= mean
    return mean, float(exact @ exact) / len(exact)


def _slices(layers: tuple[int, ...] | None, d: int) -> list[slice]:
    """Where the layers of a model [d] begin and end."""
    sizes = (d,) if layers is None else layers
    if sum(sizes) != d or min(sizes, default=0) < 1:
        raise ParameterError(
            f"`layers` should be sizes >= 1 that sum to {d}. Found {list(sizes)[:6]} of sum {sum(sizes)}."
        )
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
