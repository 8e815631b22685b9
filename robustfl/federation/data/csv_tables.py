"""A table in a CSV file as data: numbers are standardised and words become one-hot, by the training rows only."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from robustfl.errors import DataError, ParameterError, did_you_mean
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.files import find_files
from robustfl.federation.data.labels import Indices, stratified_split

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})
"""The cells that count as missing, in upper or lower case."""

_LARGEST_FILE = 2**28  # bytes; Python's strings need several times as much memory
_MOST_CLASSES = 1000
_MOST_COLUMNS = 100_000


@dataclass(frozen=True, kw_only=True)
class CSV(Data):
    """A local CSV table with a header line: one column holds the class, the others hold the features [features].

    - A column whose cells are all numbers is standardised: (x - mean) / standard deviation. A missing number is
      replaced by the median. Median, mean and deviation are computed over the training rows.
    - Any other column becomes one-hot over the categories of the training rows. Missing cells form a category of their
      own, and a category that only test rows have becomes all zeros.
    - A column that is constant over the training rows is dropped. Blank lines are skipped.
    - A cell counts as missing when it is empty, `?`, `na`, `n/a`, `nan` or `null`. A missing label is an error.

    Raises DataError, which names the line and the column.
    """

    tabular: ClassVar[bool] = True

    path: Annotated[str, Doc("path of the file, relative to the data root")]
    label_column: Annotated[str, Doc("name of the column that holds the class")]
    delimiter: Annotated[str, Doc("the character between two cells")] = ","
    test_fraction: Annotated[float, Gt(0), Lt(1), Doc("share of the rows kept for the test")] = 0.25
    max_categories: Annotated[int, Ge(2), Doc("largest number of distinct values in a column of words")] = 50
    split_seed: Annotated[int, Ge(0), Doc("seed of the division into training and test")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0 ':
            raise ParameterError(
                f"CSV: `delimiter` should be one character, no quote, blank or line end. Found {self.delimiter!r}."
            )

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        (path,) = find_files(roots, (self.path,), remedy="Place the file there; `path` is relative to the data root.")
        columns = read_table(path, self.delimiter)
        if self.label_column not in columns:
            raise DataError(
                f"{path} has no column `{self.label_column}` for the label. {did_you_mean(self.label_column, columns)}"
            )
        y, classes = _classes(columns.pop(self.label_column))
        train, test = stratified_split(y, self.test_fraction, self.split_seed)
        encoded = [_encoded(column, train, self.max_categories) for column in columns.values()]
        x = np.concatenate([np.empty((len(y), 0), np.float32), *encoded], axis=1)
        if x.shape[1] == 0:
            raise DataError(
                f"{path} has no feature left: every column besides `{self.label_column}` is constant or absent."
            )
        return Dataset(
            name=self.name, train_x=x[train], train_y=y[train], test_x=x[test], test_y=y[test], classes=classes
        )


class Column(NamedTuple):
    """The cells of one column, without surrounding spaces, each with its line number for error messages."""

    where: str
    cells: list[str]
    lines: list[int]


def read_table(path: Path, delimiter: str) -> dict[str, Column]:
    """The columns of a CSV file by name, in the order of the header.

    Raises DataError when the file is not UTF-8, larger than 256 MiB or ragged, or has no rows, or its header has an
    empty or repeated name.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DataError(f"{path} should be at most {_LARGEST_FILE} bytes. Convert large tables to .npz.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = _header(next(reader, []), path)
            rows: list[list[str]] = []
            lines: list[int] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: there should be {len(header)} cells. Found {len(row)}. "
                        f"Quote cells that hold the delimiter {delimiter!r}, or name another `delimiter`."
                    )
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} should be UTF-8 text: {error}. Save it again as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}.") from error
    if not rows:
        raise DataError(f"{path} should have rows below its header. Found none.")
    cells = zip(*rows, strict=True)
    return {
        name: Column(f"{path}, column `{name}`", list(column), lines)
        for name, column in zip(header, cells, strict=True)
    }


def _header(row: Sequence[str], path: Path) -> list[str]:
    names = [name.strip() for name in row]
    if not names or "" in names or len(set(names)) != len(names) or len(names) > _MOST_COLUMNS:
        repeated = [name for name, times in Counter(names).items() if name and times > 1]
        found = f"`{repeated[0]}` twice" if repeated else f"{len(names)} columns, {names.count('')} without a name"
        raise DataError(
            f"{path}, line 1: there should be a header of 1 to {_MOST_COLUMNS} distinct column names. Found {found}."
        )
    return names


