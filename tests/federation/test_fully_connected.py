"""The gradient of fully connected networks as one step of autograd: the same as autograd's own, also differentiated."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from robustfl.aggregation import Aggregator
from robustfl.attacks import ALIE, LabelFlip
from robustfl.defenses import FLTrust, Mixup, TrimmedMean
from robustfl.evaluation.run.executors import one_thread
from robustfl.federation import Population
from robustfl.federation.clients import fully_connected
from robustfl.federation.clients.fully_connected import derived_logits, gradients, summed_gradients, widths_of
from robustfl.federation.clients.training import (
    FullyConnectedTrainer,
    TracedTrainer,
    VmappedTrainer,
    objective_of,
    predict,
    trainer_for,
)
from robustfl.federation.models.architectures import CNN, MLP, Model, ResNet20, Softmax
from robustfl.threats import Attack
from tests.federation.test_training import MODELS, batches
from tests.federation.worlds import SMALL_MLP, population, rules, simulation


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


@pytest.mark.parametrize("samples", [5, 384])
@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP, MLP(hidden=(6, 4)), MLP(hidden=(1, 24))], ids=repr)
@pytest.mark.parametrize("scale", [1.0, math.inf])
def test_logits_with_their_derivative_have_the_bits_of_autograd(model: Model, samples: int, scale: float) -> None:
    made = population(model)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((samples, *made.features.shape[1:]), generator=generator)
    weights = (scale * made.initial).requires_grad_()
    expected = predict(made, weights, x)
    along = torch.randn(expected.shape, generator=generator)
    with torch.no_grad():
        found, pulled = derived_logits(list(made.views(weights).values()), x)
        slope = pulled(along)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    (expected_slope,) = torch.autograd.grad(expected, weights, along)
    torch.testing.assert_close(slope, expected_slope, rtol=0, atol=0, equal_nan=True)
    assert bool(slope.isfinite().all()) == (scale == 1.0 or len(made.shapes) == 2)


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


DENSE = [Softmax(), SMALL_MLP, MLP(hidden=(6, 4))]


def apart(made: Population, k: int) -> torch.Tensor:
    """k models near the initial one, each of which is another."""
    return made.initial + torch.randn((k, made.d), generator=torch.Generator().manual_seed(2)) / 10


@pytest.mark.parametrize("model", DENSE, ids=repr)
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("own", [False, True], ids=["one model", "own models"])
def test_summed_gradients_are_those_of_autograd(
    model: Model, steps: int, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = population(model)
    widths = widths_of(made.module)
    assert widths is not None
    monkeypatch.setattr(fully_connected, "CHUNK", 2 * made.d)  # two clients at a time, and one that is left over
    x, y = batches(made, k=5, steps=steps, size=7)
    models = apart(made, 5) if own else made.initial
    before = models.clone()
    for dtype, rtol, atol in ((torch.float64, 1e-10, 1e-12), (torch.float32, 0.0, 1e-6)):  # of the largest entry
        found = summed_gradients(models.to(dtype), x.to(dtype), y, 0.2, widths)
        expected = VmappedTrainer(made, 0.2)(models.to(dtype), x.to(dtype), y)
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol * float(expected.abs().max()))
    assert float(found.norm(dim=1).min()) > 0.1
    assert torch.equal(models, before)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("own", [False, True], ids=["one model", "own models"])
@pytest.mark.parametrize("size", [1, 3, 8, 16, 17, 20])
@pytest.mark.parametrize("hidden", [(24,), (), (2,)], ids=str)
def test_the_bits_of_a_client_depend_on_no_other_client(
    steps: int, own: bool, size: int, hidden: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = population(MLP(hidden=hidden) if hidden else Softmax(), side=8)
    widths = widths_of(made.module)
    assert widths is not None
    x, y = batches(made, k=15, steps=steps, size=size)
    models = apart(made, 15) if own else made.initial
    with one_thread():
        whole = summed_gradients(models, x, y, 0.2, widths)
        generator = torch.Generator().manual_seed(3)
        for number in range(1, 16):
            monkeypatch.setattr(fully_connected, "CHUNK", number * made.d // 2)
            some = torch.randperm(15, generator=generator)[:number]
            part = summed_gradients(models[some] if own else models, x[some], y[some], 0.2, widths)
            assert torch.equal(part, whole[some]), number


def test_what_is_not_written_out_is_answered_as_before() -> None:
    made = population(SMALL_MLP)
    x, y = batches(made, k=3, steps=2, size=5)
    train, usual = trainer_for(made, rules()), VmappedTrainer(made, 0.1)
    assert isinstance(train, FullyConnectedTrainer)
    believed = torch.rand((*y.shape, made.classes), generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
    assert torch.equal(train(made.initial, x, believed), usual(made.initial, x, believed))
    leaf, samples = made.initial.clone().requires_grad_(), x.clone().requires_grad_()
    assert torch.equal(train(leaf, x, y), usual(leaf, x, y))
    assert train(leaf, x, y).requires_grad
    assert train(made.initial, samples, y).requires_grad
    with torch.no_grad():
        assert not train(leaf, x, y).requires_grad


def test_clients_that_minimise_something_else_are_differentiated() -> None:
    made = population(SMALL_MLP)
    mixed = Mixup().objective(objective_of(made), made.classes)
    assert isinstance(trainer_for(made, rules(), mixed), VmappedTrainer)
    assert isinstance(trainer_for(made, rules(), objective_of(made)), FullyConnectedTrainer)
    assert isinstance(trainer_for(made, rules(adversarial_training={"epsilon": 0.1, "steps": 2})), VmappedTrainer)


@pytest.mark.parametrize("model", DENSE, ids=repr)
def test_logits_are_those_of_the_network_to_the_last_bit(model: Model) -> None:
    made = population(model)
    models, samples = apart(made, 2), made.test_features[:14].unflatten(0, (2, 7))
    for k in range(2):
        expected = functional_call(made.module, made.views(models[k]), (samples[k],))
        assert torch.equal(predict(made, models[k], samples[k]), expected)
        assert torch.equal(predict(made, models[k : k + 1], samples[k : k + 1])[0], expected)
        torch.testing.assert_close(predict(made, models, samples)[k], expected)


def test_networks_with_hooks_or_with_one_layer_twice_are_not_recognised() -> None:
    def network() -> list[nn.Module]:
        return [nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)]

    hooked = nn.Sequential(*network())
    assert widths_of(hooked) == (4, 4, 4)
    handle = hooked[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    assert widths_of(hooked) is None
    handle.remove()
    assert widths_of(hooked) == (4, 4, 4)
    layer = nn.Linear(4, 4)
    assert widths_of(nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e38])
def test_hostile_models_and_samples_stay_with_their_client(bad: float) -> None:
    made = population(SMALL_MLP)
    x, y = batches(made, k=3, steps=2, size=4)
    train = trainer_for(made, rules())
    clean = train(made.initial, x, y)
    models = made.initial.expand(3, -1).clone()
    models[1, 0] = bad
    assert torch.equal(train(models, x, y)[[0, 2]], clean[[0, 2]])
    samples = x.clone()
    samples[1, 0, 0] = bad
    found = train(made.initial, samples, y)
    assert torch.equal(found[[0, 2]], clean[[0, 2]])
    assert torch.equal(found[1].isfinite(), VmappedTrainer(made, 0.1)(made.initial, samples, y)[1].isfinite())


FEDAVG = {"algorithm": "fedavg", "local_steps": 3, "message": "delta"}


@pytest.mark.parametrize(
    ("defense", "attack", "values"),
    [
        (TrimmedMean(f=1), ALIE(), {"client_momentum": 0.9}),
        (TrimmedMean(f=1), LabelFlip(), FEDAVG),
        (FLTrust(), ALIE(), {}),
        (TrimmedMean(f=1), None, {"augment": {"noise": 0.1}}),
    ],
    ids=["momentum", "local steps and poisoned labels", "trusted samples", "augmented samples"],
)
def test_whole_trainings_are_those_of_differentiated_networks(
    defense: Aggregator, attack: Attack | None, values: dict[str, Any]
) -> None:
    played = []
    for mode in ("auto", "vmap"):
        made = simulation(defense, model=SMALL_MLP, attack=attack, f=1 if attack else 0, client_mode=mode, **values)
        rounds = [made.play(number) for number in range(4)]
        played.append(torch.stack([round.messages for round in rounds]))
        assert isinstance(made.channel.work.trainer, FullyConnectedTrainer if mode == "auto" else VmappedTrainer)
    torch.testing.assert_close(*played, rtol=1e-4, atol=1e-6)
    assert not torch.equal(played[0][0], played[0][-1])
