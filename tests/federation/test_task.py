"""A task made ready: flat weights, the clients' samples, and draws from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustfl.errors import DataError
from robustfl.federation.data.partitions import Dirichlet
from robustfl.federation.models.architectures import CNN, MLP, Model, Softmax
from tests.federation.worlds import SMALL_MLP, population, task


@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP, CNN(channels=(2,))], ids=repr)
def test_flat_weights_and_named_views_are_one_memory(model: Model) -> None:
    made = population(model)
    assert made.initial.shape == (made.d,)
    assert made.d == sum(parameter.numel() for parameter in made.module.parameters())
    flat = made.initial.clone()
    views = made.views(flat)
    for name, parameter in made.module.named_parameters():
        assert torch.equal(views[name], parameter)
        assert views[name].untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()
    stacked = made.views(torch.stack([flat, 2 * flat]))
    assert all(torch.equal(stacked[name][1], 2 * views[name]) for name in views)


def test_the_seed_decides_weights_and_partition() -> None:
    first, again, other = population(seed=1), population(seed=1), population(seed=2)
    assert torch.equal(first.initial, again.initial)
    assert not torch.equal(first.initial, other.initial)
    assert all(np.array_equal(a, b) for a, b in zip(first.parts, again.parts, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first.parts, other.parts, strict=True))


def test_the_model_does_not_depend_on_the_partition_nor_the_partition_on_the_model() -> None:
    iid = task(SMALL_MLP).prepare(clients=6, seed=3)
    skewed = task(SMALL_MLP, Dirichlet(alpha=0.3)).prepare(clients=6, seed=3)
    wide = task(MLP(hidden=(9,))).prepare(clients=6, seed=3)
    assert torch.equal(iid.initial, skewed.initial)
    assert all(np.array_equal(a, b) for a, b in zip(iid.parts, wide.parts, strict=True))


def test_samples_are_those_of_the_data_set_and_nobody_may_write_to_them() -> None:
    made = population()
    assert made.classes == 3
    assert made.clients == 6
    np.testing.assert_array_equal(made.features, made.dataset.train_x)
    np.testing.assert_array_equal(made.labels, made.dataset.train_y)
    np.testing.assert_array_equal(made.test_features, made.dataset.test_x)
    assert made.chance == pytest.approx(10 / 30)
    assert not made.initial.requires_grad
    assert not any(parameter.requires_grad for parameter in made.module.parameters())


def test_draws_come_from_the_clients_own_samples_and_reach_all_of_them() -> None:
    made = task(partition=Dirichlet(alpha=0.2)).prepare(clients=6, seed=0)
    drawn = made.draw(np.random.default_rng(0), 3_000)
    assert drawn.shape == (6, 3_000)
    assert len({len(part) for part in made.parts}) > 1
    for row, part in zip(drawn, made.parts, strict=True):
        assert set(row.tolist()) == set(part.tolist())
        counts = np.array([(row == sample).sum() for sample in part])
        expected = 3_000 / len(part)
        assert ((counts - expected) ** 2 / expected).sum() < len(part) + 6 * np.sqrt(2 * len(part))


def test_draws_of_a_client_with_one_sample() -> None:
    made = population(clients=90)
    assert {len(part) for part in made.parts} == {1}
    drawn = made.draw(np.random.default_rng(0), 5)
    np.testing.assert_array_equal(drawn, np.repeat(np.concatenate(made.parts)[:, None], 5, axis=1))


def test_a_subset_knows_nothing_of_the_rest() -> None:
    whole = population(seed=1)
    chosen = np.random.default_rng(0).random(len(whole.labels)) < 0.5
    chosen[whole.parts[2]] = False  # one client has nothing left
    half = whole.subset(chosen)
    assert torch.equal(half.initial, whole.initial)
    assert torch.equal(half.test_features, whole.test_features)
    np.testing.assert_array_equal(half.features, whole.features[torch.as_tensor(chosen)])
    np.testing.assert_array_equal(half.labels, half.dataset.train_y)
    np.testing.assert_array_equal(half.features, half.dataset.train_x)
    for own, all_of_it in zip(half.parts, whole.parts, strict=True):
        np.testing.assert_array_equal(half.features[own], whole.features[all_of_it[chosen[all_of_it]]])
    assert not len(half.parts[2])
    drawn = half.draw(np.random.default_rng(0), 200)
    for client in (0, 1, 3, 4, 5):
        assert set(drawn[client].tolist()) == set(half.parts[client].tolist())
    assert len(whole.labels) == len(chosen)  # the population itself has not changed
    with pytest.raises(DataError, match="not be empty"):
        whole.subset(np.zeros(len(chosen), dtype=bool))
