"""Rounds with clients of several identities: who the defense sees, what the rows hold, and what stays as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.aggregation import Aggregator
from robustfl.attacks import IPM, Clones, Dropout, LabelFlip, SignFlip, TakingTurns, Whitewash
from robustfl.defenses import FoolsGold, Krum, Mean, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.federation import Simulation, Trace
from robustfl.federation.anonymity import Pseudonyms
from robustfl.federation.observers.confusion import Confusion
from robustfl.federation.setup import Setup
from robustfl.threats import Knowledge, UpdateAttack, View
from tests.federation.worlds import ATTACKS, CLIENTS, Kept, population, simulation, weights


@dataclass(frozen=True, kw_only=True)
class Spied:
    """A simulation that has been run, and what it handed to the defense in every round: messages by names."""

    sim: Simulation
    trace: Trace
    rounds: list[dict[Any, Tensor]]

    @property
    def setup(self) -> Setup:
        return self.sim.setup


def spied(attack: Any, defense: Aggregator | None = None, f: int = 1, seed: int = 0, **values: Any) -> Spied:
    kept = Kept()
    sim = simulation(defense, attack=attack, f=f, seed=seed, observers=[kept], **values)
    trace = sim.run()
    name = sim.setup.pseudonyms.restored
    rounds = [dict(zip(name(server.names), server.arrived, strict=True)) for server in kept.server]
    return Spied(sim=sim, trace=trace, rounds=rounds)


def added(sim: Spied, number: int) -> set[int]:
    """The names that are no client's."""
    return {name for name in sim.rounds[number] if name >= CLIENTS}


# -- who is there


def test_clones_add_rows_under_lasting_names() -> None:
    sim = spied(Clones(count=3) >> SignFlip(), f=2)
    assert all(set(sent) == set(range(CLIENTS + 4)) for sent in sim.rounds)
    assert sim.trace.malicious == np.unique(sim.setup.members.leaders[sim.setup.malicious]).tolist()
    assert len(sim.trace.malicious) == 2


def test_attackers_from_outside_come_on_top_and_leave_the_clients_honest() -> None:
    sim = spied(Clones(count=3, outside=True) >> LabelFlip(), f=2)
    alone = spied(None, f=0)
    for sent, honest in zip(sim.rounds[:1], alone.rounds, strict=False):
        assert set(sent) == set(range(CLIENTS + 6))
        assert all(torch.equal(sent[client], honest[client]) for client in range(CLIENTS))
    assert sim.trace.malicious == [CLIENTS, CLIENTS + 3]


def test_late_clones_join_and_leave() -> None:
    sim = spied(Clones(count=3, outside=True, join_round=2, leave_round=4) >> SignFlip())
    assert [len(sent) for sent in sim.rounds] == [6, 6, 9, 9, 6, 6]
    never = spied(None, f=0)
    assert all(
        torch.equal(a, b) for t in (0, 1) for a, b in zip(sim.rounds[t].values(), never.rounds[t].values(), strict=True)
    )


def test_whitewashed_names_never_come_back() -> None:
    sim = spied(Whitewash(count=2, outside=True, lifetime=2) >> SignFlip())
    names = [added(sim, number) for number in range(6)]
    assert [len(found) for found in names] == [2] * 6
    assert names[0] == names[1]
    assert names[2] == names[3]
    assert len(names[0] | names[2] | names[4]) == 6


def test_names_that_take_turns_come_back() -> None:
    sim = spied(TakingTurns(count=2, outside=True, names=3) >> SignFlip())
    names = [added(sim, number) for number in range(6)]
    assert names[:3] == names[3:]
    assert len(names[0] | names[1] | names[2]) == 6


@pytest.mark.parametrize("rule", ["fixed", "sampled"])
def test_partial_participation_samples_clients_and_identities(rule: str) -> None:
    values: dict[str, Any] = {"participation": 0.5, "malicious_per_round": rule, "rounds": 40}
    sim = spied(Clones(count=4, outside=True) >> SignFlip(), **values)
    assert {len(sent) for sent in sim.rounds} == {5}  # of 10
    bad = [len(added(sim, number)) for number in range(40)]
    assert set(bad) == {2} if rule == "fixed" else len(set(bad)) > 2
    assert set().union(*(added(sim, number) for number in range(40))) == {6, 7, 8, 9}


