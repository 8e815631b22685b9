"""Models for a gossiping peer: pushed away from its honest neighbours, and attacks on its neighbourhood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustfl.attacks import ALIE, IPM
from robustfl.errors import ParameterError
from robustfl.threats.peers.gossip import dissensus

Matrix = NDArray[np.float64]

X, AROUND = np.array([0.0, 0.0]), np.array([[1.0, 0.0], [0.0, 2.0]])


def stepped(model: Matrix, neighbours: Matrix, weights: Matrix, crafted: Matrix, attackers: Matrix) -> Matrix:
    """The peer's model after a step of gossip averaging, one neighbour at a time."""
    after = model.copy()
    for weight, row in [*zip(weights, neighbours, strict=True), *((weight, crafted) for weight in attackers)]:
        after += weight * (row - model)
    return after


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.5, 4.0])
def test_two_neighbours_and_one_attacker(strength: float) -> None:
    crafted = dissensus(X, AROUND, [0.25, 0.25], [0.25], strength=strength)
    np.testing.assert_allclose(crafted, [-strength, -2 * strength])


def test_the_published_strength_is_one_and_a_half() -> None:
    assert dissensus(X, AROUND, [0.25, 0.25], [0.25]).tolist() == [-1.5, -3.0]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    m=st.integers(1, 6),
    k=st.integers(1, 4),
    d=st.integers(1, 5),
    scale=st.sampled_from([1e-6, 1.0, 1e12]),
    strength=st.sampled_from([0.3, 1.0, 1.5, 3.0]),
)
def test_gossip_stays_at_strength_one_and_goes_away_beyond(
    seed: int, m: int, k: int, d: int, scale: float, strength: float
) -> None:
    rng = np.random.default_rng(seed)
    model, neighbours = scale * rng.normal(size=d), scale * rng.normal(size=(m, d))
    shares = rng.dirichlet(np.ones(m + k + 1))
    weights, attackers = shares[:m], 1e-3 + shares[m : m + k]
    crafted = dissensus(model, neighbours, weights, attackers, strength=strength)
    after = stepped(model, neighbours, weights, crafted, attackers)
    pull = weights @ (neighbours - model)
    np.testing.assert_allclose(after, model + (1 - strength) * pull, rtol=0, atol=1e-9 * scale)
    gained = float((after - model) @ pull)
    assert strength == 1.0 or (gained > 0) == (strength < 1), "towards its neighbours, or away from them"


def test_only_the_sum_of_the_attackers_weights_counts() -> None:
    one, three = ([0.3], [0.1, 0.0, 0.2])
    np.testing.assert_allclose(dissensus(X, AROUND, [0.2, 0.5], one), dissensus(X, AROUND, [0.2, 0.5], three))


