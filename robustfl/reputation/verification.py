"""Verification of a ledger: every line is checked against its own hash and against the line before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from robustfl.errors import ParameterError, StoreError
from robustfl.reputation.encoding import GENESIS
from robustfl.reputation.entries import LONGEST_LINE, LedgerEntry, parse

MOST_TOLD = 100
"""Largest number of damages that a verdict lists; further ones are only counted."""


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with a ledger.

    Attributes
    ----------
    line : the line, counted from 1
    kind : `altered`, `inserted`, `duplicated`, `reordered`, `removed`, `unreadable`, `torn` or `truncated`. Some kinds
        cannot be told apart: an entry that was rewritten together with its hash looks like one that was removed, with
        another one inserted in its place
    expected, found : the two hashes that differ, or None
    message : the damage in words
    """

    line: int
    kind: str
    expected: str | None
    found: str | None
    message: str


@dataclass(frozen=True)
class LedgerVerdict:
    """What is known about a ledger after reading it.

    Attributes
    ----------
    intact : whether nothing is wrong
    entries : the number of readable entries
    head : the hash of the last readable entry; if it is published, later verifications detect a shortened or rewritten
        ledger
    covered : the number of entries that the published head proves; None if no head was given or no entry has it
    damaged : the number of damages; `damages` holds the first hundred
    """

    intact: bool
    entries: int
    head: str
    covered: int | None
    damaged: int
    damages: tuple[Damage, ...]

    def summary(self) -> str:
        """The verdict as a text, with one line per damage and the head to publish."""
        entries = "1 entry" if self.entries == 1 else f"{self.entries} entries"
        lines = [f"{entries}, {'intact' if self.intact else 'damaged'}"]
        if self.covered is not None and self.intact:
            later = self.entries - self.covered
            lines.append(f"the published head covers the first {self.covered}; {later} came after it")
        for damage in self.damages:
            lines.append(f"line {damage.line}: {damage.kind}: {damage.message}")
            if damage.expected is not None:
                lines += [f"  expected {damage.expected}", f"  found    {damage.found}"]
        if self.damaged > len(self.damages):
            lines.append(f"and {self.damaged - len(self.damages)} more")
        return "\n".join([*lines, f"head {self.head}"])


def verify(path: Path | str, *, head: str | None = None) -> LedgerVerdict:
    """Read a ledger and say whether anything was altered, removed, inserted or moved.

    Someone who removes entries at the end, or rewrites all entries after some line with new hashes, leaves a valid
    chain. Only a `head` that was published before reveals this: if an entry has it, the entries up to there are
    unchanged.

    Parameters
    ----------
    path : the file of the ledger
    head : a head that was published earlier, as 64 hexadecimal digits; entries may have been added since

    Raises
    ------
    StoreError : the file cannot be read
    ParameterError : `head` is no hash
    """
    published = None if head is None else checked_head(head)
    with _opened(path) as stream:
        scan = Scan(stream)
    return scan.verdict(published)


def checked_head(head: str) -> str:
    """A head that a person typed, in the lower case of the ledger; a text that is no hash raises ParameterError."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", head):
        raise ParameterError(f"`head` should be 64 hexadecimal digits, as `robustfl verify` prints. Found {head!r}.")
    return head.lower()


def read_entries(path: Path | str) -> Iterator[dict[str, Any]]:
    """The entries of a ledger in order, up to the first damage.

    Raises
    ------
    StoreError : at the first line that is damaged, or if the file cannot be read
    """
    with _opened(path) as stream:
        expected = GENESIS
        for number, text in numbered_lines(stream):
            line = parse(text)
            if line is None or not text.endswith(b"\n") or line.previous != expected or line.recomputed != line.hash:
                raise StoreError(f"{path}, line {number}: damaged. `robustfl verify` tells how.")
            expected = line.hash
            yield line.entry


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers; a line that is longer than any entry can be is replaced by an empty one."""
    number = 0
    while text := stream.readline(LONGEST_LINE):
        number += 1
        end = text
        while len(end) == LONGEST_LINE and not end.endswith(b"\n"):
            end = stream.readline(LONGEST_LINE)
        yield number, text if end is text else b"\n" if end.endswith(b"\n") else text


