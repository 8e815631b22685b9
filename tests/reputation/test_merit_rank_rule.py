"""The rule MeritRank over rounds: merit is earned, kept, lost and bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robustfl.aggregation import Aggregation
from robustfl.defenses import NNM, Clipping, MeritRank
from robustfl.defenses.merit_rank import capped, weighted_median
from robustfl.errors import StateError
from robustfl.reputation import FeedbackGraph

Matrix = NDArray[np.float64]
GOAL = np.zeros(20)
GOAL[0] = 1.0


def honest(rng: np.random.Generator, n: int) -> Matrix:
    return np.asarray(GOAL + 0.2 * rng.normal(size=(n, len(GOAL))))


def share(answer: Aggregation, rows: slice) -> float:
    assert answer.weights is not None
    return float(answer.weights[rows].sum())


def test_the_state_is_the_documented_graph_and_the_weights_are_its_scores() -> None:
    rng = np.random.default_rng(0)
    rule = MeritRank(fading=0.5, cap=10.0, exploration=0.1)
    graph = FeedbackGraph(["server"])
    for _ in range(3):
        x = honest(rng, 5)
        x[4] *= -1.0
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        answer = rule.aggregate(x)
        towards = [decision.evidence["cosine_to_centre"] for decision in answer.info["decisions"]]
        expected = graph.scores("server", stop=0.5) if graph.nodes != ("server",) else None
        if expected is not None:
            total = sum(expected.values())
            weights = [0.9 * expected.get(row, 0.0) / total + 0.1 / 5 for row in range(5)]
            np.testing.assert_allclose(answer.weights, weights, atol=1e-9)
        graph.fade(0.5)
        for row in range(5):
            graph.rate("server", row, max(towards[row], 0.0))
            for other in range(5):
                if row != other:
                    graph.rate(row, other, max(float(x[row] @ x[other]), 0.0))
    state = rule.state_dict()
    assert ("server", *state["clients"]) == graph.nodes
    np.testing.assert_allclose(state["edges"], graph.edges, atol=1e-9)


def test_whoever_pulls_elsewhere_counts_for_no_more_than_the_exploration() -> None:
    rng = np.random.default_rng(1)
    rule = MeritRank(agreement=0.2)  # chance makes some of the cosines positive
    for _ in range(5):
        answer = rule.aggregate(np.vstack([honest(rng, 7), -5.0 * honest(rng, 6)]))
        assert share(answer, slice(7, 13)) <= 0.05 * 6 / 13
        assert answer.value[0] > 0.7
    assert [decision.action for decision in answer.info["decisions"]] == ["weighted"] * 7 + ["explored"] * 6


@pytest.mark.parametrize("united", [1, 2, 3, 4, 5])
def test_the_centre_withstands_a_united_minority_as_large_as_documented(united: int) -> None:
    rng = np.random.default_rng(2)
    for noise in (0.1, 0.3, 0.5):
        x = np.vstack([GOAL + noise * rng.normal(size=(8, 20)), np.tile(-5.0 * GOAL, (united, 1))])
        towards = [decision.evidence["cosine_to_centre"] for decision in MeritRank().aggregate(x).info["decisions"]]
        directions = x[:8] / np.linalg.norm(x[:8], axis=1, keepdims=True)
        if 8 * np.linalg.norm(directions.mean(axis=0)) > united:
            assert np.mean(towards[:8]) > 0
        else:
            assert noise == 0.5, "honest rows that are nearly orthogonal bear less"


def test_newcomers_together_count_for_no_more_than_the_exploration_and_then_earn_their_share() -> None:
    rng = np.random.default_rng(3)
    rule = MeritRank()
    for _ in range(10):
        rule.aggregate(honest(rng, 6), ids=list("abcdef"))
    ids: list[Any] = [*"abcdef", *range(30)]
    shares = []
    for _ in range(30):
        shares.append(share(rule.aggregate(honest(rng, 36), ids=ids), slice(6, 36)))
    assert shares[0] <= 0.05
    assert shares[0] < shares[1] < shares[29]
    assert shares[29] == pytest.approx(30 / 36, abs=0.1), "honest work is paid"


@pytest.mark.parametrize("sybils", [1, 5, 40])
def test_sybils_without_work_of_their_own_gain_a_bounded_amount_whatever_their_number(sybils: int) -> None:
    rng, side = np.random.default_rng(4), np.eye(20)[1]
    rule = MeritRank(exploration=0.0, cap=100.0)
    for number in range(9):
        work = honest(rng, 10)
        work[:, 1] = 0.0
        followers = np.tile(side - 0.2 * GOAL, (sybils if number > 2 else 0, 1))  # they agree with the attacker alone
        answer = rule.aggregate(np.vstack([work, GOAL + side, followers]))
    scores = [decision.score for decision in answer.info["decisions"]]
    assert min(scores[:10]) > 0.05
    assert scores[10] > 0.05, "the attacker has earned something"
    assert 0 < sum(scores[11:]) <= 0.5 * scores[10], "(1 - stop)/stop = 1, half of it behind one attacker"
    assert share(answer, slice(11, 11 + sybils)) <= 0.05


def test_a_traitor_loses_its_merit_as_edges_fade() -> None:
    rng = np.random.default_rng(5)
    shares: dict[float, list[float]] = {}
    for fading in (0.5, 1.0):
        rule, shares[fading] = MeritRank(fading=fading), []
        for number in range(20):
            x = honest(rng, 8)
            if number >= 10:
                x[7] *= -1.0
            shares[fading].append(share(rule.aggregate(x), slice(7, 8)))
    assert shares[0.5][10] == pytest.approx(1 / 8, abs=0.03)
    assert shares[0.5][19] < 0.01 < shares[1.0][19]


def test_clients_are_known_by_their_ids_and_continue_when_they_return() -> None:
    rng = np.random.default_rng(6)
    rule = MeritRank()
    for _ in range(3):
        rule.aggregate(honest(rng, 4), ids=["a", "b", "c", "d"])
    rule.aggregate(honest(rng, 2), ids=["a", "b"])
    before = rule.state_dict()
    assert before["clients"] == ("c", "d", "a", "b")
    answer = rule.aggregate(honest(rng, 4), ids=["d", "new", "b", "a"])
    actions = [decision.action for decision in answer.info["decisions"]]
    assert actions == ["weighted", "explored", "weighted", "weighted"]
    after = rule.state_dict()
    assert after["clients"] == ("c", "d", "new", "b", "a")
    assert after["edges"][0, 1] == before["edges"][0, 1], "who is absent neither gains nor fades"


def test_memory_is_bounded() -> None:
    rng = np.random.default_rng(7)
    rule = MeritRank(remembered=6)
    for number in range(10):
        rule.aggregate(honest(rng, 4), ids=["always", *((number, i) for i in range(3))])
    state = rule.state_dict()
    assert (len(state["clients"]), state["edges"].shape) == (6, (7, 7))
    assert state["edges"][0, 1 + state["clients"].index("always")] > 5


def test_a_huge_row_counts_with_the_median_norm_and_its_capped_weight() -> None:
    rng = np.random.default_rng(8)
    x = honest(rng, 9)
    x[0] = 1e12 * GOAL  # it agrees with everybody
    answer = MeritRank(cap=1.0).aggregate(x)
    others = np.linalg.norm(x[1:], axis=1)
    assert share(answer, slice(0, 1)) * 1e12 <= np.median(others) / 9 * (1 + 1e-9) + 0.05
    assert np.linalg.norm(answer.value) < 2


def test_nobody_agrees_with_anybody() -> None:
    for x in (np.zeros((3, 2)), np.array([[1.0, 0.0], [-1.0, 0.0]])):
        answer = MeritRank().aggregate(x)
        np.testing.assert_allclose(answer.weights, np.full(len(x), 1 / len(x)))
    assert {decision.action for decision in answer.info["decisions"]} == {"explored"}
    rng = np.random.default_rng(9)
    rule = MeritRank(exploration=0.0)
    excluded = rule.aggregate(np.vstack([honest(rng, 4), -GOAL])).info["decisions"][4]
    assert (excluded.action, excluded.evidence["weight"]) == ("excluded", 0.0)


def test_mixed_rows_are_refused_and_clipped_ones_are_not() -> None:
    x = honest(np.random.default_rng(10), 6)
    with pytest.raises(StateError, match="judges clients by their own updates"):
        (NNM(f=1) >> MeritRank())(x)
    clipped = (Clipping(radius=0.5) >> MeritRank()).aggregate(x)
    np.testing.assert_allclose(clipped.value, MeritRank()(0.5 * x / np.linalg.norm(x, axis=1, keepdims=True)))


def test_a_cap_gives_what_it_takes_to_the_others() -> None:
    np.testing.assert_allclose(capped(np.array([0.6, 0.3, 0.1]), 0.5), [0.5, 0.375, 0.125])
    np.testing.assert_allclose(capped(np.array([0.7, 0.2, 0.1, 0.0]), 0.4), [0.4, 0.4, 0.2, 0.0])
    np.testing.assert_allclose(capped(np.array([0.9, 0.1, 0.0, 0.0]), 0.3), [0.3, 0.3, 0.0, 0.0])
    np.testing.assert_allclose(capped(np.array([0.25] * 4), 0.25), [0.25] * 4)


def test_the_weighted_median_is_the_lower_one() -> None:
    values = np.array([4.0, 1.0, 3.0, 2.0])
    assert weighted_median(values, np.full(4, 1 / 4)) == 2.0
    assert weighted_median(values, np.array([0.1, 0.1, 0.7, 0.1])) == 3.0
    for n in range(2, 200, 2):
        assert weighted_median(np.arange(n, dtype=float), np.full(n, 1 / n)) == n / 2 - 1
