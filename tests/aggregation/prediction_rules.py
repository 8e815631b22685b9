"""Rows of the table of rules, with their oracles: rules that are made for predictions."""

from __future__ import annotations

import math

import numpy as np

from robustfl.defenses import KnFu
from tests.aggregation import oracles
from tests.aggregation.case import Case, at_least
from tests.aggregation.oracles import Matrix, Oracle


def kn_fu_weights(x: Matrix, beta: float) -> Matrix:
    """How much each client (row) listens to each other (column)."""
    weights = np.zeros((len(x), len(x)))
    for i, listener in enumerate(x):
        heard = []
        for other in x:
            size = oracles.length(listener) ** 2 + oracles.length(other) ** 2
            heard.append(math.exp(-beta * oracles.length(listener - other) ** 2 / size) if size else 1.0)
        weights[i] = np.array(heard) / math.fsum(heard)
    return weights


def kn_fu(beta: float) -> Oracle:
    def rule(x: Matrix, f: int) -> Matrix:
        return oracles.mean(np.array([weights @ x for weights in kn_fu_weights(x, beta)]))

    return rule


RULES: list[Case] = [
    Case(
        name,
        lambda f, beta=beta: KnFu(beta=beta),  # type: ignore[misc]
        kn_fu(beta),
        at_least(0, 1),
        told=False,
        translation=False,
        robust_from=None,  # whoever listens to itself alone is heard by the common answer
    )
    for name, beta in (("kn_fu", 10.0), ("kn_fu, beta=1", 1.0))
]
