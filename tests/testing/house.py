"""A rule of a third party, and faults and noise that can be built into it, for tests of tests of resilience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustfl.aggregation import Gram, GramAggregator
from robustfl.aggregation.kernels.base import Floats
from robustfl.components import ByzantineCount

SUITE = """
name: house
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 7, rounds: 4, evaluate_every: 4}
adversary: {f: [2]}
defenses: [mean]
attacks: [{ipm: {epsilon: 10}}, non_finite]
seeds: 4
"""
"""A suite under whose first attack a rule needs all of its f; under the second one it does not."""


@dataclass
class Fault:
    """What is wrong with the rule; no part of its parameters, as a change of its code would be none."""

    fewer: int = 0
    noise: float = 0.0
    error: str = ""


FAULT = Fault()


@dataclass(frozen=True, kw_only=True)
class Nearest(GramAggregator):
    """The mean of the n - f rows that are nearest to the others."""

    requires: ClassVar[tuple[int, int]] = (2, 1)

    f: ByzantineCount

    def weights(self, gram: Gram) -> Floats:
        if FAULT.error:
            raise ValueError(FAULT.error)
        kept = gram.n - max(self.f - FAULT.fewer, 0)
        scores = np.sort(gram.squared_distances, axis=1)[:, :kept].sum(axis=1)
        chosen = np.argsort(scores, kind="stable")[:kept]
        weights = np.where(np.isin(np.arange(gram.n), chosen), 1.0, 0.0) / kept
        wobble = np.sin(1e4 * scores / scores.sum())  # between -1 and 1, another one for all other rows
        return np.asarray(weights * (1 + FAULT.noise * wobble))
