"""Spies of clients that send samples or predictions in place of updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robustfl.attacks import Analytic, Imprint, InvertingGradients, LiRA, LossThreshold, NearestSample, SentSamples
from robustfl.defenses import Mean
from robustfl.federation import Federation, Simulation, assemble
from robustfl.federation.channels.predictions import Predictions
from robustfl.federation.observers.contract import Observer
from robustfl.federation.spying import siblings
from robustfl.federation.spying.plan import Spying
from robustfl.threats import Capability, PrivacyAttack, PrivacyView
from robustfl.threats.privacy.findings import Finding, Memberships
from tests.federation.worlds import CLIENTS, SMALL_MLP, Kept, population, topology

RUNS = 4
VIRTUAL: dict[str, Any] = {"virtual_data": {"samples": 4, "steps": 10}}
DISTILLED: dict[str, Any] = {"algorithm": "fedavg", "distillation": {"steps": 10, "batch_size": 9}}


def federation(
    *attacks: PrivacyAttack, observer: str = "server", watch: Observer | None = None, **rules: Any
) -> Simulation:
    settings = Federation.model_validate({"clients": CLIENTS, "rounds": 2, "batch_size": 8, **rules})
    moments = ("last",) if "distillation" in rules else ("first", "last")
    spying = Spying(observer=observer, attacks=attacks, targets=3, federations=RUNS, rounds=moments)
    watches = [] if watch is None else [watch]
    return assemble(population(SMALL_MLP), settings, Mean(), spying=spying, seed=3, observers=watches)


@dataclass(frozen=True, kw_only=True)
class Recording(PrivacyAttack):
    """Keeps its views, and says nothing about anybody."""

    observers: ClassVar[tuple[str, ...]] = ("server",)
    knowledge: ClassVar[Capability] = Capability.MODEL | Capability.LOSS | Capability.SHADOWS | Capability.MESSAGE
    channels: ClassVar[tuple[str, ...]] = ("dense", "virtual_data", "predictions")
    judges_members: ClassVar[bool] = True
    views: ClassVar[list[PrivacyView]] = []

    def infer(self, view: PrivacyView) -> Finding:
        self.views.append(view)
        return Memberships(scores=torch.as_tensor(view.known()))


def views(**more: Any) -> list[PrivacyView]:
    Recording.views.clear()
    assert federation(Recording(), **more).run().more["mia_targets"] == RUNS
    return list(Recording.views)


def test_sent_samples_are_those_of_the_round_and_what_they_show_is_measured_with_controls() -> None:
    kept, seen = Kept(), []

    @dataclass(frozen=True, kw_only=True)
    class Noting(SentSamples):
        def infer(self, view: PrivacyView) -> Any:
            seen.append((view.rounds, view.clients, view.samples))
            return super().infer(view)

    told = federation(Noting(), InvertingGradients(iterations=5, restarts=1), watch=kept, **VIRTUAL).run().more
    (rounds, clients, samples), (_, _, noise) = seen
    for number, client, (features, labels) in zip(rounds, clients, samples, strict=True):
        round = kept.rounds[number]
        assert round.virtual is not None
        assert round.lesson is not None
        row = round.lesson.ids.tolist().index(client)
        assert torch.equal(features, round.virtual[0][row])
        assert torch.equal(labels, round.virtual[1][row])
    assert len(noise) == 2, "the control plays the first sighting of each round"
    torch.testing.assert_close(noise[0][0].norm(), samples[0][0].norm())
    assert not torch.equal(noise[0][0], samples[0][0])
    assert set(told["identified_by"]) >= {"Noting", "InvertingGradients(iterations=5, restarts=1)"}
    assert "Noting" not in told["self_consistency_by"], "it takes nothing for a gradient"
    assert told["privacy_changes"] == ["virtual data"]
    assert told["label_accuracy_by"]["Noting"] < 1.0


def test_samples_of_several_clients_have_no_sum() -> None:
    told = federation(InvertingGradients(iterations=5), observer="sum", **VIRTUAL).run().more
    assert told["privacy_unfit"][0].endswith("samples of several clients have no sum that anybody could see")
    told = federation(Imprint(summed=True), observer="active", **VIRTUAL).run().more
    assert told["privacy_unfit"][0].endswith("samples of several clients have no sum that anybody could see")
    told = federation(SentSamples(), Analytic()).run().more
    assert told["privacy_unfit"] == ["SentSamples: it does not understand messages of the channel 'dense'"]


def test_membership_of_virtual_data_is_asked_at_the_common_model_and_of_the_samples() -> None:
    told = federation(NearestSample(), LossThreshold(), LiRA(), **VIRTUAL).run().more
    assert set(told["mia_auc_by"]) == {"NearestSample", "LossThreshold", "LiRA(mode=offline)"}
    assert told["mia_unfit"] == []
    for view in views(**VIRTUAL):
        assert view.known() == pytest.approx(view.confidences(view.candidates))


def test_public_samples_are_the_same_in_all_siblings_and_nobodys_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made, families = [], []
    raised = siblings.raised

    def noted(setup: Any, spying: Any, kin: Any) -> Any:
        def make(others: Any, seed: int, train: Any) -> Any:
            sibling = kin.make(others, seed, train)
            made.append(sibling.setup)
            return sibling

        families.append(raised(setup, spying, siblings.Kin(make=make, copied=kin.copied, trainer=kin.trainer)))
        return families[-1]

    monkeypatch.setattr("robustfl.federation.observers.membership.raised", noted)
    simulation = federation(LossThreshold(), **DISTILLED)
    assert simulation.run().more["mia_targets"] == RUNS
    setup = simulation.setup
    assert setup.public is not None
    public = setup.clean.features[setup.public]
    assert len(made) == RUNS
    for own in made:
        assert torch.equal(own.clean.features[own.public], public)
        assert not set(np.concatenate(own.population.parts).tolist()) & set(own.public.tolist())
    (family,) = families
    known = {tuple(row.flatten().tolist()) for row in public}
    assert not any(tuple(row.flatten().tolist()) in known for row in family.samples[0]), "nobody's membership"


def test_a_server_asks_its_own_copy_of_each_clients_model() -> None:
    for view in views(**DISTILLED):
        assert len({client for client in view.clients if client is not None}) == 3
        last = dict(zip(view.clients, view.models, strict=True))
        features, labels = view.candidates
        expected = np.empty(len(labels))
        owners = view.owners
        for client, model in last.items():
            rows = np.flatnonzero(owners == client)
            expected[rows] = view.network.confidences(model, features[rows], labels[rows])
        assert view.known() == pytest.approx(expected)
        assert not torch.equal(view.models[-1], view.models[-2])


def test_a_copy_comes_to_believe_what_the_client_claims_and_nobody_sees_the_clients_own_model() -> None:
    kept = Kept()
    simulation = federation(watch=kept, **DISTILLED)
    simulation.run()
    channel, round = simulation.channel, kept.rounds[-1]
    assert isinstance(channel, Predictions)
    assert round.models is not None
    start = simulation.setup.population.initial.expand(CLIENTS, -1)
    copies = channel.imitated(start, round.sent, 0)

    def apart(models: torch.Tensor) -> float:
        return float((channel.distiller.predicted(models) - round.sent).norm(dim=1).max())

    assert apart(copies) < 0.5 * apart(start)
    for view in views(**DISTILLED):
        for model in view.models:
            assert not any(torch.equal(model, own) for own in round.models)


@pytest.mark.parametrize("observer", ["participant", "sum"])
def test_who_hears_answers_alone_has_the_model_that_learns_from_them(observer: str) -> None:
    told = federation(LossThreshold(), LiRA(), observer=observer, **DISTILLED).run().more
    assert set(told["mia_auc_by"]) == {"LossThreshold", "LiRA(mode=offline)"}
    simulation = federation(observer=observer, **DISTILLED)
    simulation.run()
    assert topology(simulation).ownership.server.weights.isfinite().all()


def test_what_reads_gradients_has_nothing_to_say_of_predictions() -> None:
    told = federation(Analytic(), **DISTILLED).run().more
    assert told["privacy_unfit"] == ["Analytic: it does not understand messages of the channel 'predictions'"]
