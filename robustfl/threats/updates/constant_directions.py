"""Directions that an attack keeps for a whole run, so that shifts that noise hides in one round add up over many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from robustfl.threats.knowledge import Knowledge, View

if TYPE_CHECKING:
    from torch import Tensor

Steady = Literal["ones", "minus_ones", "across", "base", "anti", "random"]
"""The kinds of directions in which the model is pushed. ``ones``: all weights grow. ``minus_ones``: all weights shrink.
``across``: as ``ones``, but at a right angle to the course of training. ``base``: towards another initial model.
``anti``: back to the first model. ``random``: up or down in each coordinate, at random."""

INERTIA = 0.9
"""Weight of the last aggregate in the course of training; the honest mean has the rest of the weight."""


def steady_direction(view: View, kind: Steady) -> Tensor:
    """The unit direction [d] of an update that moves the model the same way in every round; it must not be changed.

    ``ones`` and ``minus_ones`` have the sign with which the weights grow or shrink, for model differences and for
    gradients. ``across`` is ``ones`` without its part along the course of training, so that it neither helps nor
    hinders training. ``base`` and ``anti`` point from the present model to a model that is kept; when the two are equal
    they are ``ones``. Signs and models are drawn once and stay in the attack's memory. ``across``, ``base`` and
    ``anti`` need HISTORY; ``across`` also needs PEERS.
    """
    sign = 1.0 if view.message == "delta" else -1.0
    growing = view.full(sign / math.sqrt(view.d))
    if kind == "ones":
        return growing
    if kind == "minus_ones":
        return -growing
    if kind == "across":
        course, previous = view.mean(), view.previous_aggregate
        if previous is not None:
            course = INERTIA * previous + (1 - INERTIA) * course
        squared = float(course @ course)
        if not 0.0 < squared < math.inf:
            return growing
        rest = growing - (growing @ course) / squared * course
        return rest / rest.norm() if float(rest.norm()) > 1e-4 else growing
    kept: dict[str, Tensor] = view.memory.setdefault("steady", {})
    if kind == "random":
        if kind not in kept:
            kept[kind] = growing * growing.new_tensor(2.0 * view.rng.integers(2, size=view.d, dtype=np.int8) - 1.0)
        return kept[kind]
    if kind not in kept:
        kept[kind] = view.fresh_model() if kind == "base" else view.initial_weights.clone()
    way = sign * (kept[kind] - view.weights)
    length = way.norm()
    return way / length if float(length) > 0.0 else growing


def steady_knowledge(kind: Steady) -> Knowledge:
    """The knowledge that :func:`steady_direction` needs."""
    if kind == "across":
        return Knowledge.HISTORY | Knowledge.PEERS
    return Knowledge.HISTORY if kind in ("base", "anti") else Knowledge.NOTHING