def test_lost_messages_keep_rows_and_names_together() -> None:
    sim = spied(Clones(count=4, outside=True) >> LabelFlip(), faults=[Dropout(probability=0.4)])
    whole = spied(Clones(count=4, outside=True) >> LabelFlip())
    assert 0 < sim.trace.lost_rows < 60
    assert all(torch.equal(row, whole.rounds[0][name]) for name, row in sim.rounds[0].items())


# -- what they send


def test_clones_of_one_update_send_the_same() -> None:
    for attack in (LabelFlip(), SignFlip()):
        sim = spied(Clones(count=3) >> attack, f=2, client_momentum=0.5)
        for sent in sim.rounds:
            for leader in sim.trace.malicious:
                members = np.flatnonzero(sim.setup.members.leaders == leader)
                assert all(torch.equal(sent[leader], sent[int(member)]) for member in members)


def test_the_first_clone_sends_what_the_client_would_alone() -> None:
    alone, cloned = spied(LabelFlip(), f=2), spied(Clones(count=3) >> LabelFlip(), f=2)
    assert all(torch.allclose(cloned.rounds[0][c], alone.rounds[0][c], atol=1e-6) for c in range(CLIENTS))


def drawn_by_all(sim: Any, samples: int, *, attacking: bool) -> Any:
    """The samples [members, samples] of a round in which malicious members attack, or train as clients do."""
    return sim.setup.members.changed(sim.setup.population.draw(np.random.default_rng(0), samples), attacking)


def test_identities_that_share_data_train_by_themselves() -> None:
    sim = spied(Clones(count=3, shared="data") >> LabelFlip())
    leader = sim.trace.malicious[0]
    rows = [sim.rounds[0][int(m)] for m in np.flatnonzero(sim.setup.members.leaders == leader)]
    assert all(not torch.equal(a, b) for i, a in enumerate(rows) for b in rows[:i])
    drawn = drawn_by_all(sim, 50, attacking=True)
    assert np.isin(drawn[sim.setup.malicious], sim.setup.population.parts[leader]).all()


def test_attackers_can_train_on_relabelled_samples_alone() -> None:
    flip = LabelFlip(mode="targeted", source=1, target=2, only_flipped=True)
    for identities in (Clones(count=2), Clones(count=2, outside=True)):
        sim = spied(identities >> flip)
        attacking, resting = (drawn_by_all(sim, 80, attacking=on)[sim.setup.malicious] for on in (True, False))
        clean = sim.setup.population.labels.numpy()
        assert set(clean[attacking].ravel()) == {1}
        assert sim.setup.poisoning is not None
        assert set(sim.setup.poisoning.labels.numpy()[attacking].ravel()) == {2}
        assert set(clean[resting].ravel()) == {0, 1, 2}


def test_attackers_inside_flip_their_own_samples_and_get_none_of_the_others() -> None:
    """In public code an attacker holds every training sample of the two classes."""
    sim = spied(Clones(count=2, shared="data") >> LabelFlip(mode="swap", source=1, target=2), rounds=1)
    own = sim.setup.population.parts[sim.trace.malicious[0]]
    drawn = drawn_by_all(sim, 400, attacking=True)[sim.setup.malicious]
    assert set(drawn.ravel().tolist()) == set(own.tolist())
    assert sim.setup.poisoning is not None
    flipped = np.flatnonzero((sim.setup.poisoning.labels != sim.setup.population.labels).numpy())
    assert 0 < len(flipped) < len(own)
    assert np.isin(flipped, own).all()


def test_poisoned_labels_are_not_those_of_honest_clients_with_the_same_samples() -> None:
    sim, clean = spied(Clones(count=2, outside=True) >> LabelFlip()), spied(None, f=0)
    assert sim.setup.poisoning is not None
    assert not torch.equal(sim.setup.poisoning.labels, sim.setup.population.labels)
    assert all(torch.equal(sim.rounds[0][c], clean.rounds[0][c]) for c in range(CLIENTS))


