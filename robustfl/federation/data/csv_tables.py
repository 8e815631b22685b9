"""A table in a CSV file as data: numbers are standardised and words become one-hot, by the training rows only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from robustfl.errors import DataError, ParameterError, did_you_mean
from robustfl.federation.data.csv_columns import Encoder, Infinite, classes, grouped
from robustfl.federation.data.csv_files import Layout, Table, read_tables
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.files import find_files
from robustfl.federation.data.labels import Indices, stratified_split
from robustfl.federation.data.telling import TOLD, told_by


@dataclass(frozen=True, kw_only=True)
class CSV(Data):
    """Local CSV tables: one column holds the class, the others hold the features [features].

    - A column whose cells are all numbers is standardised: (x - mean) / standard deviation. A missing number is
      replaced by the median. Median, mean and deviation are computed over the training rows.
    - Any other column becomes one-hot over the categories of the training rows. Missing cells form a category of their
      own, and a category that only test rows have becomes all zeros.
    - A column that is constant over the training rows is dropped. Blank lines are skipped.
    - A cell counts as missing when it is empty, `?`, `na`, `n/a`, `nan` or `null`; in a column whose other cells are
      numbers also when it is `-`, `--`, `none`, `nil`, `#n/a`, `#na`, `<na>`, `nat`, `(null)`, `missing` or `\\\\n`, in
      upper or lower case. A missing label is an error. What was taken for missing is told in `Dataset.notes`.
    - `Dataset.notes` also names each column that alone tells the label, as a second label does that is no feature.
    - Labels, and clients, that are equal numbers are equal: `1` and `1.0` are one class.
    - Of columns with one name, the second is called `NAME.1`, the third `NAME.2`.

    With `test_path`, that file holds the test rows. Otherwise they are a random share of the rows, in which every class
    has its share. With `client_column`, the partition `by_client` can give each client the rows that were its own.

    Cost: files are read in pieces; 8 bytes for every number, then 4 for every feature. Files may have 8 GiB.

    Raises DataError, which names the line and the column.
    """

    tabular: ClassVar[bool] = True

    path: Annotated[str, Doc("path of the file, relative to the data root or to the folder of the suite's file")]
    label_column: Annotated[str, Doc("name of the column that holds the class")]
    test_path: Annotated[str | None, Doc("file of the test rows, with the same columns; none: `test_fraction`")] = None
    client_column: Annotated[str | None, Doc("name of the column that says whose row it is; it is no feature")] = None
    ignore: Annotated[
        tuple[str, ...], Doc("names of columns that are left out; an empty text stands for those without a name")
    ] = ()
    header: Annotated[
        Literal["file", "none"] | tuple[str, ...],
        Doc(
            "whether the first line of a file names the columns, `none` if nothing does (they are 1, 2, ...), or names"
        ),
    ] = "file"
    delimiter: Annotated[str, Doc("the character between two cells")] = ","
    encoding: Annotated[Literal["utf-8", "latin-1", "cp1252"], Doc("how letters are written")] = "utf-8"
    infinite: Annotated[
        Infinite, Doc("an infinite number is an error, missing, or as the largest or smallest of the training rows")
    ] = "error"
    unseen: Annotated[
        Literal["error", "drop"], Doc("whether test rows of classes that the training file lacks are an error")
    ] = "error"
    test_fraction: Annotated[float, Gt(0), Lt(1), Doc("share of the rows kept for the test")] = 0.25
    max_categories: Annotated[int, Ge(2), Doc("largest number of distinct values in a column of words")] = 50
    split_seed: Annotated[int, Ge(0), Doc("seed of the division into training and test")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0 ':
            raise ParameterError(
                f"CSV: `delimiter` should be one character, no quote, blank or line end. Found {self.delimiter!r}."
            )
        names = [name.strip() for name in self.header] if isinstance(self.header, tuple) else []
        if self.header == () or "" in names or len(set(names)) < len(names):
            raise ParameterError(f"CSV: `header` should be distinct names, one for each column. Found {self.header!r}.")
        used = [name.strip() for name in (self.label_column, self.client_column) if name is not None]
        wrong = [name for name in used if name in self._ignored or used.count(name) > 1]
        if wrong:
            raise ParameterError(
                f"CSV: `label_column`, `client_column` and `ignore` should be different columns. Found {wrong[0]!r} "
                f"more than once."
            )

    @property
    def _ignored(self) -> frozenset[str]:
        return frozenset(name.strip() for name in self.ignore)

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        paths = find_files(
            roots,
            (self.path,) if self.test_path is None else (self.path, self.test_path),
            remedy="Place the file there; `path` is relative to the data root.",
        )
        label, client = self.label_column.strip(), None if self.client_column is None else self.client_column.strip()
        table = read_tables(
            paths,
            Layout(
                delimiter=self.delimiter,
                encoding=self.encoding,
                header=self.header if isinstance(self.header, str) else tuple(name.strip() for name in self.header),
                ignored=self._ignored,
                words=frozenset({label} if client is None else {label, client}),
            ),
        )
        for key, name in (("label", label), ("client", client), *(("ignored column", name) for name in self._ignored)):
            if name and name not in table.names:
                raise DataError(f"{paths[0]} has no column `{name}` for the {key}. {did_you_mean(name, table.names)}")
        doubled = {label, client} & {*table.copies.values()} - self._ignored
        if doubled & {table.copies[name] for name in table.columns if name in table.copies}:
            raise DataError(f"{paths[0]} should have one column `{doubled.pop()}`. Found more: `ignore` the others.")
        y, names = classes(table, table.columns.pop(label))
        owned = None if client is None else grouped(table, table.columns.pop(client), "client")
        notes = [
            f"There are several columns `{name}`; a later one is called `{new}`." for new, name in table.copies.items()
        ]
        if self.test_path is None:
            train, test = stratified_split(y, self.test_fraction, self.split_seed)
        else:
            train, test = (rows.astype(np.int64) for rows in np.split(np.arange(len(y)), [table.files[1][0]]))
            y, names, test = self._known(table, y, names, train, test, notes)
        encoder = Encoder(table=table, train=train, most=self.max_categories, infinite=self.infinite)
        parts = [np.empty((len(y), 0), np.float32)]
        while table.columns:
            name = next(iter(table.columns))
            features, note = encoder.features(table.columns.pop(name))
            parts.append(features)
            notes += [note] if note else []
            told = told_by(features, y, len(names), train, test)
            notes += [] if told is None else [_telling(name, label, (*names, "")[told])]
        x = np.concatenate(parts, axis=1)
        if x.shape[1] == 0:
            raise DataError(
                f"{paths[0]} has no feature left: every column besides `{label}` is constant, ignored or absent."
            )
        owners: dict[str, Any] = {}
        if owned is not None:
            found, numbers = np.unique(owned[0][train], return_inverse=True)
            owners = {"train_owners": numbers, "owners": tuple(owned[1][owner] for owner in found)}
        return Dataset(
            name=self.name,
            train_x=x[train],
            train_y=y[train],
            test_x=x[test],
            test_y=y[test],
            classes=names,
            notes=tuple(notes),
            **owners,
        )

    def _known(
        self, table: Table, y: Indices, names: tuple[str, ...], train: Indices, test: Indices, notes: list[str]
    ) -> tuple[Indices, tuple[str, ...], Indices]:
        """Classes of the training file alone, numbered again, and the test rows that are of one of them."""
        seen = np.unique(y[train])
        unknown = test[~np.isin(y[test], seen)]
        if unknown.size:
            lost = ", ".join(names[label] for label in np.unique(y[unknown]))
            if self.unseen == "error":
                raise DataError(
                    f"{table.where(self.label_column.strip(), int(unknown[0]))}: test rows should be of classes that "
                    f"training rows have. {len(unknown)} of {len(test)} are not: {lost}. Say `unseen: drop`, or group "
                    f"the classes first."
                )
            notes.append(
                f"{len(unknown)} of {len(test)} test rows were left out; training lacks their classes: {lost}."
            )
        known = np.setdiff1d(test, unknown)
        if not known.size:
            raise DataError(
                f"{table.files[1][1]} should have test rows of classes that training rows have. Found none."
            )
        place = np.searchsorted(seen, y)
        return place.astype(np.int64), tuple(names[label] for label in seen), known


def _telling(column: str, label: str, told: str) -> str:
    """The note about a column that tells the label by itself; `told` is the class that it tells from all others."""
    what = f"the class {told!r}" if told else "the label"
    return (
        f"Column `{column}` alone tells {what} (right for more than {TOLD:.0%} of the test rows). If it is a second "
        f"label, or known only once `{label}` is, the task is trivial and says little: `ignore` it."
    )
