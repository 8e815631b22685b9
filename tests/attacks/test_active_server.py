"""Exact batches, and servers that choose the models of clients: what is found, what stops it, and what is told."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl import registry
from robustfl.attacks import ExactBatches, Imprint, InconsistentModel
from robustfl.federation.assembly import assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.settings import Federation
from robustfl.federation.spying.matching import matched
from robustfl.federation.spying.plan import Spying
from robustfl.federation.task import Population, Task
from robustfl.federation.trace import Trace
from robustfl.threats import PrivacyAttack
from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting


@cache
def population(model: str) -> Population:
    parts = {"model": registry.build("model", model), "partition": registry.build("partition", "iid")}
    return Task(data=Digits(), **parts).prepare(clients=15, seed=0)


def watched(
    attack: PrivacyAttack, observer: str, *, model: str = "mlp(hidden=(64,))", defense: str = "mean", **rules: Any
) -> Trace:
    settings = Federation.model_validate({"clients": 15, "rounds": 3, "batch_size": 2, "evaluate_every": 3, **rules})
    spying = Spying(observer=observer, attacks=[attack], rounds=("first", "last"), targets=2)
    return assemble(population(model), settings, registry.build("defense", defense), spying=spying).run()


def asked(width: int) -> PrivacyFacts:
    """One client that the server is about to ask, with the model of the first round."""
    world = population(f"mlp(hidden=({width},))")
    return PrivacyFacts(
        observer="active",
        sightings=[Sighting(round=0, client=0, senders=(0,), model=world.initial)],
        circumstances=Circumstances(shape=(1, 8, 8), classes=10),
        network=Network(world.module, (1, 8, 8), 10),
        auxiliary=(world.test_features, world.test_labels),
    )


def imprinted(width: int, samples: int, seed: int) -> Tensor:
    """The PSNR of samples that are drawn without repetition, behind one message to an imprinting server."""
    facts, world, attack = asked(width), population(f"mlp(hidden=({width},))"), Imprint()
    model = attack.model(attack.view(facts), 0)
    places = np.random.default_rng(seed).choice(len(world.labels), samples, replace=False)
    features, labels = world.features[places], world.labels[places]
    message = facts.network.gradients(model[None], features[None], labels[None])[0]
    seen = replace(facts.sightings[0], model=model, message=message)
    found = attack.spy(replace(facts, sightings=[seen]))
    return matched(found.features[0][:samples], features, 0.0, 1.0).psnr  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("width", "samples", "victims"), [(24, 8, 30), (24, 16, 20), (64, 8, 20), (64, 64, 8), (256, 64, 6), (256, 240, 4)]
)
def test_imprints_recover_what_the_formula_says(width: int, samples: int, victims: int) -> None:
    psnr = torch.cat([imprinted(width, samples, seed) for seed in range(victims)])
    expected = (1 - 1 / width) ** (samples - 1)
    assert abs(float((psnr >= 40).double().mean()) - expected) < 0.1
    assert float((psnr >= 20).double().mean()) > expected - 0.1
    if samples == 240:  # all samples of 15 clients with batches of 16, behind secure aggregation
        assert float((psnr >= 20).double().mean()) >= 0.3


def test_all_clients_get_one_and_the_same_imprint_and_another_model_gives_another() -> None:
    facts, attack = asked(24), Imprint()
    view = attack.view(facts)
    first = attack.model(view, 0)
    assert torch.equal(attack.model(view, 1), first)
    assert torch.equal(attack.model(attack.view(facts), 0), first)
    other = replace(facts.sightings[0], model=facts.sightings[0].model + 0.01)
    assert not torch.equal(attack.model(attack.view(replace(facts, sightings=[other])), 0), first)


def test_the_imprint_also_works_in_deeper_networks_and_on_sums() -> None:
    told = watched(Imprint(), "active", model="mlp(hidden=(48,16))").more
    assert told["reconstructed_25"] > 0.7
    assert told["self_consistency"] < 1e-6
    summed = watched(Imprint(summed=True), "active", model="mlp(hidden=(256,))").more
    assert summed["reconstructed_25"] == pytest.approx((1 - 1 / 256) ** 29, abs=0.15)  # 15 clients with two samples


def test_the_sum_of_inconsistent_models_is_the_message_of_the_victim_to_the_last_bit() -> None:
    facts, world, attack = asked(64), population("mlp(hidden=(64,))"), InconsistentModel()
    view, first = attack.view(facts), facts.network.first
    assert first is not None
    models = torch.stack([world.initial if (m := attack.model(view, member)) is None else m for member in range(15)])
    drawn = torch.as_tensor(world.draw(np.random.default_rng(0), 4))
    messages = facts.network.gradients(models, world.features[drawn], world.labels[drawn])
    for total, own in zip(first.of(messages.sum(dim=0)), first.of(messages[0]), strict=True):
        assert torch.equal(total, own)


def test_one_client_is_singled_out_of_a_secure_sum_and_its_batch_is_proven() -> None:
    for rules in ({}, {"client_momentum": 0.9}):
        told = watched(InconsistentModel(), "active", **rules).more
        assert (told["identified"], told["certified"], told["wrongly_certified"]) == (1.0, 1.0, 0.0)
        assert told["psnr"] > 60
        assert told["label_accuracy"] == 1.0


def test_clients_that_compare_their_models_stop_inconsistent_ones_and_not_the_imprint() -> None:
    checked = "consistency_check >> mean"
    for rules in ({}, {"client_momentum": 0.9}):
        told = watched(InconsistentModel(), "active", defense=checked, **rules).more
        assert (told["identified"], told["certified"], told["psnr"], told["reconstructed_20"]) == (0, 0, 0, 0)
    seen, unseen = (watched(Imprint(), "active", defense=defense) for defense in (checked, "mean"))
    assert seen.more["identified"] == unseen.more["identified"] > 0.9
    assert seen.loss == unseen.loss, "the check changes nothing in an honest training"


def test_an_active_server_leaves_no_trace_in_the_training() -> None:
    assert watched(InconsistentModel(), "active").loss == watched(ExactBatches(), "server").loss


@pytest.mark.parametrize("model", ["cnn", "softmax"])
def test_what_does_not_apply_is_said_and_never_counted_as_no_leakage(model: str) -> None:
    pairs = [(ExactBatches(), "server"), (Imprint(), "active"), (InconsistentModel(), "active")]
    for attack, observer in pairs:
        told = watched(attack, observer, model=model).more
        assert "identified" not in told
        reason = "the model does not begin with a fully connected layer and ReLU"
        assert told["privacy_unfit"] == [f"{attack}: {reason}"]


def test_exact_batches_are_proven_at_the_start_and_never_wrongly() -> None:
    told = watched(ExactBatches(), "server", batch_size=3).more
    assert told["certified_by"]["ExactBatches, round 0"] == 1.0
    assert told["wrongly_certified"] == 0.0
    assert told["self_consistency"] < 1e-6


def test_a_sum_of_few_small_batches_is_one_batch() -> None:
    told = watched(ExactBatches(summed=True), "sum", model="mlp(hidden=(256,))", batch_size=1, participation=0.4).more
    assert told["identified"] == 1.0
    assert told["certified"] == 1.0


def test_who_sees_sums_alone_cannot_use_single_messages() -> None:
    reason = ExactBatches().refusal("sum")
    assert reason is not None
    assert "message" in reason
    assert ExactBatches(summed=True).refusal("sum") is None
    assert Imprint().refusal("server") == "Imprint(summed=False) watches as active. Found the observer 'server'."
