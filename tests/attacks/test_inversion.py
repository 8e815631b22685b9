"""Attacks that reconstruct samples from messages: what they find in real digits, and where they say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustfl.attacks import DLG, IDLG, Analytic, GradInversion, InvertingGradients, LabelCounts, RowRatios
from robustfl.errors import KnowledgeError
from robustfl.federation.spying.matching import matched
from robustfl.threats import Capability, PrivacyAttack
from robustfl.threats.privacy.findings import Labels, Reconstruction
from robustfl.threats.privacy.inversion import (
    Search,
    cosine_distance,
    inverted,
    lbfgs,
    pruned_distance,
    quantised_distance,
    total_variation,
)
from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.view import Circumstances, Sighting
from tests.threats.privacy.seen import Scene, scene, trained

CNN = "cnn"


def reconstructed(attack: PrivacyAttack, given: Scene) -> Reconstruction:
    found = attack.spy(given.facts)
    assert isinstance(found, Reconstruction)
    return found


@pytest.mark.parametrize("model", ["mlp(hidden=(24,))", "mlp(hidden=(16, 8))", "softmax"])
def test_one_sample_is_a_quotient_of_gradients(model: str) -> None:
    given = scene(model=model, victims=6)
    found = torch.stack([part[0] for part in reconstructed(Analytic(), given).features])
    assert (found - given.features[:, 0]).abs().max() < 1e-5


def test_least_squares_over_all_rows_beats_the_largest_row_under_noise() -> None:
    given = scene(victims=30, noise=0.01)
    all_rows = given.psnr(reconstructed(Analytic(), given))
    first = given.facts.network.first
    assert first is not None
    weight, bias = first.of(given.messages)
    place, rows = bias.abs().argmax(dim=1), torch.arange(len(bias))
    one = (weight[rows, place] / bias[rows, place, None]).reshape(-1, 1, 1, 8, 8)
    one_row = given.psnr(Reconstruction(features=list(one)))
    gain = np.median(all_rows) - np.median(one_row)
    assert 3 < gain < 12
    assert 50 < np.median(all_rows) < 68


def test_without_a_gradient_nothing_is_handed_in() -> None:
    given = scene()
    silent = [replace(seen, message=torch.zeros_like(seen.model)) for seen in given.facts.sightings]
    for attack in (Analytic(), RowRatios()):
        found = reconstructed(attack, replace(given, facts=replace(given.facts, sightings=silent)))
        assert [len(part) for part in found.features] == [0, 0]


def test_ratios_of_rows_find_some_samples_of_a_batch_and_more_with_more_rows() -> None:
    shares = {}
    for model in ("mlp(hidden=(24,))", "mlp(hidden=(256,))"):
        given = scene(model=model, batch=8, victims=6)
        for oracle in (False, True):
            found = reconstructed(RowRatios(oracle=oracle), given)
            assert oracle or all(len(part) <= 8 for part in found.features)
            assert found.oracle_rows == oracle
            pairs = [matched(got, true, 0.0, 1.0) for got, true in zip(found.features, given.features, strict=True)]
            shares[model, oracle] = np.mean([pair.share(20.0) for pair in pairs])
    assert 0.02 < shares["mlp(hidden=(24,))", True] < 0.4
    assert shares["mlp(hidden=(256,))", True] > 0.5
    assert all(shares[model, False] <= shares[model, True] for model, _ in shares)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_search_finds_single_samples_and_pairs(batch: int) -> None:
    given = scene(batch=batch, victims=3)
    found = reconstructed(InvertingGradients(iterations=250, restarts=2), given)
    assert np.mean(given.psnr(found)) > 30
    assert found.losses is not None
    assert bool((found.losses < 1e-3).all())


def test_a_search_in_one_computation_is_a_search_for_each() -> None:
    given = scene(victims=2)
    attack = InvertingGradients(iterations=20, restarts=2)
    view = attack.view(given.facts)
    target, search = attack.target(view), Search(iterations=20, restarts=2)
    together, _ = inverted(target, search, np.random.default_rng(3))
    alone, _ = inverted(target.rows(torch.tensor([0])), search, np.random.default_rng(3))
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=0)


def test_local_steps_are_unrolled() -> None:
    given = scene(victims=3, steps=2)
    psnr = {}
    for local in ("unrolled", "one_batch"):
        found = reconstructed(InvertingGradients(iterations=200, restarts=2, labels="given", local=local), given)
        psnr[local] = np.mean(given.psnr(found))
    assert psnr["unrolled"] > psnr["one_batch"] + 5


def test_searches_that_agree_find_a_single_sample() -> None:
    given = scene(victims=2)
    found = reconstructed(GradInversion(iterations=250, restarts=3), given)
    assert np.mean(given.psnr(found)) > 25


def test_the_best_restart_is_chosen_without_the_weight_for_smoothness() -> None:
    given = scene(victims=1)
    rough, smooth = (
        reconstructed(InvertingGradients(iterations=120, restarts=2, smoothness=weight), given) for weight in (0.0, 1.0)
    )
    assert total_variation(smooth.features[0]) < total_variation(rough.features[0])
    assert rough.losses is not None
    assert smooth.losses is not None
    assert rough.losses[0] < smooth.losses[0]


def sigmoid_scene(victims: int) -> Scene:
    """Single images of which a small smooth convolutional network with weights from -.5 to .5 has learnt."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.Sigmoid(),
        torch.nn.Conv2d(8, 8, 3, stride=2, padding=1),
        torch.nn.Sigmoid(),
        torch.nn.Flatten(),
        torch.nn.Linear(128, 10),
    ).requires_grad_(False)
    network = Network(layers, (1, 8, 8), 10)
    plain = scene(victims=victims)
    rng = torch.Generator().manual_seed(1)
    models = torch.rand(victims, network.d, generator=rng) - 0.5
    messages = network.gradients(models, plain.features, plain.labels)
    seen = [
        Sighting(round=0, client=place, senders=(place,), model=model, message=message)
        for place, (model, message) in enumerate(zip(models, messages, strict=True))
    ]
    return Scene(
        facts=replace(plain.facts, sightings=seen, network=network), features=plain.features, labels=plain.labels
    )


