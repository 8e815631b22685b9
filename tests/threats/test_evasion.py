"""The contract of test-time attacks: the ball, the range, the knowledge and the questions are enforced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustfl.errors import AttackError, KnowledgeError, ParameterError
from robustfl.threats import Evasion, Knowledge, Victim
from robustfl.threats.evasion import box, climbed, margins


@dataclass(frozen=True, kw_only=True)
class Move(Evasion):
    """Adds a number to every feature, clamped on request."""

    by: float = 0.0
    clamped: bool = True

    def perturb(self, victim: Victim) -> Tensor:
        moved = victim.features + self.by
        return moved.maximum(victim.lower).minimum(victim.upper) if self.clamped else moved


@dataclass(frozen=True, kw_only=True)
class Peek(Evasion):
    """Takes a gradient without having declared it."""

    def perturb(self, victim: Victim) -> Tensor:
        return victim.gradient(victim.features, victim.labels)


@dataclass(frozen=True, kw_only=True)
class Peer(Peek):
    """Takes the gradient that it has declared, and returns what it looked at."""

    knowledge: ClassVar[Knowledge] = Knowledge.HISTORY

    def perturb(self, victim: Victim) -> Tensor:
        slope = victim.gradient(victim.features, victim.labels)
        return (victim.features + 0.01 * slope).maximum(victim.lower).minimum(victim.upper)


@dataclass(frozen=True, kw_only=True)
class Curious(Evasion):
    """Asks `asked` questions a sample with an allowance of three."""

    asked: int = 3

    def questions_per_sample(self) -> int:
        return 3

    def perturb(self, victim: Victim) -> Tensor:
        for _ in range(self.asked):
            victim.logits(victim.features)
        return victim.features


def linear(x: Tensor) -> Tensor:
    """Logits that are the first two features."""
    return x[:, :2]


X, Y = torch.tensor([[0.5, 0.4, 0.0], [0.2, 0.9, 1.0]]), torch.tensor([0, 1])


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6),
    epsilon=st.floats(0.01, 2),
    by=st.floats(-5, 5),
    low=st.floats(-1, 0),
    high=st.floats(0, 1),
)
def test_a_box_is_the_ball_within_the_range_and_always_holds_the_sample(
    values: list[float], epsilon: float, by: float, low: float, high: float
) -> None:
    x = torch.tensor([values])
    lower, upper = box(x, epsilon, low, high)
    assert bool((lower <= x).all())
    assert bool((x <= upper).all())
    moved = climbed(x, lower, upper, lambda z: torch.full_like(z, by), step_size=abs(by), steps=3)
    assert float((moved - x).abs().max()) <= epsilon + 1e-5
    inside = (x >= low) & (x <= high)
    assert bool(((moved >= low - 1e-6) & (moved <= high + 1e-6))[inside].all())
    assert bool(((moved - x) * (x.clamp(low, high) - x) >= -1e-6)[~inside].all()), "moves towards the range only"


def test_margins_are_positive_where_the_model_errs() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [-1.0, -1.0, -5.0]])
    assert margins(logits, torch.tensor([0, 2, 0])).tolist() == [-1.0, 2.0, 0.0]


def test_samples_come_back_in_their_own_type() -> None:
    changed = Move(by=0.05)(linear, X, Y)
    assert isinstance(changed, Tensor)
    assert torch.allclose(changed, torch.tensor([[0.55, 0.45, 0.05], [0.25, 0.95, 1.0]]))
    for dtype in (np.float32, np.float64):
        found = Move(by=0.05)(linear, X.numpy().astype(dtype), Y.tolist())
        assert isinstance(found, np.ndarray)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, changed.numpy(), atol=1e-6)
    assert Move()(linear, np.empty((0, 3)), np.empty(0, dtype=np.int64)).shape == (0, 3)
    assert torch.equal(X, torch.tensor([[0.5, 0.4, 0.0], [0.2, 0.9, 1.0]]))


def test_the_range_may_differ_between_features() -> None:
    changed = Move(by=0.1)(linear, X, Y, low=np.zeros(3), high=np.array([1.0, 0.45, 2.0]))
    assert torch.allclose(changed, torch.tensor([[0.6, 0.45, 0.1], [0.3, 0.9, 1.1]]))


@pytest.mark.parametrize("by", [0.2, -0.2, float("inf"), 0.05])
def test_leaving_the_ball_or_the_range_is_found_out(by: float) -> None:
    with pytest.raises(AttackError, match=r"within epsilon=0.1 of its value and within the range"):
        Move(by=by, clamped=False)(linear, X, Y)


def test_gradients_need_to_be_declared() -> None:
    with pytest.raises(
        KnowledgeError, match=r"Peek\(epsilon=0.1\) looked at gradients .* needs the knowledge 'history'"
    ):
        Peek()(linear, X, Y)
    assert not torch.equal(Peer()(linear, X, Y), X)


def test_a_model_without_gradients_is_named() -> None:
    with pytest.raises(AttackError, match="differentiate in its features"):
        Peer()(lambda x: linear(x).detach(), X, Y)


def test_questions_are_counted() -> None:
    assert torch.equal(Curious(asked=3)(linear, X, Y), X)
    with pytest.raises(AttackError, match="more than its 6 questions"):
        Curious(asked=4)(linear, X, Y)


def test_answers_carry_no_gradient() -> None:
    weights = torch.ones(3, 2, requires_grad=True)
    victim = Victim(lambda x: x @ weights, X, Y, Move(), low=0.0, high=1.0, rng=np.random.default_rng(0))
    assert not victim.logits(X).requires_grad
    assert victim.questions == 2


def test_large_batches_are_asked_in_parts_and_give_the_same() -> None:
    sizes: list[int] = []

    def model(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return linear(x)

    x = torch.rand((5000, 3), generator=torch.Generator().manual_seed(0))
    y = torch.zeros(5000, dtype=torch.long)
    victim = Victim(model, x, y, Peer(), low=0.0, high=1.0, rng=np.random.default_rng(0))
    assert torch.equal(victim.logits(x), linear(x))
    assert victim.gradient(x, y).shape == x.shape
    assert max(sizes) < 5000
    assert sum(sizes) == 10_000


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.array([[1, 2]]), [0], "floating-point numbers"),
        (np.array([0.5, 0.5]), [0, 1], "floating-point numbers"),
        (np.array([[0.5, 0.5]]), [0, 1], "class numbers"),
        (np.array([[0.5, 0.5]]), [0.5], "class numbers"),
        (np.array([[0.5, 0.5]]), [-1], "class numbers"),
        (np.array([[0.5, np.nan]]), [0], "finite"),
        (np.array([[0.5, -np.inf]]), [0], "finite"),
    ],
    ids=str,
)
def test_hostile_samples_are_refused(x: Any, y: Any, message: str) -> None:
    with pytest.raises(AttackError, match=message):
        Move()(linear, x, y)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(AttackError, match="`low` should be at most `high`"):
        Move()(linear, X, Y, low=1.0, high=0.0)
    with pytest.raises(AttackError, match="`low` should be at most `high`"):
        Move()(linear, X, Y, low=float("nan"))


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), "0.1", True])
def test_epsilon_is_a_positive_number(epsilon: Any) -> None:
    with pytest.raises(ParameterError, match="epsilon"):
        Move(epsilon=epsilon)


def test_wrong_answers_are_named() -> None:
    class Cut(Move):
        def perturb(self, victim: Victim) -> Tensor:
            return victim.features[:1]

    class Double(Move):
        def perturb(self, victim: Victim) -> Tensor:
            return victim.features.double()

    for attack in (Cut(), Double()):
        with pytest.raises(AttackError, match=r"should return a tensor torch.float32 \[2, 3\]"):
            attack(linear, X, Y)
