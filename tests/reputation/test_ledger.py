"""Writing a ledger: the format, hostile names, what survives a killed writer, a full disk and a second process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.defenses import FoolsGold, Krum, Median
from robustfl.errors import ParameterError, StoreError
from robustfl.reputation import Decision, Ledger, read_entries, verify
from tests.conftest import environment
from tests.reputation.ledgers import DECISIONS, chain, written


def test_the_format_is_the_documented_one(tmp_path: Path) -> None:
    path, heads = written(tmp_path)
    assert heads[0] == "0" * 64
    expected = chain(path)
    assert [head for _, head in expected] == heads[1:]
    for line, before, (_, head) in zip(path.read_bytes().splitlines(), heads, expected, strict=False):
        outer = json.loads(line)
        assert (outer["previous"], outer["hash"]) == (before, head)
        assert line == json.dumps(outer, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    entry = expected[1][0]
    assert {key: entry[key] for key in ("round", "client", "client_type", "action", "score", "rule", "evidence")} == {
        "round": 1,
        "client": "7",
        "client_type": "int",
        "action": "excluded",
        "score": "0",
        "rule": "FoolsGold()",
        "evidence": {"most_similar": "anna", "cosine": "1.0"},
    }
    assert "timestamp" not in entry


def test_the_same_decisions_make_the_same_bytes_and_a_timestamp_is_the_callers(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(written(tmp_path / name)[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Ledger(paths[1]) as ledger:
        ledger.append(9, DECISIONS[0], rule=Krum(f=1), timestamp="2031-01-01T00:00:00Z")
    *_, last = read_entries(paths[1])
    assert (last["timestamp"], last["rule"]) == ("2031-01-01T00:00:00Z", repr(Krum(f=1)))


@pytest.mark.parametrize("score", [0.1, 1 / 3, 1e-300, -2.5e17, np.float32(0.1), np.int64(3), Fraction(1, 3)])
def test_scores_are_decimal_texts_that_read_back(score: Any, tmp_path: Path) -> None:
    path, _ = written(tmp_path, [Decision("a", "weighted", score, {"same": score})])
    (entry,) = read_entries(path)
    assert float(entry["score"]) == float(score)
    assert Decimal(entry["evidence"]["same"]) == Decimal(entry["score"])


hostile_names = st.one_of(
    st.text(st.characters()),  # control characters and half surrogates included
    st.binary(),
    st.integers(),
    st.tuples(st.text(), st.integers()),
    st.sampled_from(['"}\n{"entry":', "\x00", "\u2028", "\ud800", "a" * 10**6, 10**5000, None, True, 1.5, "{}" * 500]),
)


@settings(deadline=None, max_examples=60)
@given(names=st.lists(hostile_names, min_size=1, max_size=5))
def test_no_name_of_a_client_breaks_the_format(names: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    path, heads = written(folder, [Decision(name, "excluded", 0.0, {"most_similar": name}) for name in names])
    verdict = verify(path, head=heads[-1])
    assert (verdict.intact, verdict.entries, verdict.covered) == (True, len(names), len(names))
    assert path.read_bytes().count(b"\n") == len(names)
    assert path.stat().st_size < 10_000 * len(names)
    for name, entry in zip(names, read_entries(path), strict=True):
        if isinstance(name, str) and len(name) <= 256:
            assert (entry["client"], entry["client_type"]) == (name, "str")


def test_names_that_look_alike_stay_apart(tmp_path: Path) -> None:
    long = "a" * 300
    clients = ["7", 7, b"7", ("7",), long, "a" * 299 + "b", True, 1]
    path, _ = written(tmp_path, [Decision(client, "weighted", 1.0) for client in clients])
    assert len({(entry["client"], entry["client_type"]) for entry in read_entries(path)}) == len(clients)
    named_like_a_long_one = list(read_entries(path))[4]["client"]
    (tmp_path / "other").mkdir()
    other, _ = written(tmp_path / "other", [Decision(named_like_a_long_one, "weighted", 1.0)])
    (entry,) = read_entries(other)
    assert (entry["client"], entry["client_type"]) != (named_like_a_long_one, "str, shortened")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": float("nan")}, "`score` should be finite"),
        ({"score": "0.5"}, "`score` should be a number"),
        ({"score": True}, "`score` should be a number"),
        ({"evidence": {"cosine": float("inf")}}, r"`evidence\['cosine'\]` should be finite"),
        ({"evidence": {3: "x"}}, "`evidence` should have texts as names. Found 3"),
        ({"evidence": {str(i): "x" * 200 for i in range(500)}}, "less than 65536 bytes"),
        ({"round": -1}, "`round` should be a whole number"),
        ({"round": 1.0}, "`round` should be a whole number"),
        ({"round": 1 << 63}, "`round` should be a whole number"),
        ({"timestamp": 12.5}, "`timestamp` should be a text"),
    ],
)
def test_what_cannot_be_recorded_is_an_error_and_leaves_no_trace(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path, heads = written(tmp_path)
    before = path.read_bytes()
    decision = Decision("a", "weighted", change.get("score", 1.0), change.get("evidence", {}))
    with Ledger(path) as ledger, pytest.raises(ParameterError, match=message):
        ledger.append(change.get("round", 1), decision, rule="r", timestamp=change.get("timestamp"))
    assert path.read_bytes() == before
    assert verify(path).head == heads[-1]


# ------------------------------------------------------------------------------------------------- aggregations


def test_an_aggregation_is_recorded_with_its_decisions_and_its_rejected_rows(tmp_path: Path) -> None:
    rule = FoolsGold()
    updates = {"anna": [1.0, 0.0], "s1": [0.0, 1.0], "s2": [0.0, 1.0], "broken": [np.nan, 0.0]}
    with Ledger(tmp_path / "ledger") as ledger:
        head = ledger.record(3, rule, rule.aggregate(updates))
        assert (ledger.head, ledger.entries) == (head, 4)
    found = {entry["client"]: entry for entry in read_entries(tmp_path / "ledger")}
    assert {client: entry["action"] for client, entry in found.items()} == {
        "anna": "weighted",
        "s1": "excluded",
        "s2": "excluded",
        "broken": "rejected",
    }
    assert found["s1"]["evidence"] == {"most_similar": "s2", "cosine": "1.0"}
    assert found["broken"]["evidence"] == {"reason": "not finite"}
    assert {entry["round"] for entry in found.values()} == {3}
    assert {entry["rule"] for entry in found.values()} == {repr(rule)}


def test_rules_without_a_reputation_are_recorded_by_their_weights(tmp_path: Path) -> None:
    x = [[1.0], [1.1], [1.2], [1.3], [90.0]]
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.record(0, Krum(f=1), Krum(f=1).aggregate(x))
        assert ledger.entries == 5
        head = ledger.head
        assert ledger.record(1, Median(), Median().aggregate(x)) == head, "a median has weighed nobody"
    actions = [(entry["client"], entry["action"]) for entry in read_entries(tmp_path / "ledger")]
    assert [action for _, action in actions].count("weighted") == 1
    assert actions[4] == ("4", "excluded")


# --------------------------------------------------------------------------------------------- survival and repair


def test_a_torn_last_line_of_any_length_is_repaired_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path, heads = written(tmp_path)
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole) + 1):
        path.write_bytes(whole[:end])
        torn = verify(path)
        assert torn.intact == (end in (start, len(whole)))
        assert [damage.kind for damage in torn.damages] == ([] if torn.intact else ["torn"])
        kept = 4 if end >= len(whole) - 1 else 3
        with Ledger(path) as ledger:
            assert (ledger.repaired is None) == torn.intact
            assert (ledger.entries, ledger.head) == (kept, heads[kept])
            ledger.append(9, DECISIONS[0], rule="r")
        assert verify(path, head=heads[kept]).intact
        assert path.read_bytes().startswith(whole[: start if kept == 3 else len(whole)])


WRITER = """
import sys
from robustfl.reputation import Decision, Ledger
with Ledger(sys.argv[1]) as ledger:
    for number in range(10**9):
        print(ledger.append(number, Decision("c" * 200, "weighted", 0.5), rule="r"), flush=True)
