"""Comparator networks by the 0-1 principle: what sorts every sequence of zeros and ones sorts every sequence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.aggregation.kernels.sorting_networks import (
    UNREAD,
    Network,
    merge_exchange,
    prune,
    rank_network,
    tournament,
)


def run(network: Network, values: np.ndarray) -> np.ndarray:
    """Apply the comparators to the rows of `values` [n, cases]."""
    rows = values.copy()
    for a, b in network:
        rows[a], rows[b] = np.minimum(rows[a], rows[b]), np.maximum(rows[a], rows[b])
    return rows


def zeros_and_ones(n: int) -> np.ndarray:
    """All 0-1 columns of n rows up to n = 12, else 4,000 of all densities."""
    if n <= 12:
        return np.array(list(itertools.product((0, 1), repeat=n)), dtype=np.int8).T
    rng = np.random.default_rng(n)
    return (rng.random((n, 4000)) < rng.random(4000)).astype(np.int8)


@pytest.mark.parametrize("n", [*range(1, 13), 20, 33, 64, 100, 257])
def test_merge_exchange_sorts(n: int) -> None:
    cases = zeros_and_ones(n)
    assert (run(merge_exchange(n), cases) == np.sort(cases, axis=0)).all()


@pytest.mark.parametrize(("n", "comparators"), [(1, 0), (2, 1), (4, 5), (8, 19), (16, 63), (20, 97), (100, 1077)])
def test_the_sorting_network_has_batchers_size(n: int, comparators: int) -> None:
    assert len(merge_exchange(n)) == comparators


@pytest.mark.parametrize("n", range(1, 11))
def test_every_band_of_few_rows_is_delivered(n: int) -> None:
    cases = zeros_and_ones(n)
    ordered = np.sort(cases, axis=0)
    for first, last in itertools.combinations_with_replacement(range(n), 2):
        found = run(rank_network(n, first, last), cases)[first : last + 1]
        # zeros and ones are sorted within the band by their number alone: the set is right when the sum is
        assert (found.sum(axis=0) == ordered[first : last + 1].sum(axis=0)).all(), (first, last)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 0), (0, 3), (2, 3), (3, 2), (5, 1), (0, 1), (4, 4)])
@pytest.mark.parametrize("n", [8, 9, 12, 37])
def test_tournaments_sort_both_ends(n: int, low: int, high: int) -> None:
    cases = zeros_and_ones(n)
    ordered = np.sort(cases, axis=0)
    for groups in range(1, n // (low + high) + 1):
        found = run(tournament(n, low, high, groups), cases)
        assert (found[:low] == ordered[:low]).all(), groups
        assert (found[n - high :] == ordered[n - high :]).all(), groups


@given(st.data())
def test_bands_of_many_rows_are_delivered(data: st.DataObject) -> None:
    n = data.draw(st.integers(13, 120))
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first, n - 1))
    values = np.random.default_rng(n).permuted(np.tile(np.arange(n), (50, 1)), axis=1).T
    found = run(rank_network(n, first, last), values)[first : last + 1]
    assert (np.sort(found, axis=0) == np.arange(first, last + 1)[:, None]).all()


def test_pruning_saves_comparators() -> None:
    assert len(rank_network(100, 49, 50)) < 0.85 * len(merge_exchange(100))
    assert len(rank_network(100, 2, 97)) == 267
    assert len(rank_network(100, 0, 0)) == 99
    assert len(rank_network(100, 0, 99)) == 0


def test_distinct_labels_keep_the_order_and_unread_ranks_cost_nothing() -> None:
    cases = zeros_and_ones(9)
    network = prune(merge_exchange(9), [*range(4), *[UNREAD] * 5])
    assert len(network) < len(merge_exchange(9))
    assert (run(network, cases)[:4] == np.sort(cases, axis=0)[:4]).all()


def test_networks_are_shared_and_cannot_be_written_to() -> None:
    network = rank_network(7, 3, 3)
    assert network is rank_network(7, 3, 3)
    with pytest.raises(ValueError, match="read-only"):
        network[0] = 0


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (2, 1), (0, 5)])
def test_ranks_out_of_range_are_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match=r"0 <= first <= last < n\. Found first="):
        rank_network(5, first, last)