def test_behaving_first_is_the_window_of_the_attack() -> None:
    late = spied(Clones(count=2) >> LabelFlip(start_round=3))
    honest = spied(Clones(count=2) >> LabelFlip(start_round=99))
    same = [all(torch.equal(late.rounds[t][n], honest.rounds[t][n]) for n in late.rounds[t]) for t in range(4)]
    assert same == [True, True, True, False]


@pytest.mark.parametrize("names", [Clones, Whitewash])
def test_disguises_cancel_and_last_as_long_as_the_name(names: Any) -> None:
    plain, hidden = (spied(names(count=4, outside=True, disguise=s) >> LabelFlip(), rounds=1) for s in (0.0, 3.0))
    rows = [torch.stack([sim.rounds[0][name] for name in sorted(added(sim, 0))]) for sim in (plain, hidden)]
    assert torch.allclose(rows[0].mean(dim=0), rows[1].mean(dim=0), atol=1e-5)
    extra = (rows[1] - rows[0]) / rows[0].norm(dim=1).mean()
    assert torch.allclose(extra.norm(dim=1), torch.full((4,), 3.0), atol=1e-4)
    assert torch.allclose(extra @ extra.T / 9.0, torch.eye(4) - torch.eye(4)[[2, 3, 0, 1]], atol=1e-4)
    later = spied(names(count=4, outside=True, disguise=3.0) >> SignFlip(), rounds=2)
    sent = [torch.stack([later.rounds[t][name] for name in sorted(added(later, t))]) for t in (0, 1)]
    apart = [row - row.mean(dim=0) for row in sent]
    cosines = torch.cosine_similarity(apart[0], apart[1])
    assert bool((cosines > 0.99).all()) == (names is Clones)


def test_pairs_of_tiled_attacks_follow_the_client_when_others_are_sampled() -> None:
    attack = IPM(epsilon=5.0, diversify="pairs")
    sim = spied(attack, f=4, clients=8, participation=0.5, malicious_per_round="sampled", rounds=30)
    directions: dict[int, Tensor] = {}
    met = 0
    for sent in sim.rounds:
        bad = [name for name in sent if name in sim.trace.malicious]
        good = [row for name, row in sent.items() if name not in sim.trace.malicious]
        if not bad or not good:
            continue
        vector = -5.0 * torch.stack(good).mean(dim=0)
        for name in bad:
            found = (sent[name] - vector) / vector.norm()
            met += name in directions
            assert torch.allclose(directions.setdefault(name, found), found, atol=1e-3)
    assert met > 20


@dataclass(frozen=True, kw_only=True)
class Names(UpdateAttack):
    """Sends zeros and writes down its names."""

    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    seen: list  # type: ignore[type-arg]

    def craft(self, view: View) -> Tensor:
        self.seen.append((view.f, view.ids))
        return view.full(0.0).repeat(view.f, 1)


def test_attacks_craft_a_row_for_each_identity_and_know_their_names() -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []
    spied(TakingTurns(count=2, outside=True) >> Names(seen=seen), rounds=3)
    assert [f for f, _ in seen] == [2, 2, 2]
    assert seen[0][1] == seen[2][1] == tuple(Pseudonyms(seed=0).of([6, 7]))
    assert set(seen[1][1]).isdisjoint(seen[0][1])


# -- what the defense makes of it


def test_histories_follow_the_names() -> None:
    defenses = [FoolsGold(), FoolsGold()]
    for defense, strategy in zip(defenses, (Clones, Whitewash), strict=True):
        spied(strategy(count=2, outside=True) >> LabelFlip(), defense)
    names = Pseudonyms(seed=0)
    names.of(range(20 * CLIENTS))
    known = [set(names.restored(list(defense.state_dict()["history"]))) for defense in defenses]
    assert known[0] == set(range(CLIENTS + 2))
    assert len(known[1]) == CLIENTS + 2 * 6
    assert known[1] > set(range(CLIENTS))


