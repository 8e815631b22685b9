"""Condensing rounds: what is kept, what is not, and that only whole ledgers appear."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregation
from robustfl.aggregation.neighbourhoods import Mixed
from robustfl.attacks import NonFinite
from robustfl.defenses import NNA, FoolsGold, LocalFoolsGold, Median, SybilWall
from robustfl.errors import ParameterError, StoreError
from robustfl.federation.graphs import Complete
from robustfl.federation.observers.ledger import LedgerKeeper
from robustfl.reputation import Decision, Ledger, LedgerRecorder, read_entries, verify
from robustfl.reputation import recorder as minutes
from robustfl.reputation.decisions import decisions_of_peers
from robustfl.reputation.entries import parse
from robustfl.reputation.recorder import OUT, clear_unfinished
from tests.federation.peers.networks import network

Round = dict[str, str]
"""Client -> action; who is absent is not in it."""

ACTIONS = ("weighted", "explored", "excluded", "readmitted", "rejected")
rounds_of_all_kinds = st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from(ACTIONS)), max_size=8)


def answer(made: Round, number: int) -> Aggregation:
    """What a rule told in a round; scores are the round's number, so that decisions can be told apart."""
    ids = tuple(made)
    refused = {row: "not finite" for row, client in enumerate(ids) if made[client] == "rejected"}
    decisions = tuple(Decision(c, action, number / 2) for c, action in made.items() if action != "rejected")
    mask = np.isin(np.arange(len(ids)), list(refused))
    return Aggregation(0.0, None, mask, {"ids": ids, "reasons": refused, "decisions": decisions})


def kept(path: Path, rounds: Iterable[Round], *, every: bool = False) -> list[tuple[int, str, str]]:
    """Round, client and action of each entry of the ledger of these rounds."""
    with LedgerRecorder(path, "a rule", every=every) as told:
        for number, made in enumerate(rounds):
            told.hear(number, answer(made, number))
    if not path.exists():
        assert (told.head, told.entries) == (None, 0)
        return []
    verdict = verify(path, head=told.head)
    assert verdict.intact
    assert verdict.covered == told.entries == verdict.entries
    return [(entry["round"], entry["client"], entry["action"]) for entry in read_entries(path)]


def test_changes_are_kept_and_in_the_end_the_last_word_on_everybody(tmp_path: Path) -> None:
    story = [
        {"a": "weighted", "b": "explored", "c": "weighted"},
        {"a": "weighted", "b": "weighted", "c": "excluded"},
        {"a": "weighted", "c": "excluded"},
        {"a": "weighted", "b": "weighted", "c": "rejected"},
        {"a": "weighted", "c": "readmitted"},
        {"c": "weighted"},
    ]
    assert kept(tmp_path / "x", story) == [
        (2, "c", "excluded"), (4, "c", "rejected"), (5, "c", "readmitted"),
        (5, "a", "weighted"), (4, "b", "weighted"), (6, "c", "weighted"),
    ]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(rounds=rounds_of_all_kinds, at_once=st.sampled_from([1, 3, 1000]))
def test_the_last_entry_on_a_client_is_its_last_decision_and_those_before_are_its_changes(
    rounds: list[Round], at_once: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("minutes") / "x"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minutes, "AT_ONCE", at_once)
        found, everything = kept(path, rounds), kept(path, rounds, every=True)
    said = [(number, c, a) for number, made in enumerate(rounds, start=1) for c, a in _in_order(made)]
    assert everything == said
    for client in "abcd":
        own, entries = ([entry for entry in told if entry[1] == client] for told in (said, found))
        standing = [(entry, entry[2] if entry[2] in OUT else None) for entry in own]
        changes = [next(group)[0] for _, group in groupby(standing, key=lambda pair: pair[1])]
        expected = changes[1:] if standing and standing[0][1] is None else changes
        assert entries == expected + ([own[-1]] if own and own[-1] not in expected else [])


def _in_order(made: Round) -> list[tuple[str, str]]:
    """As an aggregation tells it: rejected rows last."""
    return sorted(made.items(), key=lambda item: item[1] == "rejected")


