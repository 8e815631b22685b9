"""Rules for the updates of a server, lifted: the values are those of one call a neighbourhood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation import Aggregator
from robustfl.aggregation.neighbourhoods import Hoods, Letters, PerNeighbourhood, for_peers
from robustfl.aggregation.neighbourhoods.lifted import with_bound
from robustfl.defenses import (
    ARC,
    FRL,
    NNA,
    NNM,
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
    squared = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=-1)
    for rule in (GeometricMedian(smoothing=1e-3), GeometricMedian(smoothing=1e-9, start="mean"), Krum(f=1)):
        together = rule.weights_of_all(squared)
        assert together is not None
        for place in range(20):
            expected = points[place].T @ rule.aggregate(points[place]).weights
            np.testing.assert_allclose(
                points[place].T @ together[place], expected, atol=1e-6 * np.abs(points[place]).max()
            )
    assert GeometricMedian().weights_of_all(squared) is None


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
