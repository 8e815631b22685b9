"""From the columns of a table to classes, owners and features; all statistics are those of the training rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

import numpy as np
import numpy.typing as npt

from robustfl.errors import DataError
from robustfl.federation.data.csv_files import HOLES, MISSING, Column, Table, number
from robustfl.federation.data.labels import Indices

Infinite = Literal["error", "missing", "clip"]
"""What becomes of an infinite number."""

_MOST_CLASSES = 1000
_SHOWN = 5

Features = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def grouped(table: Table, column: Column, what: str) -> tuple[Indices, tuple[str, ...]]:
    """The group [N] of each row, and the names of the groups, ordered as numbers if all are numbers, else as texts.

    Numbers are equal if their values are: `0` and `0.0` are one group, with the shortest spelling as its name. The
    values are compared exactly, so that long numbers stay apart.

    Raises DataError when a cell is missing.
    """
    missing = np.array([text.lower() in MISSING for text in column.texts])
    absent = np.flatnonzero(missing[column.codes])
    if absent.size:
        row = int(absent[0])
        cell = column.texts[column.codes[row]]
        raise DataError(f"{table.where(column.name, row)}: the {what} is missing ({cell!r}). Remove the row.")
    spellings: dict[Decimal | str, list[str]] = {}
    for text in column.texts:
        spellings.setdefault(_value(text), []).append(text)
    name = {value: min(texts, key=lambda text: (len(text), text)) for value, texts in spellings.items()}
    values = [value for value in spellings if isinstance(value, Decimal)]
    ordered = [name[value] for value in sorted(values)] if len(values) == len(spellings) else sorted(name.values())
    place = {found: rank for rank, found in enumerate(ordered)}
    ranks = np.array([place[name[_value(text)]] for text in column.texts], dtype=np.int64)
    return ranks[column.codes], tuple(ordered)


def classes(table: Table, column: Column) -> tuple[Indices, tuple[str, ...]]:
    """The class number [N] of each row, and the class names."""
    y, names = grouped(table, column, "label")
    if not 2 <= len(names) <= _MOST_CLASSES:
        raise DataError(
            f"{table.where(column.name)}: there should be 2 to {_MOST_CLASSES} distinct labels. Found {len(names)}. "
            f"Group a measured quantity in classes first."
        )
    return y, names


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Turns columns into features by the statistics of the training rows.

    `most` is the largest number of distinct values in a column of words.
    """

    table: Table
    train: Indices
    most: int
    infinite: Infinite

    def features(self, column: Column) -> tuple[Features, str]:
        """The features [N, k] of one column, and a note, which may be empty; k is 0 for a constant column."""
        texts = [text.lower() for text in column.texts]
        values = [number(text) for text in column.texts]
        infinite = np.array([value is not None and bool(np.isinf(value)) for value in values], dtype=np.bool_)
        numeric = any(map(np.isfinite, column.numbers[:1])) or bool(np.isfinite(column.numbers).any()) or infinite.any()
        holes = np.array([text in (HOLES if numeric else MISSING) for text in texts], dtype=np.bool_)
        if not (holes | infinite).all():
            holes = np.array([text in MISSING for text in texts], dtype=np.bool_)
            return self._one_hot(column, holes), self._mixed(column, _rows(column, holes))
        if infinite.any() and self.infinite == "missing":
            holes, infinite = holes | infinite, np.zeros_like(infinite)
        missing, wild = _rows(column, holes), _rows(column, infinite)
        note = self._note(column, missing, wild)
        return self._standardised(column, missing, wild, values), note

    def _note(self, column: Column, missing: Mask, wild: Mask) -> str:
        told = []
        for rows, what in ((missing, "taken for missing"), (wild, "clipped")):
            if rows.any():
                cells = Counter(column.codes[rows].tolist()).most_common(_SHOWN)
                shown = ", ".join(f"{column.texts[code]!r} ({times})" for code, times in cells)
                told.append(f"{int(rows.sum())} cells were {what}: {shown}.")
        return f"Column `{column.name}`: {' '.join(told)}" if told else ""

    def _mixed(self, column: Column, missing: Mask) -> str:
        """A note where a few words among numbers make categories of all of them: mostly, they are slips of the pen."""
        numbers = column.codes < 0
        words = np.flatnonzero(~numbers & ~missing)
        if numbers.sum() <= len(words):
            return ""
        first = int(words[0])
        return (
            f"Column `{column.name}`: {int(numbers.sum())} of {len(numbers)} cells are numbers, and "
            f"{column.texts[column.codes[first]]!r} (line {self.table.lines[first]}) is none, so that every distinct "
            "value is a category."
        )

    def _standardised(self, column: Column, missing: Mask, wild: Mask, values: list[float | None]) -> Features:
        """A column of numbers as features [N, 1], or [N, 0] when the column is constant."""
        if wild.any() and self.infinite == "error":
            row = int(np.flatnonzero(wild)[0])
            raise DataError(
                f"{self.table.where(column.name, row)}: {column.texts[column.codes[row]]!r} should be a finite number. "
                f"Say `infinite: missing` or `infinite: clip`, or mend it."
            )
        known = column.numbers[self.train][~(missing | wild)[self.train]]
        if not known.size:
            return np.empty((len(column.numbers), 0), np.float32)
        filled = column.numbers.copy()
        if wild.any():
            upwards = np.array([value == np.inf for value in values])[column.codes] & wild
            filled[wild] = known.min()
            filled[upwards] = known.max()
        scale = np.abs(known).max() or 1.0  # scale to [-1, 1] first: the square of 1e200 overflows
        with np.errstate(over="ignore"):
            filled /= scale
            filled[missing] = np.median(known / scale)
            fit = filled[self.train]
            if fit.min() == fit.max():
                return np.empty((len(filled), 0), np.float32)
            result: Features = ((filled - fit.mean()) / fit.std()).astype(np.float32)
        far = np.flatnonzero(~np.isfinite(result))
        if far.size:
            row = int(far[0])
            raise DataError(
                f"{self.table.where(column.name, row)}: {str(column.numbers[row])!r} is too far from the training rows "
                f"to be standardised in float32. Mend or remove the row."
            )
        return result[:, None]

    def _one_hot(self, column: Column, holes: Mask) -> Features:
        """A column of words as [N, categories of the training rows], or [N, 0] when there is only one.

        Equal numbers among the words are one category; missing cells are one, too.
        """
        order = sorted({"" if hole else text for hole, text in zip(holes, column.texts, strict=True)})
        place = {text: rank for rank, text in enumerate(order)}
        ranks = np.array([place["" if hole else text] for hole, text in zip(holes, column.texts, strict=True)])
        is_number = column.codes < 0
        measured, which = np.unique(column.numbers[is_number], return_inverse=True)
        categories = len(order) + len(measured)
        if categories > self.most:
            row = int(np.flatnonzero(~is_number & ~_rows(column, holes))[0])
            raise DataError(
                f"{self.table.where(column.name)}: {categories} distinct values, more than max_categories={self.most}. "
                f"{int(is_number.sum())} of {len(is_number)} cells are numbers; the first that is not is "
                f"{column.texts[column.codes[row]]!r} (line {self.table.lines[row]}). Mend the cells, `ignore` the "
                f"column, or raise `max_categories`."
            )
        codes = np.empty(len(is_number), dtype=np.int64)
        codes[is_number] = which
        codes[~is_number] = len(measured) + ranks[column.codes[~is_number]]
        seen = np.unique(codes[self.train])
        if len(seen) == 1:
            return np.empty((len(codes), 0), np.float32)
        hot: Features = (codes[:, None] == seen).astype(np.float32)
        return hot


def _rows(column: Column, chosen: Mask) -> Mask:
    """The rows [N] whose cell is one of the chosen texts."""
    return np.append(chosen, False)[column.codes]  # the code of a number is -1, which is the last place


def _value(text: str) -> Decimal | str:
    """The text as an exact number, if it is one."""
    value = number(text)
    if value is None or np.isnan(value):
        return text
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return text
