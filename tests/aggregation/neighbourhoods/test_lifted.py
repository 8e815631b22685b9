"""Rules for the updates of a server, lifted: the values are those of one call a neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation import Aggregator, Gram, Grams, Rows
from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import Hoods, Letters, PerNeighbourhood, for_peers
from robustfl.aggregation.neighbourhoods.gathering import Gathering, Group
from robustfl.aggregation.neighbourhoods.letters import Occasion
from robustfl.aggregation.neighbourhoods.lifted import AT_ONCE, with_bound
from robustfl.aggregation.neighbourhoods.passes import Passes
from robustfl.defenses import (
    ARC,
    CAF,
    FRL,
    NNA,
    NNM,
    SMEA,
    Bucketing,
    ClientMomentum,
    Clipping,
    DPFedAvg,
    FLTrust,
    GeometricMedian,
    Krum,
    Meamed,
    Mean,
    Median,
    MoNNA,
    MultiKrum,
    TrimmedMean,
)
from robustfl.errors import ParameterError
from tests.aggregation.neighbourhoods.networks import Network, assert_as_expected, random_network
from tests.aggregation.updates.test_grams import grams_of

EXAMPLES: dict[Any, Any] = {int: 1, float: 0.5}


def made(cls: type[Aggregator]) -> Aggregator:
    return cls(**{p.name: EXAMPLES[p.kind] for p in cls.declared_parameters() if p.required})


REGISTERED = [
    made(cls)
    for cls in registry.find("defense").values()
    if issubclass(cls, Aggregator) and cls.channel == "dense" and cls.__module__.startswith("robustfl.")
]
PIPELINES: list[Aggregator] = [
    Krum(f=1, squared=False, neighbours="n-f-1"),
    GeometricMedian(smoothing=1e-6, iterations=32),
    GeometricMedian(smoothing=1e-2, start="mean"),
    GeometricMedian(smoothing=1e-2, start="origin"),
    NNM(f=1) >> Krum(f=1),
    NNM(f=1) >> TrimmedMean(f=1),
    NNM(f=1) >> Median(),
    NNM(f=1) >> Meamed(f=1),
    NNM(f=1) >> GeometricMedian(),
    ARC(f=1) >> NNM(f=1) >> MultiKrum(f=1),
    Clipping(radius=20.0) >> Median(),
    Bucketing(size=2) >> Mean(),
    ClientMomentum(beta=0.9) >> Median(),
]
RULES = REGISTERED + PIPELINES
each_rule = pytest.mark.parametrize("rule", RULES, ids=[repr(rule) for rule in RULES])


def called(rule: Aggregator, network: Network, line: int, b: int) -> Any:
    """The answer of one call in one neighbourhood."""
    own, letters, _, senders = network.heard(line)
    trusted = own if rule.wants_trusted else None
    rows = np.concatenate([own[None], letters])
    return with_bound(rule, b).aggregate(rows, ids=[line, *senders], trusted=trusted)


@each_rule
def test_a_lifted_rule_answers_like_one_call_a_neighbourhood(rule: Aggregator) -> None:
    lifted = PerNeighbourhood(rule=rule)
    for seed, b in ((0, 1), (1, 2)):
        network = random_network(seed, n=14, b=b)
        mixed = lifted.preview(network.letters, network.hoods)
        for line in range(network.hoods.n):
            own, _, _, heard = network.heard(line)
            if line in mixed.info["kept"]:
                np.testing.assert_array_equal(mixed.models[line], own)
                continue
            told = int(mixed.info["bounds"][line])
            expected = called(rule, network, line, told)
            assert_as_expected(mixed, network, line, expected.value, 1e-6)
            if mixed.weights is not None:
                slots = [0, *(list(network.hoods.senders[line]).index(sender) for sender in heard)]
                np.testing.assert_allclose(mixed.weights[line, slots], expected.weights, atol=1e-6)


def test_rules_with_a_memory_have_one_of_each_peers_own() -> None:
    for rule in (rule for rule in RULES if rule.stateful):
        network = random_network(3, hostile=False)
        lifted, single = PerNeighbourhood(rule=rule), with_bound(rule, 1)
        for number in range(3):
            letters = Letters(network.letters.rows * (1 + number) + number)
            moved = Network(letters, network.hoods, network.sound)
            mixed = lifted.mix(letters, network.hoods)
            own, heard, _, senders = moved.heard(4)
            trusted = own if rule.wants_trusted else None
            expected = single.aggregate(np.concatenate([own[None], heard]), ids=[4, *senders], trusted=trusted)
            np.testing.assert_allclose(mixed.models[4], expected.value, rtol=1e-6, atol=1e-6)
        again = PerNeighbourhood(rule=rule)
        again.load_state_dict(lifted.state_dict())
        one, other = (mixer.preview(letters, network.hoods).models for mixer in (lifted, again))
        np.testing.assert_array_equal(one, other)


def test_sets_of_rows_that_converge_at_different_times_end_where_they_do_on_their_own() -> None:
    rng = np.random.default_rng(9)
    points = rng.standard_normal((20, 7, 3)) * np.geomspace(1e-3, 1e3, 20)[:, None, None]
    points[3] = points[3, 0]
    for rule in (GeometricMedian(smoothing=1e-3), GeometricMedian(smoothing=1e-9, start="mean"), Krum(f=1)):
        together = rule.weights_of_all(grams_of(points))
        assert together is not None
        for place in range(20):
            expected = points[place].T @ rule.aggregate(points[place]).weights
            np.testing.assert_allclose(
                points[place].T @ together[place], expected, atol=1e-6 * np.abs(points[place]).max()
            )


@dataclass(frozen=True, kw_only=True)
class MedianOneByOne(GeometricMedian):
    def weights_of_all(self, grams: Grams) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class MultiKrumOneByOne(MultiKrum):
    def weights_of_all(self, grams: Grams) -> None:  # type: ignore[override]  # there is no quicker way
        return None


@dataclass(frozen=True, kw_only=True)
class CAFOneByOne(CAF):
    def weights_of_all(self, grams: Grams) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class NNMOneByOne(NNM):
    def matrices_of_all(self, grams: Grams) -> None:  # type: ignore[override]  # there is no quicker way
        return None


def test_neighbourhoods_at_once_get_what_they_get_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hostile letters and unequal degrees, and wherever groups are cut; not a bit may differ."""
    before, slowly = NNM(f=1), NNMOneByOne(f=1)
    pairs: list[tuple[Aggregator, Aggregator]] = [
        (GeometricMedian(), MedianOneByOne()),
        (GeometricMedian(start="mean"), MedianOneByOne(start="mean")),
        (MultiKrum(f=1), MultiKrumOneByOne(f=1)),
        (CAF(f=1), CAFOneByOne(f=1)),
        (before >> TrimmedMean(f=1), slowly >> TrimmedMean(f=1)),
        (before >> Meamed(f=1), slowly >> Meamed(f=1)),
        (before >> MultiKrum(f=1), slowly >> MultiKrumOneByOne(f=1)),
        (before >> GeometricMedian(), before >> MedianOneByOne()),
        (before >> GeometricMedian(smoothing=1e-2), slowly >> MedianOneByOne(smoothing=1e-2)),
        (before >> before >> CAF(f=1), slowly >> slowly >> CAFOneByOne(f=1)),
        (before >> SMEA(f=1), slowly >> SMEA(f=1)),
        (ARC(f=1) >> before >> Median(), ARC(f=1) >> slowly >> Median()),
    ]
    for at_once in (AT_ONCE, 300):
        monkeypatch.setattr("robustfl.aggregation.neighbourhoods.lifted.AT_ONCE", at_once)
        for seed, (dtype, d) in enumerate([(np.float32, 70), (np.float64, 5000), (np.float32, 20)]):
            network = random_network(seed, n=24, d=d, dtype=dtype, b=1 + seed)
            assert len({int(m) for m in network.sound.sum(axis=1)}) > 4
            for quick, slow in pairs:
                one, other = (PerNeighbourhood(rule=r).preview(network.letters, network.hoods) for r in (quick, slow))
                np.testing.assert_array_equal(one.models, other.models, repr(quick))
                assert (one.weights is None) == (other.weights is None)
                if one.weights is not None:
                    np.testing.assert_array_equal(one.weights, other.weights, repr(quick))


