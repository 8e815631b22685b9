"""Attacks on membership are measured on siblings of a federation, of which each is the target once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robustfl.attacks import IPM, RMIA, LiRA, LossThreshold, UpdateAlignment
from robustfl.defenses import CenteredClipping, Krum, Mean
from robustfl.errors import KnowledgeError, ParameterError
from robustfl.federation import Federation, assemble
from robustfl.federation.observers.membership import Membership
from robustfl.federation.spying import siblings
from robustfl.federation.spying.plan import Spying
from robustfl.federation.trace import Trace
from robustfl.threats import Capability, PrivacyAttack, PrivacyView
from robustfl.threats.privacy.capability import OBSERVERS
from robustfl.threats.privacy.findings import Finding, Memberships
from tests.federation.worlds import CLIENTS, population

RUNS = 6


def watched(
    *attacks: PrivacyAttack, observer: str = "public", defense: Any = None, f: int = 0, targets: int = 3, **rules: Any
) -> Trace:
    settings = Federation.model_validate(
        {"clients": CLIENTS, "rounds": 4, "batch_size": 8, "evaluate_every": 4, **rules}
    )
    spying = Spying(observer=observer, attacks=attacks, targets=targets, federations=RUNS, rounds=("first", "last"))
    attack = IPM() if f else None
    return assemble(population(), settings, defense or Mean(), attack=attack, f=f, spying=spying, seed=3).run()


@dataclass(frozen=True, kw_only=True)
class Recording(PrivacyAttack):
    """Keeps its views, and says nothing about anybody."""

    observers: ClassVar[tuple[str, ...]] = tuple(OBSERVERS)
    knowledge: ClassVar[Capability] = Capability.MODEL | Capability.LOSS | Capability.SHADOWS | Capability.AUX
    judges_members: ClassVar[bool] = True
    views: ClassVar[list[PrivacyView]] = []

    def infer(self, view: PrivacyView) -> Finding:
        self.views.append(view)
        return Memberships(scores=torch.zeros(len(view.candidates[1])))


@dataclass(frozen=True, kw_only=True)
class RecordingMessages(Recording):
    """The same for somebody who sees messages."""

    knowledge: ClassVar[Capability] = Recording.knowledge | Capability.MESSAGE


def views(observer: str = "public", **more: Any) -> list[PrivacyView]:
    Recording.views.clear()
    attack = RecordingMessages() if observer == "server" else Recording()
    told = watched(attack, observer=observer, **more).more
    assert told["mia_targets"] == len(Recording.views)
    assert told["mia_auc"] == 0.5
    assert told["mia_tpr_1"] == told["mia_tpr_1_error"] == 0.0
    return list(Recording.views)


def test_every_run_is_the_target_once_and_its_other_half_is_never_a_shadow() -> None:
    seen = views()
    assert len(seen) == RUNS
    assert {len(view.shadows.models) for view in seen} == {RUNS - 2}
    assert all(len(view) == 1 and view.rounds == (4,) for view in seen)
    models = torch.stack([view.models[-1] for view in seen])
    assert len(torch.unique(models, dim=0)) == RUNS
    for run, view in enumerate(seen):
        others = [other for other in range(RUNS) if other not in (run, run ^ 1)]
        assert torch.equal(view.shadows.models, models[others])
        known = view.shadows.candidates
        assert known.inside.any(axis=0).all()
        assert not known.inside.all(axis=0).any()
        for row, model in zip(known.confidences, view.shadows.models, strict=True):
            assert row == pytest.approx(view.network.confidences(model, *view.candidates))
        assert len(view.shadows.auxiliary[0]) == len(view.auxiliary[1]) == 30


def test_members_are_exactly_those_that_a_run_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack that is told the answer finds everybody; the populations of the siblings hold members alone."""
    whole, made = population(), []
    subset = type(whole).subset

    def noted(self: Any, chosen: Any) -> Any:
        made.append(chosen)
        return subset(self, chosen)

    monkeypatch.setattr(type(whole), "subset", noted)
    bench: list[Any] = []
    exposure = siblings.raised

    def kept(*given: Any) -> Any:
        bench.append(exposure(*given))
        return bench[-1]

    monkeypatch.setattr("robustfl.federation.observers.membership.raised", kept)
    watched(Recording())
    (family,) = bench
    assert len(made) == RUNS
    assert (made[0] ^ made[1]).all()
    features = whole.features.numpy()
    places = [int(np.flatnonzero((features == x).all(axis=(1, 2, 3)))[0]) for x in family.samples[0].numpy()]
    for run, chosen in enumerate(made):
        np.testing.assert_array_equal(family.rotation.inside[run], chosen[places])
    for owner, place in zip(family.owners, places, strict=True):
        assert place in whole.parts[owner]


def test_a_server_judges_the_samples_of_the_clients_it_watches() -> None:
    for view in views("server"):
        assert set(view.owners.tolist()) == {c for c in view.clients if c is not None}
        assert len(set(view.clients)) == 3
        assert set(view.rounds) == {0, 3}
    for view in views("participant"):
        assert view.rounds == (0, 3)
        with pytest.raises(KnowledgeError, match="'message'"):
            _ = view.owners


