"""The contract of partitions: what they are given, and what is checked of what they deal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from robustfl.components import Component
from robustfl.errors import DataError, ParameterError

Indices = npt.NDArray[np.int64]

MOST_CLIENTS = 10**7
"""The largest number of clients whose parts overlap; a few numbers are kept for each of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """What a partition is given of N training samples.

    Attributes
    ----------
    labels : [N] the class numbers
    features : [N, ...] the samples themselves; None where a caller has labels alone
    owners : [N] the number of each sample's owner, from 0; None where samples belong to nobody from the start
    names : the names of the owners
    """

    labels: Indices
    features: npt.NDArray[np.float32] | None = None
    owners: Indices | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Partition(Component, ABC):
    """A way to distribute samples: every sample goes to exactly one client, and every client gets at least one.

    Only where parts overlap, each client has samples whatever the others have; and only where a partition is not
    complete, some samples go to nobody.
    """

    overlaps: ClassVar[bool] = False
    """Whether clients may hold the same samples; there may then be more clients than samples, up to `MOST_CLIENTS`."""
    complete: ClassVar[bool] = True
    """Whether every sample goes to some client."""

    @final
    def split(self, samples: Given | npt.NDArray[Any], clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        """The sorted sample indices of each client.

        Labels [N] alone stand for samples of which nothing else is known.

        Shapes: N samples -> `clients` index arrays that together hold 0 .. N - 1 once, unless parts overlap; where the
        partition is not complete, they hold some of these.

        Raises DataError when the labels are not class numbers, ParameterError when there are not enough samples.
        """
        given = samples if isinstance(samples, Given) else Given(labels=np.asarray(samples))
        y = given.labels
        if y.ndim != 1 or y.dtype.kind not in "iu" or y.size == 0 or y.min() < 0:
            raise DataError(f"Labels should be class numbers from 0, [N]. Found dtype {y.dtype}, shape {y.shape}.")
        given = replace(given, labels=y.astype(np.int64))
        if self.overlaps:
            if not 1 <= clients <= MOST_CLIENTS:
                raise ParameterError(
                    f"{type(self).__name__}: `clients` should satisfy 1 <= clients <= {MOST_CLIENTS}. Found "
                    f"clients={clients}. Use fewer clients."
                )
            return self._deal(given, clients, rng)
        if not 1 <= clients <= len(y):
            raise ParameterError(
                f"{type(self).__name__}: `clients` should satisfy 1 <= clients <= samples. Found clients={clients}, "
                f"samples={len(y)}. Use fewer clients, more data, or the partition `overlapping`, in which clients "
                "share samples."
            )
        parts = [np.sort(part).astype(np.int64) for part in self._deal(given, clients, rng)]
        sizes = [len(part) for part in parts]
        dealt = np.sort(np.concatenate(parts)) if parts else np.empty(0)
        wanted = np.arange(len(y)) if self.complete else np.intersect1d(dealt, np.arange(len(y)))
        if len(parts) != clients or not all(sizes) or not np.array_equal(dealt, wanted):
            raise DataError(
                f"{type(self).__name__} should deal {'each' if self.complete else 'some'} of {len(y)} samples once and "
                f"leave none of {clients} clients without. Found parts of sizes {sizes[:10]} ..., "
                f"{len(np.unique(dealt))} different samples."
            )
        return parts

    @abstractmethod
    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        """One index array per client, each in any order; 1 <= clients <= N holds unless parts overlap."""
