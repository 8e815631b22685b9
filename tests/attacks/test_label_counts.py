"""Labels are read off the last layer: exactly where that is possible, and better than by chance elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from robustfl.attacks import LabelCounts
from robustfl.threats.privacy.findings import Labels
from robustfl.threats.privacy.labels import counted, greedy_counts, known_labels, present, solved_shares
from tests.threats.privacy.seen import Scene, digits, network_of, scene, trained

Method = Literal["uniform", "greedy", "features", "auxiliary"]


def accuracy(method: Method, given: Scene) -> float:
    found = LabelCounts(method=method).spy(given.facts)
    assert isinstance(found, Labels)
    true = torch.stack([torch.bincount(labels, minlength=10) for labels in given.labels])
    return float(1 - (found.counts - true).abs().sum(dim=1).double().mean() / (2 * given.labels.shape[1]))


@pytest.mark.parametrize("method", ["uniform", "features", "auxiliary"])
def test_labels_of_a_fresh_model_are_exact(method: Method) -> None:
    population, network = digits(), network_of()
    wanted = [0, 0, 3, 3, 3, 7, 9, 9]
    held = population.labels.numpy()
    rows = torch.as_tensor([int(np.flatnonzero(held == label)[place]) for place, label in enumerate(wanted)])
    x, y = population.features[None, rows], population.labels[None, rows]
    message = network.gradients(population.initial[None], x, y)[0]
    given = scene(batch=8, victims=1)
    seen = replace(given.facts.sightings[0], message=message)
    found = LabelCounts(method=method).spy(replace(given.facts, sightings=[seen]))
    assert isinstance(found, Labels)
    assert found.counts[0].tolist() == [2, 0, 0, 3, 0, 0, 0, 1, 0, 2]


def test_the_greedy_rule_sums_to_the_number_of_samples_and_takes_negative_classes_first() -> None:
    bias = torch.tensor([[-0.3, 0.1, -0.1, 0.3], [0.1, 0.2, 0.3, -0.6]])
    assert greedy_counts(bias, 4).tolist() == [[3, 0, 1, 0], [0, 0, 0, 4]]
    assert greedy_counts(bias, 1).sum(dim=1).tolist() == [1, 1]


def test_public_samples_help_in_a_training_that_has_begun() -> None:
    given = scene(batch=32, victims=12, classes=4, weights=trained(steps=60))
    told = {method: accuracy(method, given) for method in ("uniform", "features", "auxiliary")}
    assert told["auxiliary"] > told["uniform"] + 0.05
    assert told["features"] > told["uniform"] - 0.05


def test_one_label_is_the_class_whose_gradient_is_negative() -> None:
    for weights in (None, trained(steps=60)):
        assert accuracy("features", scene(victims=20, weights=weights)) > 0.9


def test_labels_of_known_samples_are_exact_however_long_was_trained() -> None:
    given = scene(batch=12, victims=3, weights=trained(steps=60))
    found = known_labels(
        given.facts.network, torch.stack([s.model for s in given.facts.sightings]), given.messages, given.features
    )
    assert torch.equal(found, given.labels)


def test_a_negative_gradient_is_a_class_that_occurs() -> None:
    given = scene(batch=8, victims=20, weights=trained(steps=60))
    last = given.facts.network.last
    assert last is not None
    sure = present(last.of(given.messages)[1])
    true = torch.stack([torch.bincount(labels, minlength=10) > 0 for labels in given.labels])
    assert not bool((sure & ~true).any())
    assert (sure & true).sum() > 0.6 * true.sum()


def test_shares_solve_the_system_without_negative_parts() -> None:
    matrix = torch.tensor([[[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]]], dtype=torch.float64)
    share = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    found = solved_shares((matrix[0].T @ share - share)[None], matrix)
    torch.testing.assert_close(found, share[None])
    assert solved_shares(torch.full((1, 3), torch.nan), matrix).tolist() == [[1 / 3] * 3]


def test_whole_numbers_sum_to_what_is_asked() -> None:
    assert counted(torch.tensor([[0.34, 0.33, 0.33], [-1.0, 2.0, 0.0]]), 10).tolist() == [[4, 3, 3], [0, 10, 0]]
    assert counted(torch.tensor([[torch.inf, torch.nan, 1.0]]), 3).tolist() == [[0, 0, 3]]