def test_letters_all_alike_and_in_pairs_get_what_they_get_one_by_one() -> None:
    models = np.repeat(np.array([[0.0, 1.0], [5.0, 5.0], [0.0, 1.0], [-2.0, 1e6]]), 2, axis=0)
    index = np.array([[0, 2, 4, 6, 1], [1, 3, 5, 7, 0], [4, 0, 1, 5, 2]])
    around = Hoods(index, np.full(index.shape, 0.2), [1, 1, 1])
    for quick, slow in (
        (GeometricMedian(), MedianOneByOne()),
        (NNM(f=1) >> GeometricMedian(), NNMOneByOne(f=1) >> MedianOneByOne()),
        (NNM(f=1) >> CAF(f=1), NNMOneByOne(f=1) >> CAFOneByOne(f=1)),
        (MultiKrum(f=1), MultiKrumOneByOne(f=1)),
    ):
        one, other = (PerNeighbourhood(rule=rule).mix(Letters(models), around) for rule in (quick, slow))
        assert one.weights is not None
        assert other.weights is not None
        np.testing.assert_array_equal(one.weights, other.weights, repr(quick))


@dataclass(frozen=True, kw_only=True)
class Farthest(Krum):
    """A rule with other weights than those that its base class knows for all neighbourhoods."""

    def weights(self, gram: Gram) -> Floats:
        return np.eye(gram.n)[np.argmax(gram.squared_norms)]


@dataclass(frozen=True, kw_only=True)
class Swapped(NNM):
    """A row map with another matrix than that which its base class knows for all neighbourhoods."""

    def matrix(self, rows: Rows) -> tuple[Floats, None]:
        return np.eye(rows.n)[::-1].copy(), None


