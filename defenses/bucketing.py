"""Bucketing: averages of random groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import RowMap, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import Change, Term
from robustfl.aggregation.updates.order import by_id


@dataclass(frozen=True, kw_only=True)
class Bucketing(RowMap):
    """Bucketing: the updates are shuffled and each group of s becomes its mean, which makes updates more similar.

    Formula: ``y_b = mean(x_i, i in bucket b)`` over ceil(n/s) buckets of a random permutation of the clients, which are
    first sorted by their ids. The last bucket is divided by its own size. The order of arrival changes nothing.

    Shapes: [n, d] -> [ceil(n/s), d]. Cost: nothing in addition to the pass of the rule that follows.

    Guarantee: up to f of the ceil(n/s) buckets are contaminated, so the rule that follows needs its precondition at
    n' = ceil(n/s) with the same f. The permutation is drawn from (`seed`, number of earlier calls), so it differs from
    round to round but is the same in every run (state `round`). An attacker that knows `seed` and the participants
    knows all buckets before it chooses its update, and it can change them when it does not take part. On a real server,
    use a seed that nobody can guess, ``Bucketing(seed=secrets.randbits(128))``, and keep it out of logs: the text of
    the rule shows it.

    Sensitivity: which rows share a bucket depends on ids and `seed` alone, so a replaced row moves one new row, by its
    share: ``2 clip/size``. In the last bucket the share is ``2 clip/(n mod size)`` where size does not divide n. So
    ``Bucketing(size) >> Mean()`` has ``2 clip/n`` only where it does. With size=2 and n=11 one row is alone in its
    bucket and counts twice: ``2 clip/6``. All of this is about rows of the same clients. A client in the place of
    another one may change all buckets, so random cohorts have no price, only all clients in every round.

    References
    ----------
    S. P. Karimireddy, L. He, M. Jaggi. Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing. ICLR 2022.

    Examples
    --------
    >>> from robustfl.defenses import Bucketing
    >>> len(Bucketing(size=2)([[1.0], [2.0], [3.0], [4.0], [5.0]]))
    3
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "at most f of the ceil(n/size) buckets are contaminated"
    breakdown: ClassVar[str] = "the breakdown point of the next rule, divided by size"
    unfit: ClassVar[str] = (
        "where n/size buckets are too few for the rule behind it, which then has less than 2f + 1 rows, or where "
        "attackers know the seed and so every bucket"
    )
    reference: ClassVar[str] = (
        "Karimireddy et al., Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing, ICLR 2022"
    )
    state_keys: ClassVar[tuple[str, ...]] = ("round",)

    regroups: ClassVar[bool] = True

    size: Annotated[int, Ge(1), Doc("number of updates in a bucket")] = 2
    seed: Annotated[int, Ge(0), Doc("seed of the permutations; keep it secret if clients may attack")] = 0

    @property
    def unclaimed(self) -> frozenset[str]:
        """The clients' ids decide who shares a bucket; without ids, the places of the rows decide."""
        return frozenset({"permutation", "names"})

    @property
    def rotation_equivariant(self) -> bool:
        """It remembers only the number of rounds, and no point in space."""
        return True

    def output_rows(self, n: int) -> int:
        return -(-n // self.size)

    def matrix(self, rows: Rows) -> tuple[Floats, dict[str, Any] | None]:
        number = int(self._state.get("round", 0))
        order = by_id(rows.ids)[np.random.default_rng([self.seed, number]).permutation(rows.n)]
        bucket = np.arange(rows.n) // self.size
        mixing = np.zeros((self.output_rows(rows.n), rows.n))
        mixing[bucket, order] = 1.0
        return mixing / mixing.sum(axis=1, keepdims=True), {"round": number + 1}

    def carried(self, change: Change) -> Change:
        rest = change.n % self.size
        smallest, formula = (rest, f"({change.rows.formula} mod size)") if rest else (self.size, "size")
        buckets = Term(self.output_rows(change.n), f"ceil({change.rows.formula}/size)")
        moved = change.moved.over(smallest, formula)
        return replace(
            change, rows=buckets, changed=min(change.changed, int(buckets.value)), moved=moved, cleared=False
        )