def test_the_samples_of_malicious_clients_are_no_candidates() -> None:
    whole = population()
    for view in views(f=2, defense=Krum(f=2)):
        assert len(view.candidates[1]) <= sum(len(part) for part in whole.parts) * 4 / CLIENTS


def test_the_training_that_is_watched_stays_as_it_was() -> None:
    alone, spied = watched(Recording()), watched(LossThreshold(), LiRA(), RMIA())
    assert spied.accuracy == alone.accuracy
    settings = Federation(clients=CLIENTS, rounds=4, batch_size=8, evaluate_every=4)
    assert assemble(population(), settings, Mean(), seed=3).run().accuracy == alone.accuracy


class Elsewhere:
    """Stands for a defense of which there is only one, as one in another process does."""

    def __init__(self, rule: Any) -> None:
        self._rule = rule

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._rule, name)


@pytest.mark.parametrize("rule", [Mean, CenteredClipping], ids=["stateless", "stateful"])
def test_together_or_one_after_the_other_the_results_are_the_same(
    rule: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    attacks = LossThreshold(), LiRA(), LiRA(mode="online"), RMIA()
    defense = Elsewhere(rule())
    one_by_one = watched(*attacks, defense=defense).more
    at_once = watched(*attacks, defense=rule()).more
    monkeypatch.setattr(siblings, "MOST_BYTES", 2 * population().features.nbytes)
    in_groups = watched(*attacks, defense=rule()).more
    for name, value in at_once.items():
        if name.startswith("mia"):
            assert one_by_one[name] == pytest.approx(value, abs=1e-6), name
            assert in_groups[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("broken", [2, 3])
def test_federations_that_diverge_are_left_out_and_too_few_say_nothing(broken: int) -> None:
    spying = Spying(observer="public", attacks=(LiRA(), LossThreshold()), federations=RUNS)
    settings = Federation(clients=CLIENTS, rounds=2, batch_size=8, evaluate_every=2)
    simulation = assemble(population(), settings, Mean(), spying=spying, seed=3)
    (watching,) = (one for one in simulation.observers if isinstance(one, Membership))
    kin, made = watching.kin, []

    def make(others: Any, seed: int, train: Any) -> Any:
        made.append(seed)
        sibling: Any = kin.make(others, seed, train)
        if len(made) <= broken:
            sibling.topology.ownership.server.weights.fill_(float("nan"))
        return sibling

    watching.kin = replace(kin, make=make)
    told = simulation.run().more
    assert len(set(made)) == RUNS
    if broken == 2:
        assert told["mia_targets"] == RUNS - broken
        assert set(told["mia_auc_by"]) == {"LiRA(mode=offline)", "LossThreshold"}
        assert told["mia_unfit"] == []
    else:
        assert "mia_targets" not in told
        assert told["mia_unfit"] == [
            f"{attack}: only 3 of {RUNS} federations that were trained on halves of the samples have a finite model in "
            "the end"
            for attack in ("LiRA(mode=offline)", "LossThreshold")
        ]


@dataclass(frozen=True, kw_only=True)
class Choosing(Recording):
    """Wants to choose the models of clients."""

    observers: ClassVar[tuple[str, ...]] = ("active",)
    knowledge: ClassVar[Capability] = Capability.ACTIVE | Capability.MESSAGE


def test_what_cannot_be_measured_is_said() -> None:
    told = watched(Choosing(), observer="active").more
    assert told["mia_unfit"] == [
        "Choosing: federations that are trained on halves of the samples get no models from a spy"
    ]
    assert "mia_auc" not in told


def test_two_candidates_are_too_few() -> None:
    """Each of 90 clients has one sample; the server watches two of them."""
    spying = Spying(observer="server", attacks=(LossThreshold(),), targets=2, federations=RUNS)
    settings = Federation(clients=90, rounds=2, batch_size=2, evaluate_every=2)
    told = assemble(population(clients=90), settings, Mean(), spying=spying, seed=3).run().more
    assert told["mia_unfit"] == ["LossThreshold: 2 candidates are too few to tell members from others"]


@dataclass(frozen=True, kw_only=True)
class Peeking(Recording):
    """Looks at shadows that it has not declared."""

    knowledge: ClassVar[Capability] = Capability.MODEL | Capability.LOSS

    def infer(self, view: PrivacyView) -> Finding:
        return Memberships(scores=torch.as_tensor(view.shadows.candidates.one_sided(view.confidences(view.candidates))))


def test_shadows_have_to_be_declared() -> None:
    with pytest.raises(KnowledgeError, match="'shadows'"):
        watched(Peeking())


def test_one_sample_memorised_by_its_client_is_found_by_the_server() -> None:
    """With one sample in a batch the message is its gradient: the alignment of members is far above that of others."""
    told = watched(UpdateAlignment(), UpdateAlignment(centred=True), observer="server", batch_size=32, targets=6).more
    assert told["mia_auc_by"]["UpdateAlignment"] > 0.6
    assert told["mia_auc_by"]["UpdateAlignment(centred=True)"] > 0.6


def test_there_are_at_least_two_pairs_of_federations() -> None:
    with pytest.raises(ParameterError, match=r"federations >= 4.*Found federations=3"):
        Spying(observer="public", attacks=(LossThreshold(),), federations=3)