def test_a_rule_that_does_not_decide_leaves_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("an earlier one")
    with LedgerRecorder(path, Median()) as told:
        told.hear(0, Median().aggregate([[1.0], [2.0], [np.nan]]))
    assert (path.read_text(), told.head) == ("an earlier one", None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_a_ledger_appears_whole_and_in_place_of_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    with Ledger(path) as earlier:
        earlier.append(1, Decision("mallory", "weighted", 1.0), rule="another")
    before = path.read_bytes()
    monkeypatch.setattr(minutes, "AT_ONCE", 1)
    with pytest.raises(ZeroDivisionError):
        _interrupted(path)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [before]
    assert kept(path, [{"a": "excluded"}]) == [(1, "a", "excluded")]


def _interrupted(path: Path) -> None:
    before = path.read_bytes()
    with LedgerRecorder(path, "a rule") as told:
        told.hear(0, answer({"a": "excluded"}, 0))
        assert len(list(path.parent.iterdir())) == 2
        assert path.read_bytes() == before
        raise ZeroDivisionError


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with LedgerRecorder(tmp_path / "x", "a rule") as told:
        draft = told._draft
        draft.write_text("of a killed process with the number of this one")
        LedgerRecorder.__enter__(told)
        assert not draft.exists()
        for name in (draft.name, ".y.7.unfinished", "x", "z.unfinished"):
            (tmp_path / name).touch()
        clear_unfinished(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"x", "z.unfinished"}
    clear_unfinished(tmp_path / "nowhere")


def test_decisions_of_many_rounds_are_added_together_or_not_at_all(tmp_path: Path) -> None:
    good, bad = Decision("a", "weighted", 1.0), Decision("a", "weighted", float("nan"))
    with Ledger(tmp_path / "x") as ledger:
        with pytest.raises(ParameterError, match="`score` should be finite"):
            ledger.extend([(1, good), (2, bad)], rule="a rule")
        assert ledger.entries == 0
        head = ledger.extend([(1, good), (2, good)], rule="a rule")
    assert verify(tmp_path / "x", head=head).entries == 2
    with pytest.raises(StoreError, match="is closed"):
        ledger.extend([], rule="a rule")


# ---------------------------------------------------------------------------------------------------- peers

NAMES = np.array([[4, 7, 9, -1], [7, 4, 9, 5], [9, 7, -1, -1]])
"""The own id of each of three peers, and those of the senders of its letters."""


def mixed(weights: Any, reasons: dict[int, dict[int, str]], **info: Any) -> Mixed:
    rejected = np.zeros(NAMES.shape, bool)
    for line, slots in reasons.items():
        rejected[line, list(slots)] = True
    return Mixed(np.zeros((3, 1)), None if weights is None else np.array(weights), rejected, reasons, info)


def test_peers_decide_by_their_shares_and_say_what_they_refused() -> None:
    shares = [[0.5, 0.49, 0.01, 0], [0.5, 0, 0.5, 0], [1.0, 0, 0, 0]]
    found = decisions_of_peers(mixed(shares, {1: {3: "not finite"}, 2: {0: "not finite", 1: "missing"}}), NAMES)
    assert [(d.by, d.client, d.action, round(d.score, 6)) for d in found] == [
        (4, 7, "weighted", 1.47),
        (4, 9, "excluded", 0.03),
        (7, 4, "excluded", 0.0),
        (7, 9, "weighted", 1.5),
        (7, 5, "rejected", 0.0),
        (9, 7, "rejected", 0.0),
    ]
    assert found[1].evidence == {"letters": 3}
    assert found[4].evidence == {"reason": "not finite"}


def test_what_a_rule_says_itself_stands_for_its_shares() -> None:
    own = (Decision(7, "explored", 0.25), Decision(9, "excluded", 0.0))
    found = decisions_of_peers(mixed(None, {0: {3: "missing"}}, decisions={0: own}), np.array([[4, 7, 9, 5]]))
    assert [(d.by, d.client, d.action) for d in found] == [(4, 7, "explored"), (4, 9, "excluded"), (4, 5, "rejected")]


def test_a_ledger_of_peers_says_who_decided_and_keeps_the_changes_of_each_pair(tmp_path: Path) -> None:
    trusts = [[0.4, 0.3, 0.3, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]
    doubts = [[0.5, 0.5, 0.0, 0], *trusts[1:]]
    path = tmp_path / "x"
    with LedgerRecorder(path, SybilWall()) as minutes:
        for number, shares in enumerate([trusts, doubts, doubts]):
            minutes.hear_peers(number, mixed(shares, {}), NAMES)
    assert verify(path, head=minutes.head).intact
    entries = list(read_entries(path))
    told = [(e["round"], e["by"], e["by_type"], e["client"], e["action"]) for e in entries]
    assert told[0] == (2, "4", "int", "9", "excluded")
    assert sorted(told[1:]) == [
        (3, "4", "int", "7", "weighted"),
        (3, "4", "int", "9", "excluded"),
        (3, "7", "int", "4", "weighted"),
        (3, "7", "int", "5", "weighted"),
        (3, "7", "int", "9", "weighted"),
        (3, "9", "int", "7", "weighted"),
    ]


def test_rules_that_judge_nobody_leave_no_ledger_of_peers(tmp_path: Path) -> None:
    with LedgerRecorder(tmp_path / "x", NNA()) as minutes:
        minutes.hear_peers(0, mixed([[1.0, 0, 0, 0]] * 3, {}), NAMES)
    assert minutes.head is None


def test_an_entry_without_half_of_who_decided_cannot_be_read(tmp_path: Path) -> None:
    with Ledger(tmp_path / "x") as ledger:
        ledger.append(0, Decision("a", "weighted", 1.0, by="me"), rule="a rule")
    line = (tmp_path / "x").read_bytes()
    assert parse(line) is not None
    for name in (b'"by":"me",', b'"by_type":"str",'):
        assert name in line
        assert parse(line.replace(name, b"")) is None


@pytest.mark.parametrize("rule", [LocalFoolsGold(history="differences"), FoolsGold()], ids=["mixer", "lifted"])
def test_a_network_of_peers_writes_down_who_judged_whom(rule: Any, tmp_path: Path) -> None:
    path = tmp_path / "x"
    with LedgerRecorder(path, rule, every=True) as minutes:
        network(rule, attack=NonFinite(), f=1, topology=Complete(), rounds=2, observers=[LedgerKeeper(minutes)]).run()
    entries = list(read_entries(path))
    assert {entry["round"] for entry in entries} == {1, 2}
    assert len({entry["by"] for entry in entries}) == 7, "honest peers decide"
    assert all(entry["by"] != entry["client"] for entry in entries)
    refused = {entry["client"] for entry in entries if entry["action"] == "rejected"}
    assert len(refused) == 1
    assert all(entry["evidence"]["reason"] == "not finite" for entry in entries if entry["client"] in refused)