def test_leakage_of_a_smooth_network_is_nearly_exact() -> None:
    given = sigmoid_scene(2)
    found = reconstructed(IDLG(iterations=60, restarts=2), given)
    assert min(given.psnr(found)) > 30


@pytest.mark.nightly
def test_leakage_of_a_smooth_network_is_exact_with_patience() -> None:
    given = sigmoid_scene(5)
    assert min(given.psnr(reconstructed(IDLG(iterations=300, restarts=2), given))) > 60
    searched = reconstructed(DLG(iterations=300, restarts=4), given)
    assert np.median(given.psnr(searched)) > 40


def test_minimising_many_rows_stops_at_each_minimum() -> None:
    rows = torch.tensor([[-1.2, 1.0], [2.0, 2.0], [float("nan"), 0.0]])

    def valley(x: torch.Tensor) -> torch.Tensor:
        return (1 - x[:, 0]).square() + 100 * (x[:, 1] - x[:, 0].square()).square()

    found, values = lbfgs(valley, rows, iterations=200)
    assert values[:2].max() < 1e-6
    torch.testing.assert_close(found[:2], torch.ones(2, 2), atol=1e-2, rtol=0)
    assert not bool(values[2].isfinite())


def test_a_zero_of_a_pruned_message_says_that_the_entry_is_small() -> None:
    seen = torch.tensor([[1.0, -2.0, 0.0, 0.0]])
    within, beyond = torch.tensor([[1.0, -2.0, 0.9, -1.0]]), torch.tensor([[1.0, -2.0, 1.5, 0.0]])
    assert pruned_distance(within, seen).item() == pytest.approx(0.0, abs=1e-6)
    assert pruned_distance(beyond, seen).item() == pytest.approx(0.25 / 5)
    assert cosine_distance(within, seen).item() > 0.1


def test_a_quantised_message_is_compared_after_the_same_rounding() -> None:
    seen = torch.tensor([[1.0, 0.0, -1.0, 0.0]])
    found = torch.tensor([[0.8, 0.3, -0.7, -0.4]], requires_grad=True)
    distance = quantised_distance(found, seen)
    assert distance.item() == pytest.approx(0.0, abs=1e-6)
    other = torch.tensor([[0.8, 0.7, -0.7, -0.4]], requires_grad=True)
    distance = quantised_distance(other, seen)
    assert distance.item() > 0.1
    (slope,) = torch.autograd.grad(distance.sum(), other)
    assert slope[0, 1] > 0  # the rounding is flat, and yet the search is told to make this entry smaller


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38, 0.0])
@pytest.mark.parametrize(
    "attack",
    [
        Analytic(),
        RowRatios(),
        InvertingGradients(iterations=3, restarts=1),
        InvertingGradients(iterations=3, restarts=1, adapts="pruning"),
        InvertingGradients(iterations=3, restarts=1, adapts="quantisation"),
        GradInversion(iterations=3, restarts=2),
        DLG(iterations=3, restarts=1),
        IDLG(iterations=3, restarts=1),
        *(LabelCounts(method=method) for method in ("uniform", "greedy", "features", "auxiliary")),
    ],
    ids=str,
)
def test_messages_that_make_no_sense_do_not_stop_an_attack(attack: PrivacyAttack, bad: float) -> None:
    given = scene(batch=2)
    seen = [replace(one, message=torch.full_like(one.model, bad)) for one in given.facts.sightings]
    found = attack.spy(replace(given.facts, sightings=seen))
    if isinstance(found, Labels):
        assert found.counts.sum(dim=1).tolist() == [2, 2]
    else:
        assert isinstance(found, Reconstruction)
        assert all(bool(((part >= 0) & (part <= 1)).all()) for part in found.features if bool(part.isfinite().all()))


