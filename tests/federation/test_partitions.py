"""Partitions deal every sample once, leave nobody without, and skew what they say they skew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import powerlaw

from robustfl import registry
from robustfl.errors import DataError, ParameterError
from robustfl.federation.data.partitions import (
    IID,
    ByClient,
    ClassGroups,
    ClassImbalance,
    ClassWindows,
    Dirichlet,
    Given,
    Partition,
    PowerLaw,
    QuantitySkew,
    Shards,
    class_histogram,
)

Indices = npt.NDArray[np.int64]

SPLITTING = [name for name in registry.find("partition") if name not in ("by_client", "overlapping", "class_windows")]
EVERY = [registry.build("partition", name, alpha=0.5) for name in SPLITTING]

partitions = st.one_of(
    st.just(IID()),
    st.builds(Dirichlet, alpha=st.sampled_from([1e-300, 1e-3, 0.1, 1.0, 1e6])),
    st.just(Shards(per_client=1)),
    st.builds(QuantitySkew, alpha=st.sampled_from([1e-300, 1e-3, 0.1, 1.0, 1e6])),
    st.builds(PowerLaw, exponent=st.sampled_from([1e-300, 1e-3, 1.6591, 1e6])),
    st.just(ClassImbalance()),
    st.builds(ClassGroups, groups=st.integers(1, 9)),
)


def balanced(classes: int = 10, each: int = 100) -> Indices:
    return np.tile(np.arange(classes), each)


def split(partition: Partition, labels: Indices, clients: int, seed: int = 0) -> Sequence[Indices]:
    return partition.split(labels, clients, np.random.default_rng(seed))


@settings(deadline=None)
@given(partitions, st.lists(st.integers(0, 5), min_size=1, max_size=80), st.data())
def test_every_sample_goes_to_exactly_one_client_and_nobody_goes_without(
    partition: Partition, labels: list[int], data: st.DataObject
) -> None:
    clients = data.draw(st.integers(1, len(labels)))
    parts = split(partition, np.array(labels), clients, data.draw(st.integers(0, 2**32)))
    assert len(parts) == clients
    assert all(len(part) >= 1 and (np.diff(part) > 0).all() for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))


@settings(deadline=None)
@given(partitions, st.integers(0, 2**32))
def test_equal_seeds_give_equal_parts(partition: Partition, seed: int) -> None:
    first, second = (split(partition, balanced(), 7, seed) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("partition", EVERY, ids=lambda p: p.name)
def test_another_seed_gives_other_parts_and_the_labels_are_left_alone(partition: Partition) -> None:
    labels = balanced()
    labels.flags.writeable = False
    first, second = split(partition, labels, 7, 0), split(partition, labels, 7, 1)
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 1000), st.sampled_from([1e-4, 0.1, 10.0]))
def test_the_minimum_holds_at_any_concentration(clients: int, minimum: int, seed: int, alpha: float) -> None:
    labels = balanced(5, 96)  # 480 = 40 * 12 samples: at the bound in the extreme
    for partition in (Dirichlet(alpha=alpha, minimum=minimum), QuantitySkew(alpha=alpha, minimum=minimum)):
        assert min(len(part) for part in split(partition, labels, clients, seed)) >= minimum


def test_iid_sizes_differ_by_one_at_most() -> None:
    sizes = {len(part) for part in split(IID(), balanced(10, 10), 7)}
    assert sizes == {14, 15}


def label_skew(partition: Partition, clients: int = 20) -> float:
    """Mean total variation distance between a client's class shares and the whole's (uniform)."""
    labels = balanced(10, 500)
    counts = class_histogram(labels, split(partition, labels, clients), 10)
    return float(np.abs(counts / counts.sum(axis=1, keepdims=True) - 0.1).sum(axis=1).mean() / 2)


def test_dirichlet_goes_from_one_class_each_to_iid_with_alpha() -> None:
    skews = [label_skew(Dirichlet(alpha=alpha)) for alpha in (0.01, 0.1, 1.0, 1e6)]
    assert skews == sorted(skews, reverse=True)
    assert skews[0] > 0.7
    assert skews[-1] < 0.01
    assert label_skew(IID()) < 0.1


def test_shards_give_at_most_per_client_classes_when_shards_divide_classes() -> None:
    labels = balanced(10, 100)
    counts = class_histogram(labels, split(Shards(per_client=2), labels, 25), 10)
    assert ((counts > 0).sum(axis=1) <= 2).all()
    assert set(counts.sum(axis=1)) == {40}


def test_groups_of_clients_know_groups_of_classes_and_share_them_evenly() -> None:
    counts = class_histogram(balanced(), split(ClassGroups(), balanced(), 20), 10)
    knows = counts > 0
    low, high = (
        knows[:, :5].all(axis=1) & ~knows[:, 5:].any(axis=1),
        knows[:, 5:].all(axis=1) & ~knows[:, :5].any(axis=1),
    )
    assert (low ^ high).all()
    assert (low.sum(), high.sum()) == (10, 10)
    assert set(counts.sum(axis=1)) == {50}
    three = class_histogram(balanced(), split(ClassGroups(groups=3), balanced(), 7), 10)
    assert sorted(np.unique(three > 0, axis=0).sum(axis=1).tolist()) == [3, 3, 4]
    assert len(split(ClassGroups(groups=9), np.array([4, 4, 4]), 2)) == 2, "one class is one group"


@pytest.mark.parametrize(("clients", "classes"), [(1, 1), (10, 4), (15, 4), (15, 10), (7, 99)])
def test_windows_of_classes_are_as_wide_as_said_and_the_rest_goes_to_nobody(clients: int, classes: int) -> None:
    parts = split(ClassWindows(classes=classes, per_class=3), balanced(), clients)
    counts = class_histogram(balanced(), parts, 10)
    assert (np.sort(counts, axis=1) == np.repeat([0, 3], [10 - min(classes, 10), min(classes, 10)])).all()
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together) == 3 * clients * min(classes, 10)
    begins = [label for row in counts > 0 for label in range(10) if row[label] and not row[label - 1]]
    assert len(begins) == (0 if classes >= 10 else clients), "each window is one piece of the circle"
    assert sorted(begins) == sorted([client % 10 for client in range(clients)] * (classes < 10))


def test_windows_that_hold_more_samples_than_there_are_name_the_class() -> None:
    labels = np.repeat(np.arange(3), [50, 9, 50])
    assert len(split(ClassWindows(classes=2, per_class=4), labels, 3)) == 3
    with pytest.raises(ParameterError, match=r"for all 2 of 3 clients that know class 1\. Found per_class=5, and 9"):
        split(ClassWindows(classes=2, per_class=5), labels, 3)


@dataclass(frozen=True, kw_only=True)
class Twice(Partition):
    """Deals some samples, and one of them twice."""

    complete: ClassVar[bool] = False

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        return [np.array([0, 1]), np.array([1])]


def test_a_partition_that_leaves_samples_still_deals_none_twice() -> None:
    with pytest.raises(DataError, match=r"should deal some of 3 samples once .* 2 different samples"):
        split(Twice(), np.zeros(3, np.int64), 2)


def test_quantity_skew_skews_sizes_and_not_labels() -> None:
    labels = balanced(10, 1000)
    spreads = []
    for alpha in (1e6, 1.0, 0.1):
        parts = split(QuantitySkew(alpha=alpha), labels, 10)
        sizes = np.array([len(part) for part in parts])
        spreads.append(sizes.std() / sizes.mean())
    assert spreads[0] < 0.01
    assert spreads[0] < 0.5 * spreads[1] < 0.5 * spreads[2]
    largest = class_histogram(labels, parts, 10)[sizes.argmax()]
    assert np.abs(largest / largest.sum() - 0.1).max() < 0.03


def test_power_law_sizes_are_the_quantiles_of_the_distribution() -> None:
    for exponent, clients in ((1.6591, 10), (0.5, 7), (3.0, 20)):
        sizes = np.array([len(part) for part in split(PowerLaw(exponent=exponent), balanced(10, 2000), clients)])
        quantiles = powerlaw(exponent).ppf(np.linspace(0.01, 0.99, clients))
        assert np.abs(sizes / sizes.sum() - quantiles / quantiles.sum()).max() < 1e-4
        assert (np.diff(sizes) >= 0).all()
    parts = split(PowerLaw(), balanced(10, 2000), 10)
    largest = class_histogram(balanced(10, 2000), parts, 10)[-1]
    assert np.abs(largest / largest.sum() - 0.1).max() < 0.03
    assert min(len(part) for part in split(PowerLaw(exponent=0.1, minimum=9), balanced(10, 20), 10)) >= 9


@pytest.mark.parametrize("clients", [10, 20, 50])
@pytest.mark.parametrize("seed", range(3))
def test_class_imbalance_goes_from_one_class_to_all_with_about_equal_sizes(clients: int, seed: int) -> None:
    labels = balanced(10, 500)
    counts = class_histogram(labels, split(ClassImbalance(), labels, clients, seed), 10)
    assert (counts > 0).sum(axis=1).tolist() == np.linspace(1, 10, clients).astype(int).tolist()
    sizes = counts.sum(axis=1)
    assert np.abs(sizes / sizes.mean() - 1).max() < 0.15
    assert np.abs(counts[-1] / sizes[-1] - 0.1).max() < 0.05


def test_class_imbalance_with_few_clients_uneven_classes_and_one_client() -> None:
    labels = np.repeat(np.arange(10), np.arange(10, 110, 10))
    counts = class_histogram(labels, split(ClassImbalance(), labels, 4), 10)
    assert (counts > 0).sum(axis=1).tolist() == [1, 4, 7, 10]
    assert len(split(ClassImbalance(), labels, 1)[0]) == len(labels)
    alone = class_histogram(labels, split(ClassImbalance(), labels, 2), 10)
    assert (alone[0] > 0).sum() == 1
    assert split(ClassImbalance(), np.zeros(5, dtype=np.int64), 3)[0].size >= 1


def test_class_histogram_counts() -> None:
    counts = class_histogram(np.array([0, 2, 2, 1]), [np.array([0, 1]), np.array([2, 3])], classes=4)
    assert counts.tolist() == [[1, 0, 1, 0], [0, 1, 1, 0]]
    with pytest.raises(DataError, match="from 0 to 1"):
        class_histogram(np.array([0, 2]), [np.array([0])], classes=2)


@pytest.mark.parametrize("partition", EVERY, ids=lambda p: p.name)
@pytest.mark.parametrize("clients", [0, -1, 5])
def test_more_clients_than_samples_is_an_error(partition: Partition, clients: int) -> None:
    with pytest.raises(ParameterError, match=f"clients={clients}, samples=4"):
        split(partition, np.array([0, 1, 0, 1]), clients)


@pytest.mark.parametrize("labels", [[], [0.5, 1.0], [[0, 1]], [-1, 0]])
def test_labels_that_are_no_class_numbers_are_an_error(labels: list[object]) -> None:
    with pytest.raises(DataError, match="class numbers"):
        IID().split(np.array(labels), 1, np.random.default_rng(0))


def test_too_many_shards_and_too_high_a_minimum_are_errors() -> None:
    with pytest.raises(ParameterError, match="per_client=3, clients=2, samples=4"):
        split(Shards(per_client=3), np.arange(4), 2)
    for partition in (Dirichlet(alpha=0.5, minimum=3), QuantitySkew(alpha=0.5, minimum=3)):
        with pytest.raises(ParameterError, match="minimum=3, clients=2, samples=4"):
            split(partition, np.arange(4), 2)


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_a_concentration_out_of_range_is_an_error(alpha: float) -> None:
    for kind in (Dirichlet, QuantitySkew):
        with pytest.raises(ParameterError, match="alpha"):
            kind(alpha=alpha)


class Careless(Partition):
    """Forgets the last sample: what the base class must notice."""

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        return np.array_split(np.arange(len(samples.labels) - 1), clients)


def test_the_base_class_notices_a_partition_that_loses_samples() -> None:
    with pytest.raises(DataError, match="Careless should deal each of 10 samples once"):
        split(Careless(), np.zeros(10, dtype=np.int64), 3)


def test_the_natural_split_gives_each_client_what_was_its_own() -> None:
    owners = np.array([2, 0, 1, 2, 2, 0])
    parts = ByClient().split(Given(labels=np.zeros(6, np.int64), owners=owners), 3, np.random.default_rng(0))
    assert [part.tolist() for part in parts] == [[1, 5], [2], [0, 3, 4]]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.data())
def test_merged_owners_stay_whole(owners: list[int], data: st.DataObject) -> None:
    distinct = len(set(owners))
    clients = data.draw(st.integers(1, distinct))
    samples = Given(labels=np.zeros(len(owners), np.int64), owners=np.array(owners))
    parts = ByClient(merge=True).split(samples, clients, np.random.default_rng(0))
    whose = [set(np.array(owners)[part]) for part in parts]
    assert sum(map(len, whose)) == distinct
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= max(np.bincount(owners))  # the largest owner is the most that they can differ by


@pytest.mark.parametrize(
    ("clients", "remedy"), [(2, "`federation.clients: 3`, or let .*merge"), (4, "`federation.clients: 3`[.]$")]
)
def test_other_numbers_of_clients_and_owners_are_an_error(clients: int, remedy: str) -> None:
    samples = Given(labels=np.zeros(4, np.int64), owners=np.array([0, 1, 2, 2]), names=("ann", "bob", "eve"))
    with pytest.raises(ParameterError, match=rf"clients={clients} and 3 owners \(ann, bob, eve\)\. Say {remedy}"):
        ByClient().split(samples, clients, np.random.default_rng(0))


def test_data_without_owners_have_no_natural_split() -> None:
    with pytest.raises(ParameterError, match="client_column"):
        split(ByClient(), balanced(), 3)
    samples = Given(labels=np.zeros(4, np.int64), owners=np.array([0, 1]))
    with pytest.raises(DataError, match="every one of 4 samples needs an owner"):
        ByClient().split(samples, 2, np.random.default_rng(0))


class BySize(Partition):
    """Deals samples in the order of their first feature: partitions see more than labels."""

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        assert samples.features is not None
        return np.array_split(np.argsort(samples.features[:, 0]), clients)


def test_a_partition_sees_features() -> None:
    samples = Given(labels=np.zeros(4, np.int64), features=np.array([[3], [0], [2], [1]], np.float32))
    parts = BySize().split(samples, 2, np.random.default_rng(0))
    assert [part.tolist() for part in parts] == [[1, 3], [0, 2]]


def test_names() -> None:
    assert set(registry.find("partition")) == {
        "iid",
        "dirichlet",
        "shards",
        "class_groups",
        "class_windows",
        "quantity_skew",
        "power_law",
        "class_imbalance",
        "by_client",
        "overlapping",
    }