def test_nobody_asks_for_the_quicker_form_of_what_a_subclass_overrides() -> None:
    network = random_network(2, hostile=False)
    for rule in (Farthest(f=1), Swapped(f=1) >> Mean(), Swapped(f=1) >> MultiKrum(f=1, k=1)):
        mixed = PerNeighbourhood(rule=rule).preview(network.letters, network.hoods)
        for line in set(range(network.hoods.n)) - set(mixed.info["kept"]):
            expected = called(rule, network, line, int(mixed.info["bounds"][line]))
            assert_as_expected(mixed, network, line, expected.value, 1e-6)


def test_distances_and_norms_in_one_pass_are_those_of_two() -> None:
    """With numbers whose squares float32 does not hold among them, and rows that nobody reads."""
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((9, 9000)).astype(np.float32)
    rows[2] *= 1e-20
    rows[3] *= 1e17
    index = np.array([[0, 1, 2, 3], [3, 1, 5, 2], [6, 7, 0, 1]], np.int32)
    group = Group(np.arange(3), np.arange(4)[None].repeat(3, 0), index, index.astype(np.int64), np.ones((3, 4)), 1)
    both, apart = (Gathering([group], Occasion(), Passes(rows)) for _ in range(2))
    squares, norms = both.squared_pairs_and_norms(0)
    np.testing.assert_array_equal(norms, apart.squared_norms(0))
    np.testing.assert_array_equal(squares, apart.squared_pairs(0))
    np.testing.assert_allclose(norms, (rows.astype(float) ** 2).sum(axis=1)[index], rtol=1e-6)
    np.testing.assert_array_equal(both.squared_norms(0), norms)


def test_the_f_of_every_stage_is_the_bound_of_the_peer() -> None:
    changed = with_bound(ARC(f=1) >> NNM(f=1) >> Median(), 3)
    assert changed == ARC(f=3) >> NNM(f=3) >> Median()


def test_a_trusted_own_model_is_no_row() -> None:
    models = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 3.0], [-5.0, 0.0]])
    around = Hoods([[0, 1, 2, 3]], np.full((1, 4), 0.25), [1])
    mixed = PerNeighbourhood(rule=MoNNA(f=1), own="trusted").mix(Letters(models), around)
    np.testing.assert_array_equal(mixed.models, [[0.5, 2.0]])
    row = PerNeighbourhood(rule=MoNNA(f=1)).mix(Letters(models), around)
    np.testing.assert_array_equal(row.models, NNA().mix(Letters(models), around).models)
    assert mixed.weights is not None
    np.testing.assert_array_equal(mixed.weights, [[0.0, 0.5, 0.5, 0.0]])
    leaf = Hoods([[0, -1]], np.array([[1.0, 0.0]]), [1], np.array([[0, 1]]), None)
    assert PerNeighbourhood(rule=FLTrust(), own="trusted").mix(Letters(models), leaf).info["kept"]


def test_lifted_rules_work_in_place_and_whatever_the_cut() -> None:
    for rule in (Meamed(f=1), NNM(f=1) >> Median(), Krum(f=1), MoNNA(f=1)):
        network = random_network(5, d=5000)
        expected = PerNeighbourhood(rule=rule).preview(network.letters, network.hoods).models
        inside = Letters(network.letters.rows.copy(), network.letters.faults)
        mixed = PerNeighbourhood(rule=rule).mix(inside, network.hoods, out=inside.rows)
        np.testing.assert_array_equal(mixed.models, expected)


def test_letters_far_from_the_receiver_and_near_each_other_keep_their_distances() -> None:
    """Around the own model of peer 0, products of such letters would lose all digits of their distances."""
    rng = np.random.default_rng(6)
    models = np.concatenate([np.full((1, 50), 1e6), 1e-2 * rng.standard_normal((6, 50))])
    around = Hoods([np.arange(7)], np.full((1, 7), 1 / 7), [1])
    for rule in (Krum(f=1), GeometricMedian(), MultiKrum(f=1)):
        mixed = PerNeighbourhood(rule=rule).mix(Letters(models), around)
        np.testing.assert_allclose(mixed.models[0], rule.aggregate(models).value, atol=1e-9)


def test_what_is_no_rule_for_updates_is_refused() -> None:
    for rule in (FRL(), DPFedAvg(clip=1.0, noise_multiplier=1.0, delta=1e-3) >> Mean(), NNM(f=1)):
        with pytest.raises(ParameterError):
            for_peers(rule)
    with pytest.raises(ParameterError, match="`own` should be 'row' for Median"):
        PerNeighbourhood(rule=Median(), own="trusted")
    assert for_peers(NNA()) == NNA()
    assert for_peers(Krum(f=2)) == PerNeighbourhood(rule=Krum(f=2))
    assert str(for_peers(NNM(f=2) >> Median())) == str(NNM(f=2) >> Median())
