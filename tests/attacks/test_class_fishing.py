"""A server that makes all layers but the last learn from one class: what it gets, and what stops it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import ClassFishing, ExactBatches, InvertingGradients
from robustfl.errors import KnowledgeError
from robustfl.federation.spying.matching import matched
from robustfl.threats import Capability
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.view import PrivacyFacts
from tests.attacks.test_active_server import asked, population, watched
from tests.threats.privacy.seen import Scene, scene

QUICK = {"iterations": 30, "restarts": 1}


def fishing(attack: ClassFishing, given: Scene) -> tuple[PrivacyFacts, Tensor]:
    """What an active server sees of one client with these samples, and the model that it has sent."""
    facts, client = given.facts, replace(given.facts.sightings[0], message=None)
    facts = replace(facts, observer="active", sightings=[client], labels=None)
    sent = attack.model(attack.view(facts), 0)
    message = facts.network.gradients(sent[None], given.features[:1], given.labels[:1])[0]
    return replace(facts, sightings=[replace(client, model=sent, message=message)]), sent


def caught(attack: ClassFishing, given: Scene) -> Reconstruction:
    found = attack.spy(fishing(attack, given)[0])
    assert isinstance(found, Reconstruction)
    return found


def before_the_last(network: Network, flat: Tensor) -> Tensor:
    assert network.last is not None
    return flat[..., : network.last.weight.start]


@pytest.mark.parametrize("model", ["mlp(hidden=(24,))", "mlp(hidden=(16, 8))", "cnn"])
def test_all_layers_but_the_last_learn_from_one_class_alone(model: str) -> None:
    given = scene(model=model, batch=16, victims=1)
    fished = int(given.labels[0, 0])
    facts, sent = fishing(ClassFishing(fished=fished), given)
    network, own = facts.network, given.labels[0] == fished
    seen = before_the_last(network, facts.sightings[0].message)  # type: ignore[arg-type]
    alone = network.gradients(sent[None], given.features[:, own], given.labels[:, own])[0]
    torch.testing.assert_close(seen, before_the_last(network, alone) * own.float().mean(), atol=1e-7, rtol=1e-4)
    others = network.gradients(sent[None], given.features[:, ~own], given.labels[:, ~own])[0]
    assert int(before_the_last(network, others).count_nonzero()) == 0
    assert network.last is not None
    assert float(network.last.of(facts.sightings[0].message)[1][fished]) == pytest.approx(-float(own.float().mean()))  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [16, 64])
def test_all_samples_of_the_class_are_proven_in_a_batch_of_which_nothing_else_is(batch: int) -> None:
    given = scene(model="mlp(hidden=(64,))", batch=batch, victims=1)
    counts = given.labels[0].bincount(minlength=10)
    fished = int(torch.where(counts > 0, counts, 100).argmin())
    found = caught(ClassFishing(fished=fished, **QUICK), given)
    own = given.features[0, given.labels[0] == fished]
    assert found.certified is not None
    assert found.certified.tolist() == [len(own)]
    assert float(matched(found.features[0], own, 0.0, 1.0).psnr.min()) > 60
    honest = ExactBatches().spy(given.facts)
    assert isinstance(honest, Reconstruction)
    assert honest.certified is not None
    assert honest.certified.tolist() == [0]


def test_a_class_that_is_not_there_is_not_caught() -> None:
    given = scene(batch=8, classes=3, victims=1)
    absent = next(label for label in range(10) if label not in given.labels[0].tolist())
    found = caught(ClassFishing(fished=absent, **QUICK), given)
    assert [len(part) for part in found.features] == [0]


def test_convolutions_are_searched_through() -> None:
    given = scene(model="cnn", batch=16, victims=1)
    counts = given.labels[0].bincount(minlength=10)
    fished = int((counts == 1).nonzero()[0])
    found = caught(ClassFishing(fished=fished, iterations=150, restarts=1), given)
    own = given.features[0, given.labels[0] == fished]
    assert found.certified is not None
    assert found.certified.tolist() == [0], "a search proves nothing"
    fish = float(matched(found.features[0], own, 0.0, 1.0).psnr[0])
    honest = InvertingGradients(iterations=60, restarts=1, labels="given").spy(given.facts)
    assert isinstance(honest, Reconstruction)
    assert fish > 25
    assert fish > float(matched(honest.features[0], own, 0.0, 1.0).psnr[0]) + 8


def test_a_secure_sum_gives_the_fished_samples_of_one_client_away() -> None:
    rules = {"batch_size": 16, "model": "mlp(hidden=(64,))"}
    alone = watched(ClassFishing(**QUICK), "active", **rules).more
    assert alone["self_consistency"] < 1e-6
    assert alone["identified"] == alone["certified"] > 0.05
    assert alone["wrongly_certified"] == 0.0
    for more in ({}, {"client_momentum": 0.9}):
        summed = watched(ClassFishing(summed=True, **QUICK), "active", **rules, **more).more
        assert summed["identified"] == pytest.approx(alone["identified"])
        assert summed["wrongly_certified"] == 0.0


def test_clients_that_compare_their_models_notice_silent_ones_and_not_equal_ones() -> None:
    checked = "consistency_check >> mean"
    silent = watched(ClassFishing(summed=True, **QUICK), "active", defense=checked).more
    assert (silent["identified"], silent["psnr"], silent["reconstructed_20"]) == (0, 0, 0)
    for attack in (ClassFishing(**QUICK), ClassFishing(summed=True, others="alike", **QUICK)):
        seen, unseen = (watched(attack, "active", defense=defense).more for defense in (checked, "mean"))
        assert seen["identified"] == unseen["identified"]
    assert unseen["identified"] > 0.02, "the samples of one class, among those of 15 clients"


def test_the_silent_clients_send_nothing_but_a_last_layer() -> None:
    facts, world, attack = asked(24), population("mlp(hidden=(24,))"), ClassFishing(summed=True)
    view = attack.view(facts)
    silent, victim = attack.model(view, 5), attack.model(view, 0)
    rows = torch.as_tensor(world.draw(np.random.default_rng(0), 8))[0]
    for model, learns in ((silent, False), (victim, True)):
        labels = torch.zeros_like(world.labels[rows])  # client 0 is fished for class 0
        message = facts.network.gradients(model[None], world.features[rows][None], labels[None])[0]
        assert bool(before_the_last(facts.network, message).any()) == learns
    alike = ClassFishing(summed=True, others="alike")
    assert torch.equal(alike.model(alike.view(facts), 5), alike.model(alike.view(facts), 0))


@pytest.mark.parametrize(
    ("model", "fished", "reason"),
    [("softmax", None, "the first layer of the model is its last"), ("cnn", 10, "there is no class 10 among 10")],
)
def test_what_does_not_apply_is_said(model: str, fished: int | None, reason: str) -> None:
    told = watched(ClassFishing(fished=fished), "active", model=model).more
    assert "identified" not in told
    assert reason in told["privacy_unfit"][0]


@pytest.mark.parametrize("attack", [ClassFishing(**QUICK), ClassFishing(summed=True, **QUICK)], ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e38, 0.0])
def test_messages_that_make_no_sense_do_not_stop_it(attack: ClassFishing, bad: float) -> None:
    facts, sent = fishing(attack, scene(batch=4, victims=1))
    seen = [replace(facts.sightings[0], message=torch.full_like(sent, bad))]
    found = attack.spy(replace(facts, sightings=seen))
    assert isinstance(found, Reconstruction)
    assert all(bool(part.isfinite().all()) for part in found.features)
    assert bool(bad == -1e38) or [len(part) for part in found.features] == [0]


def test_it_sees_no_more_than_it_declares() -> None:
    assert "watches as active" in str(ClassFishing().refusal("server"))
    assert Capability.MESSAGE not in ClassFishing(summed=True).required_knowledge()
    assert Capability.SUM not in ClassFishing().required_knowledge()
    with pytest.raises(KnowledgeError, match="'aux'"):
        _ = ClassFishing().view(asked(24)).auxiliary
