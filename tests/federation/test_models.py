"""Models have the right shapes and sizes, follow their generator alone, and differentiate per client under vmap."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from robustfl import registry
from robustfl.errors import ParameterError
from robustfl.federation.models.architectures import CNN, MLP, Model, Precode, ResNet20, Softmax
from robustfl.federation.models.modules import initialise

EVERY = [Softmax(), MLP(), MLP(hidden=(8, 4)), MLP(hidden=()), CNN(), CNN(norm="group"), CNN(channels=(6,)), ResNet20()]
EVERY += [Precode(hidden=(8,), code=4), Precode(hidden=(), channels=(3,), code=4)]
IMAGES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def size(model: Model, shape: tuple[int, ...], classes: int = 10) -> int:
    return sum(p.numel() for p in model.build(shape, classes, generator()).parameters())


@pytest.mark.parametrize("model", EVERY, ids=repr)
@pytest.mark.parametrize("shape", IMAGES, ids=str)
def test_images_become_finite_logits(model: Model, shape: tuple[int, ...]) -> None:
    x = torch.rand(4, *shape, generator=generator(1))
    logits = model.build(shape, 7, generator())(x)
    assert logits.shape == (4, 7)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (Softmax(), (1, 28, 28), 784 * 10 + 10),
        (MLP(), (1, 8, 8), 64 * 32 + 32 + 32 * 10 + 10),
        (MLP(hidden=()), (5,), 5 * 10 + 10),
        (CNN(), (1, 28, 28), (9 * 16 + 16) + (16 * 9 * 32 + 32) + (32 * 7 * 7 * 10 + 10)),
        (CNN(norm="group"), (1, 8, 8), (9 * 16 + 16 + 32) + (16 * 9 * 32 + 32 + 64) + (32 * 2 * 2 * 10 + 10)),
        (ResNet20(), (3, 32, 32), 269_722),  # the count of He et al.: 0.27 million
    ],
    ids=repr,
)
def test_parameter_counts(model: Model, shape: tuple[int, ...], expected: int) -> None:
    assert size(model, shape) == expected


@pytest.mark.parametrize("model", EVERY, ids=repr)
def test_parameters_follow_the_generator_and_nothing_else(model: Model) -> None:
    first = model.build((1, 8, 8), 3, generator(5)).state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.rand(10)  # another global state
        second = model.build((1, 8, 8), 3, generator(5)).state_dict()
    other = model.build((1, 8, 8), 3, generator(6)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_parameters_are_float32_whatever_the_default_type() -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        network = MLP().build((4,), 2, generator())
    finally:
        torch.set_default_dtype(before)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("model", EVERY, ids=repr)
def test_building_leaves_the_global_random_states_alone(model: Model) -> None:
    before = torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    model.build((1, 8, 8), 3, generator())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert pickle.dumps(np.random.get_state()) == before[2]  # noqa: NPY002


@pytest.mark.parametrize("model", EVERY, ids=repr)
def test_initial_parameters_are_those_of_torch_in_distribution(model: Model) -> None:
    network = model.build((1, 8, 8), 3, generator())
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
        elif isinstance(module, nn.Linear | nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert module.weight.abs().max() <= bound
            if module.weight.numel() > 500:  # std of a uniform on ±bound
                assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert not any(parameter.is_meta for parameter in network.parameters())
    assert not list(network.buffers())


@pytest.mark.parametrize("model", EVERY, ids=repr)
def test_gradients_of_many_clients_in_one_vmap_equal_those_one_by_one(model: Model) -> None:
    clients = [model.build((1, 8, 8), 3, generator(seed)) for seed in range(3)]
    stacked, _ = stack_module_state(clients)
    x = torch.rand(3, 5, 1, 8, 8, generator=generator(9))
    y = torch.randint(3, (3, 5), generator=generator(9))

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(clients[0], parameters, (x,)), y)

    together = vmap(grad(loss))(stacked, x, y)
    for row, client in enumerate(clients):
        names, parameters = zip(*client.named_parameters(), strict=True)
        alone = torch.autograd.grad(functional.cross_entropy(client(x[row]), y[row]), parameters)
        for key, gradient in zip(names, alone, strict=True):
            torch.testing.assert_close(together[key][row], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("model", [Softmax(), MLP()], ids=repr)
def test_tables_suit_dense_models(model: Model) -> None:
    assert model.build((13,), 2, generator())(torch.zeros(6, 13)).shape == (6, 2)


@pytest.mark.parametrize("model", [CNN(), ResNet20()], ids=repr)
def test_tables_do_not_suit_convolutions(model: Model) -> None:
    with pytest.raises(ParameterError, match=r"\(13,\).*`mlp`"):
        model.build((13,), 2, generator())


@pytest.mark.parametrize(
    ("model", "shape"), [(CNN(), (1, 3, 8)), (CNN(channels=(4, 4, 4)), (1, 8, 7)), (ResNet20(), (3, 32, 7))]
)
def test_images_too_small_for_a_model_are_an_error(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match="high and wide"):
        model.build(shape, 2, generator())


@pytest.mark.parametrize("shape", [(2, 4, 4), (1, 5, 9)])
def test_the_smallest_and_odd_images_suit_the_cnn(shape: tuple[int, ...]) -> None:
    assert CNN().build(shape, 2, generator())(torch.zeros(3, *shape)).shape == (3, 2)


def test_odd_sides_suit_the_residual_network() -> None:
    assert ResNet20().build((2, 9, 13), 2, generator())(torch.zeros(3, 2, 9, 13)).shape == (3, 2)


@pytest.mark.parametrize("shape", [(), (0,), (1, 0, 8), (-3,)])
def test_an_impossible_input_shape_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match="input_shape"):
        Softmax().build(shape, 2, generator())


def test_impossible_hyper_parameters_are_errors() -> None:
    with pytest.raises(ParameterError, match="classes >= 2"):
        Softmax().build((4,), 1, generator())
    with pytest.raises(ParameterError, match="divide 16"):
        ResNet20(groups=3)
    with pytest.raises(ParameterError, match="one or more stages"):
        CNN(channels=())
    with pytest.raises(ParameterError, match="hidden"):
        MLP(hidden=(0,))


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(3), nn.AlphaDropout(), nn.PReLU()], ids=lambda layer: type(layer).__name__
)
def test_layers_that_cannot_be_initialised_or_vmapped_are_refused(layer: nn.Module) -> None:
    with pytest.raises(TypeError, match=type(layer).__name__):
        initialise(nn.Sequential(nn.Linear(2, 3), layer), generator())


@pytest.mark.parametrize("model", [MLP(), CNN(), ResNet20(), Precode(code=16)], ids=repr)
def test_gradient_descent_lowers_the_loss(model: Model) -> None:
    network = model.build((1, 8, 8), 2, generator())
    x = torch.rand(16, 1, 8, 8, generator=generator(2))
    y = (x.mean(dim=(1, 2, 3)) > x.mean()).long()
    parameters = list(network.parameters())
    losses = []
    for _ in range(30):
        loss = functional.cross_entropy(network(x), y)
        losses.append(loss.item())
        with torch.no_grad():
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.sub_(gradient, alpha=0.1)
    assert losses[-1] < losses[0]


def test_names_and_what_dominates() -> None:
    assert {name: member.convolutional for name, member in registry.find("model").items()} == {
        "softmax": False,
        "mlp": False,
        "cnn": True,
        "resnet20": True,
        "precode": False,
        "gru": False,
    }
