"""Attacks on test samples: they stay in the ball, they find what there is to find, and black boxes stay closed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustfl import registry
from robustfl.attacks import FGSM, PGD, ZerothOrder
from robustfl.errors import ParameterError
from robustfl.threats import Evasion

ALL: tuple[Evasion, ...] = (
    FGSM(epsilon=0.2),
    PGD(epsilon=0.2),
    PGD(epsilon=0.2, restarts=3, loss="margin"),
    PGD(epsilon=0.2, random_start=False, step_size=0.05, steps=3),
    ZerothOrder(epsilon=0.2, queries=200),
)
walk = pytest.mark.parametrize("evasion", ALL, ids=repr)


class Counting(nn.Module):
    """A small network that counts the rows it is asked about, and notices when somebody takes gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 3))
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.normal_(generator=generator)
        self.rows, self.gradients = 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        logits: Tensor = self.layers(x)
        if logits.requires_grad:
            logits.register_hook(self._seen)  # type: ignore[no-untyped-call]
        return logits

    def _seen(self, gradient: Tensor) -> None:
        self.gradients += 1


def world(samples: int = 40, seed: int = 0) -> tuple[Counting, Tensor, Tensor]:
    """A network, images in [0, 1], and the labels that it gives them: right everywhere before the attack."""
    model = Counting()
    x = torch.as_tensor(np.random.default_rng(seed).random((samples, 1, 3, 4), dtype=np.float32))
    labels = model(x).argmax(dim=1)
    model.rows = 0
    return model, x, labels


def accuracy(model: Counting, x: Tensor, y: Tensor) -> float:
    return float((model(x).argmax(dim=1) == y).float().mean())


@walk
def test_names_itself(evasion: Evasion) -> None:
    again = registry.build("attack", repr(evasion))
    assert again == evasion
    assert registry.build("attack", {evasion.name: evasion.parameters()}) == evasion
    assert str(evasion).startswith(f"{type(evasion).__name__}(epsilon=0.2")
    assert registry.describe(type(evasion))["surface"] == "evasion"


@walk
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), epsilon=st.sampled_from([0.01, 0.1, 0.5, 2.0]))
def test_samples_stay_in_the_ball_and_in_range(evasion: Evasion, seed: int, epsilon: float) -> None:
    model, x, y = world(10, seed)
    changed = type(evasion)(**{**evasion.parameters(), "epsilon": epsilon})(model, x, y, rng=seed)
    assert changed.shape == x.shape
    assert float((changed - x).abs().max()) <= epsilon + 1e-6
    assert float(changed.min()) >= 0.0
    assert float(changed.max()) <= 1.0


@walk
def test_the_loss_rises_and_the_model_errs(evasion: Evasion) -> None:
    model, x, y = world()
    changed = evasion(model, x, y)
    assert float(cross_entropy(model(changed), y)) > float(cross_entropy(model(x), y))
    assert accuracy(model, changed, y) < 0.8


