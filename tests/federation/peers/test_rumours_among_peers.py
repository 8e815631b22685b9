"""Rumours in the simulated world: who tells whom, what malicious peers invent, and disguises of their letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from robustfl.aggregation.neighbourhoods import Rumour
from robustfl.attacks import Attached, Clones, Crash, Dropout, Echo, Framing, LabelFlip, RandomUpdates, SignFlip
from robustfl.defenses import Gossip, SybilWall
from robustfl.errors import AttackError, KnowledgeError
from robustfl.federation.graphs import Complete, Ring
from robustfl.threats import Knowledge, RumourAttack, RumourView
from tests.federation.peers.networks import Kept, network, peers, played


def by(attack: Any) -> Any:
    """The attack by two Sybils beside the network."""
    return Attached(edges=1.0, max_degree=4) >> (Clones(count=2, outside=True) >> attack)


def believed(kept: Kept) -> list[int]:
    """How many rumours were believed in each round."""
    return [sum(one.mixed.info.get("believed", {}).values()) for round in kept.rounds for one in round.exchanges]


def refused(kept: Kept) -> list[str]:
    found = [one.mixed.info.get("refused", {}) for round in kept.rounds for one in round.exchanges]
    return [one.reason for refusals in found for told in refusals.values() for one in told]


def test_every_letter_carries_one_rumour_from_the_second_round_on_and_doubles_the_traffic() -> None:
    sim = network(SybilWall(), topology=Ring(), rounds=4)
    kept = played(sim)
    assert believed(kept) == [0, 16, 16, 16]
    assert refused(kept) == []
    assert kept.trace is not None
    assert kept.trace.more["rumours"] == 48
    plain = network(Gossip(), topology=Ring(), rounds=4).run()
    assert kept.trace.bytes_up == 2 * plain.bytes_up
    assert kept.trace.more["edge_bytes"] == 2 * plain.more["edge_bytes"]
    assert "rumours" not in plain.more


def test_rumours_get_lost_with_their_letters_and_who_is_down_tells_nothing() -> None:
    kept = played(network(SybilWall(), faults=[Dropout(probability=0.4)], rounds=6))
    for round, count in zip(kept.rounds[1:], believed(kept)[1:], strict=True):
        arrived = sum(int(one.arrived.sum()) for one in round.exchanges)
        assert count <= arrived < 16
    kept = played(network(SybilWall(), faults=[Crash(probability=0.5)], rounds=6))
    assert refused(kept) == []


def test_the_same_seed_tells_the_same() -> None:
    first, again = (played(network(SybilWall(), topology=Ring(), rounds=5)).models[-1] for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    other = played(network(SybilWall(decay=0.0), topology=Ring(), rounds=5)).models[-1]
    assert not torch.equal(first, other)


def test_framing_makes_honest_neighbours_look_like_sybils_unless_a_quorum_is_asked() -> None:
    """A Sybil's share in its victims' models, from what one teller each can do."""

    def share(rule: SybilWall, attack: Any) -> float:
        sim = network(rule, attack=by(attack), f=1, topology=Ring(), rounds=8)
        last = played(sim).rounds[-1].exchanges[-1]
        assert last.mixed.weights is not None
        hit = last.hearing.heard(peers(sim).network.malicious)
        return float(last.mixed.weights[hit].mean())

    flip = LabelFlip(mode="swap")
    assert share(SybilWall(), flip >> Framing()) > 1.4 * share(SybilWall(), flip)
    assert share(SybilWall(quorum=2), flip >> Framing()) < 1.1 * share(SybilWall(quorum=2), flip)


@dataclass(frozen=True, kw_only=True)
class Telling(RumourAttack):
    """Tells whatever a test wants, and keeps what it saw."""

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS
    seen: ClassVar[list[RumourView]] = []
    tell: ClassVar[Any] = None

    def forge(self, view: RumourView) -> list[Rumour]:
        self.seen.append(view)
        return type(self).tell(view)  # type: ignore[no-any-return]


def told(tell: Any, **values: Any) -> Kept:
    Telling.seen.clear()
    Telling.tell = staticmethod(tell)
    return played(network(SybilWall(), attack=by(Telling()), f=1, topology=Complete(), rounds=2, **values))


def test_forgers_see_each_victim_by_the_names_of_the_trial() -> None:
    kept = told(lambda view: [Rumour(view.tellers[0], view.invent(), view.round, 2, view.honest.mean(dim=0))])
    views, round = Telling.seen, kept.rounds[0]
    assert len(views) == 16
    names = {view.receiver for view in views}
    assert len(names) == 8
    assert all(len(view.tellers) == 1 and view.tellers[0] not in names for view in views)
    assert all(set(view.honest_ids) == names - {view.receiver} for view in views)
    torch.testing.assert_close(views[0].honest, round.sent[1:])
    torch.testing.assert_close(views[0].model, round.sent[0])
    assert believed(kept) == [8, 8 + 8 * 7]
    assert refused(kept) == []


@pytest.mark.parametrize(
    ("tell", "reason"),
    [
        (lambda view: [Rumour(view.tellers[0], 99, 0, 2, torch.full_like(view.model, torch.nan))], "not finite"),
        (lambda view: [Rumour(view.tellers[0], 99, 0, 2, "hello")], "unreadable (str)"),
        (lambda view: [Rumour(view.tellers[0], 99, 0, 1, view.model.clone())], "of the distance 1"),
        (lambda view: [Rumour(view.tellers[0], 99, 9, 2, view.model.clone())], "of round 9"),
        (lambda view: [Rumour(view.tellers[0], view.receiver, 0, 2, view.model.clone())], "about its receiver"),
        (lambda view: [Rumour(view.tellers[0], 99, 0, 2, view.model.clone())] * 3, "one of 3 from one teller"),
    ],
    ids=["nan", "no model", "too near", "from the future", "about the victim", "too many"],
)
def test_hostile_rumours_are_counted_and_change_nothing(tell: Any, reason: str) -> None:
    kept = told(tell)
    assert {one[: len(reason)] for one in refused(kept)} == {reason}
    silent = told(lambda view: [])
    torch.testing.assert_close(kept.models[-1], silent.models[-1], rtol=0, atol=0)
    assert kept.trace is not None
    assert kept.trace.more["refused_rumours"] == len(refused(kept)) > 0


def test_forgers_cannot_use_the_edges_of_others_nor_see_what_they_do_not_declare() -> None:
    with pytest.raises(AttackError, match="who is no malicious neighbour of the victim"):
        told(lambda view: [Rumour(view.receiver, 99, 0, 2, view.model)])
    with pytest.raises(AttackError, match="should forge a list of rumours"):
        told(lambda view: None)
    with pytest.raises(AttackError, match="which it may only read"):
        told(lambda view: [view.model.zero_()])

    @dataclass(frozen=True, kw_only=True)
    class Blind(Telling):
        knowledge: ClassVar[Knowledge] = Knowledge.NOTHING

    Telling.tell = staticmethod(lambda view: view.honest)
    with pytest.raises(KnowledgeError, match="the honest models"):
        played(network(SybilWall(), attack=by(Blind()), f=1, rounds=1))


def test_rules_that_do_not_listen_notice_no_rumours() -> None:
    with_, without = (
        played(network(Gossip(), attack=by(attack), f=1, rounds=2)).models[-1]
        for attack in (LabelFlip() >> Framing(), LabelFlip())
    )
    torch.testing.assert_close(with_, without, rtol=0, atol=0)


@pytest.mark.parametrize("inner", [LabelFlip(mode="swap"), SignFlip(mode="mean")], ids=["trained", "crafted"])
def test_disguises_let_sybils_send_different_models_that_average_to_theirs(inner: Any) -> None:
    def letters(disguise: float) -> Any:
        attack = Attached(edges=2.0, max_degree=8) >> (Clones(count=2, outside=True, disguise=disguise) >> inner)
        sim = network(Gossip(), attack=attack, f=1, topology=Complete(), rounds=1)
        forger, found = peers(sim).forger, []
        forged = forger.forged

        def noted(moment: Any) -> Any:
            answer = forged(moment)
            found.append(answer.letters.clone())
            return answer

        forger.forged = noted  # type: ignore[method-assign]
        played(sim)
        return found[0]

    plain, disguised = letters(0.0), letters(0.3)
    torch.testing.assert_close(plain[0], plain[1])
    torch.testing.assert_close(disguised[:2].mean(dim=0), plain[0])
    assert float((disguised[0] - plain[0]).norm()) == pytest.approx(0.3 * float(plain[0].norm()), rel=1e-4)


def test_letters_that_several_peers_share_cannot_be_disguised() -> None:
    disguised = Clones(count=2, outside=True, disguise=0.3)
    assert (disguised >> SignFlip()).fits("peers")
    assert (disguised >> (LabelFlip() >> Framing())).fits("peers")
    assert not (disguised >> Echo()).fits("peers")
    assert (Clones(count=2, outside=True) >> Echo()).fits("peers")


def test_a_poisoning_before_rumours_poisons_in_its_own_rounds() -> None:
    attack = LabelFlip(mode="swap", stop_round=4) >> Framing(start_round=2)
    assert [attack.active(number) for number in range(5)] == [True] * 5
    assert attack.confusion() == LabelFlip(mode="swap").confusion()
    assert str(attack) == "LabelFlip(stop_round=4, mode=swap) > Framing(start_round=2)"
    assert [stage.surface for stage in attack.stages] == ["data", "peers"]


def test_honest_peers_publish_what_their_own_training_has_changed_once_a_round() -> None:
    for steps in (1, 2):
        rule = SybilWall(history="updates")
        sim = network(rule, topology=Ring(), rounds=2, peers={"gossip_steps": steps})
        kept = played(sim)
        names, direct = peers(sim).network.names, rule.state_dict()["direct"]
        begun = [sim.setup.population.initial.repeat(8, 1), kept.models[0]]
        trained = sum(round.sent - before for round, before in zip(kept.rounds, begun, strict=True))
        for peer in range(8):
            for place in ((peer - 1) % 8, (peer + 1) % 8):
                history = direct[int(names[peer])][int(names[place])][1]
                torch.testing.assert_close(torch.as_tensor(history), trained[place], rtol=1e-5, atol=1e-6)
        assert kept.trace is not None
        size = 4.0 * sim.setup.population.d
        assert kept.trace.bytes_up == 2 * size * (2 * steps + 1)


def test_sybils_are_found_by_their_updates_unless_they_publish_random_ones() -> None:
    """A Sybil's share in its victims' models at the end."""

    def share(attack: Any, **values: Any) -> float:
        sim = network(SybilWall(**values), attack=by(attack), f=1, topology=Ring(), rounds=8)
        last = played(sim).rounds[-1].exchanges[-1]
        assert last.mixed.weights is not None
        return float(last.mixed.weights[last.hearing.heard(peers(sim).network.malicious)].mean())

    flip = LabelFlip(mode="swap")
    honest, lied = (share(attack, history="updates") for attack in (flip, flip >> RandomUpdates()))
    assert lied > honest + 0.1
    assert lied > 0.2, "two neighbours, the own model and a Sybil would have 0.25 each"
    assert share(flip >> RandomUpdates()) == share(flip), "other histories never hear of it"


def test_updates_are_published_only_in_the_names_of_malicious_neighbours() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Wrong(Telling):
        def publish(self, view: RumourView) -> dict[int, Any]:
            return {view.receiver: view.model}

    Telling.tell = staticmethod(lambda view: [])
    with pytest.raises(AttackError, match=r"should publish a dictionary from some of `view\.tellers`"):
        played(network(SybilWall(history="updates"), attack=by(Wrong()), f=1, topology=Complete(), rounds=2))
    assert played(network(SybilWall(), attack=by(Wrong()), f=1, topology=Complete(), rounds=1)).models