"""


def test_what_a_killed_writer_was_told_is_written_is_there(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(20)]
        with pytest.raises(StoreError, match="being written by another process"):
            Ledger(path)
        writer.send_signal(signal.SIGKILL)
        told += writer.stdout.read().split("\n")[:-1]
    with Ledger(path) as ledger:
        assert ledger.entries >= len(told)
    verdict = verify(path, head=told[-1])
    assert (verdict.intact, verdict.covered) == (True, len(told))


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, heads = written(tmp_path)
    before, write = path.read_bytes(), os.write

    def half(file: int, content: bytes) -> int:
        if len(content) < 300:
            raise OSError(28, "No space left on device")
        return write(file, content[: len(content) // 2])

    with Ledger(path) as ledger:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(StoreError, match="No space left"):
            ledger.append(9, DECISIONS[0], rule="r")
        assert (ledger.head, path.read_bytes()) == (heads[-1], before)
        monkeypatch.undo()
        head = ledger.append(9, DECISIONS[0], rule="r")
    assert verify(path, head=head).entries == 5


def test_a_damaged_ledger_is_not_continued_and_not_touched(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    broken = path.read_bytes().replace(b"anna", b"eve!", 1)
    for content in (broken, broken + b'{"entry"', b"no ledger at all\n"):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"line 1: .*A damaged ledger is evidence"):
            Ledger(path)
        assert path.read_bytes() == content


def test_what_is_no_writable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened for writing: Is a directory"):
        Ledger(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Ledger(tmp_path / "file" / "ledger")
    ledger = Ledger(tmp_path / "new" / "ledger")
    ledger.close()
    ledger.close()
    with pytest.raises(StoreError, match="is closed"):
        ledger.append(0, DECISIONS[0], rule="r")
