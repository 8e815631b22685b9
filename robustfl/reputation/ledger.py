"""The ledger: a file of decisions, in which each entry is chained to the entry before it by a hash."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from robustfl.appending import lock, write_all
from robustfl.errors import ParameterError, StoreError
from robustfl.reputation.decisions import Decision, decisions_of
from robustfl.reputation.encoding import GENESIS
from robustfl.reputation.entries import LONGEST_LINE, LedgerEntry, entry_of, parse
from robustfl.reputation.verification import Scan

if TYPE_CHECKING:
    from robustfl.aggregation import Aggregation


class Ledger:
    """A file of decisions in which every change can be detected.

    Each line is canonical JSON (sorted keys, no blanks, ASCII, no floats). It holds an entry, the hash of the entry
    before it, and its own hash ``h_t = SHA256(h_{t-1} || canonical_json(entry_t))``, where ``h_0`` is 32 zero bytes. An
    entry says who (`client`, `client_type`), when (`round`, and a `timestamp` if the caller passes one), what
    (`action`, `score`, `rule`), why (`evidence`, `evidence_hash`), and in a network without a server which peer decided
    (`by`, `by_type`). The ledger never reads the clock, so that runs
    can be repeated.

    When :meth:`append`, :meth:`record` or :meth:`extend` returns, its entries are on the disk. A process that dies
    while writing damages at most the last line, and opening repairs that: a last line that is complete except for its
    line end gets one, and an unfinished line is cut off; `repaired` says so. Nothing else is ever changed, and a ledger
    with any other damage is not continued.

    Attributes
    ----------
    head : the hash of the last entry. Publish it (print it, mail it, send it to the clients): it proves all entries so
        far, and without it nobody can detect that entries at the end were removed
    entries : the number of entries
    repaired : what opening had to repair, or None

    Raises
    ------
    StoreError : another process is writing, the ledger is damaged, or the file cannot be opened or written
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.repaired: str | None = None
        self.head, self.entries = GENESIS, 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be opened for writing: {error.strerror}.") from None
        try:
            lock(
                self._file,
                self.path,
                f"{self.path} is being written by another process. Wait for it, or name another file.",
            )
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, round: int, decision: Decision, *, rule: Any, timestamp: str | None = None) -> str:
        """Add one decision and return the new head.

        Parameters
        ----------
        round : the number of the round; it may count from 0 or from 1
        decision : what was decided about a client
        rule : the rule that decided, of which the `repr` is recorded, or a text
        timestamp : any text, such as `datetime.now(timezone.utc).isoformat()`

        Raises
        ------
        ParameterError : a score or evidence that is no finite number, or more evidence than fits into a line
        StoreError : the ledger is closed, or the disk is full; the file is then as it was before
        """
        return self.extend([(round, decision)], rule=rule, timestamp=timestamp)

    def record(self, round: int, rule: Any, aggregation: Aggregation, *, timestamp: str | None = None) -> str:
        """Add all decisions of an aggregation, with one write, and return the new head.

        These are the rule's own decisions (``info["decisions"]``), or its weights if it keeps no reputation, and also
        the rows that were rejected before the rule saw them.
        """
        dated = ((round, decision) for decision in decisions_of(aggregation))
        return self.extend(dated, rule=rule, timestamp=timestamp)

    def extend(self, decisions: Iterable[tuple[int, Decision]], *, rule: Any, timestamp: str | None = None) -> str:
        """Add decisions, each with its round, in one write, and return the new head; all are added, or none."""
        if self._file < 0:
            raise StoreError(f"{self.path} is closed. Open it again: Ledger(path).")
        head, spelled, told = self.head, [], rule if isinstance(rule, str) else repr(rule)
        for number, decision in decisions:
            entry = entry_of(number, decision, told, timestamp)
            unlinked = LedgerEntry(entry, "", head)
            line = LedgerEntry(entry, unlinked.recomputed, head).spelled()
            if len(line) >= LONGEST_LINE:
                raise ParameterError(f"An entry should take less than {LONGEST_LINE} bytes. Found {len(line)}.")
            spelled.append(line)
            head = unlinked.recomputed
        if spelled:
            self._append(b"".join(spelled))
            self.head, self.entries = head, self.entries + len(spelled)
        return self.head

    def close(self) -> None:
        """Release the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        """Find the end of the chain, after repairing what a writer that died has left."""
        scan = self._scanned()
        if scan.tail and not scan.damaged and len(scan.tail) < LONGEST_LINE:
            self._repair(scan)
            scan = self._scanned()
        verdict = scan.verdict()
        if not verdict.intact:
            first = verdict.damages[0]
            raise StoreError(
                f"{self.path}, line {first.line}: {first.kind}; {first.message}. A damaged ledger is evidence: keep it "
                "as it is and start another file."
            )
        self.head, self.entries = verdict.head, verdict.entries
        self._size = os.fstat(self._file).st_size

    def _repair(self, scan: Scan) -> None:
        line = parse(scan.tail)
        if line is not None and line.previous == scan.head and line.recomputed == line.hash:
            write_all(self._file, b"\n")
            self.repaired = f"line {scan.last} was whole but for its end, which was added"
        else:
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(scan.tail))
            self.repaired = f"line {scan.last} was unfinished: {len(scan.tail)} bytes were cut off"

    def _scanned(self) -> Scan:
        with os.fdopen(os.dup(self._file), "rb") as stream:
            stream.seek(0)
            return Scan(stream)

    def _append(self, content: bytes) -> None:
        try:
            write_all(self._file, content)
            os.fsync(self._file)
        except BaseException as error:
            os.ftruncate(self._file, self._size)  # no part of an entry may come before the next entry
            if isinstance(error, OSError):
                raise StoreError(f"{self.path} cannot be written: {error.strerror}.") from None
            raise
        self._size += len(content)
