"""Reading CSV files into columns: headers, encodings, doubled names; numbers are kept as numbers, not as texts."""

from __future__ import annotations

import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robustfl.errors import DataError, did_you_mean
from robustfl.federation.data.labels import Indices

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})
"""The cells that count as missing in every column, in upper or lower case."""

HOLES = MISSING | {"-", "--", "none", "nil", "#n/a", "#na", "<na>", "nat", "(null)", "missing", "\\n"}
"""The cells that count as missing in a column whose other cells are numbers; elsewhere `-` may be a category."""

_LARGEST_FILE = 2**33  # bytes; a cell of two digits and its delimiter become 8 bytes in memory, longer ones fewer
_MOST_COLUMNS = 100_000
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How files are written.

    `header` is "file" if the first line names the columns, "none" if no names exist, or the names themselves. Columns
    in `ignored` are not kept. Cells of columns in `words` are kept as texts, also where they are numbers.
    """

    delimiter: str
    encoding: str
    header: str | tuple[str, ...]
    ignored: frozenset[str]
    words: frozenset[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """The cells of one column.

    Attributes
    ----------
    numbers : [N] the finite numbers; NaN where a cell holds none
    codes : [N] the place in `texts` of each cell that holds no finite number, or is in a column of words; else -1
    texts : the distinct texts of these cells, without surrounding spaces
    """

    name: str
    numbers: Numbers
    codes: Codes
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Files of the same columns, one below the other.

    Attributes
    ----------
    columns : the columns by name, in the order of the first file, without ignored ones
    names : the names of all columns
    lines : [N] the line of each row in its file
    files : each file with the number of its first row
    copies : the columns that were called otherwise, because another one has their name, with that name
    """

    columns: dict[str, Column]
    names: tuple[str, ...]
    lines: Indices
    files: tuple[tuple[int, Path], ...]
    copies: dict[str, str]

    def where(self, column: str, row: int | None = None) -> str:
        """The place of a column, or of its cell in a row, for messages."""
        path = [path for start, path in self.files if start <= (row or 0)][-1]
        return f"{path}, column `{column}`" + ("" if row is None else f", line {self.lines[row]}")


def read_tables(paths: Sequence[Path], layout: Layout) -> Table:
    """The columns of files that have the same columns, whose order in later files may differ.

    Cost: one pass. A cell of a number needs 8 bytes, a cell of words 12, and each distinct text is held once.

    Raises DataError when a file is not text in its encoding, larger than 8 GiB or ragged, has no rows or no header, or
    when the header has an empty name.
    """
    growing: dict[str, _Growing] = {}
    lines: list[Indices] = []
    files: list[tuple[int, Path]] = []
    names: list[str] = []
    copies: dict[str, str] = {}
    for path in paths:
        files.append((sum(map(len, lines)), path))
        with _Opened(path, layout) as opened:
            own, doubled = opened.names()
            if not names:
                names, copies = own, doubled
                growing = {name: _Growing(name in layout.words) for name in names if name not in layout.ignored}
            elif set(own) != set(names):
                raise _differing(path, own, names)
            for numbers, cells in opened.chunks(len(names)):
                lines.append(np.array(numbers, dtype=np.int64))
                for name, column in zip(own, cells, strict=True):
                    if name in growing:
                        growing[name].add(column)
        if sum(map(len, lines)) == files[-1][0]:
            raise DataError(f"{path} should have rows below its header. Found none.")
    return Table(
        columns={name: one.column(name) for name, one in growing.items()},
        names=tuple(names),
        lines=np.concatenate(lines),
        files=tuple(files),
        copies=copies,
    )


