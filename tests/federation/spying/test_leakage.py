"""Spies watch a training: what they see, that they change nothing, and what their numbers say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from robustfl import registry
from robustfl.attacks import Analytic, LossThreshold, RowRatios
from robustfl.defenses import DPSGD, DPFedAvg, GradientNoise, GradientPruning, LocalDP, Mean
from robustfl.errors import AttackError, ParameterError
from robustfl.federation.assembly import assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.round import Round
from robustfl.federation.settings import Federation
from robustfl.federation.spying.plan import Spying
from robustfl.federation.task import Population, Task
from robustfl.federation.trace import Trace
from robustfl.federation.transforms import Transform
from robustfl.threats import Capability, PrivacyAttack, PrivacyView
from robustfl.threats.privacy.capability import OBSERVERS
from robustfl.threats.privacy.findings import Finding, Labels, Memberships, Reconstruction


@cache
def population(model: str = "mlp(hidden=(24,))") -> Population:
    parts = {"model": registry.build("model", model), "partition": registry.build("partition", "iid")}
    return Task(data=Digits(), **parts).prepare(clients=6, seed=0)


def watched(
    attack: PrivacyAttack, observer: str = "server", *, model: str = "mlp(hidden=(24,))", **rules: Any
) -> Trace:
    settings = Federation.model_validate({"clients": 6, "rounds": 4, "batch_size": 1, "evaluate_every": 4, **rules})
    spying = Spying(observer=observer, attacks=[attack], targets=2)
    return assemble(population(model), settings, registry.build("defense", "mean"), spying=spying).run()


@dataclass(frozen=True, kw_only=True)
class Recording(PrivacyAttack):
    """Keeps its views for the test, and says that all labels are 0."""

    observers: ClassVar[tuple[str, ...]] = tuple(OBSERVERS)
    views: ClassVar[list[PrivacyView]] = []

    def infer(self, view: PrivacyView) -> Finding:
        self.views.append(view)
        counts = torch.zeros(len(view), view.classes)
        counts[:, 0] = 1
        return Labels(counts=counts)


def view_of(observer: str, knowledge: Capability = Capability.NOTHING, **rules: Any) -> PrivacyView:
    cls = type("Recorded", (Recording,), {"knowledge": knowledge, "views": [], "__doc__": "Keeps its views."})
    watched(cls(), observer, **rules)
    found: PrivacyView = cls.views[0]
    return found


RULES: dict[str, dict[str, Any]] = {
    "gradients": {},
    "differences": {"algorithm": "fedavg"},
    "momentum": {"client_momentum": 0.9},
    "momentum and differences": {"client_momentum": 0.5, "algorithm": "fedavg"},
    "some take part": {"participation": 0.5},
    "several models": {"server": {"mode": "asynchronous", "buffer": 3}},
}


@pytest.mark.parametrize("rules", RULES)
def test_one_sample_is_read_off_whatever_the_rules_are(rules: str) -> None:
    told = watched(Analytic(), **RULES[rules]).more
    weighted = rules == "several models"  # staleness weights scale messages, which does not matter
    assert told["identified"] == 1.0
    assert told["psnr"] > (90 if weighted else 99)
    assert told["reconstructed"] == 1.0
    assert told["self_consistency"] < 1e-6
    assert set(told["psnr_by"]) == {"Analytic", "Analytic, round 0", "Analytic, round 2", "Analytic, round 3"}


def test_spies_change_nothing() -> None:
    settings = Federation.model_validate({"clients": 6, "rounds": 4, "batch_size": 1, "client_momentum": 0.5})
    alone = assemble(population(), settings, registry.build("defense", "mean")).run()
    seen = assemble(
        population(),
        settings,
        registry.build("defense", "mean"),
        spying=Spying(observer="active", attacks=[Planting()]),
    ).run()
    assert seen.loss == alone.loss


def test_an_attack_that_does_not_apply_has_no_number() -> None:
    told = watched(Analytic(), model="cnn").more
    assert "identified" not in told
    assert told["privacy_unfit"] == ["Analytic: the first layer of the model is not linear with a bias"]


SEEN: dict[str, tuple[Capability, int, int]] = {
    "server": (Capability.MESSAGE, 6, 1),
    "wire": (Capability.MESSAGE, 6, 1),
    "sum": (Capability.SUM, 3, 6),
    "participant": (Capability.MODEL, 3, 0),
    "public": (Capability.MODEL, 1, 0),
}


@pytest.mark.parametrize("observer", SEEN)
def test_what_each_observer_sees(observer: str) -> None:
    knowledge, sightings, senders = SEEN[observer]
    view = view_of(observer, knowledge | Capability.MODEL)
    assert len(view) == sightings
    assert {len(found) for found in view.senders} == {senders}
    assert view.models.shape == (sightings, population().d)
    rounds = (4,) if observer == "public" else (0, 2, 3)
    assert set(view.rounds) == set(rounds)
    if senders:
        assert view.messages.shape == (sightings, population().d)


def test_a_sum_is_that_of_all_messages() -> None:
    rows = view_of("server", Capability.MESSAGE, clients=6)
    total = view_of("sum", Capability.SUM)
    spying = Spying(observer="server", attacks=[Analytic()], targets=6)
    assert spying.numbers(4) == (0, 2, 3)
    assert rows.messages.shape[1] == total.messages.shape[1]
    assert total.gradients().norm() < rows.messages.norm() * 6


@dataclass(frozen=True, kw_only=True)
class Planting(PrivacyAttack):
    """Gives everybody but the victim a model whose first layer is dead, and reads the victim out of the sum."""

    observers: ClassVar[tuple[str, ...]] = ("active",)
    knowledge: ClassVar[Capability] = Capability.ACTIVE | Capability.SUM | Capability.MODEL | Capability.LOSS
    singles_out: ClassVar[bool] = True

    def model(self, view: PrivacyView, client: int) -> Tensor | None:
        if client == view.clients[0]:
            return None
        dead = view.models[0].clone()
        assert view.network.first is not None
        dead[view.network.first.bias] = -1000.0
        return dead

    def infer(self, view: PrivacyView) -> Finding:
        first = view.network.first
        assert first is not None
        weight, bias = first.of(view.messages)
        place = bias.abs().argmax(dim=1)
        rows = torch.arange(len(view))
        found = weight[rows, place] / bias[rows, place, None]
        return Reconstruction(features=list(found.reshape(len(view), 1, *view.shape)))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_an_active_server_chooses_the_model_of_each_client(momentum: float) -> None:
    told = watched(Planting(), "active", client_momentum=momentum).more
    first = told["psnr_by"]["Planting, round 0"]
    assert first > 60
    if not momentum:
        assert told["psnr"] > 60
        assert told["identified"] == 1.0


@dataclass(frozen=True, kw_only=True)
class Wrong(PrivacyAttack):
    """Speaks of members without saying that it does."""

    observers: ClassVar[tuple[str, ...]] = ("public",)

    def infer(self, view: PrivacyView) -> Finding:
        return Memberships(scores=torch.zeros(0))


def test_who_judges_members_has_to_say_so() -> None:
    with pytest.raises(AttackError, match="judges_members = True"):
        watched(Wrong(), "public")


class Hidden(Transform):
    """Shows the sum of all messages in place of each, as secure aggregation does."""

    def shown(self, messages: Tensor, ids: Any, round: Round) -> Tensor:
        return messages.sum(dim=0, keepdim=True)


def test_messages_that_are_hidden_are_not_seen() -> None:
    settings = Federation.model_validate({"clients": 6, "rounds": 2, "batch_size": 1})
    simulation = assemble(
        population(),
        settings,
        registry.build("defense", "mean"),
        spying=Spying(observer="server", attacks=[Analytic()]),
        transforms=[Hidden()],
    )
    told = simulation.run().more
    why = (
        "the observer 'server' sees no single message here, as they are added before anybody gets them. Watch as the "
        "observer 'sum'"
    )
    assert told["privacy_unfit"] == [f"Analytic: {why}"]
    assert "identified" not in told
    spying = Spying(observer="server", attacks=[LossThreshold()], federations=4)
    asked = assemble(population(), settings, registry.build("defense", "mean"), spying=spying, transforms=[Hidden()])
    assert asked.run().more["mia_unfit"] == [f"LossThreshold: {why}"]


def test_who_has_seen_nothing_as_nobody_came_is_told_that() -> None:
    rules = {"clients": 6, "rounds": 2, "batch_size": 1, "participation": 0.05, "participation_sampling": "poisson"}
    settings = Federation.model_validate({**rules, "malicious_per_round": "sampled"})
    attacks = [LossThreshold(), Analytic()]
    spying = Spying(observer="server", attacks=attacks, federations=4, rounds=("first",))
    told = assemble(population(), settings, Mean(), spying=spying).run().more
    assert told["privacy_unfit"] == ["Analytic: no honest client took part in a watched round"]
    assert "no honest client took part in a watched round" in told["mia_unfit"][0]


@pytest.mark.parametrize(
    ("defense", "changes"),
    [
        (Mean(), False),
        (DPFedAvg(clip=1.0, noise_multiplier=1.0, delta=1e-2) >> Mean(), False),
        (LocalDP(clip=1.0, noise_multiplier=0.0, delta=1e-2, claim="none") >> Mean(), False),
        (LocalDP(clip=1.0, noise_multiplier=1.0, delta=1e-2) >> Mean(), True),
        (DPSGD(clip=1.0, noise_multiplier=1.0, delta=1e-2) >> Mean(), True),
        (GradientNoise() >> Mean(), True),
        (GradientPruning() >> Mean(), True),
    ],
    ids=[
        "nothing",
        "noise at the server",
        "no noise",
        "noise at clients",
        "noise in steps",
        "gradient noise",
        "pruning",
    ],
)
def test_a_record_says_what_clients_do_to_their_messages(defense: Any, changes: bool) -> None:
    """Only that explains why the true samples do not explain a message."""
    settings = Federation.model_validate({"clients": 6, "rounds": 1, "batch_size": 1})
    spying = Spying(observer="server", attacks=[Analytic()], rounds=("first",), targets=2)
    told = assemble(population(), settings, defense, spying=spying).run().more
    assert told.get("privacy_changes", []) == ([str(defense.stages[0])] if changes else [])
    assert (told["self_consistency"] > 1e-6) == changes


def test_a_record_says_how_sure_a_share_of_identified_samples_is_and_what_chance_would_reach() -> None:
    settings = Federation.model_validate({"clients": 6, "rounds": 2, "batch_size": 2})
    spying = Spying(observer="server", attacks=[RowRatios()], rounds=("first", "last"), targets=3)
    simulation = assemble(population(), settings, Mean(), spying=spying)
    told = simulation.run().more
    n = len(simulation.setup.population.labels)
    assert told["training_samples"] == n == 1347
    (label,) = told["identified_prior_by"]
    assert told["identified_messages_by"][label] == 2 * 3
    assert 1 / n <= told["identified_prior_by"][label] <= 2 / n
    assert 0 <= told["identified_error_by"][label] <= 0.5 / 5**0.5


def test_a_round_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"0 <= round < 4.*Found 9"):
        Spying(observer="server", attacks=(), rounds=(9,)).numbers(4)
    with pytest.raises(ParameterError, match="There is no observer 'nobody'"):
        Spying(observer="nobody", attacks=())
    with pytest.raises(ParameterError, match="Analytic watches as server or wire"):
        Spying(observer="sum", attacks=(Analytic(),))
