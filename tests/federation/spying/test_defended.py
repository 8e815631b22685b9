"""What is left of the inversion of single samples when clients defend themselves, and what who knows it compares."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.aggregation import ClientSide
from robustfl.attacks import Analytic, InvertingGradients
from robustfl.defenses import GradientNoise, GradientPruning, GradientQuantisation, Mean, Soteria
from robustfl.federation import Task
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import MLP, Model, Precode
from robustfl.federation.task import Population
from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
from tests.federation.worlds import Kept, simulation


@cache
def world(model: Model | None = None) -> Population:
    chosen = model or MLP(hidden=(24,))
    return Task(data=Digits(), model=chosen, partition=IID()).prepare(clients=6, seed=0)


def gradients(victims: int) -> Tensor:
    """The gradients [victims, d] of single samples at the untrained model."""
    made = world()
    network = Network(made.module, (1, 8, 8), made.classes)
    x, y = made.features[:victims, None], made.labels[:victims, None]
    return network.gradients(made.initial.expand(victims, -1), x, y)


def sent(stage: ClientSide | None, given: Tensor) -> Tensor:
    rngs = [np.random.default_rng([5, i]) for i in range(len(given))]
    return given if stage is None else stage.message(given, world().shapes, rngs)


def psnr(
    attack: InvertingGradients | Analytic, messages: Tensor, x: Tensor, made: Population | None = None
) -> list[float]:
    """The PSNR in dB of what an attack finds behind each of the messages [k, d], for the true samples [k, 1, 8, 8]."""
    made = made or world()
    seen = [
        Sighting(round=0, client=i, senders=(i,), model=made.initial, message=message)
        for i, message in enumerate(messages)
    ]
    about = Circumstances(shape=(1, 8, 8), classes=made.classes)
    network = Network(made.module, (1, 8, 8), made.classes)
    found = attack.spy(PrivacyFacts(observer="server", sightings=seen, circumstances=about, network=network))
    errors = [float((guess[0] - true).square().mean()) for guess, true in zip(found.features, x, strict=True)]
    return [min(100.0, -10 * np.log10(max(error, 1e-10))) for error in errors]


def measured(stages: list[ClientSide | None], victims: int, attack: InvertingGradients) -> dict[str, list[float]]:
    """The PSNR of every victim under every defense; all searches share one computation."""
    plain = gradients(victims)
    messages = torch.cat([sent(stage, plain) for stage in stages])
    found = psnr(attack, messages, world().features[:victims].repeat(len(stages), 1, 1, 1))
    return {repr(stage): found[i * victims : (i + 1) * victims] for i, stage in enumerate(stages)}


def test_noise_three_times_as_long_as_the_gradient_leaves_nothing_and_none_of_it_leaves_all() -> None:
    stages = [None, GradientNoise(ratio=3.0), GradientPruning(share=0.99)]
    found = measured(stages, 3, InvertingGradients(iterations=120, restarts=1))
    assert np.mean(found["None"]) > 30
    assert max(found[repr(stages[1])]) < 20, "no sample reaches the threshold"
    assert np.mean(found[repr(stages[1])]) == pytest.approx(12.5, abs=5)
    assert np.mean(found[repr(stages[2])]) == pytest.approx(10.0, abs=5)


LEVELS: dict[ClientSide, float] = {
    GradientNoise(ratio=0.5): 25.5,
    GradientNoise(ratio=1.0): 20.4,
    GradientNoise(ratio=3.0): 12.5,
    GradientNoise(ratio=10.0): 8.0,
    GradientPruning(share=0.9, scope="message"): 19.0,
    GradientPruning(share=0.97, scope="message"): 12.0,
    GradientPruning(share=0.99, scope="message"): 10.0,
    GradientQuantisation(bits=4, scope="message"): 20.0,
    GradientQuantisation(bits=2, scope="message"): 8.0,
    GradientQuantisation(bits=1): 10.0,
}
"""Mean decibels that each defense leaves of a single sample, of an untrained perceptron with 24 neurons."""


def beyond_levels(stages: list[ClientSide]) -> dict[str, float]:
    """The defenses that leave something farther than 6 dB from what is expected."""
    found = measured([*stages], 6, InvertingGradients(iterations=400, restarts=2))
    apart = {str(stage): float(np.mean(found[repr(stage)])) - LEVELS[stage] for stage in stages}
    return {name: value for name, value in apart.items() if abs(value) > 6}


@pytest.mark.slow
def test_what_one_defense_of_each_kind_leaves_of_a_single_sample() -> None:
    kinds = GradientNoise(ratio=1.0), GradientPruning(share=0.9, scope="message"), GradientQuantisation(bits=1)
    assert beyond_levels([*kinds]) == {}


@pytest.mark.nightly
def test_what_each_defense_leaves_of_a_single_sample() -> None:
    attack = InvertingGradients(iterations=400, restarts=2)
    whole = measured([None, GradientQuantisation(bits=8), GradientPruning(share=0.5, scope="message")], 3, attack)
    assert min(np.mean(values) for values in whole.values()) > 40, "none of these has an effect"
    assert beyond_levels(list(LEVELS)) == {}


def test_the_first_layer_gives_the_sample_away_through_a_random_code_and_around_soteria() -> None:
    coded = Precode(hidden=(24,), code=8)
    watch = Kept()
    simulation(model=coded, world=world(coded), batch_size=1, rounds=1, observers=[watch]).run()
    round = watch.rounds[0]
    assert round.lesson is not None
    assert min(psnr(Analytic(), round.sent, round.lesson.features[:, 0, 0], world(coded))) > 60
    watch = Kept()
    simulation(Soteria(share=0.5) >> Mean(), world=world(), batch_size=1, rounds=1, observers=[watch]).run()
    round = watch.rounds[0]
    assert round.lesson is not None
    x = round.lesson.features[:, 0, 0]
    network = Network(world().module, (1, 8, 8), 10)
    for message, true in zip(round.sent, x, strict=True):
        rows, steps = network.named(message)["1.weight"], network.named(message)["1.bias"]
        guess = (steps @ rows / steps.square().sum()).reshape(8, 8)
        kept = rows.any(dim=0).reshape(8, 8)
        torch.testing.assert_close(guess[kept], true[0][kept], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("stage", [GradientPruning(share=0.9), GradientQuantisation(bits=2)], ids=repr)
def test_for_who_allows_for_the_defense_the_true_gradient_is_a_perfect_match(stage: ClientSide) -> None:
    plain = gradients(2)
    message = sent(stage, plain)
    imitated = torch.stack([stage.imitated(g, m, world().shapes) for g, m in zip(plain, message, strict=True)])
    torch.testing.assert_close(imitated, message, atol=1e-6, rtol=1e-4)
    assert float((1 - torch.nn.functional.cosine_similarity(plain, message, dim=1)).min()) > 1e-3
