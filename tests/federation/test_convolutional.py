"""The gradients of plain convolutional networks, written out: those of autograd, for each client by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from robustfl.attacks import ALIE, LabelFlip
from robustfl.defenses import Mixup, TrimmedMean
from robustfl.evaluation.run.executors import one_thread
from robustfl.federation import Population
from robustfl.federation.clients import convolutional
from robustfl.federation.clients.convolutional import Convolutions, Passes, convolutions_of, summed_gradients
from robustfl.federation.clients.training import (
    ConvolutionalTrainer,
    LoopedTrainer,
    VmappedTrainer,
    objective_of,
    trainer_for,
)
from robustfl.federation.models.architectures import CNN, MLP, Model, ResNet20
from robustfl.threats import Attack
from tests.federation.test_fully_connected import apart
from tests.federation.test_training import batches
from tests.federation.worlds import population, rules, simulation

CNNS = [CNN(channels=(3,)), CNN(channels=(4, 5)), CNN()]


def passes_for(made: Population) -> Passes:
    network = convolutions_of(made.module, made.features.shape[1:])
    assert network is not None
    return Passes(network)


@pytest.mark.parametrize("model", CNNS, ids=repr)
@pytest.mark.parametrize("side", [4, 7])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("own", [False, True], ids=["one model", "own models"])
@pytest.mark.parametrize("size", [1, 6, 8])
def test_summed_gradients_are_those_of_autograd(
    model: Model, side: int, steps: int, own: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = population(model, side=side)
    passes = passes_for(made)
    x, y = batches(made, k=5, steps=steps, size=size)
    monkeypatch.setattr(convolutional, "ROOM", 2 * held_for_a_client(passes, x))  # two at a time, and one left over
    models = apart(made, 5) if own else made.initial
    before = models.clone()
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 2e-5)):  # of the largest entry
        found = summed_gradients(models.to(dtype), x.to(dtype), y, 0.2, passes)
        expected = VmappedTrainer(made, 0.2)(models.to(dtype), x.to(dtype), y)
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=bound * float(expected.abs().max()))
    assert float(found.norm(dim=1).min()) > 0.1
    assert torch.equal(models, before)


def held_for_a_client(passes: Passes, x: torch.Tensor) -> int:
    """The numbers that are held for a client with these samples, filled up to a multiple of four."""
    return passes.held((-(-x.shape[2] // 4) * 4, *x.shape[3:]))


def test_of_equal_pixels_the_first_has_the_gradient() -> None:
    made = population(CNN(channels=(4, 3)), side=8)
    x, y = batches(made, k=3, steps=1, size=4)
    x = x.clamp_min(0).round()  # large areas of zeros, as images have them, and the same values again and again
    models = apart(made, 3).double()
    found = summed_gradients(models, x.double(), y, 0.1, passes_for(made))
    expected = VmappedTrainer(made, 0.1)(models, x.double(), y)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


def test_more_than_one_linear_layer_and_more_than_one_channel_of_images_are_understood() -> None:
    made = population(CNN(channels=(4,)), side=6)
    generator = torch.Generator().manual_seed(0)
    made.module = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(30, 7),
        nn.ReLU(),
        nn.Linear(7, 3),
    )
    made.shapes = {name: parameter.shape for name, parameter in made.module.named_parameters()}
    d = sum(shape.numel() for shape in made.shapes.values())
    models = torch.randn((4, d), generator=generator, dtype=torch.float64) / 3
    x = torch.randn((4, 2, 5, 2, 6, 4), generator=generator, dtype=torch.float64)
    y = torch.randint(3, (4, 2, 5), generator=generator)
    network = convolutions_of(made.module, (2, 6, 4))
    assert network == Convolutions(channels=(2, 5), widths=(30, 7, 3))
    found = summed_gradients(models, x, y, 0.1, Passes(network))
    torch.testing.assert_close(found, VmappedTrainer(made, 0.1)(models, x, y), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("model", [CNN(), CNN(channels=(3, 5))], ids=repr)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("own", [False, True], ids=["one model", "own models"])
@pytest.mark.parametrize("size", [1, 5, 16])
def test_the_bits_of_a_client_depend_on_no_other_client(
    model: Model, steps: int, own: bool, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = population(model, side=7)
    passes = passes_for(made)
    x, y = batches(made, k=9, steps=steps, size=size)
    models = apart(made, 9) if own else made.initial
    with one_thread():
        whole = summed_gradients(models, x, y, 0.2, passes)
        generator = torch.Generator().manual_seed(3)
        for number in range(1, 10):
            monkeypatch.setattr(convolutional, "ROOM", (number + 1) // 2 * held_for_a_client(passes, x))
            some = torch.randperm(9, generator=generator)[:number]
            part = summed_gradients(models[some] if own else models, x[some], y[some], 0.2, passes)
            assert torch.equal(part, whole[some]), number


def test_only_plain_convolutional_networks_are_recognised() -> None:
    def plain() -> list[nn.Module]:
        return [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)]

    def recognised(place: int, layer: nn.Module) -> bool:
        layers = plain()
        layers[place] = layer
        return convolutions_of(nn.Sequential(*layers), (1, 4, 4)) is not None

    def built(model: Model) -> nn.Module:
        return model.build((1, 8, 8), 10, torch.Generator().manual_seed(0))

    assert convolutions_of(nn.Sequential(*plain()), (1, 4, 4)) == Convolutions(channels=(1, 4), widths=(16, 3))
    assert convolutions_of(nn.Sequential(*plain()), (1, 8, 8)) is None
    assert convolutions_of(nn.Sequential(*plain()), (1, 2, 8)) == Convolutions(channels=(1, 4), widths=(16, 3))
    assert convolutions_of(nn.Sequential(*plain()), (2, 4, 4)) is None
    assert convolutions_of(built(CNN(channels=(3, 5))), (1, 8, 8)) == Convolutions((1, 3, 5), (20, 10))
    for model in (CNN(norm="group"), MLP(), ResNet20()):
        assert convolutions_of(built(model), (1, 8, 8)) is None
    assert recognised(0, nn.Conv2d(1, 4, 3, padding=(1, 1)))
    assert not recognised(0, nn.Conv2d(1, 4, 3, padding=1, bias=False))
    assert not recognised(0, nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"))
    assert not recognised(0, nn.Conv2d(1, 4, 3, padding="same"))
    assert not recognised(0, nn.Conv2d(1, 4, 3, padding=2, dilation=2))
    assert not recognised(0, nn.Conv2d(1, 4, 5, padding=2))
    assert not recognised(1, nn.Tanh())
    assert not recognised(2, nn.AvgPool2d(2))
    assert not recognised(2, nn.MaxPool2d(3, stride=2, padding=1))
    assert not recognised(2, nn.MaxPool2d(2, ceil_mode=True))
    assert not recognised(3, nn.Flatten(2))
    assert not recognised(4, nn.Linear(16, 3, bias=False))
    hooked = nn.Sequential(*plain())
    handle = hooked[2].register_forward_hook(lambda module, inputs, output: 2 * output)
    assert convolutions_of(hooked, (1, 4, 4)) is None
    handle.remove()
    assert convolutions_of(hooked, (1, 4, 4)) is not None


def test_what_is_not_written_out_is_answered_as_before() -> None:
    made = population(CNN(channels=(3,)))
    x, y = batches(made, k=3, steps=2, size=5)
    train, usual = trainer_for(made, rules()), VmappedTrainer(made, 0.1)
    assert isinstance(train, ConvolutionalTrainer)
    believed = torch.rand((*y.shape, made.classes), generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
    assert torch.equal(train(made.initial, x, believed), usual(made.initial, x, believed))
    leaf = made.initial.clone().requires_grad_()
    assert torch.equal(train(leaf, x, y), usual(leaf, x, y))
    assert train(leaf, x, y).requires_grad
    mixed = Mixup().objective(objective_of(made), made.classes)
    assert isinstance(trainer_for(made, rules(), mixed), VmappedTrainer)
    assert isinstance(trainer_for(made, rules(adversarial_training={"epsilon": 0.1, "steps": 2})), VmappedTrainer)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e38])
@pytest.mark.parametrize("where", ["weights", "biases", "samples"])
@pytest.mark.parametrize("batch", [4, 1000], ids=["together", "one by one"])
def test_hostile_models_and_samples_stay_with_their_client(bad: float, where: str, batch: int) -> None:
    made = population(CNN(channels=(3, 4)))
    x, y = batches(made, k=3, steps=2, size=4)
    train = trainer_for(made, rules(batch_size=batch))
    assert isinstance(train, ConvolutionalTrainer)
    models, samples = made.initial.expand(3, -1).clone(), x.clone()
    clean = train(models, x, y)
    if where == "samples":
        samples[1, 0, 0] = bad
    else:
        models[1, {"weights": 0, "biases": 28}[where]] = bad
    usual: Callable[..., torch.Tensor] = (LoopedTrainer if batch == 1000 else VmappedTrainer)(made, 0.1)
    with one_thread():
        found, expected = train(models, samples, y), usual(models[1:2], samples[1:2], y[1:2])[0]
    assert torch.equal(found[[0, 2]], clean[[0, 2]])
    if bool(found[1].isfinite().all()):
        torch.testing.assert_close(found[1], expected, rtol=1e-4, atol=1e-6)
    else:
        assert torch.equal(found[1].nan_to_num(), expected.nan_to_num())
        assert torch.equal(found[1].isnan(), expected.isnan())


FEDAVG = {"algorithm": "fedavg", "local_steps": 3, "message": "delta"}


@pytest.mark.parametrize(
    ("attack", "values"),
    [(ALIE(), {"client_momentum": 0.9}), (LabelFlip(), FEDAVG), (None, {"batch_size": 3})],
    ids=["momentum", "local steps and poisoned labels", "few samples"],
)
def test_whole_trainings_are_those_of_differentiated_networks(attack: Attack | None, values: dict[str, Any]) -> None:
    played = []
    for mode, kind in (("auto", ConvolutionalTrainer), ("vmap", VmappedTrainer)):
        made = simulation(
            TrimmedMean(f=1), model=CNN(channels=(3,)), attack=attack, f=1 if attack else 0, client_mode=mode, **values
        )
        rounds = [made.play(number) for number in range(4)]
        played.append(torch.stack([round.messages for round in rounds]))
        assert isinstance(made.channel.work.trainer, kind)
    torch.testing.assert_close(*played, rtol=1e-4, atol=1e-6)
    assert not torch.equal(played[0][0], played[0][-1])
