"""Decisions per layer: every layer of the model is aggregated by itself."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from typing_extensions import Doc

from robustfl.aggregation.layers import Grouping


@dataclass(frozen=True, kw_only=True)
class PerLayer(Grouping):
    """Decisions per layer: the rule behind this stage is asked about each layer of the model by itself.

    Formula: ``value[layer] = rule(updates[layer])`` for every layer. A layer is all arrays whose names agree up to the
    last dot, such as ``conv1.weight`` and ``conv1.bias``; arrays without such names, as in a list, are a layer each. A
    simulation knows the names of the model's arrays. Updates that are plain vectors are one layer, named ``all``.

    Shapes: [n, d] -> [d]. Cost: that of the rule in each layer, and one more reading of the updates.

    Guarantee: that of the rule, in each layer and not for the whole: with L layers, the squared errors of all layers
    add up. A client may be chosen in one layer and refused in another, so that the answer is no longer a combination of
    whole updates, and a malicious client may be caught in one layer and be heard in the next. Rows that are hostile
    (not finite, duplicates) are refused in all layers at once. A stateful rule has a state in each layer.
    `info["layers"]` says for each layer how the rows were weighed, and what the rule reports.

    References
    ----------
    P. Blanchard, E. M. El Mhamdi, R. Guerraoui, J. Stainer. Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent. NeurIPS 2017 (whose guarantee is about whole vectors, which is what this stage gives up).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.defenses import Krum, PerLayer
    >>> clients = [[[1.0], [5.0]], [[1.2], [5.1]], [[0.9], [5.2]], [[90.0], [5.1]], [[1.0], [5.1]]]
    >>> (PerLayer() >> Krum(f=1))([[np.array(layer) for layer in client] for client in clients])
    [array([1.]), array([5.1])]
    >>> PerLayer().group("body.conv.weight"), PerLayer(groups=("body.*",)).group("body.conv.weight")
    ('body.conv', 'body.*')
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "that of the rule behind it, in each layer and not for the whole"
    breakdown: ClassVar[str] = "the breakdown point of the next rule, in each layer"
    unfit: ClassVar[str] = (
        "where a proof about whole updates is needed, as a client that is caught in one layer may be heard in the "
        "next; or with many small layers, whose errors add up"
    )
    reference: ClassVar[str] = "Blanchard et al., Machine Learning with Adversaries, NeurIPS 2017 (whole vectors)"

    groups: Annotated[
        tuple[str, ...],
        Doc("patterns of names, such as `head.*`; the arrays that match one are a layer. The first that fits counts"),
    ] = ()

    def group(self, name: str) -> str:
        for pattern in self.groups:
            if fnmatchcase(name, pattern):
                return pattern
        return name.rpartition(".")[0] or name
