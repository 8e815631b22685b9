"""FoolsGold over rounds: memory by client, Sybils in disguises, decisions, and where it fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from robustfl.aggregation import Aggregation, Aggregator
from robustfl.defenses import NNM, Bucketing, Clipping, FoolsGold, Mean, Median
from robustfl.errors import ParameterError, StateError
from tests.aggregation.reputation_rules import fools_gold_weights

Matrix = NDArray[np.float64]
HALF = np.sqrt(0.75)


def trusts(answer: Aggregation) -> list[float]:
    return [decision.score for decision in answer.info["decisions"]]


@pytest.mark.parametrize(
    ("history", "alpha"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 1, 0]], [1, 0, 0]),
        ([[1, 0, 0], [0, 1, 0], [0, 0.5, HALF], [0, 0.5, -HALF]], [1, 0.50001, 0.50001, 0.50001]),
        ([[1, 0], [0.5, HALF], [0.3, np.sqrt(0.91)], [-1, 0]], [1, 0, 0, 1]),
        ([[3, 1, 0, 0], [0, 2, 1, 0], [1, 1, 2, 1], [1, 1, 2.2, 1], [0, 0, 0.5, 3]], [1, 1, 0, 0, 1]),
        ([[1, 0], [0, 1], [1, 1]], [1, 1, 1]),
        ([[2, 3]], [1]),
        ([[1, 0], [-2, 0]], [1, 1]),
        ([[0, 0], [1, 0], [1, 0]], [1, 0, 0]),
        ([[1, 1], [2, 2], [3, 3]], [0, 0, 0]),
    ],
)
def test_reference_weights(history: list[list[float]], alpha: list[float]) -> None:
    np.testing.assert_allclose(trusts(FoolsGold().aggregate(np.array(history, dtype=float))), alpha, atol=5e-6)


@pytest.mark.parametrize(
    ("third", "expected"),
    [([1.0, -1.0], [0.0, 1.0]), ([0.0, -1.0], [1 / 3, 0.0])],
)
def test_reference_averages(third: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(FoolsGold()([[0.0, 1.0], [1.0, 0.0], third]), expected, atol=1e-12)


def test_what_the_sum_is_divided_by() -> None:
    x = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 2.0]]
    for normalize, expected in (("none", [1, 1, 0]), ("n", [0.25, 0.25, 0]), ("sum", [0.5, 0.5, 0])):
        np.testing.assert_allclose(FoolsGold(normalize=normalize)(x), expected, atol=1e-12)


def test_rows_that_all_agree_are_a_skipped_round_or_a_mean() -> None:
    x = np.tile([0.1, 0.7, -0.3], (5, 1)) * np.arange(1, 6)[:, None]
    skipped = FoolsGold().aggregate(x.astype(np.float32))
    assert skipped.value.tolist() == [0, 0, 0]
    assert {decision.action for decision in skipped.info["decisions"]} == {"excluded"}
    np.testing.assert_allclose(FoolsGold(alike="uniform")(x), x.mean(axis=0))


# ---------------------------------------------------------------------------------------------------- over rounds


def rounds(seed: int, honest: int, d: int, count: int) -> list[Matrix]:
    """Rounds of updates of clients with data of their own: an axis each, and noise."""
    rng = np.random.default_rng(seed)
    return [8.0 * np.eye(honest, d) + 2.0 * rng.normal(size=(honest, d)) for _ in range(count)]


@pytest.mark.parametrize("clip", ["median", None, 0.5])
def test_histories_are_clipped_sums_by_client(clip: Any) -> None:
    rule, history = FoolsGold(clip=clip), np.zeros((6, 30))
    for x in rounds(0, 6, 30, 5):
        answer = rule.aggregate(x)
        norms = np.linalg.norm(x, axis=1)
        radius = np.inf if clip is None else np.median(norms) if clip == "median" else clip
        history += x * np.minimum(1.0, radius / norms)[:, None]
        np.testing.assert_allclose(trusts(answer), fools_gold_weights(history), atol=1e-9)
        stored = rule.state_dict()["history"]
        np.testing.assert_allclose([stored[row] for row in range(6)], history, atol=1e-12)


def test_sybils_that_are_a_majority_lose_their_weight_with_time() -> None:
    rng = np.random.default_rng(1)
    rule, pull = FoolsGold(), 8.0 * np.eye(50)[-1]
    for x in rounds(1, 5, 50, 30):
        answer = rule.aggregate(np.vstack([x, pull + 2.0 * rng.normal(size=(20, 50))]))
    assert answer.weights is not None
    assert answer.weights[5:].sum() < 0.01
    assert answer.weights[:5].min() > 0.1


def test_rows_that_look_alike_by_chance_are_forgiven_in_time_by_their_histories() -> None:
    rule = FoolsGold()
    x = rounds(2, 4, 20, 40)
    x[0][1] = x[0][0]
    first = rule.aggregate(x[0])
    assert trusts(first)[:2] == [0, 0]
    answer = first
    for later in x[1:]:
        answer = rule.aggregate(later)
    assert trusts(answer)[0] > 0.9


def test_clients_are_known_by_their_ids_and_continue_when_they_return() -> None:
    a, b, c = np.eye(3)
    rule, other = FoolsGold(), FoolsGold()
    rule.aggregate({"anna": a, "boris": b})
    rule.aggregate({"carol": c})
    found = rule.aggregate({"boris": a, "anna": a})
    other.load_state_dict({"history": {"anna": a, "boris": b, "carol": c}})
    np.testing.assert_allclose(trusts(found), trusts(other.aggregate({"boris": a, "anna": a})))
    assert list(rule.state_dict()["history"]) == ["carol", "boris", "anna"]
    np.testing.assert_allclose(rule.state_dict()["history"]["boris"], a + b)
    np.testing.assert_allclose(rule.state_dict()["history"]["carol"], c)


def test_sybils_gain_nothing_by_taking_turns_or_new_names() -> None:
    honest, lie = np.eye(5)[:3], np.eye(5)[4]
    rule = FoolsGold()
    weights = []
    for number in range(4):
        answer = rule.aggregate(np.vstack([honest, lie]), ids=["a", "b", "c", f"new {number}"])
        assert answer.weights is not None
        weights.append(float(answer.weights[3]))
    assert weights[0] == pytest.approx(0.25), "one lone attacker is not noticed"
    assert weights[1:] == [0, 0, 0]
    assert answer.info["decisions"][3].evidence["most_similar"] in {"new 0", "new 1", "new 2"}


def test_an_excluded_client_can_be_readmitted_and_that_is_said() -> None:
    a, b, c = np.eye(3)
    rule = FoolsGold(clip=None)
    actions = []
    for boris in (a, 30 * b, 30 * b):
        answer = rule.aggregate({"anna": a, "boris": boris, "carol": c})
        actions.append([decision.action for decision in answer.info["decisions"]])
        rule.aggregate({"carol": c})  # who is absent stays what it was
    assert actions == [["excluded", "excluded", "weighted"], ["readmitted"] * 2 + ["weighted"], ["weighted"] * 3]


def test_decisions_name_the_most_similar_client() -> None:
    x = {"anna": [1.0, 0.0], "s1": [0.6, 0.8], "s2": [0.6, 0.8]}
    found = {decision.client: decision.evidence for decision in FoolsGold().aggregate(x).info["decisions"]}
    assert found["s1"] == {"most_similar": "s2", "cosine": pytest.approx(1.0)}
    assert found["anna"] == {"most_similar": "s1", "cosine": pytest.approx(0.6)}
    assert FoolsGold().aggregate({"anna": [1.0]}).info["decisions"][0].evidence == {}


def test_memory_is_bounded_and_who_is_absent_longest_goes_first() -> None:
    rule = FoolsGold(remembered=5)
    for number in range(20):
        rule.aggregate(np.eye(4), ids=["always", *(("new", number, i) for i in range(3))])
        assert len(rule.state_dict()["history"]) <= 5
    assert list(rule.state_dict()["history"])[1:2] == ["always"]
    rule.aggregate(np.eye(9, 4))
    assert len(rule.state_dict()["history"]) == 9, "those who are present are never left out"


def test_histories_share_no_memory_with_each_other_or_the_updates() -> None:
    rule, x = FoolsGold(), np.eye(3)
    rule.aggregate(x)
    vectors = list(rule._state["history"].values())
    assert all(vector.base is None for vector in vectors)
    assert not any(np.shares_memory(vector, x) for vector in vectors)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e36), ("float64", 1e150)])
def test_hostile_numbers_never_overflow_a_history(dtype: str, size: float) -> None:
    rule = FoolsGold(clip=None)
    for _ in range(200):
        x = np.eye(4, dtype=dtype)
        x[2:, 2:] = size
        answer = rule.aggregate(x)
    assert trusts(answer) == [1, 1, 0, 0]
    assert np.isfinite(list(rule.state_dict()["history"].values())).all()


def test_a_state_of_other_updates_is_refused() -> None:
    rule = FoolsGold()
    rule.aggregate(np.eye(3))
    with pytest.raises(StateError, match=r"remembers 3 values of client 0; the updates have 4. Call reset"):
        rule.aggregate(np.eye(4))


def test_mixed_rows_are_refused_and_clipped_ones_are_not() -> None:
    x = np.random.default_rng(0).normal(size=(6, 8))
    for before in (NNM(f=1), Bucketing(size=2), Bucketing(size=1, seed=3)):
        with pytest.raises(StateError, match="judges clients by their own updates"):
            (before >> FoolsGold())(x)
    clipped = Clipping(radius=1.0) >> FoolsGold()
    expected = FoolsGold(clip=None)
    for _ in range(3):
        found = clipped.aggregate(x)
        whole = expected.aggregate(x / np.linalg.norm(x, axis=1, keepdims=True))
        np.testing.assert_allclose(found.value, whole.value, atol=1e-12)
        np.testing.assert_allclose(trusts(found), trusts(whole), atol=1e-9)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ParameterError, match="`normalize` should be one of"):
        FoolsGold(normalize="mean")


def test_tensors_have_the_answers_and_the_memory_of_arrays() -> None:
    arrays, tensors = FoolsGold(), FoolsGold()
    for x in rounds(5, 6, 30, 4):
        expected, found = arrays.aggregate(x), tensors.aggregate(torch.as_tensor(x))
        np.testing.assert_allclose(found.value.numpy(), expected.value, atol=1e-12)
    moved = FoolsGold()
    moved.load_state_dict(arrays.state_dict())
    np.testing.assert_allclose(moved.preview(torch.as_tensor(x)).weights, tensors.preview(x).weights, atol=1e-12)


def trained(rule: Aggregator, sybils: int) -> tuple[float, float]:
    """Accuracy, and how many ones are taken for sevens, of softmax regression on digits.

    Ten honest clients hold a class each; the Sybils hold ones that are labelled 7.
    """
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = np.hstack([data.data / 16.0, np.ones((len(order), 1))])[order]
    y = data.target[order]
    held_out, truth, x, y = x[1400:], y[1400:], x[:1400], y[:1400]
    rng, model = np.random.default_rng(1), np.zeros((65, 10))
    for _ in range(200):
        updates = []
        for client in range(10 + sybils):
            own = rng.choice(np.flatnonzero(y == (client if client < 10 else 1)), 50)
            scores = np.exp(x[own] @ model)
            wanted = np.eye(10)[np.full(50, client if client < 10 else 7)]
            update = (-0.5 * x[own].T @ (scores / scores.sum(axis=1, keepdims=True) - wanted) / 50).ravel()
            updates.append(update / max(1.0, float(np.linalg.norm(update))))
        model += rule(np.array(updates)).reshape(model.shape)
    found = (held_out @ model).argmax(axis=1)
    return float((found == truth).mean()), float((found[truth == 1] == 7).mean())


def test_training_survives_sybils_that_break_the_mean() -> None:
    # over more rounds and seeds: mean 0.84 / 1.0, FoolsGold 0.95 / 0.0
    _, flipped = trained(Mean(), 5)
    assert flipped > 0.9
    accuracy, flipped = trained(FoolsGold(normalize="n", clip=None), 5)
    assert accuracy > 0.85
    assert flipped < 0.05


# ----------------------------------------------------------------------------------------------------- weaknesses


def test_weakness_pairs_with_a_lasting_perturbation_that_cancels_keep_full_weight() -> None:
    lie, apart = 8.0 * np.eye(40)[-1], 40.0 * np.eye(40)[-2]
    rule, plain = FoolsGold(), FoolsGold()
    for x in rounds(3, 6, 40, 20):
        disguised = rule.aggregate(np.vstack([x, lie + apart, lie - apart]))
        caught = plain.aggregate(np.vstack([x, lie, lie]))
    assert trusts(caught)[6:] == [0, 0]
    assert trusts(disguised)[6:] == [1, 1]
    assert disguised.weights is not None
    np.testing.assert_allclose(
        disguised.weights[6:] @ np.vstack([lie + apart, lie - apart]), disguised.weights[6] * 2 * lie
    )


def test_weakness_a_lone_attacker_has_a_full_share_and_the_median_bounds_it() -> None:
    x = np.vstack([np.eye(5)[:4] + 1.0, np.full(5, -100.0)])
    assert trusts(FoolsGold().aggregate(x))[4] == 1
    assert FoolsGold()(x).max() < -90, "all weight but the attacker's is lost to honest rows that agree"
    assert Median()(x).min() > 0
