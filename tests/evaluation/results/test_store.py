"""The record store: what survives a kill at any moment, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import StoreError
from robustfl.evaluation.results.schema import SCHEMA
from robustfl.evaluation.results.store import Store, read_records, set_aside, write_atomically

RECORDS = st.lists(st.text(max_size=20), min_size=1, max_size=6)


def record(trial: str, value: Any = None, **changes: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "trial": trial, "status": "ok", "fingerprint": "x", "value": value, **changes}


def written(path: Path, *records: dict[str, Any]) -> bytes:
    with Store(path) as store:
        for entry in records:
            store.append(entry)
    return path.read_bytes()


@settings(max_examples=150, deadline=None)
@given(values=RECORDS, share=st.floats(0, 1))
def test_a_file_cut_at_any_byte_loses_at_most_the_torn_record(values: list[str], share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        records = [record(str(number), value) for number, value in enumerate(values)]
        content = written(path, *records)
        cut = round(share * len(content))
        path.write_bytes(content[:cut])
        complete = content[:cut].count(b"\n")
        assert read_records(path) == records[:complete]
        with Store(path) as store:
            assert list(store.records.values()) == records[:complete]
            store.append(record("new"))
        assert read_records(path) == [*records[:complete], record("new")]
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_a_torn_tail_longer_than_a_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    content = written(path, record("a"))
    path.write_bytes(content + b"x" * 200_000)
    written(path, record("b"))
    assert [entry["trial"] for entry in read_records(path)] == ["a", "b"]
    path.write_bytes(b"x" * 200_000)
    assert written(path) == b""


def test_every_record_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    with Store(path) as store:
        for number in range(3):
            store.append(record(str(number)))
            assert len(read_records(path)) == number + 1


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)))
def test_values_come_back_to_the_last_bit(value: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        written(path, record("a", value))
        assert read_records(path)[0]["value"] == value


def test_what_json_cannot_hold_does_not_reach_the_file(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with Store(path) as store:
        store.append(record("a"))
        with pytest.raises(ValueError, match="Out of range float"):
            store.append(record("b", float("nan")))
        assert "b" not in store.records
    assert [entry["trial"] for entry in read_records(path)] == ["a"]


def test_the_last_record_of_a_trial_counts(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    written(path, record("a", 1), record("b", 2), record("a", 3))
    with Store(path) as store:
        assert {trial: entry["value"] for trial, entry in store.records.items()} == {"a": 3, "b": 2}


@pytest.mark.parametrize("order", [["a", "b", "c"], ["c", "a", "b"]])
def test_finishing_puts_records_in_the_order_of_the_suite_and_others_after(order: list[str], tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with Store(path) as store:
        for trial in ["z", *order, "y", "a"]:
            store.append(record(trial))
        store.finish(["a", "b", "missing", "c", "a"])
    assert [entry["trial"] for entry in read_records(path)] == ["a", "b", "c", "y", "z"]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"trial": "a"}',
        b'{"schema": 1}',
        b'{"schema": 1, "trial": [], "status": "ok", "fingerprint": "x"}',
        b'{"schema": 1, "trial": "a", "status": "ok"}',
        b"[" * 100_000,
    ],
)
def test_a_broken_line_inside_the_file_is_refused_with_its_number(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    good = written(path, record("a"))
    path.write_bytes(good + line + b"\n" + good)
    with pytest.raises(StoreError, match=r"records.jsonl, line 2: not a record. Remove the line"):
        Store(path)
    assert path.read_bytes() == good + line + b"\n" + good


def test_records_of_another_schema_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(record("a", schema=SCHEMA + 1)) + "\n")
    with pytest.raises(StoreError, match=rf"line 1: a record of schema {SCHEMA + 1}.*another --out, or --fresh"):
        Store(path)
    kept = set_aside(path)
    assert kept is not None
    assert json.loads(kept.read_text())["schema"] == SCHEMA + 1
    written(path, record("b"))


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with Store(path) as store:
        store.append(record("a"))
        for use in (Store, set_aside):
            with pytest.raises(StoreError, match=r"is being written by another run\. Wait for it"):
                use(path)
        store.append(record("b"))
    assert [entry["trial"] for entry in read_records(path)] == ["a", "b"]
    written(path, record("c"))


def test_a_writer_in_another_process_is_noticed_and_its_lock_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    code = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held'); input()"
    arguments = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another run"):
            Store(path)
        other.kill()
    Store(path).close()


def test_setting_aside_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert set_aside(path) is None
    for number in (1, 2, 3):
        content = written(path, record(str(number)))
        assert set_aside(path) == tmp_path / f"records.jsonl.{number}.bak"
        assert not path.exists()
        assert (tmp_path / f"records.jsonl.{number}.bak").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 3


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "records.jsonl", tmp_path):
        with pytest.raises(StoreError, match="cannot be opened for writing"):
            Store(path)


def test_closing_twice_is_harmless_and_closes_no_other_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.jsonl")
    store.close()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
    store.close()
    os.write(other, b"still open")
    os.close(other)


def test_replacing_a_file_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"newer")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere.file\.json cannot be written: No such file or directory\."):
        write_atomically(tmp_path / "nowhere" / "file.json", b"{}")