def test_true_labels_are_handed_out_to_attacks_that_declare_them() -> None:
    told = InvertingGradients(labels="given")
    assert Capability.LABELS in told.required_knowledge()
    assert Capability.LABELS not in InvertingGradients().required_knowledge()
    assert Capability.AUX in InvertingGradients(labels="auxiliary").required_knowledge()
    with pytest.raises(KnowledgeError, match="'labels'"):
        _ = InvertingGradients().view(scene().facts).labels


def test_what_an_attack_cannot_say_anything_about_is_told() -> None:
    image = Network(torch.nn.Sequential(torch.nn.Conv2d(1, 10, 8), torch.nn.Flatten()), (1, 8, 8), 10)
    about = Circumstances(shape=(1, 8, 8), classes=10)
    for attack in (Analytic(), RowRatios(), LabelCounts(), InvertingGradients(), IDLG()):
        assert "is not linear with a bias" in str(attack.not_applicable(about, image))
    assert InvertingGradients(labels="given").not_applicable(about, image) is None
    assert DLG().not_applicable(about, image) is None


@pytest.mark.slow
def test_a_search_finds_a_single_sample_as_was_measured() -> None:
    given = scene(batch=1, victims=6)
    found = np.mean(given.psnr(reconstructed(InvertingGradients(labels="given"), given)))
    assert found == pytest.approx(51.9, abs=10)


@pytest.mark.nightly
def test_searches_find_what_was_measured() -> None:
    """Mean PSNR and the share above 20 dB, of six perceptrons and three convolutional networks."""
    expected = {1: 51.9, 2: 50.7, 4: 40.7, 8: 32.4}
    attack = InvertingGradients(labels="given")
    found = {batch: scene(batch=batch, victims=6) for batch in expected}
    psnr = {batch: np.mean(given.psnr(reconstructed(attack, given))) for batch, given in found.items()}
    assert all(psnr[batch] == pytest.approx(value, abs=10) for batch, value in expected.items())
    assert psnr[8] < psnr[1] - 10
    late = scene(batch=8, victims=6, weights=trained())
    assert np.mean(late.psnr(reconstructed(attack, late))) < 25
    image = scene(model=CNN, victims=3)
    assert np.mean(image.psnr(reconstructed(InvertingGradients(iterations=400), image))) > 30


@pytest.mark.slow
def test_noise_as_long_as_the_gradient_blunts_a_search() -> None:
    given = scene(victims=6, noise=1.0)
    attack = InvertingGradients(labels="given", smoothness=1e-2, restarts=2)
    assert np.mean(given.psnr(reconstructed(attack, given))) == pytest.approx(20.4, abs=5)


@pytest.mark.nightly
def test_what_blunts_a_search() -> None:
    attack = InvertingGradients(labels="given", smoothness=1e-2, restarts=2)
    means = {}
    for noise in (0.1, 1.0, 3.0):
        given = scene(victims=6, noise=noise)
        means[noise] = np.mean(given.psnr(reconstructed(attack, given)))
    assert means[0.1] == pytest.approx(33, abs=6)
    assert means[1.0] == pytest.approx(20.4, abs=5)
    assert means[3.0] == pytest.approx(12.5, abs=5)
    pruned = scene(victims=6, pruned=0.9)
    plain = InvertingGradients(labels="given", restarts=2)
    adaptive = InvertingGradients(labels="given", restarts=2, adapts="pruning")
    aware, unaware = (np.mean(pruned.psnr(reconstructed(attack, pruned))) for attack in (adaptive, plain))
    assert aware > unaware - 1