class Scan:
    """One reading of a ledger, which keeps only hashes in memory.

    Attributes
    ----------
    entries, head : as in a :class:`LedgerVerdict`
    last : the number of the last line
    tail : the bytes after the last line end, such as an entry that was being written when its process died
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.entries, self.last, self.head, self.tail = 0, 0, GENESIS, b""
        self._lines: dict[str, int] = {GENESIS: 0}  # hash -> the first line that has it
        self._copies: dict[int, int] = {}  # line -> the earlier one that it repeats
        self._found: list[Damage] = []
        self._unlinked: list[tuple[int, LedgerEntry, str]] = []
        before: tuple[str, ...] = (GENESIS,)
        for number, text in numbered_lines(stream):
            self.last = number
            if not text.endswith(b"\n"):
                self.tail = text
                break
            line = parse(text)
            if line is None:
                self._add(number, "unreadable", "this is no entry of a ledger: its text was changed")
                before = ()  # the hash to which the next line should be chained is lost with this line
            else:
                before = self._link(number, line, before)

    @property
    def damaged(self) -> bool:
        """Whether anything is wrong, apart from an unfinished last line."""
        return bool(self._found or self._unlinked)

    def verdict(self, head: str | None = None) -> LedgerVerdict:
        """The damages, explained by what the whole file holds."""
        found = [*self._found, *(self._explained(*unlinked) for unlinked in self._unlinked)]
        if self.tail:
            message = "the last line does not end: its writer died, or its end was removed"
            found.append(Damage(self.last, "torn", None, None, message))
        covered = None if head is None else self._lines.get(head)
        if head is not None and covered is None:
            message = "no entry has the published head: entries at the end were removed, or the ledger was rewritten"
            found.append(Damage(self.last + 1, "truncated", head, self.head, message))
        found.sort(key=lambda damage: damage.line)
        return LedgerVerdict(not found, self.entries, self.head, covered, len(found), tuple(found[:MOST_TOLD]))

    def _link(self, number: int, line: LedgerEntry, before: tuple[str, ...]) -> tuple[str, ...]:
        """Check a line against its hash and the line before; return the hashes that the next line may be chained to."""
        linked = not before or line.previous in before
        sound = line.recomputed == line.hash
        if not linked and not sound and any(line.after(hash_) == line.hash for hash_ in before):
            message = "the link to the entry before was altered; the entry itself was not"
            self._add(number, "altered", message, before[0], line.previous)
        else:
            if not sound:
                part = "its evidence" if line.evidence_altered else "the entry or its hash"
                self._add(number, "altered", f"{part} was altered", line.recomputed, line.hash)
            elif line.evidence_altered:
                self._add(number, "altered", "its evidence is not the one that its hash is of")
            if not linked:
                self._unlinked.append((number, line, before[0]))
        self.entries, self.head = self.entries + 1, line.hash
        if self._lines.setdefault(line.hash, number) != number:
            self._copies[number] = self._lines[line.hash]
        return line.hash, line.recomputed

    def _explained(self, number: int, line: LedgerEntry, expected: str) -> Damage:
        """Why a line is not chained to the one before it, as far as the rest of the ledger shows."""
        origin = self._lines.get(line.previous)
        if number in self._copies:
            kind, message = "duplicated", f"this repeats line {self._copies[number]}"
        elif origin is not None and origin >= number:
            kind, message = "reordered", f"this belongs after what is now line {origin}"
        elif origin is not None and origin < number - 1:
            place = f"line {origin}" if origin else "the beginning"
            kind, message = "inserted", f"this follows {place}; what stands between was inserted, or moved there"
        else:
            kind = "removed"
            message = "this follows an entry that is not there: entries before it were removed, or replaced by others"
        return Damage(number, kind, expected, line.previous, message)

    def _add(self, line: int, kind: str, message: str, expected: str | None = None, found: str | None = None) -> None:
        self._found.append(Damage(line, kind, expected, found, message))


@contextmanager
def _opened(path: Path | str) -> Iterator[BinaryIO]:
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}. Name the file of a ledger.") from None
