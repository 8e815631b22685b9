"""Updates of several local steps, explained at a model on the line from the one sent to the one that came back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustfl.attacks import GradInversion, InvertingGradients, SurrogateModel
from robustfl.errors import KnowledgeError, ParameterError
from robustfl.evaluation.run.executors import one_thread
from robustfl.threats import Capability, PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.inversion import Search, Target, cosine_distance, inverted_along
from robustfl.threats.privacy.network import Network
from tests.threats.privacy.seen import Scene, scene

BUDGET = {"iterations": 150, "restarts": 2}


def reconstructed(attack: PrivacyAttack, given: Scene) -> Reconstruction:
    found = attack.spy(replace(given.facts, rng=np.random.default_rng(0)))
    assert isinstance(found, Reconstruction)
    return found


def explained_at(share: float, *, steps: int, rate: float) -> tuple[Scene, Target]:
    """Clients whose update is, to the last digits, the gradient of their samples at the model of this share."""
    given = scene(batch=2, victims=3)
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 24), torch.nn.Tanh(), torch.nn.Linear(24, 10)]
    network = Network(torch.nn.Sequential(*layers).requires_grad_(False), (1, 8, 8), 10)
    sent = 0.2 * torch.randn(3, network.d, generator=torch.Generator().manual_seed(0))
    message = network.gradients(sent, given.features, given.labels)
    for _ in range(200):  # an implicit step: the gradient at a model that depends on where the gradient leads
        received = sent - steps * rate * message
        there = network.gradients(received.lerp(sent, share), given.features, given.labels)
        message = message.lerp(there, 0.3)
    seen = [
        replace(one, model=model, message=row)
        for one, model, row in zip(given.facts.sightings, sent, message, strict=True)
    ]
    about = replace(given.facts.circumstances, steps=steps, learning_rate=rate)
    facts = replace(
        given.facts, sightings=seen, circumstances=about, network=network, labels=given.labels.repeat(1, steps)
    )
    target = Target(
        network=network,
        models=sent,
        gradients=message,
        labels=given.labels[:, None],
        rate=rate,
        low=0.0,
        high=1.0,
        received=sent - steps * rate * message,
    )
    return replace(given, facts=facts), target


def test_an_update_that_is_the_gradient_at_a_model_between_is_explained_there() -> None:
    share = 0.35
    given, target = explained_at(share, steps=5, rate=0.1)
    true = target.between(torch.full((3,), share)).explained(given.features[:, None]).detach()
    assert float(cosine_distance(true, target.gradients).max()) < 1e-6
    _, losses, shares = inverted_along(target, Search(iterations=300, restarts=2), np.random.default_rng(0))
    assert float((shares - share).abs().max()) < 0.1
    assert bool((losses < 2e-3).all())
    along, one = (
        reconstructed(attack, given)
        for attack in (
            SurrogateModel(samples=2, labels="given", iterations=300, restarts=2),
            InvertingGradients(samples=2, labels="given", local="one_batch", iterations=300, restarts=2),
        )
    )
    assert np.mean(given.psnr(along)) > np.mean(given.psnr(one)) + 5
    assert along.losses is not None
    torch.testing.assert_close(along.losses, losses, atol=2e-3, rtol=0)


def test_steps_with_the_same_samples_are_explained_better_between_than_at_the_start() -> None:
    given = scene(batch=4, victims=3, steps=10, again=True)
    along, one = (
        reconstructed(attack, given)
        for attack in (
            SurrogateModel(samples=4, labels="given", **BUDGET),
            InvertingGradients(samples=4, labels="given", local="one_batch", **BUDGET),
        )
    )
    assert np.mean(given.psnr(along)) > np.mean(given.psnr(one)) + 1.5
    assert along.losses is not None
    assert one.losses is not None
    assert bool((along.losses < one.losses / 1.5).all())


def test_steps_with_samples_of_their_own_are_not() -> None:
    """At a model between all samples are half learnt, while each of them taught when it was new."""
    given = scene(batch=1, victims=3, steps=2, rate=0.5)
    along, one = (
        reconstructed(attack, given)
        for attack in (
            SurrogateModel(labels="given", **BUDGET),
            InvertingGradients(labels="given", local="one_batch", **BUDGET),
        )
    )
    assert np.mean(given.psnr(along)) < np.mean(given.psnr(one))


def test_one_local_step_was_made_at_the_model_that_was_sent() -> None:
    given = scene(batch=2)
    with one_thread():
        along, one = (
            reconstructed(attack(iterations=20, restarts=2), given) for attack in (SurrogateModel, InvertingGradients)
        )
    assert all(torch.equal(*pair) for pair in zip(along.features, one.features, strict=True))


def test_nothing_is_found_in_noise() -> None:
    given = scene(batch=1, victims=4, steps=5, again=True, noise=10.0)
    assert np.mean(given.psnr(reconstructed(SurrogateModel(samples=1, labels="given", **BUDGET), given))) < 12


def test_labels_are_counted_for_as_many_samples_as_there_are_said_to_be() -> None:
    given = scene(batch=4, steps=3, again=True)
    for attack in (SurrogateModel(samples=4, labels="given"), SurrogateModel(samples=4)):
        target = attack.target(attack.view(given.facts))
        assert target.labels.shape == (2, 1, 4)
        if attack.labels == "given":
            assert torch.equal(target.labels[:, 0], given.labels.sort(dim=1).values)
    assert SurrogateModel().target(SurrogateModel().view(given.facts)).labels.shape == (2, 1, 12)


@pytest.mark.parametrize("attack", [InvertingGradients, GradInversion], ids=lambda attack: attack.__name__)
def test_steps_that_are_unrolled_share_no_samples(attack: type[InvertingGradients] | type[GradInversion]) -> None:
    with pytest.raises(ParameterError, match="`samples` is for local='one_batch'"):
        attack(samples=3)
    assert attack(samples=3, local="one_batch").samples == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38, 0.0])
def test_updates_that_make_no_sense_do_not_stop_it(bad: float) -> None:
    given = scene(batch=1, steps=3)
    seen = [replace(one, message=torch.full_like(one.model, bad)) for one in given.facts.sightings]
    found = reconstructed(
        SurrogateModel(iterations=3, restarts=2), replace(given, facts=replace(given.facts, sightings=seen))
    )
    assert all(bool(((part >= 0) & (part <= 1)).all()) for part in found.features)


def test_it_sees_no_more_than_it_declares() -> None:
    attack = SurrogateModel()
    assert attack.refusal("sum") is None
    assert "watches as" in str(attack.refusal("public"))
    assert Capability.LABELS not in attack.required_knowledge()
    with pytest.raises(KnowledgeError, match="'aux'"):
        _ = attack.view(scene().facts).auxiliary
    with pytest.raises(KnowledgeError, match="'labels'"):
        _ = attack.view(scene().facts).labels
