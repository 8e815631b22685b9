"""Who answers first decides nothing: groups and ties follow the clients' ids."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robustfl.aggregation import Aggregator
from robustfl.aggregation.updates.order import by_id
from robustfl.defenses import NNM, Bucketing, Bulyan, ClientMomentum, Clipping, Krum, Mean, Median, TrimmedMean
from tests.aggregation.cases import Case, each_rule, gaussian

N, D = 13, 7
NAMES: dict[str, list[Any]] = {
    "numbers": list(range(N)),
    "texts": [f"client {number}" for number in range(N)],
    "of many kinds": [0, np.int64(1), 2.5, "a", "b", b"c", ("a", 1), ("a", "b"), None, frozenset([1]), 10**30, -7, ""],
}
GROUPS: list[Callable[[], Aggregator]] = [
    lambda: Bucketing() >> Median(),
    lambda: Bucketing(seed=5) >> Krum(f=1),
    lambda: NNM(f=2) >> Bucketing() >> TrimmedMean(f=2),
    lambda: Bucketing(size=1) >> Bucketing(seed=1) >> Median(),
    lambda: Bucketing() >> Clipping() >> Bucketing(seed=2) >> Median(),
    lambda: ClientMomentum() >> Bucketing() >> Median(),
]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("make", GROUPS, ids=lambda make: str(make()))
def test_groups_are_the_same_in_whatever_order_the_clients_answer(make: Callable[[], Aggregator], names: str) -> None:
    for trial in range(5):
        rule, other = make(), make()
        for number in range(3):
            x, order = gaussian(number, N, D), np.random.default_rng([trial, number]).permutation(N)
            x[:2] *= 10
            expected = rule(x, ids=NAMES[names])
            found = other(x[order], ids=[NAMES[names][row] for row in order])
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_groups_stay_when_a_row_is_rejected_in_another_place() -> None:
    x, hole = gaussian(0, 9, D), np.full((1, D), np.nan)
    ids = list(range(10))
    first = (Bucketing() >> Median())(np.vstack([hole, x]), ids=[9, *ids[:9]])
    last = (Bucketing() >> Median())(np.vstack([x, hole]), ids=ids)
    np.testing.assert_array_equal(first, last)


def test_groups_are_fresh_in_every_round_and_follow_the_seed() -> None:
    x = gaussian(1, N, D)
    rule = Bucketing() >> Median()
    assert not np.array_equal(rule(x), rule(x))
    secret = secrets.randbits(128)
    answers = [(Bucketing(seed=seed) >> Median())(x) for seed in (0, secret, secret, secret + 1)]
    np.testing.assert_array_equal(answers[1], answers[2])
    assert not np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[1], answers[3])


@each_rule
def test_no_rule_looks_at_who_came_first(case: Case) -> None:
    x = gaussian(2, max(case.least(2), 3) + 3, D)
    for number in range(5):
        order = np.random.default_rng(number).permutation(len(x))
        found, expected = case.make(2)(x[order], ids=order.tolist()), case.make(2)(x)
        np.testing.assert_allclose(found, expected, rtol=0, atol=20 * case.tolerance)


def test_of_two_rows_nearest_to_each_other_bulyan_takes_the_lower_id() -> None:
    x = gaussian(3, 7, D)
    for number in range(20):
        order = np.random.default_rng(number).permutation(len(x))
        answer = Bulyan(f=1).aggregate(x[order], ids=order.tolist())
        assert answer.info["selected"] == Bulyan(f=1).aggregate(x).info["selected"]


def test_ids_have_one_order_whatever_they_are() -> None:
    for names in NAMES.values():
        ordered = [names[place] for place in by_id(names)]
        for number in range(10):
            shuffled = [names[place] for place in np.random.default_rng(number).permutation(N)]
            assert [shuffled[place] for place in by_id(shuffled)] == ordered
    assert by_id([2, 10, 1]).tolist() == [2, 0, 1]
    assert by_id(["2", 10, np.int64(1), True + 1]).tolist() == [2, 3, 1, 0]
    assert by_id([]).tolist() == []


def test_numbers_of_two_types_are_one_client() -> None:
    x = gaussian(4, N, D)
    for ids in (np.arange(N), [float(number) for number in range(N)]):
        np.testing.assert_array_equal((Bucketing() >> Mean())(x, ids=ids), (Bucketing() >> Mean())(x))