@walk
def test_equal_generators_give_equal_samples_and_leave_the_global_ones_alone(evasion: Evasion) -> None:
    model, x, y = world()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    first, again = (evasion(model, x, y, rng=3) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # type: ignore[index] # noqa: NPY002
    assert torch.equal(evasion(model, x, y, rng=np.random.default_rng(3)), first)


@walk
def test_samples_are_read_and_not_written(evasion: Evasion) -> None:
    model, x, y = world()
    kept = x.clone()
    changed = evasion(model, x, y)
    assert torch.equal(x, kept)
    assert changed.data_ptr() != x.data_ptr()
    assert not changed.requires_grad


def test_fgsm_is_one_step_of_pgd() -> None:
    model, x, y = world()
    one = PGD(epsilon=0.2, steps=1, step_size=0.2, random_start=False)(model, x, y)
    assert torch.equal(FGSM(epsilon=0.2)(model, x, y), one)
    leaf = x.clone().requires_grad_()
    cross_entropy(model(leaf), y).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert torch.allclose(one, (x + 0.2 * leaf.grad.sign()).clamp(0, 1))


def test_on_a_linear_model_all_gradient_attacks_find_the_corner() -> None:
    model = nn.Linear(4, 2, bias=False)
    model.weight.data.copy_(torch.tensor([[1.0, -1.0, 0.5, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    x, y = torch.full((1, 4), 0.5), torch.tensor([0])
    corner = torch.tensor([[0.3, 0.7, 0.3, 0.3]])
    for evasion in (FGSM(epsilon=0.2), PGD(epsilon=0.2), PGD(epsilon=0.2, loss="margin")):
        assert torch.allclose(evasion(model, x, y), corner)
    assert torch.allclose(ZerothOrder(epsilon=0.2, queries=500)(model, x, torch.tensor([0])), corner, atol=0.05)


def test_many_steps_are_not_worse_than_one_and_restarts_not_worse_than_a_single_start() -> None:
    model, x, y = world(300)
    kept = [
        accuracy(model, evasion(model, x, y), y)
        for evasion in (FGSM(epsilon=0.1), PGD(epsilon=0.1), PGD(epsilon=0.1, restarts=5))
    ]
    assert kept[0] >= kept[1] - 0.01
    assert kept[1] >= kept[2]
    assert kept[2] < 1.0


def test_restarts_go_on_only_where_the_model_is_still_right() -> None:
    model, x, y = world(100)
    PGD(epsilon=0.1, steps=1)(model, x, y)
    once, model.rows = model.rows, 0
    PGD(epsilon=0.1, steps=1, restarts=2)(model, x, y)
    assert once < model.rows < 2 * once
    model.rows = 0
    PGD(epsilon=0.1, steps=1, restarts=2, random_start=False)(model, x, y)
    assert model.rows == once


def test_an_unlimited_ball_leaves_nothing_right() -> None:
    model, x, y = world()
    for evasion in (PGD(epsilon=1.0, restarts=5), ZerothOrder(epsilon=1.0, queries=1000)):
        assert accuracy(model, evasion(model, x, y), y) <= 0.05


def test_the_margin_has_a_slope_where_the_cross_entropy_is_flat() -> None:
    model = nn.Linear(2, 2, bias=False)
    model.weight.data.copy_(torch.tensor([[1000.0, 0.0], [0.0, 1000.0]]))
    x, y = torch.tensor([[0.8, 0.1]]), torch.tensor([0])
    still = PGD(epsilon=0.4, random_start=False)(model, x, y)
    assert torch.equal(still, x)
    moved = PGD(epsilon=0.4, random_start=False, loss="margin")(model, x, y)
    assert model(moved).argmax(dim=1).tolist() == [1]


@pytest.mark.parametrize(("queries", "directions"), [(3, 1), (50, 5), (199, 7)])
def test_the_black_box_stays_closed_and_the_budget_holds(queries: int, directions: int) -> None:
    model, x, y = world()
    evasion = ZerothOrder(epsilon=0.05, queries=queries, directions=directions)
    evasion(model, x, y)
    assert 0 < model.rows <= queries * len(x)
    assert model.gradients == 0
    PGD(epsilon=0.05)(model, x, y)
    assert model.gradients > 0


def test_no_question_about_samples_that_are_lost_already() -> None:
    model, x, y = world()
    wrong = (y + 1) % 3
    evasion = ZerothOrder(epsilon=0.01, queries=500)
    evasion(model, x, wrong)
    assert model.rows == (2 * evasion.directions + 1) * len(x)


def test_more_questions_find_more() -> None:
    model, x, y = world(200)
    kept = [accuracy(model, ZerothOrder(epsilon=0.1, queries=q)(model, x, y), y) for q in (11, 100, 1000)]
    assert kept[0] > kept[1] >= kept[2]
    assert kept[2] <= accuracy(model, PGD(epsilon=0.1)(model, x, y), y) + 0.05


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ZerothOrder(queries=10), r"queries >= 2 directions \+ 1.*queries=10, directions=5"),
        (lambda: ZerothOrder(smoothing=0.0), "smoothing > 0"),
        (lambda: ZerothOrder(memory=1.0), "memory < 1"),
        (lambda: PGD(steps=0), "steps >= 1"),
        (lambda: PGD(step_size=0.0), "step_size > 0"),
        (lambda: PGD(restarts=0), "restarts >= 1"),
        (lambda: PGD(loss="hinge"), "'cross_entropy', 'margin'"),  # type: ignore[arg-type]
        (lambda: FGSM(epsilon=0.0), "epsilon > 0"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build()