def test_models_far_from_the_origin_lose_no_digits() -> None:
    far = 2.0**50
    np.testing.assert_array_equal(dissensus(X + far, AROUND + far, [0.25, 0.25], [0.25]), far - np.array([1.5, 3.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_answer_has_the_type_of_the_model(dtype: Any) -> None:
    found = dissensus(X.astype(dtype), AROUND, np.array([0.25, 0.25]), (0.25,))
    assert (found.dtype, found.tolist()) == (dtype, [-1.5, -3.0])
    tensor = dissensus(torch.as_tensor(X.astype(dtype)), torch.as_tensor(AROUND), torch.full((2,), 0.25), [0.25])
    assert isinstance(tensor, torch.Tensor)
    torch.testing.assert_close(tensor, torch.as_tensor(found))


def test_inputs_stay_as_they_are_and_may_be_read_only_reversed_or_trained() -> None:
    model, neighbours = X.copy(), AROUND[::-1]
    model.flags.writeable = False
    assert dissensus(model, neighbours, np.array([0.5, 0.25])[::-1], [0.25]).tolist() == [-3.0, -3.0]
    assert (model.tolist(), neighbours.tolist()) == ([0.0, 0.0], [[0.0, 2.0], [1.0, 0.0]])
    trained = torch.nn.Parameter(torch.zeros(2))
    assert not dissensus(trained, torch.ones(1, 2), [0.5], [0.5]).requires_grad


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_stay_on_their_device() -> None:
    quarter = torch.full((2,), 0.25, device="cuda")
    found = dissensus(torch.zeros(2, device="cuda"), torch.as_tensor(AROUND), quarter, quarter[:1])
    assert (found.device.type, found.tolist()) == ("cuda", [-1.5, -3.0])


def test_attacks_on_updates_are_played_on_a_neighbourhood() -> None:
    neighbourhood = np.vstack([X, AROUND])  # (0, 0), (1, 0), (0, 2)
    mean, spread = np.array([1, 2]) / 3, np.array([np.sqrt(2) / 3, np.sqrt(8) / 3])
    np.testing.assert_allclose(ALIE(z=1.5)(neighbourhood, f=2), np.tile(mean - 1.5 * spread, (2, 1)))
    np.testing.assert_allclose(IPM(epsilon=0.5)(neighbourhood, f=1), [-0.5 * mean])


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": np.zeros((1, 2))}, r"`model` should be floating-point numbers \[d\]. Found torch.float64 \[1, 2\]"),
        ({"model": np.zeros(2, dtype=int)}, r"`model` should be floating-point .* Found torch.int64"),
        ({"model": "x"}, "`model` should be a numpy array or torch tensor of numbers. Found str"),
        ({"model": np.array([0.0, NAN])}, "`model` should be finite.* Leave peers out"),
        ({"neighbours": np.zeros((2, 3))}, r"`neighbours` should be floating-point models \[m, 2\].* \[2, 3\]"),
        ({"neighbours": np.zeros(2)}, r"`neighbours` should be floating-point models \[m, 2\].* \[2\]"),
        ({"neighbours": [[1.0], [1.0, 2.0]]}, "`neighbours` should be a numpy array.* Found list"),
        ({"neighbours": np.array([[1.0, INF], [0.0, 0.0]])}, "`neighbours` should be finite"),
        ({"neighbours": np.zeros((0, 2)), "weights": []}, "should satisfy m >= 1.* Found m=0. Attack another peer"),
        ({"weights": [0.25]}, "`weights` should hold one number for each of 2 honest neighbours. Found 1"),
        ({"weights": [0.25, NAN]}, "`weights` should be finite and >= 0. Found nan"),
        ({"weights": [0.25, -0.1]}, "`weights` should be finite and >= 0. Found -0.1"),
        ({"weights": [[0.25, 0.1]]}, r"`weights` should be a list of numbers. Found shape \[1, 2\]"),
        ({"attackers_weights": []}, "`attackers_weights` should have a sum > 0.* Found a sum of 0"),
        ({"attackers_weights": [0.0, 0.0]}, "`attackers_weights` should have a sum > 0.* Attack a peer that has one"),
        ({"attackers_weights": [INF]}, "`attackers_weights` should be finite and >= 0. Found inf"),
        ({"attackers_weights": 0.25}, r"`attackers_weights` should be a list of numbers. Found shape \[\]"),
        ({"strength": 0.0}, "`strength` should satisfy strength > 0. Found strength=0.0"),
        ({"strength": NAN}, "`strength` should be a number. Found strength=nan"),
        ({"strength": INF}, "`strength` should satisfy strength < inf"),
        ({"model": X.astype(np.float32), "strength": 1e39}, "leave numbers that torch.float32 can hold.*smaller"),
    ],
)
def test_mistakes_are_told(changed: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "model": X,
        "neighbours": AROUND,
        "weights": [0.25, 0.25],
        "attackers_weights": [0.25],
    }
    with pytest.raises(ParameterError, match=message):
        dissensus(**(usual | changed))
