"""Work on labels before any learning: class numbers, and choices of samples that keep the class proportions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robustfl.errors import DataError

Indices = npt.NDArray[np.int64]


def number_classes(train: npt.NDArray[Any], test: npt.NDArray[Any]) -> tuple[Indices, Indices, tuple[str, ...]]:
    """Labels of any sortable kind as class numbers from 0, with the class names in order.

    Shapes: `train` [N] and `test` [M] -> [N], [M] and one name per distinct training label.

    Raises DataError when a test label never occurs in training: no model could learn it.
    """
    values, train_y = np.unique(train, return_inverse=True)
    place = np.searchsorted(values, test).clip(max=max(len(values) - 1, 0))
    unknown = np.flatnonzero(values[place] != test) if len(values) else np.arange(len(test))
    if unknown.size:
        raise DataError(
            f"Test label {str(test[unknown[0]])!r} (sample {unknown[0]}) never occurs in the training labels. "
            f"Use training and test files of one data set."
        )
    return train_y.astype(np.int64), place.astype(np.int64), tuple(str(value) for value in values)


def stratified(labels: Indices, count: int, rng: np.random.Generator, *, keep: int = 0) -> Indices:
    """Sorted indices of about `count` samples in the class proportions of `labels`.

    Each class gives count * size / N samples, rounded by largest remainder, and retains at least `keep` samples.
    The result is shorter than `count` only when the classes cannot give more.

    Shapes: `labels` [N] -> at most `count` indices. Ties go to the lower class, so that the choice is reproducible.
    """
    sizes = np.bincount(labels)
    ceiling = np.maximum(sizes - keep, 0)
    exact = sizes * (count / len(labels))
    quota = np.minimum(np.floor(exact).astype(np.int64), ceiling)
    order = np.argsort(-(exact - quota), kind="stable")
    while quota.sum() < min(count, ceiling.sum()):
        open_classes = [c for c in order if quota[c] < ceiling[c]]
        quota[open_classes[: min(count, int(ceiling.sum())) - int(quota.sum())]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == c))[: quota[c]] for c in range(len(sizes))]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def stratified_split(labels: Indices, test_fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Sorted training and test indices, with ceil(N * test_fraction) test samples in the proportions of `labels`.

    Every class keeps at least one sample for training. Raises DataError when no class has two samples.
    """
    count = int(np.ceil(len(labels) * test_fraction))
    test = stratified(labels, count, np.random.default_rng(seed), keep=1)
    if not test.size:
        raise DataError(
            "A test part needs a class with two or more samples. Every class has one: is the label an identifier?"
        )
    return np.setdiff1d(np.arange(len(labels)), test), test
