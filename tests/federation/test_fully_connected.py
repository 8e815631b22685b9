"""The gradient of fully connected networks as one step of autograd: the same as autograd's own, also differentiated."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from robustfl.federation import Population
from robustfl.federation.clients.fully_connected import gradients, widths_of
from robustfl.federation.clients.training import TracedTrainer, VmappedTrainer
from robustfl.federation.models.architectures import CNN, MLP, Model, ResNet20, Softmax
from tests.federation.test_training import MODELS, batches
from tests.federation.worlds import SMALL_MLP, population


def by_autograd(made: Population, models: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The gradients of each model on its samples, found one after the other, with a graph."""
    losses = [
        cross_entropy(functional_call(made.module, made.views(model), (samples,)), labels)
        for model, samples, labels in zip(models, x, y, strict=True)
    ]
    return torch.autograd.grad(torch.stack(losses).sum(), models, create_graph=True)[0]


@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP, MLP(hidden=(6, 4))], ids=repr)
def test_gradients_and_their_derivatives_are_those_of_autograd(model: Model) -> None:
    made = population(model)
    widths = widths_of(made.module)
    assert widths is not None
    x, y = batches(made, k=3, steps=1, size=7)
    generator = torch.Generator().manual_seed(0)
    models = (made.initial + torch.randn((3, made.d), generator=generator) / 10).double().requires_grad_()
    x, y = x[:, 0].double(), y[:, 0]
    along = torch.randn(models.shape, generator=generator, dtype=torch.float64)
    found, expected = gradients(models, x, y, widths), by_autograd(made, models, x, y)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    bent, straight = (torch.autograd.grad(slope, models, along)[0] for slope in (found, expected))
    torch.testing.assert_close(bent, straight, rtol=1e-10, atol=1e-13)
    assert float(bent.abs().max()) > 1e-3


def test_models_that_share_their_values_and_vectors_that_lie_apart_are_understood() -> None:
    made = population(SMALL_MLP)
    widths = widths_of(made.module)
    assert widths is not None
    x, y = batches(made, k=3, steps=1, size=4)
    alone = made.initial[None].requires_grad_()
    shared = gradients(alone.expand(3, -1), x[:, 0], y[:, 0], widths)
    torch.testing.assert_close(shared, by_autograd(made, alone.expand(3, -1).contiguous(), x[:, 0], y[:, 0]))
    apart = torch.randn((made.d, 3), generator=torch.Generator().manual_seed(1)).t()
    (found,) = torch.autograd.grad(shared, alone, apart)
    parts = [
        torch.autograd.grad(gradients(alone, x[i : i + 1, 0], y[i : i + 1, 0], widths), alone, apart[i : i + 1])[0]
        for i in range(3)
    ]
    torch.testing.assert_close(found, torch.stack(parts).sum(dim=0))


def test_only_plain_fully_connected_networks_are_recognised() -> None:
    def built(model: Model) -> nn.Module:
        return model.build((1, 8, 8), 10, torch.Generator().manual_seed(0))

    assert widths_of(built(Softmax())) == (64, 10)
    assert widths_of(built(MLP(hidden=(6, 4)))) == (64, 6, 4, 10)
    assert widths_of(built(CNN(channels=(3,)))) is None
    assert widths_of(built(ResNet20())) is None
    others: list[list[nn.Module]] = [
        [nn.Flatten()],
        [nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)],
        [nn.Flatten(), nn.Linear(4, 3, bias=False)],
        [nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(5, 2)],
        [nn.Flatten(), nn.Linear(4, 3), nn.ReLU()],
        [nn.Flatten(2), nn.Linear(4, 3)],
        [nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)],
    ]
    assert [widths_of(nn.Sequential(*layers)) for layers in others] == [None] * len(others)

    class Scaled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    assert widths_of(nn.Sequential(nn.Flatten(), Scaled(4, 3))) is None


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("steps", [1, 3])
def test_traced_training_is_the_clients_training(model: Model, steps: int) -> None:
    made = population(model)
    x, y = batches(made, k=4, steps=steps, size=5)
    expected = VmappedTrainer(made, 0.2)(made.initial, x, y)
    traced = TracedTrainer(made, 0.2)(made.initial.clone().requires_grad_(), x, y)
    torch.testing.assert_close(traced.detach(), expected, rtol=1e-4, atol=2e-6)
    assert traced.requires_grad


def test_models_that_are_not_finite_have_no_finite_gradient() -> None:
    made = population(SMALL_MLP)
    widths = widths_of(made.module)
    assert widths is not None
    x, y = batches(made, k=2, steps=1, size=4)
    models = torch.stack([made.initial, torch.full_like(made.initial, math.nan)])
    found = gradients(models, x[:, 0], y[:, 0], widths)
    assert found[0].isfinite().all()
    assert found[1].isnan().all()
