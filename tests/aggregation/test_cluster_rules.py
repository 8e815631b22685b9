"""FLAME and SignGuard: rules that keep the largest group of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregator, Rows
from robustfl.aggregation.updates.readers import Dense
from robustfl.aggregation.updates.source import Source
from robustfl.defenses import (
    FLAME,
    SignGuard,
)
from robustfl.defenses.flame import cosine_distances, majority_cluster
from robustfl.defenses.signguard import largest_cluster
from tests.aggregation import column_oracles as naive
from tests.aggregation import oracles
from tests.aggregation.cases import gaussian
from tests.aggregation.oracles import Matrix

seeds = st.integers(0, 2**32)
walk = settings(deadline=None, max_examples=25)


def rows_of(x: Matrix) -> Rows:
    return Rows(Source(Dense(x, str(x.dtype)), tuple(range(len(x)))))


@walk
@given(seed=seeds, n=st.integers(1, 25), d=st.integers(1, 8), offset=st.sampled_from([0.0, 1.0, 10.0]))
def test_the_majority_cluster_is_the_one_of_hdbscan(seed: int, n: int, d: int, offset: float) -> None:
    x = gaussian(seed, n, d, offset)
    distances = np.array([[oracles.length(a - b) for b in x] for a in x])
    assert np.flatnonzero(majority_cluster(distances)).tolist() == naive.majority_by_hdbscan(distances)


def test_distances_that_tie_join_the_cluster_together() -> None:
    line = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    assert majority_cluster(line).all()
    assert majority_cluster(np.zeros((5, 5))).all()
    pairs = np.kron(1.0 - np.eye(2), np.ones((3, 3)))  # two places with half of the rows each
    assert majority_cluster(pairs).all()


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_angles_between_models_keep_their_digits(scale: float) -> None:
    x = gaussian(2, 6, 50) + scale * np.random.default_rng(0).normal(size=50)
    x[5] = -1e30 * x[4]
    exact = x.astype(np.longdouble)
    exact /= np.sqrt((exact**2).sum(axis=1, keepdims=True))
    expected = ((exact[:, None] - exact[None]) ** 2).sum(axis=2) / 2
    found = cosine_distances(rows_of(x), np.linalg.norm(x, axis=1))
    np.testing.assert_allclose(found, expected.astype(np.float64), rtol=1e-5, atol=1e-18)


def test_zero_rows_are_near_each_other_and_far_from_the_rest() -> None:
    x = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [6.0, 8.0]])
    found = cosine_distances(rows_of(x), np.linalg.norm(x, axis=1))
    np.testing.assert_array_equal(found, [[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])


@walk
@given(seed=seeds, f=st.integers(1, 4), size=st.sampled_from([1e-6, 1.0, 1e30]))
@pytest.mark.parametrize("rule", [FLAME(noise=0.0), SignGuard(), SignGuard(share=1.0)], ids=repr)
def test_the_result_is_no_longer_than_the_longest_honest_row(rule: Aggregator, seed: int, f: int, size: float) -> None:
    x = gaussian(seed, 2 * f + 1, 12)
    x[:f] = size * gaussian(seed + 1, f, 12)
    longest = max(oracles.length(row) for row in x[f:])
    assert oracles.length(rule.preview(x).value) <= longest * (1 + 1e-9)


# ------------------------------------------------------------------------------------------------------- SignGuard


@walk
@given(seed=seeds, n=st.integers(1, 20), share=st.sampled_from([0.1, 0.3, 1.0]))
def test_signguard_counts_the_documented_columns_in_every_round(seed: int, n: int, share: float) -> None:
    rule = SignGuard(share=share, seed=5)
    for number in range(3):
        x = gaussian(seed + number, n, 200)
        x[::3] *= -4.0
        np.testing.assert_allclose(rule(x), naive.signguard(x, share, 5, number), atol=1e-9)


@pytest.mark.parametrize("n", [4, 7, 16, 40])
def test_mean_shift_is_that_of_scikit_learn(n: int) -> None:
    from sklearn.cluster import MeanShift, estimate_bandwidth

    for seed in range(10):
        rng = np.random.default_rng(seed)
        features = rng.uniform(size=(n, 3)) * 0.1 + rng.choice([0.2, 0.7], size=(n, 1))
        bandwidth = estimate_bandwidth(features, quantile=0.5)
        labels = MeanShift(bandwidth=bandwidth, seeds=features, cluster_all=False).fit(features).labels_
        sizes = np.bincount(labels[labels >= 0])
        if np.count_nonzero(sizes == sizes.max()) == 1:
            np.testing.assert_array_equal(largest_cluster(features), labels == np.argmax(sizes))


def test_rows_at_equal_distances_from_two_clusters_belong_to_the_first() -> None:
    features = np.array([[6, 5], [6, 5], [2, 10], [10, 0], [4, 7.5], [8, 2.5]]) / 10.0
    for shift in np.linspace(0.0, 1e-8, 11):  # whatever the last digits are
        assert largest_cluster(features + shift).tolist() == [True, True, False, True, False, True]


def test_signguard_drops_lengths_and_signs_unlike_the_others() -> None:
    x = np.abs(gaussian(0, 9, 100, offset=0.0)) * np.where(np.arange(100) < 70, 1.0, -1.0)
    x[0] *= 0.05
    x[1] *= 50.0
    x[2] *= -1.0
    weights = SignGuard(share=1.0).aggregate(x).weights
    assert weights is not None
    assert np.flatnonzero(weights).tolist() == [3, 4, 5, 6, 7, 8]


def test_signguard_without_a_plausible_row_takes_those_of_nearest_norm() -> None:
    x = np.zeros((5, 4))
    x[3:] = 7.0
    np.testing.assert_array_equal(SignGuard()(x), np.zeros(4))
    odd = np.array([[1.0, 0.0], [199.0, 0.0]])  # the median norm is 100, and neither row is near it
    np.testing.assert_allclose(SignGuard(lower=0.5, upper=1.5)(odd), [50.5, 0.0])
    np.testing.assert_allclose(naive.signguard(odd, 0.1, 0, 0, 0.5, 1.5), [50.5, 0.0])
