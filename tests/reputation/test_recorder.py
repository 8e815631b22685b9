"""Condensing rounds: what is kept, what is not, and that only whole ledgers appear."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregation
from robustfl.defenses import Median
from robustfl.errors import ParameterError, StoreError
from robustfl.reputation import Decision, Ledger, LedgerRecorder, read_entries, verify
from robustfl.reputation import recorder as minutes
from robustfl.reputation.recorder import OUT, clear_unfinished

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
