"""The record store: it appends one JSON line per trial when the trial ends, and survives a killed process.

Only the runner writes. A line is written with one system call, so a kill leaves at most the last line incomplete; that
line is cut off when the store is opened again. Records of another schema are refused, because scores of different
schemas must not be mixed.
"""

from __future__ import annotations

import json
import lzma
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from robustfl.appending import lock, renamed_aside, write_all
from robustfl.errors import StoreError
from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.results.records import Record

UNPACKED = 2 << 30
"""The largest number of bytes that a packed file may unpack to; without a limit a small file could fill the memory."""


class Store:
    """The records in the folder of a run; of several records of one trial the last one counts.

    Raises
    ------
    StoreError : another process is writing, a record is of another schema, a line inside the file is broken, or the
        file cannot be opened for writing
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened for writing: {error.strerror}. Use another --out.") from None
        try:
            lock(self._file, path, f"{path} is being written by another run. Wait for it, or use another --out.")
            _cut_torn_tail(self._file)
            self.records: dict[str, Record] = {record["trial"]: record for record in read_records(path)}
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, record: Record) -> None:
        """Add a record; from then on it survives the end of the process."""
        write_all(self._file, encoded(record))
        self.records[record["trial"]] = record

    def finish(self, order: Iterable[str]) -> None:
        """Rewrite the file: first the last record of each trial in the given order, then records of other suites.

        The same trials then give the same file, in whatever order they ended.
        """
        wanted = [trial for trial in dict.fromkeys(order) if trial in self.records]
        others = sorted(set(self.records) - set(wanted))
        content = b"".join(encoded(self.records[trial]) for trial in [*wanted, *others])
        write_atomically(self.path, content)
        self.close()

    def close(self) -> None:
        """Release the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def content(path: Path) -> bytes:
    """The bytes of a file, or, if it does not exist, those of the packed file `NAME.xz` of a published run.

    Raises
    ------
    OSError : neither can be read
    StoreError : the packed file is damaged, or unpacks to more than a run can hold
    """
    packed = path.with_name(f"{path.name}.xz")
    if path.exists() or not packed.exists():
        return path.read_bytes()
    try:
        with lzma.open(packed) as file:
            unpacked = file.read(UNPACKED + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise StoreError(f"{packed} cannot be unpacked: {error}. Fetch it again.") from None
    if len(unpacked) > UNPACKED:
        raise StoreError(f"{packed} unpacks to more than {UNPACKED >> 30} GiB, which no run is. Do not use it.")
    return unpacked


def exists(path: Path) -> bool:
    """Whether :func:`content` finds a file, packed or not."""
    return path.exists() or path.with_name(f"{path.name}.xz").exists()


def pack(path: Path, unpacked: bytes) -> Path:
    """Pack bytes and write them as `NAME.xz` in one step; return the path. Equal bytes give equal files."""
    packed = path.with_name(f"{path.name}.xz")
    write_atomically(packed, lzma.compress(unpacked, preset=6))
    return packed


def read_records(path: Path) -> list[Record]:
    """All complete records of a file, in order; an incomplete last line is left out.

    Raises
    ------
    StoreError : a line before the last is broken, or a record is of another schema
    """
    records: list[Record] = []
    lines = content(path).split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            schema = record["schema"]
            if not all(isinstance(record[key], str) for key in ("trial", "status", "fingerprint")):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise StoreError(
                f"{path}, line {number}: not a record. Remove the line to run its trial again, or use another --out."
            ) from None
        if schema != SCHEMA:
            raise StoreError(
                f"{path}, line {number}: a record of schema {schema!r}, while this version writes schema {SCHEMA}. "
                "Scores of different schemas cannot be mixed: use another --out, or --fresh to set the old file aside."
            )
        records.append(record)
    return records


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old content or the new, never a part."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def set_aside(path: Path) -> Path | None:
    """Rename an existing store to the first free `NAME.N.bak`; nothing is deleted.

    Raises
    ------
    StoreError : another process is writing
    """
    if not path.exists():
        return None
    file = os.open(path, os.O_RDWR)
    try:
        lock(file, path, f"{path} is being written by another run. Wait for it, or use another --out.")
        return renamed_aside(path)
    finally:
        os.close(file)


def encoded(record: Record) -> bytes:
    """A record as a line of a store."""
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _cut_torn_tail(file: int) -> None:
    """Cut off what follows the last newline: the process died while it wrote that line."""
    size = os.fstat(file).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        os.lseek(file, start, os.SEEK_SET)  # writes go to the end anyway; not every system has pread
        position = os.read(file, end - start).rfind(b"\n")
        if position >= 0:
            end = start + position + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
