"""Rules by columns for many neighbourhoods at a time, without a call a peer.

A rule by columns says what it makes of a block in terms of the operations of :class:`Kernels`: "the median of this
block". Here it is asked once, about a block that stands for those of all peers of a group. If all that it wants is one
order statistic, a kernel computes that for all of them. Whatever else a rule does with its block, it cannot do with the
stand-in, and it is then asked peer by peer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from robustfl.aggregation.kernels.base import Array, Floats, Kernels
from robustfl.aggregation.neighbourhoods.passes import Index, Passes, Write

Columnwise = Callable[[Array, Kernels], Array]
"""(block [m, b] of one neighbourhood, operations) -> [b]"""


class _NeedsNumbersError(TypeError):
    """A rule looked into a block that stands for many."""


class _Tiles:
    """A block [m, b] of each of many neighbourhoods: it has a number of rows, and no numbers."""

    def __init__(self, m: int) -> None:
        self._m = m

    def __len__(self) -> int:
        return self._m

    def __getattr__(self, name: str) -> NoReturn:
        raise _NeedsNumbersError(name)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise _NeedsNumbersError

    def __getitem__(self, _: Any) -> NoReturn:
        raise _NeedsNumbersError


@dataclass(frozen=True)
class _Wanted:
    """The order statistic that a rule asked for: the median if `f` is None, else a trimmed mean.

    An `exact` one is what others are made of; with `kept`, it is the mean of so many values around the median.
    """

    f: int | None
    exact: bool = False
    kept: int | None = None


class _Asked:
    """The operations of which the stand-in knows the results."""

    def median(self, block: Any, *, exact: bool = False) -> _Wanted:
        self._require(block)
        return _Wanted(None, exact)

    def trimmed_mean(self, block: Any, f: int, *, exact: bool = False) -> _Wanted:
        self._require(block, exact)
        if not 0 <= 2 * f < len(block):
            raise _NeedsNumbersError
        return _Wanted(int(f))

    def mean_around(self, block: Any, centre: Any, count: int) -> _Wanted:
        self._require(block)
        if centre != _Wanted(None, exact=True) or not 1 <= count <= len(block):
            raise _NeedsNumbersError
        return _Wanted(0) if count == len(block) else _Wanted(None, kept=int(count))

    @staticmethod
    def _require(block: Any, exact: bool = False) -> None:
        if exact or not isinstance(block, _Tiles):
            raise _NeedsNumbersError

    def __getattr__(self, name: str) -> NoReturn:
        raise _NeedsNumbersError(name)


def tiled(work: Columnwise, m: int, passes: Passes, index: Index, maps: Floats | None) -> Write | None:
    """What makes the results of `work` for all neighbourhoods of m letters at once, or None if `work` needs numbers."""
    try:
        wanted: Any = work(_Tiles(m), cast(Kernels, _Asked()))
    except (TypeError, AttributeError, ValueError):  # the rule did something else with its block; see above
        return None
    if not isinstance(wanted, _Wanted) or wanted.exact:
        return None
    if wanted.kept is not None:
        return passes.means_around(index, wanted.kept) if maps is None else None
    return passes.medians(index, maps) if wanted.f is None else passes.trimmed_means(index, maps, wanted.f)
