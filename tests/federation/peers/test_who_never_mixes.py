"""Malicious peers who train on from their own models, whatever they get."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from robustfl.attacks import LabelFlip
from robustfl.federation.graphs import Complete, Sampled
from tests.federation.peers.networks import network, peers, played, rules


def flipped(**values: Any) -> Any:
    return network(attack=LabelFlip(), f=2, topology=Complete(), peers=values)


def test_malicious_models_are_those_of_training_alone() -> None:
    sim = flipped(malicious_mixing="never")
    start, kept = sim.setup.population.initial, played(sim)
    who = torch.as_tensor(sim.setup.malicious)
    before = start.repeat(len(who), 1)
    for round, models in zip(kept.rounds, kept.models, strict=True):
        assert round.models is not None
        assert round.lesson is not None
        trained_from = round.models[torch.as_tensor(round.lesson.place)][: len(who)]
        torch.testing.assert_close(trained_from, before, rtol=0, atol=0)
        assert round.own is not None
        torch.testing.assert_close(models[who], round.own, rtol=0, atol=0)
        before = models[who]
    assert torch.cdist(before, before)[0, 1] > 0, "they do not share their models either"


def test_usually_they_average_what_they_get() -> None:
    sim = flipped()
    who = torch.as_tensor(sim.setup.malicious)
    models = played(sim).models[-1][who]
    torch.testing.assert_close(models[0], models[1])
    alone = played(flipped(malicious_mixing="never")).models[-1][who]
    honest = torch.as_tensor(sim.setup.honest)
    center = peers(sim).own[honest].mean(dim=0)
    assert (alone - center).norm(dim=1).min() > (models - center).norm(dim=1).max(), "and stay nearer to all others"


def test_honest_peers_mix_as_ever() -> None:
    first = [played(flipped(malicious_mixing=how)).models[0] for how in ("average", "never")]
    honest = torch.as_tensor(flipped().setup.honest)
    torch.testing.assert_close(first[0][honest], first[1][honest], rtol=0, atol=0)


def test_samples_of_peers_train_one_model_and_have_no_such_setting() -> None:
    with pytest.raises(ValidationError, match=r"peers\.malicious_mixing belongs to networks of neighbours"):
        rules(topology=Sampled(size=4), peers={"malicious_mixing": "never"})
