"""The server's optimiser as a function: the steps of torch.optim to the last bit, repeatable and differentiable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robustfl.federation import Server
from robustfl.federation.channels.server_step import Memory, ServerStep

D, STEPS = 37, 20
SERVERS: tuple[dict[str, Any], ...] = (
    {"learning_rate": 0.3},
    {"learning_rate": 0.3, "momentum": 0.9},
    {"optimizer": "adam", "learning_rate": 0.05},
)
each_server = pytest.mark.parametrize("server", SERVERS, ids=lambda values: "-".join(map(str, values.values())))
each_message = pytest.mark.parametrize("message", ["gradient", "delta"])


def aggregates(dtype: torch.dtype = torch.float32) -> Tensor:
    """Aggregates [steps, d] of very different lengths."""
    drawn = torch.randn(STEPS, D, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return drawn * torch.logspace(-3, 2, D, dtype=dtype)


def start(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(D, generator=torch.Generator().manual_seed(0), dtype=dtype)


def optimizer_of(server: dict[str, Any], weights: Tensor) -> torch.optim.Optimizer:
    if server.get("optimizer") == "adam":
        return torch.optim.Adam([weights], lr=server["learning_rate"])
    return torch.optim.SGD([weights], lr=server["learning_rate"], momentum=server.get("momentum", 0.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@each_message
@each_server
def test_its_steps_are_those_of_torch_to_the_last_bit(server: dict[str, Any], message: str, dtype: torch.dtype) -> None:
    step, weights = ServerStep(Server.model_validate(server), message), start(dtype)
    expected = weights.clone()
    optimizer, memory = optimizer_of(server, expected), step.start(weights)
    for aggregate in aggregates(dtype):
        weights, memory = step(weights, aggregate, memory)
        expected.grad = aggregate.clone() if message == "gradient" else -aggregate
        optimizer.step()
        assert torch.equal(weights, expected)
    assert memory.steps == STEPS
    assert float((weights - start(dtype)).norm()) > 1.0


@each_message
@each_server
def test_what_it_is_given_stays_as_it_is_and_it_answers_the_same_again(server: dict[str, Any], message: str) -> None:
    step, weights = ServerStep(Server.model_validate(server), message), start()
    memory = step.start(weights)
    for aggregate in aggregates()[:5]:
        given = [weights, aggregate, *tensors(memory)]
        before = [tensor.clone() for tensor in given]
        answers = [step(weights, aggregate, memory) for _ in range(2)]
        assert all(torch.equal(tensor, kept) for tensor, kept in zip(given, before, strict=True))
        pairs = zip(*([model, *tensors(after)] for model, after in answers), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        assert answers[0][1].steps == memory.steps + 1
        weights, memory = answers[0]
        assert weights.untyped_storage().data_ptr() not in {t.untyped_storage().data_ptr() for t in given}


def tensors(memory: Memory) -> list[Tensor]:
    return [tensor for tensor in memory if isinstance(tensor, Tensor)]


@each_message
@each_server
def test_derivatives_go_through_several_steps(server: dict[str, Any], message: str) -> None:
    """Those by the model and by all aggregates, against differences of function values."""
    step = ServerStep(Server.model_validate(server), message)

    def after(weights: Tensor, rows: Tensor) -> Tensor:
        memory = step.start(weights)
        for row in rows:
            weights, memory = step(weights, row, memory)
        return weights

    generator = torch.Generator().manual_seed(2)
    given = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((4,), (3, 4))]
    assert torch.autograd.gradcheck(after, [tensor.requires_grad_() for tensor in given])


def test_plain_steps_remember_nothing_but_their_number() -> None:
    step, weights = ServerStep(Server(learning_rate=0.3), "gradient"), start()
    _, memory = step(weights, weights, step.start(weights))
    assert memory == Memory(1, None, None)


@each_message
@each_server
def test_linear_steps_are_the_steps_to_the_last_bit(server: dict[str, Any], message: str) -> None:
    step, weights = ServerStep(Server.model_validate(server), message), start()
    memory = step.start(weights)
    for aggregate in aggregates()[:5]:
        linear = step.linear(memory)
        if server.get("optimizer") == "adam":
            assert linear is None
            return
        assert linear is not None
        moved = aggregate if linear.velocity is None else linear.velocity * linear.momentum + aggregate
        expected = weights.add(moved, alpha=-linear.rate)
        weights, memory = step(weights, aggregate, memory)
        assert torch.equal(weights, expected)
