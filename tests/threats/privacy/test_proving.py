"""Labels of recovered samples, and what a certificate proves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.proving import PROVEN, labels_of, recover_batch, rectified, weighted_gradient
from tests.threats.privacy.exact_worlds import World, mlp_world, other_world


def network_of(world: World) -> Network:
    return Network(world.population.module, (1, 8, 8), classes=10)


def layered(activation: Callable[[], nn.Module], *, bias: bool = True) -> Network:
    layers = [nn.Flatten(), nn.Linear(4, 6, bias=bias), activation(), nn.Linear(6, 3)]
    return Network(nn.Sequential(*layers), (1, 2, 2), classes=3)


def test_only_a_first_layer_whose_positive_part_counts_is_rectified() -> None:
    assert rectified(network_of(mlp_world(24)))
    assert rectified(network_of(other_world("deep")))
    assert not any(rectified(network_of(other_world(name))) for name in ("cnn", "softmax"))
    assert rectified(layered(nn.ReLU))
    assert not rectified(layered(nn.ReLU, bias=False))
    assert not any(rectified(layered(other)) for other in (nn.Tanh, nn.LeakyReLU, nn.GELU, nn.Sigmoid))


@pytest.mark.parametrize("trained", [False, True])
def test_labels_and_shares_of_known_samples_are_exact_also_for_samples_that_occur_twice(trained: bool) -> None:
    world = mlp_world(24, trained=trained)
    features, labels = world.batch(3, 6)
    places = torch.tensor([0, 1, 2, 3, 4, 5, 5, 0])  # eight samples, two of them twice
    network, first = network_of(world), network_of(world).first
    assert first is not None
    each = network.gradients(world.weights.double().expand(6, -1), features[:, None].double(), labels[:, None])
    columns = (each * torch.bincount(places)[:, None] / 8)[:, first.bias].T
    found, shares = labels_of(network, world.weights.double(), features.double(), columns)
    assert torch.equal(found, labels)
    torch.testing.assert_close(shares, torch.bincount(places) / 8.0, atol=1e-9, rtol=0, check_dtype=False)
    again = weighted_gradient(network, world.weights.double(), features.double(), found, shares)
    torch.testing.assert_close(again.float(), world.gradient(features[places], labels[places]), atol=1e-6, rtol=0)


def recovered(message: Tensor, *, first_layer_only: bool = False) -> tuple[int, float, bool]:
    """The number of samples, the distance, and the certificate of what is found in a message to `mlp_world(64)`."""
    world = mlp_world(64)
    found = recover_batch(
        network_of(world),
        world.weights,
        message,
        rng=np.random.default_rng(0),
        subsets=5000,
        restarts=3,
        first_layer_only=first_layer_only,
    )
    return len(found.features), found.distance, found.certified


def test_a_certificate_needs_the_whole_message_and_its_absence_is_told() -> None:
    world = mlp_world(64)
    message = world.gradient(*world.batch(0, 3))
    count, distance, certified = recovered(7 * message)
    assert (count, certified) == (3, True)
    assert distance < 1e-5
    spoilt = message.clone()
    spoilt[-1] += 1e-3 * message.norm()  # the bias of the last class, which the samples do not follow from
    assert recovered(spoilt)[2] is False
    assert recovered(spoilt)[1] > PROVEN
    assert recovered(spoilt, first_layer_only=True)[2] is True


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_messages_that_are_not_finite_or_zero_tell_nothing(value: float) -> None:
    assert recovered(torch.full_like(mlp_world(64).weights, value)) == (0, float("inf"), False)


def test_noise_of_any_size_is_never_certified() -> None:
    world = mlp_world(64)
    message = world.gradient(*world.batch(0, 2))
    noise = torch.randn(len(message), generator=torch.Generator().manual_seed(0))
    for size in (1e-3, 0.1, 10.0):
        assert not recovered(message + size * message.norm() / noise.norm() * noise)[2]
