"""The contract of a data set: it is named, deterministic, divided into training and test samples, and checked.

A data set is a component, so a scenario names it and gives it parameters; `load` turns it into arrays:

>>> from robustfl.federation.data.data_sets import Digits
>>> digits = Digits().load()
>>> digits.train_x.shape, digits.input_shape, digits.classes[:3]
((1347, 1, 8, 8), (1, 8, 8), ('0', '1', '2'))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from robustfl.components import Component
from robustfl.errors import DataError
from robustfl.federation.data.files import data_roots

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 4096  # the finiteness check needs memory for this many rows, not for a second copy of the data


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Training and test samples with their classes.

    Shapes: `train_x` [N, ...] float32, `train_y` [N] int64, `test_x` [M, ...], `test_y` [M]; the dots stand for the
    same shape in both. A sample is [features], [length, symbols] or [channels, height, width]. Labels run from 0 to
    `len(classes) - 1`.

    Where samples belong to somebody from the start, `train_owners` [N] has the number of each training sample's owner,
    from 0 to `len(owners) - 1`, and `owners` has their names. `notes` are sentences about what was done to the files'
    values that a reader of results should know.

    The arrays are read-only, because everything in the process shares them. Code that changes a sample copies it first.

    Raises DataError when a part is empty, lengths or shapes do not match, a feature is not finite or a label has no
    class.
    """

    name: str
    train_x: FloatArray
    train_y: LabelArray
    test_x: FloatArray
    test_y: LabelArray
    classes: tuple[str, ...]
    train_owners: LabelArray | None = None
    owners: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise DataError(f"{self.name}: there should be two or more distinct classes. Found {self.classes!r}.")
        for part in ("train", "test"):
            x = _features(getattr(self, f"{part}_x"), f"{self.name}: `{part}_x`")
            y = _labels(getattr(self, f"{part}_y"), len(self.classes), f"{self.name}: `{part}_y`")
            if len(x) != len(y):
                raise DataError(
                    f"{self.name}: every {part} sample needs one label. Found {len(x)} and {len(y)} labels."
                )
            object.__setattr__(self, f"{part}_x", x)
            object.__setattr__(self, f"{part}_y", y)
        if self.train_owners is not None:
            owners = _labels(self.train_owners, len(self.owners), f"{self.name}: `train_owners`")
            if len(owners) != len(self.train_y):
                raise DataError(
                    f"{self.name}: every training sample needs one owner. Found {len(self.train_y)} samples and "
                    f"{len(owners)} owners."
                )
            object.__setattr__(self, "train_owners", owners)
        if self.train_x.shape[1:] != self.test_x.shape[1:]:
            raise DataError(
                f"{self.name}: training and test samples should have one shape. "
                f"Found {self.train_x.shape[1:]} and {self.test_x.shape[1:]}."
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.train_x.shape[1:]

    @property
    def tested(self) -> npt.NDArray[np.int64]:
        """The number of test samples of each class of the test set; classes without test samples are left out."""
        counts = np.bincount(self.test_y)
        return counts[counts > 0]

    @property
    def chance(self) -> float:
        """The test accuracy of a useless model, which always answers the most frequent class."""
        return float(self.tested.max() / len(self.test_y))

    def guessing(self, accuracy: str) -> float:
        """The most that a model reaches in expectation that does not look at the samples.

        Formula: with C classes in the test set, of shares p_c, and a model that answers class c with probability q_c,

        - `plain_accuracy` is ``sum p_c q_c``; the most is ``max p_c``, for the most frequent class;
        - `balanced_accuracy` is ``sum q_c / C = 1/C``, whatever the model answers;
        - `macro_f1` is ``sum 2 p_c q_c / (p_c + q_c) / C`` for many samples; it is concave in q, so the most is where
          all derivatives ``2 p_c^2 / (p_c + q_c)^2`` are equal, at ``q = p``, and it is ``1/C`` there.
        """
        return self.chance if accuracy == "plain_accuracy" else 1.0 / len(self.tested)

    def effective_test_size(self, accuracy: str) -> float:
        """The number of test samples that would give a plain accuracy the same sampling error.

        Formula: ``C^2 / sum (1 / n_c)`` with n_c test samples of each of C classes, where every class counts the same
        (exact for equal recalls; taken for `macro_f1` as well), and all samples otherwise.
        """
        counts = self.tested
        return float(len(self.test_y) if accuracy == "plain_accuracy" else len(counts) ** 2 / (1 / counts).sum())


@dataclass(frozen=True, kw_only=True)
class Data(Component, ABC):
    """A source of a :class:`Dataset`: equal parameters and equal files give equal arrays, in any process."""

    tabular: ClassVar[bool] = False
    """Whether the samples can never be images, so that attacks on images need not be tried."""

    layout: ClassVar[tuple[tuple[int, ...], int] | None] = None
    """The shape of a sample and the number of classes, where they are known without reading a file."""

    @final
    def load(self, root: Path | None = None) -> Dataset:
        """The data set; equal parameters and data roots are read once per process and then shared.

        Files are searched in `root`, then in the folder that the environment variable ROBUSTFL_DATA names.

        Raises DataError when files are absent or malformed; the message says how to get or repair them.
        """
        key = self, data_roots(root)
        return _HANDED.get(key) or _loaded(*key)

    def outline(self, root: Path | None = None) -> Dataset:
        """A data set with the sizes, labels, classes and notes of :meth:`load`, made without long computations.

        Values of samples that need one are all 0. Raises DataError as :meth:`load` does.
        """
        return self.load(root)

    def hand(self, dataset: Dataset, root: Path | None = None) -> None:
        """Let this process use a data set that another process has read, in place of the files in `root`."""
        _HANDED[self, data_roots(root)] = dataset

    @abstractmethod
    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        """The data set, read from files in one of `roots` if it needs files."""


_HANDED: dict[tuple[Data, tuple[Path, ...]], Dataset] = {}
"""The data sets that were handed to this process."""


@lru_cache(maxsize=4)
def _loaded(data: Data, roots: tuple[Path, ...]) -> Dataset:
    return data._read(roots)


def _features(value: Any, what: str) -> FloatArray:
    """`value` as a read-only float32 view [N, ...]; all values are checked to be finite."""
    raw = np.asarray(value)
    if raw.dtype.kind not in "biuf":
        raise DataError(f"{what} should hold real numbers. Found dtype {raw.dtype}.")
    if raw.ndim < 2 or raw.size == 0:
        raise DataError(f"{what} should have the shape [samples, ...] and not be empty. Found shape {raw.shape}.")
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite; the next check reports it
        x = np.ascontiguousarray(raw, dtype=np.float32)
    for start in range(0, len(x), _ROWS_AT_ONCE):
        rows = np.isfinite(x[start : start + _ROWS_AT_ONCE]).reshape(min(_ROWS_AT_ONCE, len(x) - start), -1).all(axis=1)
        if not rows.all():
            raise DataError(f"{what} should be finite in float32. Sample {start + int(rows.argmin())} is not.")
    return _read_only(x)


def _labels(value: Any, classes: int, what: str) -> LabelArray:
    """`value` as a read-only int64 view [N]; all labels are checked to be in range."""
    raw = np.asarray(value)
    if raw.dtype.kind not in "iu" or raw.ndim != 1 or raw.size == 0:
        raise DataError(f"{what} should be a non-empty list of integers. Found dtype {raw.dtype}, shape {raw.shape}.")
    wrong = np.flatnonzero((raw < 0) | (raw >= classes))
    if wrong.size:
        raise DataError(f"{what} should lie from 0 to {classes - 1}. Sample {wrong[0]} has label {raw[wrong[0]]}.")
    return _read_only(raw.astype(np.int64, copy=False))


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written to; the caller's own array stays writable if it was."""
    view = array.view()
    view.flags.writeable = False
    return view
