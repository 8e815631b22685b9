"""Reading a ledger: whatever was done to it is found, at the right line and under the right name."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import ParameterError, StoreError
from robustfl.reputation import Decision, read_entries, verify
from robustfl.reputation.verification import MOST_TOLD, LedgerVerdict, Scan
from tests.reputation.ledgers import chain, written


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[str]]:
    path, heads = written(tmp_path_factory.mktemp("ledger"))
    return path.read_bytes(), heads


def examined(content: bytes, head: str | None = None) -> LedgerVerdict:
    return Scan(BytesIO(content)).verdict(head)


def lines_of(content: bytes) -> list[bytes]:
    return content.splitlines(keepends=True)


def kinds(content: bytes, head: str | None = None) -> list[tuple[int, str]]:
    return [(damage.line, damage.kind) for damage in examined(content, head).damages]


def test_an_untouched_ledger_is_intact(ledger: tuple[bytes, list[str]]) -> None:
    content, heads = ledger
    assert examined(content) == LedgerVerdict(True, 4, heads[-1], None, 0, ())
    assert examined(b"") == LedgerVerdict(True, 0, "0" * 64, None, 0, ())


def test_every_change_of_one_byte_is_found(ledger: tuple[bytes, list[str]]) -> None:
    content, _ = ledger
    assert len(content) > 1500
    for at in range(len(content)):
        for bit in range(8):
            flipped = content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
            assert not examined(flipped).intact, (at, bit)
        assert not examined(content[:at] + content[at + 1 :]).intact, at
    for at in range(len(content) + 1):
        for byte in b'\n\r 0a"{}\\\x00\xff':
            assert not examined(content[:at] + bytes([byte]) + content[at:]).intact, (at, byte)


def test_every_change_of_one_byte_is_found_at_its_line(ledger: tuple[bytes, list[str]]) -> None:
    content, _ = ledger
    for at in range(len(content) - 1):
        if content[at] != 0x0A:
            changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            line = content[:at].count(b"\n") + 1
            assert [damage.line for damage in examined(changed).damages] == [line], at


def test_every_line_that_is_removed_swapped_or_repeated_is_found(ledger: tuple[bytes, list[str]]) -> None:
    content, heads = ledger
    lines = lines_of(content)
    for first in range(4):
        without = b"".join(lines[:first] + lines[first + 1 :])
        assert kinds(without, heads[-1]) == ([(4, "truncated")] if first == 3 else [(first + 1, "removed")])
        for second in range(4):
            repeated = b"".join([*lines[: second + 1], lines[first], *lines[second + 1 :]])
            if first <= second:
                assert kinds(repeated)[0] == (second + 2, "duplicated")
            assert not examined(repeated).intact
            if first < second:
                swapped = lines.copy()
                swapped[first], swapped[second] = swapped[second], swapped[first]
                assert not examined(b"".join(swapped)).intact


def test_damages_have_their_names(ledger: tuple[bytes, list[str]]) -> None:
    content, heads = ledger
    one, two, three, four = lines_of(content)
    assert kinds(one + three + two + four) == [(2, "reordered"), (3, "inserted"), (4, "inserted")]
    assert kinds(one + two + two + three + four) == [(3, "duplicated")]
    assert kinds(two + three + four) == [(1, "removed")]
    assert kinds(one + four) == [(2, "removed")]
    assert kinds(one + b"\n" + two) == [(2, "unreadable")]
    assert kinds(one + b"x" * (1 << 20) + b"\n" + two) == [(2, "unreadable")]
    assert kinds(one + two[:-5]) == [(2, "torn")]
    assert kinds(one + two, heads[-1]) == [(3, "truncated")]
    assert kinds(one.replace(b'"0.5"', b'"0.6"') + two) == [(1, "altered")]


def test_a_damage_says_what_was_expected_and_found(ledger: tuple[bytes, list[str]], tmp_path: Path) -> None:
    content, heads = ledger
    (tmp_path / "changed").write_bytes(content.replace(b'"0.5"', b'"0.6"'))
    (damage,) = verify(tmp_path / "changed").damages
    assert (damage.expected, damage.found) == (chain(tmp_path / "changed")[0][1], heads[1])
    (damage,) = examined(content.replace(b"-0.25", b"-0.26")).damages
    assert damage.message == "its evidence was altered"
    lines = lines_of(content)
    relinked = lines[2].replace(heads[2].encode(), b"ab" * 32)
    (damage,) = examined(b"".join([*lines[:2], relinked, lines[3]])).damages
    assert (damage.line, damage.expected, damage.found) == (3, heads[2], "ab" * 32)
    assert "link" in damage.message


def rewritten(lines: list[bytes], start: int, change: Any) -> bytes:
    """What a forger makes: line `start` changed and the chain computed anew from there on."""
    result = lines[:start]
    before = json.loads(lines[start])["previous"]
    for number, line in enumerate(lines[start:], start):
        entry = json.loads(line)["entry"]
        if number == start:
            change(entry)
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        after = hashlib.sha256(bytes.fromhex(before) + text.encode()).hexdigest()
        outer = {"entry": entry, "hash": after, "previous": before}
        result.append(json.dumps(outer, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        before = after
    return b"".join(result)


def test_a_published_head_is_what_finds_a_ledger_that_was_written_anew(ledger: tuple[bytes, list[str]]) -> None:
    content, heads = ledger
    forged = rewritten(lines_of(content), 1, lambda entry: entry.update(action="weighted"))
    assert examined(forged).intact, "a chain alone cannot know"
    assert kinds(forged, heads[-1]) == [(5, "truncated")]
    assert kinds(forged, heads[2]) == [(5, "truncated")]
    assert examined(forged, heads[1]).covered == 1, "a head from before the forgery vouches for what it covers"


def test_entries_that_are_none_are_unreadable_however_well_they_are_chained(ledger: tuple[bytes, list[str]]) -> None:
    lines = lines_of(ledger[0])
    changes: list[Any] = [
        lambda entry: entry.pop("rule"),
        lambda entry: entry.update(more="x"),
        lambda entry: entry.update(round=1.5),
        lambda entry: entry.update(round=True),
        lambda entry: entry.update(score=0.5),
        lambda entry: entry["evidence"].update(x=1),
        lambda entry: entry.update(timestamp=3),
        lambda entry: entry.update(evidence=[]),
    ]
    for change in changes:
        assert kinds(rewritten(lines, 3, change)) == [(4, "unreadable")]
    assert kinds(rewritten(lines, 3, lambda entry: entry["evidence"].update(x="1"))) == [(4, "altered")]
    for text in (b"[]", b"null", b"[" * 50_000, b"1" * 5000, b"{}", b'{"entry":[],"hash":1,"previous":2}', b"\xff"):
        assert kinds(lines[0] + text + b"\n" + lines[1]) == [(2, "unreadable")]


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_nothing_that_is_done_to_the_lines_goes_unnoticed(ledger: tuple[bytes, list[str]], data: Any) -> None:
    content, heads = ledger
    lines = lines_of(content)
    order = data.draw(st.lists(st.integers(0, 3), max_size=7))
    changed = b"".join(lines[number] for number in order)
    verdict = examined(changed, heads[-1])
    assert verdict.intact == (order == [0, 1, 2, 3])
    assert examined(changed).intact == (order == list(range(len(order))))


@pytest.mark.parametrize("covered", range(5))
def test_a_head_covers_what_was_there_when_it_was_published(covered: int, tmp_path: Path) -> None:
    path, heads = written(tmp_path)
    assert verify(path, head=heads[covered].upper()).covered == covered
    shortened = b"".join(lines_of(path.read_bytes())[:2])
    path.write_bytes(shortened)
    assert verify(path).intact, "without a head, a shortened ledger looks like an early one"
    assert verify(path, head=heads[covered]).intact == (covered <= 2)


@pytest.mark.parametrize("head", ["", "0" * 63, "g" * 64, "0" * 64 + "\n", " " + "0" * 64])
def test_a_head_that_is_no_hash_is_an_error(head: str, tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    with pytest.raises(ParameterError, match="64 hexadecimal digits"):
        verify(path, head=head)


def test_many_damages_are_counted_and_the_first_are_told() -> None:
    verdict = examined(b"nonsense\n" * 1000)
    assert (verdict.entries, verdict.damaged, len(verdict.damages)) == (0, 1000, MOST_TOLD)
    assert "and 900 more" in verdict.summary()


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match=r"cannot be read: .*Name the file of a ledger"):
            verify(path)


def test_entries_are_read_up_to_the_first_damage(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    assert [entry["client"] for entry in read_entries(path)] == ["anna", "7", "7", "line\nbreak"]
    lines = lines_of(path.read_bytes())
    for broken in (lines[2].replace(b'"7"', b'"8"'), lines[3], b"x\n", lines[2][:-1]):
        path.write_bytes(lines[0] + lines[1] + broken)
        entries = read_entries(path)
        assert [next(entries)["client"], next(entries)["client"]] == ["anna", "7"]
        with pytest.raises(StoreError, match="line 3: damaged"):
            next(entries)


# -------------------------------------------------------------------------------------------------- the command


def test_the_command_finds_a_ledger_intact_and_prints_the_head(inside: Any, tmp_path: Path) -> None:
    path, heads = written(tmp_path)
    done = inside("verify", path.name, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"ledger.jsonl: 4 entries, intact\nhead {heads[-1]}\n"
    done = inside("verify", path.name, "--head", heads[3], "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["intact"], answer["covered"], answer["head"]) == (0, True, 3, heads[-1])


def test_the_command_says_where_a_ledger_is_damaged(inside: Any, tmp_path: Path) -> None:
    path, heads = written(tmp_path)
    path.write_bytes(b"".join(lines_of(path.read_bytes())[:2]))
    done = inside("verify", path.name, "--head", heads[-1], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "2 entries, damaged\nline 3: truncated: no entry has the published head" in done.stdout
    path.write_bytes(path.read_bytes().replace(b"anna", b"eve!", 1))
    done = inside("verify", path.name, "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert [(damage["line"], damage["kind"]) for damage in json.loads(done.stdout)["damages"]] == [(1, "altered")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere cannot be read: No such file or directory"),
        ((".",), ". is no folder of a run"),
        (("ledger.jsonl", "--head", "abc"), "`head` should be 64 hexadecimal digits"),
    ],
)
def test_the_command_has_exit_code_2_for_what_it_cannot_read(
    arguments: tuple[str, ...], message: str, inside: Any, tmp_path: Path
) -> None:
    written(tmp_path, [Decision("a", "weighted", 1.0)])
    done = inside("verify", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