def number(cell: str) -> float | None:
    """The cell as a number, or None; `1_000` is a number in Python but not in a table."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


class _Opened:
    """A file that is being read; errors of reading become errors that name the file."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout

    def __enter__(self) -> _Opened:
        try:
            if self.path.stat().st_size > _LARGEST_FILE:
                raise DataError(f"{self.path} should be at most {_LARGEST_FILE} bytes. Convert it to .npz.")
            encoding = "utf-8-sig" if self.layout.encoding == "utf-8" else self.layout.encoding
            self._file = self.path.open(encoding=encoding, newline="")
        except OSError as error:
            raise DataError(f"{self.path} cannot be read as CSV: {error}.") from error
        self._reader = csv.reader(self._file, delimiter=self.layout.delimiter, strict=True)
        self._rows: Iterator[tuple[int, list[str]]] = self._numbered()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        """The lines that are not blank, with their numbers."""
        try:
            for row in self._reader:
                if row:
                    yield self._reader.line_num, row
        except UnicodeDecodeError as error:
            known = {"utf-8": "UTF-8", "cp1252": "text in cp1252", "latin-1": "text in latin-1"}
            other = "cp1252" if self.layout.encoding == "utf-8" else "latin-1"
            remedy = f"Say `encoding: {other}`, if a program for Western languages wrote it, or save it again as UTF-8."
            if error.object[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
                remedy = "It begins as UTF-16 does: save it again as UTF-8."
            raise DataError(
                f"{self.path} should be {known[self.layout.encoding]}: {error}, after line {self._reader.line_num}. "
                f"{remedy}"
            ) from error
        except (OSError, csv.Error) as error:
            raise DataError(f"{self.path} cannot be read as CSV: {error}.") from error

    def names(self) -> tuple[list[str], dict[str, str]]:
        """The names of the columns, and those of copies. The first row is looked at, and stays to be read."""
        given = self.layout.header
        head = next(self._rows, None)
        if given == "file":
            below = next(self._rows, None)
            self._put_back(below)
            return _header([] if head is None else head[1], below, self.path, self.layout.ignored)
        self._put_back(head)
        first = [] if head is None else [cell.strip() for cell in head[1]]
        if isinstance(given, str):
            return [str(place + 1) for place in range(len(first))], {}
        if first == list(given):
            raise DataError(f"{self.path}, line 1: the names of `header` are in the file. Leave `header` out.")
        if first and len(first) != len(given):
            raise DataError(
                f"{self.path}, line 1: there should be a cell for each of the {len(given)} names in `header`. Found "
                f"{len(first)} cells, the first of which are {', '.join(map(repr, first[:3]))}."
            )
        return list(given), {}

    def _put_back(self, row: tuple[int, list[str]] | None) -> None:
        if row is not None:
            self._rows = chain([row], self._rows)

    def chunks(self, width: int) -> Iterator[tuple[list[int], list[tuple[str, ...]]]]:
        """The rows that are left, some thousand at a time: their lines, and the cells of each column."""
        while chunk := list(islice(self._rows, _ROWS_AT_ONCE)):
            for line, row in chunk:
                if len(row) != width:
                    raise DataError(
                        f"{self.path}, line {line}: there should be {width} cells. Found {len(row)}. Quote cells that "
                        f"hold the delimiter {self.layout.delimiter!r}, or name another `delimiter`."
                    )
            yield [line for line, _ in chunk], list(zip(*(row for _, row in chunk), strict=True))


@dataclass
class _Growing:
    """A column while its file is read; numbers never exist as texts for longer than a chunk."""

    words: bool
    numbers: list[Numbers] = field(default_factory=list)
    codes: list[Codes] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, cells: Sequence[str]) -> None:
        found = None if self.words else _finite(cells)
        if found is not None:
            self.numbers.append(found)
            self.codes.append(np.broadcast_to(np.int32(-1), len(cells)))  # takes no memory
            return
        numbers, codes = np.full(len(cells), np.nan), np.full(len(cells), -1, dtype=np.int32)
        for row, cell in enumerate(cells):
            text = cell.strip()
            value = None if self.words else number(text)
            if value is not None and np.isfinite(value):
                numbers[row] = value
            else:
                codes[row] = self.places.setdefault(text, len(self.places))
        self.numbers.append(numbers)
        self.codes.append(codes)

    def column(self, name: str) -> Column:
        numbers = np.concatenate(self.numbers)
        codes = np.concatenate(self.codes) if self.places else np.broadcast_to(np.int32(-1), len(numbers))
        return Column(name=name, numbers=numbers, codes=codes, texts=tuple(self.places))


def _finite(cells: Sequence[str]) -> Numbers | None:
    """The cells as finite numbers, or None if any is something else."""
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    return values if np.isfinite(values).all() and not any("_" in cell for cell in cells) else None


def _header(
    row: Sequence[str], below: tuple[int, list[str]] | None, path: Path, ignored: frozenset[str]
) -> tuple[list[str], dict[str, str]]:
    """The distinct names of a header line, and those that were changed, with the names that the file gives.

    Of columns with one name, the second is called `NAME.1`, the third `NAME.2`, as other programs call them.
    """
    names = [name.strip() for name in row]
    if _is_data(names, [] if below is None else [cell.strip() for cell in below[1]]):
        cells = sum(map(_is_finite, names))
        raise DataError(
            f"{path}, line 1: it looks like data, no header: {cells} of {len(names)} names are numbers, as in the "
            f"line below. Give the names of the columns, `header: [duration, protocol, ...]`, or say `header: none`: "
            f"then they are called 1, 2, ..., {len(names)}."
        )
    empty = 0 if "" in ignored else names.count("")
    if not names or empty or len(names) > _MOST_COLUMNS:
        raise DataError(
            f"{path}, line 1: there should be a header of 1 to {_MOST_COLUMNS} column names. Found {len(names)} "
            f'columns, {empty} without a name. Name them, or leave them out: `ignore: [""]`.'
        )
    distinct, copies = list[str](), dict[str, str]()
    for name in names:
        found, numbers = name, count(1)
        while name and (found in distinct or (found != name and found in names)):
            found = f"{name}.{next(numbers)}"
        if found != name:
            copies[found] = name
        distinct.append(found)
    return distinct, copies


def _is_data(names: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a line holds data and no names.

    That is so if two of its cells are the same number. It is also so if it has numbers that are not counted up by one,
    as the names are that programs give to columns without one, and none of its words stands above a number.
    """
    numbers = [float(name) for name in names if _is_finite(name)]
    same = bool(numbers) and all(
        _is_finite(name) == _is_finite(cell) or {name.lower(), cell.lower()} & HOLES
        for name, cell in zip(names, below, strict=False)
    )
    if all(after - before == 1 for before, after in pairwise(numbers)):
        return same and len(numbers) == 1
    return same or len(set(numbers)) < len(numbers)


def _is_finite(cell: str) -> bool:
    value = number(cell)
    return value is not None and bool(np.isfinite(value))


def _differing(path: Path, own: Sequence[str], names: Sequence[str]) -> DataError:
    lacking, more = [name for name in names if name not in own], [name for name in own if name not in names]
    what = f"It lacks `{lacking[0]}`. {did_you_mean(lacking[0], own)}" if lacking else f"It has also `{more[0]}`."
    return DataError(f"{path} should have the columns of the training file. {what}")