def _classes(column: Column) -> tuple[Indices, tuple[str, ...]]:
    """The class number of each row, and the class names, ordered as numbers if all are numbers, else as texts."""
    for cell, line in zip(column.cells, column.lines, strict=True):
        if cell.lower() in MISSING:
            raise DataError(f"{column.where}, line {line}: the label is missing ({cell!r}). Remove the row.")
    distinct = set(column.cells)
    if not 2 <= len(distinct) <= _MOST_CLASSES:
        raise DataError(
            f"{column.where}: there should be 2 to {_MOST_CLASSES} distinct labels. Found {len(distinct)}. "
            f"Group a measured quantity in classes first."
        )
    numbers = {cell: _number(cell) for cell in distinct}
    if all(number is not None for number in numbers.values()):
        ordered = sorted(distinct, key=lambda cell: (numbers[cell] or 0.0, cell))
    else:
        ordered = sorted(distinct)
    place = {cell: number for number, cell in enumerate(ordered)}
    return np.array([place[cell] for cell in column.cells], dtype=np.int64), tuple(ordered)


def _encoded(column: Column, train: Indices, max_categories: int) -> npt.NDArray[np.float32]:
    """The features [N, k] into which one column is turned; k is 0 for a constant column."""
    missing = np.array([cell.lower() in MISSING for cell in column.cells])
    numbers = [None if absent else _number(cell) for cell, absent in zip(column.cells, missing, strict=True)]
    if all(absent or number is not None for absent, number in zip(missing, numbers, strict=True)):
        values = np.array([math.nan if number is None else number for number in numbers])
        return _standardised(values, missing, column, train)
    return _one_hot(column, missing, numbers, train, max_categories)


def _standardised(
    values: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_], column: Column, train: Indices
) -> npt.NDArray[np.float32]:
    """A column of numbers as features [N, 1], or [N, 0] when the column is constant."""
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        row = infinite[0]
        raise DataError(f"{column.where}, line {column.lines[row]}: {column.cells[row]!r} should be a finite number.")
    known = values[train][~missing[train]]
    if not known.size:
        return np.empty((len(values), 0), np.float32)
    scale = np.abs(known).max() or 1.0  # scale to [-1, 1] first: the square of 1e200 overflows
    with np.errstate(over="ignore"):
        filled = np.where(missing, np.median(known / scale), values / scale)
        fit = filled[train]
        if fit.min() == fit.max():
            return np.empty((len(values), 0), np.float32)
        result: npt.NDArray[np.float32] = ((filled - fit.mean()) / fit.std()).astype(np.float32)
    wild = np.flatnonzero(~np.isfinite(result))
    if wild.size:
        row = wild[0]
        raise DataError(
            f"{column.where}, line {column.lines[row]}: {column.cells[row]!r} is too far from the training rows to be "
            f"standardised in float32. Mend or remove the row."
        )
    return result[:, None]


def _one_hot(
    column: Column,
    missing: npt.NDArray[np.bool_],
    numbers: Sequence[float | None],
    train: Indices,
    max_categories: int,
) -> npt.NDArray[np.float32]:
    """A column of words as [N, categories of the training rows], or [N, 0] when there is only one."""
    cells = ["" if absent else cell for cell, absent in zip(column.cells, missing, strict=True)]
    distinct = sorted(set(cells))
    if len(distinct) > max_categories:
        row = next(i for i, number in enumerate(numbers) if number is None and not missing[i])
        count = sum(number is not None for number in numbers)
        raise DataError(
            f"{column.where}: {len(distinct)} distinct values, more than max_categories={max_categories}. {count} of "
            f"{len(cells)} cells are numbers; the first that is not is {column.cells[row]!r} "
            f"(line {column.lines[row]}). Mend the cells, drop the column, or raise `max_categories`."
        )
    place = {category: number for number, category in enumerate(distinct)}
    codes = np.array([place[cell] for cell in cells])
    seen = np.unique(codes[train])
    if len(seen) == 1:
        return np.empty((len(cells), 0), np.float32)
    hot: npt.NDArray[np.float32] = (codes[:, None] == seen).astype(np.float32)
    return hot


def _number(cell: str) -> float | None:
    """The cell as a number, or None; `1_000` is a number in Python but not in a table."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None
