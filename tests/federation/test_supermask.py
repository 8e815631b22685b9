"""Networks with frozen weights: which edges they keep, what their scores learn from, and what rankings say of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from robustfl.aggregation.votes.contract import MaskTraining
from robustfl.defenses import FRL
from robustfl.federation.channels.supermask import Supermask, highest, learning_rate
from robustfl.federation.clients.training import trainer_for
from robustfl.federation.models.architectures import CNN, MLP, Model, Softmax
from robustfl.federation.streams import stream_seed
from tests.federation.worlds import SMALL_MLP, population, rules

TRAINING = FRL().training


def network(model: Model | None = None, seed: int = 0, mode: str = "vmap", **changes: Any) -> Supermask:
    made = population(model or SMALL_MLP, seed=seed)
    return Supermask(made, replace(TRAINING, **changes), trainer_for(made, rules(client_mode=mode)), seed)


def batches(k: int, steps: int, batch: int = 4, side: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn((k, steps, batch, 1, side, side), generator=generator)
    return x, torch.randint(3, (k, steps, batch), generator=generator)


# ------------------------------------------------------------------------------------------------- the frozen network


@pytest.mark.parametrize(
    "model", [Softmax(), SMALL_MLP, CNN(channels=(4,)), CNN(channels=(4, 8), norm="group")], ids=repr
)
def test_weights_are_signed_constants_and_nothing_else_counts(model: Model) -> None:
    made, net = population(model), network(model)
    place = {layer.name: layer.place for layer in net.layers}
    start = 0
    for name, shape in made.shapes.items():
        own = net.weights[start : start + shape.numel()]
        initial = made.initial[start : start + shape.numel()]
        scores = net.scores[start : start + shape.numel()]
        if len(shape) > 1:
            bound = 1 / math.sqrt(shape[1:].numel())
            assert place[name] == slice(start, start + shape.numel())
            assert torch.equal(own, math.sqrt(2) * bound * initial.sign())
            assert float(scores.abs().max()) <= bound
            assert float(scores.abs().max()) > 0.5 * bound
        else:
            assert name not in place
            assert torch.equal(own, initial if name.endswith("weight") else torch.zeros_like(own))  # norms do nothing
            assert not scores.any()
        start += shape.numel()
    assert net.edges == tuple(shape.numel() for shape in made.shapes.values() if len(shape) > 1)


def test_a_seed_decides_scores_and_nobody_else_notices() -> None:
    state = torch.random.get_rng_state()
    one, again, other = network(), network(), network(seed=1)
    assert torch.equal(one.scores, again.scores)
    assert not torch.equal(one.scores, other.scores)
    assert torch.equal(torch.random.get_rng_state(), state)
    generator = torch.Generator().manual_seed(stream_seed(0, "scores"))
    first = one.layers[0]
    expected = torch.empty(first.edges).uniform_(-0.25, 0.25, generator=generator)  # 16 inputs
    assert torch.equal(one.scores[first.place], expected)


def test_a_ranking_hands_out_the_scores_of_the_start() -> None:
    net = network()
    rankings = [ranking[0] for ranking in net.rankings(net.scores[None])]
    assert torch.equal(net.ranked(rankings), net.scores)
    shuffled = [np.random.default_rng(0).permutation(edges) for edges in net.edges]
    scores = net.ranked(shuffled)
    for layer, ranking in zip(net.layers, shuffled, strict=True):
        own, start = scores[layer.place], net.scores[layer.place]
        assert torch.equal(own.sort().values, start.sort().values)
        assert torch.equal(own[torch.as_tensor(ranking)], start.sort().values)
    found = [ranking[0].tolist() for ranking in net.rankings(scores[None])]
    assert found == [ranking.tolist() for ranking in shuffled]


# ------------------------------------------------------------------------------------------------- the mask


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.5, 1.0])
def test_the_mask_keeps_the_highest_of_each_layer_and_all_that_is_no_edge(keep: float) -> None:
    net = network(keep=keep)
    mask = net.mask(net.scores[None].repeat(2, 1))[1]
    edges = torch.zeros_like(mask)
    for layer in net.layers:
        own, scores = mask[layer.place], net.scores[layer.place]
        dropped = min(int((1 - keep) * layer.edges), layer.edges - 1)
        assert int((own == 0).sum()) == layer.dropped == dropped
        assert not dropped or float(scores[own == 0].max()) < float(scores[own == 1].min())
        edges[layer.place] = 1
    assert bool((mask[edges == 0] == 1).all())
    assert torch.equal(net.masked(net.scores), net.weights * mask)


def test_the_other_criterion_keeps_large_magnitudes() -> None:
    net = network(criterion="abs")
    layer = net.layers[0]
    own, scores = net.mask(net.scores)[layer.place], net.scores[layer.place].abs()
    assert float(scores[own == 0].max()) < float(scores[own == 1].min())


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.integers(-2, 2) | st.floats(width=32), min_size=1, max_size=20),
    share=st.floats(0, 0.999),
)
def test_of_equal_values_the_first_are_lower_whatever_the_values(values: list[float], share: float) -> None:
    dropped = int(share * len(values))
    rows = torch.tensor([values, values[::-1]], dtype=torch.float32)
    for row, kept in zip(rows, highest(rows, dropped), strict=True):
        assert int((kept == 0).sum()) == dropped
        assert set(kept.tolist()) <= {0.0, 1.0}
        if not bool(row.isnan().any()):
            expected = torch.ones_like(row)
            expected[row.argsort(stable=True)[:dropped]] = 0
            assert torch.equal(kept, expected)


# ------------------------------------------------------------------------------------------------- the gradient


def test_the_gradient_of_a_tiny_layer_by_hand() -> None:
    """Two inputs, two classes: dL/dW = (softmax(W x) - y) x^T, and dL/ds = w * dL/dW, also for edges left out."""
    made = population(Softmax(), side=4)
    net = Supermask(made, TRAINING, trainer_for(made, rules()), 0)
    x, y = batches(1, 1, batch=2)
    slopes = net.gradient(net.scores[None], x[:, 0], y[:, 0])[0]
    layer = net.layers[0]
    weights = net.weights[layer.place].reshape(3, 16)
    mask = torch.ones(48)
    mask[net.scores[layer.place].argsort()[:24]] = 0
    inputs = x[0, 0].reshape(2, 16)
    logits = inputs @ (weights * mask.reshape(3, 16)).T
    errors = logits.softmax(dim=1) - torch.eye(3)[y[0, 0]]
    expected = weights * (errors.T @ inputs) / 2
    torch.testing.assert_close(slopes[layer.place].reshape(3, 16), expected, rtol=1e-4, atol=1e-6)
    assert bool((slopes[layer.place][mask == 0] != 0).any()), "edges that are left out learn as well"
    assert not slopes[48:].any(), "biases do not"


@pytest.mark.parametrize("criterion", ["score", "abs"])
@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_the_gradient_passes_straight_through_the_mask(mode: str, criterion: str) -> None:
    made, net = population(SMALL_MLP), network(mode=mode, criterion=criterion)
    x, y = batches(3, 1)
    scores = net.scores + 0.01 * torch.randn((3, made.d), generator=torch.Generator().manual_seed(1))
    slopes = net.gradient(scores, x[:, 0], y[:, 0])
    for client in range(3):
        mask = net.mask(scores[client]).requires_grad_()
        loss = cross_entropy(
            torch.func.functional_call(made.module, made.views(net.weights * mask), (x[client, 0],)), y[client, 0]
        )
        (expected,) = torch.autograd.grad(loss, mask)
        for layer in net.layers:
            own = expected[layer.place] * (scores[client, layer.place].sign() if criterion == "abs" else 1)
            torch.testing.assert_close(slopes[client, layer.place], own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_local_steps_are_those_of_sgd_with_momentum_and_weight_decay(mode: str) -> None:
    net = network(mode=mode, learning_rate=0.3, decay=0.9, weight_decay=0.05)
    x, y = batches(2, 4)
    trained = net.trained(net.scores, x, y, number=2)
    for client in range(2):
        scores = torch.nn.Parameter(net.scores.clone())
        optimizer = torch.optim.SGD([scores], lr=1.0, momentum=0.9, weight_decay=0.05)
        for step in range(4):
            optimizer.param_groups[0]["lr"] = 0.3 * 0.9**2 * (1 + math.cos(math.pi * step / 4)) / 2
            scores.grad = net.gradient(
                scores.detach()[None], x[client : client + 1, step], y[client : client + 1, step]
            )[0]
            optimizer.step()
        torch.testing.assert_close(trained[client], scores.detach(), rtol=1e-4, atol=1e-6)


def test_the_learning_rate_falls_by_epochs_or_by_steps() -> None:
    rates = MaskTraining(
        learning_rate=0.4, decay=0.5, momentum=0.9, weight_decay=0.0, epochs=2, keep=0.5, criterion="score"
    )
    assert [learning_rate(rates, 1, step, 6) for step in range(6)] == pytest.approx([0.2] * 3 + [0.1] * 3)
    each = replace(rates, epochs=0)
    assert [learning_rate(each, 0, step, 2) for step in range(2)] == pytest.approx([0.4, 0.2])
    assert learning_rate(replace(rates, epochs=9), 0, 0, 1) == 0.4


def test_a_network_without_edges_is_an_error() -> None:
    made = population(MLP(hidden=(4,)))
    made.shapes = {name: shape for name, shape in made.shapes.items() if len(shape) < 2}
    with pytest.raises(ValueError, match="no weights of linear layers or convolutions"):
        Supermask(made, TRAINING, trainer_for(made, rules()), 0)
