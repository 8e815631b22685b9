"""Attacks on a peer that averages its model with those of its neighbours.

An honest peer i steps to ``x_i + sum_j W_ij (x_j - x_i)`` over its neighbours j. Its malicious neighbours see this
neighbourhood as malicious clients of a server see the honest updates. An attack on updates can therefore be used as it
is: called with the rows of the neighbourhood, it crafts the models of `f` malicious neighbours.

>>> import numpy as np
>>> from robustfl.attacks import ALIE, IPM
>>> model, neighbours = np.array([0.0, 0.0]), np.array([[3.0, 0.0], [0.0, 3.0]])
>>> neighbourhood = np.vstack([model, neighbours])
>>> IPM(epsilon=1.0)(neighbourhood, f=2).tolist()
[[-1.0, -1.0], [-1.0, -1.0]]
>>> ALIE(z=1.0, ddof=1)(neighbourhood, f=1).round(4).tolist()
[[-0.7321, -0.7321]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from annotated_types import Gt, Lt

from robustfl.components import checked
from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor


def dissensus(model: Any, neighbours: Any, weights: Any, attackers_weights: Any, *, strength: float = 1.5) -> Any:
    """Dissensus: the model that pushes a peer away from its honest neighbours in a step of gossip averaging.

    Formula: ``v = x_i - strength sum_j W_ij (x_j - x_i) / sum_k W_ik``, where j are the honest and k the malicious
    neighbours of peer i; all malicious neighbours send v. The peer then steps to
    ``x_i + (1 - strength) sum_j W_ij (x_j - x_i)``. At strength 1 it stays where it is, and at a larger strength it
    moves away from its honest neighbours. Every attacked peer needs its own v.

    Shapes: [d], [m, d], [m], [k] -> [d]. The answer is a numpy array or torch tensor as `model` is, with the same dtype
    and device.

    Cost: one pass over the m + 1 models; the sum [d] is held in double precision.

    Parameters
    ----------
    model : x_i, floating-point numbers [d]
    neighbours : x_j, the models [m, d] of the peer's honest neighbours, m >= 1
    weights : W_ij >= 0 [m], the gossip weights that the peer gives them
    attackers_weights : W_ik >= 0 [k], the gossip weights that the peer gives its malicious neighbours, with a sum > 0
    strength : strength > 0 of the push, in multiples of the pull of the honest neighbours

    Raises
    ------
    ParameterError : shapes do not match, numbers are not finite, weights are below 0, or the peer has no honest or no
        malicious neighbours

    References
    ----------
    L. He, S. P. Karimireddy, M. Jaggi. Byzantine-Robust Decentralized Learning via ClippedGossip. arXiv:2202.01545,
    2022.

    Examples
    --------
    >>> import numpy as np
    >>> x, around = np.array([0.0, 0.0]), np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> v = dissensus(x, around, [0.25, 0.25], [0.25])
    >>> v.tolist()
    [-1.5, -3.0]
    >>> (x + 0.25 * (around - x).sum(axis=0) + 0.25 * (v - x)).tolist()
    [-0.125, -0.25]
    """
    import torch

    strength = checked(strength, float, (Gt(0), Lt(float("inf"))), "dissensus", "strength")
    numpy = not isinstance(model, torch.Tensor)
    x, rows = _tensor(model, "model"), _tensor(neighbours, "neighbours")
    if x.ndim != 1 or not x.is_floating_point():
        raise ParameterError(f"`model` should be floating-point numbers [d]. Found {x.dtype} {list(x.shape)}.")
    if rows.ndim != 2 or rows.shape[1] != len(x) or not rows.is_floating_point():
        raise ParameterError(
            f"`neighbours` should be floating-point models [m, {len(x)}], one row for each honest neighbour. "
            f"Found {rows.dtype} {list(rows.shape)}."
        )
    if not len(rows):
        raise ParameterError(
            "`neighbours` should satisfy m >= 1: without honest neighbours nothing pulls the peer, and there is "
            "no pull to reverse. Found m=0. Attack another peer."
        )
    for name, values in (("model", x), ("neighbours", rows)):
        if not bool(values.isfinite().all()):
            raise ParameterError(f"`{name}` should be finite. It is not. Leave peers out whose models have diverged.")
    pulls = _checked_weights(weights, "weights")
    if len(pulls) != len(rows):
        raise ParameterError(
            f"`weights` should hold one number for each of {len(rows)} honest neighbours. Found {len(pulls)}."
        )
    say = sum(_checked_weights(attackers_weights, "attackers_weights"))
    if not say > 0:
        raise ParameterError(
            "`attackers_weights` should have a sum > 0: malicious clients can only attack peers that listen to them. "
            f"Found a sum of {say}. Attack a peer that has one among its neighbours."
        )
    start = x.double()
    pull = torch.zeros_like(start)
    for weight, row in zip(pulls, rows, strict=True):
        pull += weight * (row.to(start) - start)
    crafted = (start - strength / say * pull).to(x)
    if not bool(crafted.isfinite().all()):
        raise ParameterError(
            f"`strength` over the sum of `attackers_weights` should leave numbers that {x.dtype} can hold. "
            f"Found strength={strength} and a sum of {say}. Use a smaller strength, or a wider type."
        )
    return crafted.numpy() if numpy else crafted


def _tensor(values: Any, name: str) -> Tensor:
    import torch

    if isinstance(values, torch.Tensor):
        return values.detach()
    try:  # torch cannot share reversed or read-only arrays, so these are copied
        return torch.as_tensor(np.require(values, requirements=["C", "W"]))
    except (TypeError, ValueError):
        raise ParameterError(
            f"`{name}` should be a numpy array or torch tensor of numbers. Found {type(values).__name__}."
        ) from None


def _checked_weights(weights: Any, name: str) -> list[float]:
    found = _tensor(weights, name).cpu().double()
    if found.ndim != 1:
        raise ParameterError(f"`{name}` should be a list of numbers. Found shape {list(found.shape)}.")
    values: list[float] = found.tolist()
    wrong = [value for value in values if not 0 <= value < float("inf")]
    if wrong:
        raise ParameterError(f"`{name}` should be finite and >= 0. Found {wrong[0]}.")
    return values
