"""Rows of the table of rules, with their oracle: the Flag Aggregator in the space of the parameters themselves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from robustfl.defenses import Flag
from tests.aggregation import oracles
from tests.aggregation.case import MAJORITY, Case, at_least
from tests.aggregation.oracles import Matrix, Oracle


@dataclass(frozen=True)
class Direct:
    """Stacks the weighted columns, those of all n(n - 1) ordered pairs too, and takes their left singular vectors."""

    dimension: int | None = None
    pairwise: float = 0.0
    raw: bool = False
    mode: str = "reference"
    rescale: bool = True
    iterations: int = 5
    tolerance: float = 1e-10
    eps: float = 1e-7

    def __call__(self, x: Matrix, f: int = 0) -> Matrix:
        n, m = len(x), self.m(x)
        basis, norms = self.basis(x), [oracles.length(row) for row in x]
        if self.mode == "paper":
            return np.asarray(basis @ (basis.T @ oracles.mean(x)))
        units = [row / norm for row, norm in zip(x, norms, strict=True) if norm > 0]
        total = np.asarray(basis @ (basis.T @ sum(units, np.zeros(x.shape[1]))))
        return total * np.median(norms) / n if self.rescale else total / m

    def m(self, x: Matrix) -> int:
        return self.dimension or int(np.ceil((len(x) + 1) / 2))

    def columns(self, x: Matrix) -> list[tuple[Matrix, float]]:
        """Unit vectors and their factors in the objective."""
        rows = [row for row in x if oracles.length(row) > 0]
        units = [row / oracles.length(row) for row in rows]
        found = [(unit, 1.0) for unit in units]
        if self.pairwise:
            for a, b in permutations(rows if self.raw else units, 2):
                if oracles.length(a - b) > 0:
                    found.append(((a - b) / oracles.length(a - b), self.pairwise / (len(x) - 1)))
        return found

    def basis(self, x: Matrix) -> Matrix:
        """An orthonormal basis [d, m] of the subspace."""
        columns = self.columns(x)
        missed, before = [1.0] * len(columns), np.inf
        basis = np.zeros((x.shape[1], 0))
        for _ in range(self.iterations):
            weights = [np.sqrt(c) * (share + self.eps) ** -0.25 for (_, c), share in zip(columns, missed, strict=True)]
            stacked = [w * column for (column, _), w in zip(columns, weights, strict=True)]
            if not stacked:
                break
            basis = np.linalg.svd(np.array(stacked).T, full_matrices=False)[0][:, : self.m(x)]
            missed = [oracles.length(column - basis @ (basis.T @ column)) ** 2 for column, _ in columns]
            now = sum(c * np.sqrt(share + self.eps) for (_, c), share in zip(columns, missed, strict=True))
            if before - now <= self.tolerance:
                break
            before = now
        return basis


def case(name: str, rule: Flag, oracle: Oracle) -> Case:
    published = rule.mode == "reference" and rule.rescale == "none"
    return Case(
        name,
        lambda f: rule,
        oracle,
        at_least(0, 1),
        told=False,
        translation=False,
        scaling=not published,
        box=False,
        consensus=not published,
        signed=True,
        stretching=True,  # short rows count as much as long ones
        robust_from=None if rule.mode == "paper" else MAJORITY,
    )


RULES: list[Case] = [
    case("flag", Flag(), Direct()),
    case("flag, published code", Flag(rescale="none"), Direct(rescale=False)),
    case("flag, paper", Flag(mode="paper"), Direct(mode="paper")),
    case("flag, m=2", Flag(dimension=2), Direct(dimension=2)),
    case("flag, m=2, pairs", Flag(dimension=2, pairwise=1.0), Direct(dimension=2, pairwise=1.0)),
    case(
        "flag, paper, raw pairs",
        Flag(mode="paper", pairwise=3.0, pair_rows="raw"),
        Direct(mode="paper", pairwise=3.0, raw=True),
    ),
]
