"""Minimum diameter averaging, by an exact search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import Gram, GramAggregator
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.sensitivity import JUMP
from robustfl.aggregation.updates.order import by_id
from robustfl.components import ByzantineCount
from robustfl.errors import InfeasibleError


@dataclass(frozen=True, kw_only=True)
class MDA(GramAggregator):
    """Minimum diameter averaging: the mean of the n-f updates that lie closest together.

    Formula: ``(1/(n - f)) sum_{i in S} x_i`` with ``S = argmin max_{i,j in S} ||x_i - x_j||`` over the subsets of n-f
    rows (ties: the first in lexicographic order of the ids; subsets that share their farthest pair tie, so the ids can
    matter; who answers first never does). ``f=0`` is the mean.

    The subsets are not enumerated. A diameter of at most t is possible if and only if f rows can be removed so that no
    two of the other rows are farther apart than t. The removed rows are then a vertex cover of the graph whose edges
    are the pairs farther apart than t. The smallest t is found by bisection over the distances.

    Shapes: [n, d] -> [d]. Cost: n^2 d for the Gram. After it, each search for a cover costs n f if nothing has to be
    tried out, as when the Byzantine rows are far away, and about 1.47^f times that at worst. A search that needs more
    than `budget` trials is an error.

    Guarantee: for n >= 2f + 1 the result is at most 2f/(n - f) diameters of the honest rows away from the honest mean;
    this bound is tight. Breakdown point: just under 1/2.

    Raises
    ------
    InfeasibleError : the search took more than `budget` trials

    References
    ----------
    E.-M. El-Mhamdi, R. Guerraoui, A. Guirguis, L. N. Hoang, S. Rouault. Genuinely Distributed Byzantine Machine
    Learning. PODC 2020. S. Farhadkhani, R. Guerraoui, N. Gupta, R. Pinot, J. Stephan. Byzantine Machine Learning Made
    Easy by Resilient Averaging of Momentums. ICML 2022.

    Examples
    --------
    >>> from robustfl.defenses import MDA
    >>> MDA(f=1)([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]).tolist()
    [2.5, 3.5, 4.5]
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = "within 2f/(n - f) honest diameters of the honest mean while n >= 2f + 1"
    breakdown: ClassVar[str] = "< 1/2"
    unfit: ClassVar[str] = (
        "with many clients and many attackers that hide among honest rows: the search takes 1.47^f steps at worst "
        "and ends with an error"
    )
    no_sensitivity: ClassVar[str] = JUMP
    reference: ClassVar[str] = "El-Mhamdi et al., Genuinely Distributed Byzantine Machine Learning, PODC 2020"

    f: ByzantineCount
    budget: Annotated[
        int,
        Ge(1),
        Doc("largest number of trials in one search; a trial removes or keeps one row and costs about n^2 operations"),
    ] = 100_000

    @property
    def unclaimed(self) -> frozenset[str]:
        """Of several subsets with the same farthest pair, the first one is taken, so the ids can matter."""
        return frozenset({"permutation", "names"})

    def weights(self, gram: Gram) -> Floats:
        order = by_id(gram.ids)
        kept = order[self._closest(gram.squared_distances[np.ix_(order, order)])]
        weights = np.zeros(gram.n)
        weights[kept] = 1.0 / len(kept)
        return weights

    def _closest(self, squared: Floats) -> list[int]:
        """The rows of the subset of smallest diameter, given the squared distances [n, n]."""
        n = len(squared)
        search = _CoverSearch(n, self.f, self.budget)
        diameters = np.unique(squared)
        low, high = 0, len(diameters) - 1
        graph = _pairs_beyond(squared, diameters[high])
        cover = 0  # no pair is farther apart than the largest distance
        while low < high:
            middle = (low + high) // 2
            closer = _pairs_beyond(squared, diameters[middle])
            found = search.cover(closer, (1 << n) - 1, self.f)
            if found is None:
                low = middle + 1
            else:
                high, graph, cover = middle, closer, found
        return _first_in_order(graph, cover, n, self.f, search)


def _pairs_beyond(squared: Floats, threshold: float) -> list[int]:
    """For every row, the set of rows farther from it than the threshold; a set of rows is the bits of an integer."""
    packed = np.packbits(squared > threshold, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _first_in_order(graph: list[int], cover: int, n: int, f: int, search: _CoverSearch) -> list[int]:
    """The first n-f rows in lexicographic order without an edge between them, given one cover of at most f rows.

    Each row in turn is kept if the rows kept so far allow it. For rows outside the known cover this is always so.
    """
    kept: list[int] = []
    gone, later = 0, (1 << n) - 1
    for row in range(n):
        later &= ~(1 << row)
        if len(kept) == n - f:
            break
        if gone >> row & 1:
            continue
        without = gone | graph[row]
        if cover >> row & 1:
            missing = f - without.bit_count()
            rest = search.cover(graph, later & ~without, missing) if missing >= 0 else None
            if rest is None:
                gone |= 1 << row
                continue
            cover = without | rest
        kept.append(row)
        gone = without
    return kept


class _CoverSearch:
    """Small vertex covers of graphs over n rows; all searches of one aggregation share one budget of trials."""

    def __init__(self, n: int, f: int, budget: int) -> None:
        self._n, self._f, self._budget, self._left = n, f, budget, budget

    def cover(self, graph: list[int], alive: int, size: int) -> int | None:
        """At most `size` of the rows `alive` that touch every edge between those rows, or None if there is no such set.

        Sets of rows are the bits of an integer.
        """
        trials = [(alive, size, 0)]
        while trials:
            alive, size, taken = trials.pop()
            while True:
                degrees = {row: degree for row in _rows(alive) if (degree := (graph[row] & alive).bit_count())}
                if not degrees:
                    return taken
                row = max(degrees, key=degrees.__getitem__)
                most = degrees[row]
                if sum(degrees.values()) > 2 * size * most:  # `size` rows cannot touch that many edges
                    break
                leaf = next((leaf for leaf, degree in degrees.items() if degree == 1), None)
                if leaf is not None:  # removing its only neighbour is never worse
                    row = (graph[leaf] & alive).bit_length() - 1
                elif 2 < most <= size:  # with more edges than `size` the row must go; of a cycle any row may go
                    self._spend()
                    around = graph[row] & alive
                    trials.append((alive & ~around & ~(1 << row), size - most, taken | around))
                alive &= ~(1 << row)
                taken |= 1 << row
                size -= 1
        return None

    def _spend(self) -> None:
        if self._left == 0:
            raise InfeasibleError(
                f"MDA found no proof of the smallest diameter within budget={self._budget} trials. "
                f"Found n={self._n}, f={self._f}. Raise `budget`, lower `f`, or use a rule without a search, such as "
                "MultiKrum."
            )
        self._left -= 1


def _rows(some: int) -> Iterator[int]:
    """The members of a set of rows, in ascending order."""
    while some:
        lowest = some & -some
        yield lowest.bit_length() - 1
        some ^= lowest
