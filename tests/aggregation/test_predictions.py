"""Predictions behind rules for updates: what counts as a prediction, and what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustfl import registry
from robustfl.aggregation import Aggregator
from robustfl.aggregation.predictions import aggregate_predictions, nearest_distributions, refused_predictions
from robustfl.defenses import (
    NNM,
    RFFL,
    CenteredClipping,
    Clipping,
    FLTrust,
    FoolsGold,
    KnFu,
    Krum,
    Mean,
    Median,
    SignMajority,
    TrimmedMean,
)
from robustfl.errors import ExceededError, InfeasibleError, StateError, UpdatesError

VALUES = arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6))


def predictions(n: int = 7, samples: int = 5, classes: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=(n, samples))


def by_bisection(values: Any) -> Any:
    """The nearest distribution [C] to values [C], with the threshold found by halving an interval."""
    low, high = values.min() - 1, values.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(values - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(values - low, 0)


@given(VALUES)
def test_the_nearest_distributions(values: Any) -> None:
    found = nearest_distributions(torch.as_tensor(values)).numpy()
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(found, [by_bisection(row) for row in values], atol=1e-8)


def test_distributions_stay_and_huge_values_are_certainty() -> None:
    sound = torch.as_tensor(predictions())
    torch.testing.assert_close(nearest_distributions(sound), sound)
    huge = torch.tensor([[1e38, 0.0, -1e38], [-3e38, -3e38, -3e38]])
    assert nearest_distributions(huge)[0].tolist() == [1.0, 0.0, 0.0]
    torch.testing.assert_close(nearest_distributions(huge)[1], torch.full((3,), 1 / 3))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row.fill_(np.nan), "not finite"),
        (lambda row: row[0].copy_(torch.tensor([np.inf, 0.0, -np.inf])), "not finite"),
        (lambda row: row[1].copy_(torch.tensor([1.2, -0.1, -0.1])), "negative probability"),
        (lambda row: row.mul_(2.0), "probabilities of sum 2 (not 1)"),
        (lambda row: row[-1].zero_(), "probabilities of sum 0 (not 1)"),
        (lambda row: row[2].fill_(1e38), "probabilities of sum 3e+38 (not 1)"),
    ],
    ids=["NaN", "infinities that cancel", "negative", "unnormalised", "one sample of zeros", "huge"],
)
def test_rows_that_are_no_distributions_are_refused_with_the_reason(change: Any, reason: str) -> None:
    given = torch.as_tensor(predictions())
    expected = aggregate_predictions(Median(), given[1:])
    change(given[0])
    kept = given.clone()
    assert refused_predictions(given) == {0: reason}
    answer = aggregate_predictions(Median(), given)
    assert answer.info["reasons"] == {0: reason}
    assert answer.rejected.tolist() == [True] + [False] * 6
    torch.testing.assert_close(answer.value, expected.value)
    torch.testing.assert_close(given, kept, equal_nan=True)
    with pytest.raises(
        UpdatesError, match="row 0: " + reason.replace("(", r"\(").replace(")", r"\)").replace("+", r"\+")
    ):
        aggregate_predictions(Median(), given, hostile="raise")


def test_refused_rows_neither_lower_f_nor_go_unnoticed() -> None:
    given = predictions(5)
    given[:2] *= 3.0
    with pytest.raises(InfeasibleError):
        aggregate_predictions(Krum(f=1), given[:4])
    with pytest.raises(ExceededError):
        aggregate_predictions(TrimmedMean(f=1), given, hostile="stop")
    assert aggregate_predictions(TrimmedMean(f=1), given).info["exceeded"] == 1


@pytest.mark.parametrize(
    "given",
    [
        np.ones((3, 4)) / 4,
        np.ones((3, 4, 1)),
        np.ones((0, 4, 2)),
        np.ones((3, 0, 2)),
        np.ones((3, 4, 2), dtype=np.int64),
    ],
    ids=["two axes", "one class", "nobody", "no samples", "integers"],
)
def test_what_is_no_collection_of_predictions_is_an_error(given: Any) -> None:
    with pytest.raises(UpdatesError, match=r"probabilities \[n, m, C\]"):
        aggregate_predictions(Mean(), given)


RULES = [
    cls(**{p.name: {"radius": 1.0, "threshold": 2, "f": 1}[p.name] for p in cls.declared_parameters() if p.required})
    for cls in registry.find("defense").values()
    if issubclass(cls, Aggregator)
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_rule_answers_with_distributions(rule: Aggregator) -> None:
    given = predictions(9)
    answer = aggregate_predictions(rule, given, trusted=predictions(1, seed=5)[0] if rule.wants_trusted else None)
    assert answer.value.shape == (5, 3)
    assert answer.value.dtype == given.dtype
    assert (answer.value >= 0).all()
    np.testing.assert_allclose(answer.value.sum(axis=1), 1.0, atol=1e-9)


def test_the_mean_is_the_mean_and_what_shrinks_moves_towards_ignorance() -> None:
    given = predictions()
    np.testing.assert_allclose(aggregate_predictions(Mean(), given).value, given.mean(axis=0), atol=1e-12)
    clipped = aggregate_predictions(Clipping(radius=1e-9) >> Mean(), given).value
    np.testing.assert_allclose(clipped, 1 / 3, atol=1e-8)
    sure = np.zeros((4, 2, 3))
    sure[..., 1] = 1.0
    assert aggregate_predictions(SignMajority(), sure).value.tolist() == [[0.0, 1.0, 0.0]] * 2


def test_a_preview_leaves_the_memory_of_a_rule_and_ids_reach_it() -> None:
    rule, given = FoolsGold(), torch.as_tensor(predictions(4))
    first = aggregate_predictions(rule, given, ids=["a", "b", "c", "d"], preview=True)
    assert rule.state_dict() == {}
    again = aggregate_predictions(rule, given, ids=["a", "b", "c", "d"])
    assert torch.equal(first.value, again.value)
    assert again.info["ids"] == ("a", "b", "c", "d")
    assert rule.state_dict() != {}


def test_a_trusted_prediction_is_an_opinion_like_the_others() -> None:
    given = predictions(6)
    opposed = given[0].copy()
    rows = np.concatenate([given, 2 / 3 - given[:1]]).clip(0)  # the last one believes the contrary of the first
    rows /= rows.sum(axis=2, keepdims=True)
    answer = aggregate_predictions(FLTrust(), rows, trusted=opposed)
    assert answer.weights is not None
    assert answer.weights[-1] == 0.0
    with pytest.raises(UpdatesError, match="trusted"):
        aggregate_predictions(FLTrust(), rows)


def test_fusion_listens_to_neighbours_alone_and_names_them() -> None:
    given = predictions(6)
    given[:3] = given[0] * 0.98 + 0.02 / 3
    answer = aggregate_predictions(KnFu(beta=50.0), given, ids=list("abcdef"))
    fusion = answer.info["fusion"]
    assert set(fusion) == set("abcdef")
    for client, heard in fusion.items():
        assert sum(heard.values()) == pytest.approx(1.0)
        near = [heard[other] for other in "abc"]
        assert near == pytest.approx([1 / 3] * 3, abs=0.01) if client in "abc" else max(near) < 0.05
    assert answer.weights is not None
    np.testing.assert_allclose(answer.weights, np.mean([list(heard.values()) for heard in fusion.values()], axis=0))


def test_fusion_after_clipping_counts_what_is_left_of_rows_and_refuses_mixtures() -> None:
    given = predictions(5)
    lengths = np.sqrt(((given - 1 / 3) ** 2).sum(axis=(1, 2)))
    radius = float(np.median(lengths))
    clipped = (Clipping(radius=radius) >> KnFu()).aggregate(given.reshape(5, -1) - 1 / 3)
    kept = np.minimum(radius / lengths, 1.0)
    plain = KnFu().aggregate((given.reshape(5, -1) - 1 / 3) * kept[:, None])
    for client in range(5):
        expected = np.array(list(plain.info["fusion"][client].values())) * kept
        np.testing.assert_allclose(list(clipped.info["fusion"][client].values()), expected, rtol=1e-6)
    with pytest.raises(StateError, match="was given mixtures"):
        (NNM(f=1) >> KnFu()).aggregate(given.reshape(5, -1))


def test_clients_who_know_nothing_agree() -> None:
    answer = KnFu().aggregate(np.zeros((3, 4)))
    assert all(list(heard.values()) == pytest.approx([1 / 3] * 3) for heard in answer.info["fusion"].values())
    assert RFFL().channel != KnFu().channel == "predictions"
    assert CenteredClipping().channel == "dense"