def test_weights_and_shares_count_all_identities() -> None:
    sim = spied(Clones(count=3, outside=True) >> LabelFlip())
    assert sim.trace.malicious_share == pytest.approx(3 / 9)


def test_rounds_before_the_identities_come_may_be_too_small() -> None:
    held = spied(Clones(count=5, outside=True, join_round=4) >> SignFlip(), Krum(f=5)).trace.held_rounds
    assert held == 6  # 11 rows are too few as well
    assert spied(Clones(count=8, outside=True, join_round=4) >> SignFlip(), Krum(f=5)).trace.held_rounds == 4


def test_channels_that_know_no_identities_are_refused() -> None:
    class Rewarded(Mean):
        channel: ClassVar[str] = "rewards"

    with pytest.raises(ParameterError, match=r"cannot meet .*speak the channel 'rewards'"):
        simulation(Rewarded(), attack=Clones() >> LabelFlip(), f=1)


# -- sameness


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_one_identity_a_client_is_no_identities(attack: Any) -> None:
    values: dict[str, Any] = {"f": 2, "client_momentum": 0.5, "participation": 0.7, "malicious_per_round": "sampled"}
    plain, single = spied(attack, **values), spied(Clones(count=1) >> attack, **values)
    assert torch.equal(weights(plain.sim), weights(single.sim))
    assert plain.trace.accuracy == single.trace.accuracy
    assert plain.trace.malicious == single.trace.malicious


@pytest.mark.parametrize("shared", ["update", "data"])
def test_equal_seeds_give_equal_bits(shared: Any) -> None:
    attack = Whitewash(count=3, lifetime=2, shared=shared, disguise=1.0) >> LabelFlip()
    extra: dict[str, Any] = {
        "f": 2,
        "participation": 0.6,
        "client_momentum": 0.9,
        "adversarial_training": {"epsilon": 0.1, "steps": 2},
    }
    one, two, other = (spied(attack, TrimmedMean(f=1), seed=seed, **extra) for seed in (0, 0, 1))
    assert torch.equal(weights(one.sim), weights(two.sim))
    assert not torch.equal(weights(one.sim), weights(other.sim))


def test_augmented_batches_of_honest_clients_are_those_of_a_federation_without_sybils() -> None:
    values: dict[str, Any] = {"augment": {"noise": 0.5}, "adversarial_training": {"epsilon": 0.1, "steps": 2}}
    sim = spied(Clones(count=2, outside=True, shared="data") >> LabelFlip(), **values)
    clean = spied(None, f=0, **values)
    assert all(torch.allclose(sim.rounds[0][c], clean.rounds[0][c], atol=1e-6) for c in range(CLIENTS))


# -- success


def test_success_is_the_share_of_the_source_that_is_taken_for_the_target() -> None:
    made = population()
    guess = torch.eye(3)[[2]]
    found = Confusion(made, 1, 2).rates(lambda features: guess.repeat(len(features), 1))
    assert found["attack_success"] == 1.0
    assert found["source_accuracy"] == 0.0
    assert found["other_accuracy"] == 0.5  # all of class 2, none of class 0
    with pytest.raises(ParameterError, match=r"class of the test set\. Found source=9"):
        Confusion(made, 9, 2)


def test_targeted_flips_report_their_success_and_others_do_not() -> None:
    flip = LabelFlip(mode="targeted", source=1, target=2, only_flipped=True)
    values: dict[str, Any] = {"rounds": 40, "evaluate_every": 10}
    more = spied(Clones(count=12, outside=True) >> flip, **values).trace.more
    assert len(more["attack_success_curve"]) == 8  # after 10, 20 and 30 rounds, and after each of the last five
    assert more["attack_success"] == more["attack_success_curve"][-1] > 0.5
    assert spied(Clones(count=12, outside=True) >> flip, FoolsGold(), **values).trace.more["attack_success"] < 0.2
    assert "attack_success" not in spied(LabelFlip(), **values).trace.more
