"""What peers receive: the letters, who reads which, and on what occasion.

A letter is a model that a peer sends to its neighbours. An honest peer sends the same one to all of them, so letters
are rows of one matrix and a neighbourhood is a list of row numbers. Only letters that were crafted for one receiver
take a row of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats, is_tensor
from robustfl.aggregation.neighbourhoods.passes import Passes
from robustfl.aggregation.updates.parsing import read_leaf
from robustfl.errors import ParameterError, UpdatesError

ABSENT = -1
"""The row number of a letter that did not arrive, and the sender of a slot that belongs to nobody."""

SUMS = 1e-6
"""How far the gossip weights of a peer may sum to something other than 1."""

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Letters:
    """The letters of one mixing as rows of a matrix: the peers' own models first, then what was crafted.

    Attributes
    ----------
    rows : [n + e, d] float32 or float64 in memory, each row contiguous; a torch tensor on the host shares its memory
    faults : row -> why it is no model of these peers, such as a wrong shape; what stands in such a row is never read
    """

    rows: Array
    faults: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = self.rows.detach().numpy() if is_tensor(self.rows) and self.rows.device.type == "cpu" else self.rows
        if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype not in (np.float32, np.float64):
            found = f"{getattr(rows, 'dtype', type(rows).__name__)} {list(getattr(rows, 'shape', ()))}"
            raise UpdatesError(f"Letters should be rows [n + e, d] of float32 or float64 in memory. Found {found}.")
        if 0 in rows.shape:
            raise UpdatesError(f"Letters should hold at least one row and one number. Found shape {list(rows.shape)}.")
        if rows.strides[1] != rows.itemsize or not rows.dtype.isnative:
            rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("="))
        strange = [row for row in self.faults if not 0 <= row < len(rows)]
        if strange:
            raise UpdatesError(f"`faults` should name rows from 0 to {len(rows) - 1}. Found {strange[:3]}.")
        object.__setattr__(self, "rows", rows)

    @classmethod
    def of(cls, models: Array, crafted: Sequence[Any] = ()) -> Letters:
        """The models [n, d] and the crafted letters, of which each may be anything, as one matrix.

        A crafted letter that is no vector [d] of real numbers keeps its row and becomes a fault. It is converted to the
        type of the models, so a number that this type cannot hold becomes infinite.

        >>> letters = Letters.of(np.zeros((2, 3)), [np.ones(3), "hello", np.ones(4)])
        >>> letters.rows.shape, dict(letters.faults)
        ((5, 3), {3: 'unreadable (str)', 4: 'wrong layout: an array of shape [4], not [3]'})
        """
        models = cls(models).rows
        n, d = models.shape
        rows = np.empty((n + len(crafted), d), models.dtype)
        rows[:n] = models
        faults = {}
        for row, letter in enumerate(crafted, n):
            found = vector(letter, d)
            if isinstance(found, str):
                faults[row], rows[row] = found, 0
            else:
                with np.errstate(over="ignore", invalid="ignore"):
                    rows[row] = found
        return cls(rows, faults)

    @property
    def d(self) -> int:
        return int(self.rows.shape[1])

    @property
    def total_columns(self) -> int:
        """The number of columns of a whole letter: `d`, unless other processes hold some of them."""
        return self.d

    def passes(self, suspects: Integers, limit: float) -> Passes:
        """The passes over these letters; see :class:`~robustfl.aggregation.neighbourhoods.passes.Passes`."""
        return Passes(self.rows, suspects, limit)

    def __len__(self) -> int:
        return len(self.rows)


def vector(letter: Any, d: int) -> Any:
    """The letter as an array [d], or why it is none."""
    if is_tensor(letter) or np.ma.is_masked(letter):
        leaf = read_leaf(letter)
        if isinstance(leaf, str):
            return f"unreadable ({type(letter).__name__}): {leaf}"
    values = _on_the_host(letter) if is_tensor(letter) else letter
    if not isinstance(values, np.ndarray | list | tuple):
        return "missing" if values is None else f"unreadable ({type(letter).__name__})"
    try:
        values = np.asarray(values)
    except ValueError:
        return f"unreadable ({type(letter).__name__}): ragged"
    if values.dtype.kind not in "fiub":
        return f"unreadable ({type(letter).__name__}): of type {values.dtype}"
    if values.shape != (d,):
        return f"wrong layout: an array of shape {list(values.shape)}, not [{d}]"
    return values


def _on_the_host(tensor: Any) -> Array:
    """The values of a dense tensor of real numbers; numpy has no floating-point type as short as some of torch are."""
    values = tensor.detach().resolve_neg()
    short = values.dtype.is_floating_point and values.dtype.itemsize < 4
    host: Array = (values.float() if short else values).cpu().numpy()
    return host


@dataclass(frozen=True)
class Hoods:
    """Who reads which letters: one line a peer, its own letter in the first slot and its neighbours' in the others.

    It never changes, so what mixers find out about it they find out once: mix with the same one as long as nobody's
    neighbours, weights and bounds change.

    A slot is one of four things. A letter has a sender and a row. A missing letter has a sender and no row. An empty
    slot, which fills the line up, has neither. A stranger's letter has a sender that is no neighbour: it is never used.

    Attributes
    ----------
    index : [n, m] the rows of the letters in :class:`Letters`; -1 where none arrived
    weights : [n, m] the gossip weights, at least 0, of sum 1 in every line; 0 in empty slots and for strangers
    bounds : [n] how many of its neighbours each peer takes to be malicious at most (declared, not true)
    senders : [n, m] the ids of the peers that the letters claim to come from, at least 0; -1 in empty slots. The first
        one is the peer's own id; by default the ids are the numbers of the rows
    strangers : [n, m] whether a letter comes from somebody who is no neighbour; by default nobody is
    known : what mixers have found out about these neighbourhoods, which depends on nothing else
    """

    index: NDArray[np.int32]
    weights: Floats
    bounds: Integers
    senders: Integers = None  # type: ignore[assignment]  # filled in below
    strangers: Flags = None  # type: ignore[assignment]  # likewise
    known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = np.asarray(self.index)
        if index.ndim != 2 or 0 in index.shape or index.dtype.kind not in "iu":
            raise ParameterError(f"`index` should hold row numbers [n, m]. Found {index.dtype} {list(index.shape)}.")
        shape = index.shape
        senders = index if self.senders is None else self.senders
        fields: dict[str, Any] = {
            "index": np.array(index, np.int32, order="C"),
            "weights": np.array(self.weights, np.float64),
            "bounds": np.asarray(self.bounds),
            "senders": np.asarray(senders),
            "strangers": np.zeros(shape, np.bool_) if self.strangers is None else np.array(self.strangers, np.bool_),
        }
        for name, value in fields.items():
            wanted = shape[:1] if name == "bounds" else shape
            if value.shape != wanted:
                raise ParameterError(f"`{name}` should have shape {list(wanted)}. Found {list(value.shape)}.")
        for name in ("bounds", "senders"):
            if fields[name].dtype.kind not in "iu":
                raise ParameterError(f"`{name}` should hold integers. Found {fields[name].dtype}.")
            fields[name] = fields[name].astype(np.int64)
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        self._check()
        for value in fields.values():
            value.setflags(write=False)

    def _check(self) -> None:
        index, weights, senders = self.index, self.weights, self.senders
        if (index < ABSENT).any() or (senders < ABSENT).any():
            raise ParameterError("`index` and `senders` should be at least -1, which stands for none.")
        if (index[:, 0] < 0).any() or (senders[:, 0] < 0).any() or self.strangers[:, 0].any():
            raise ParameterError("The first slot of every line should hold the peer's own letter. One is empty.")
        if len(np.unique(senders[:, 0])) < len(senders):
            raise ParameterError("Every peer should have a line of its own. Two lines begin with the same id.")
        if ((senders == ABSENT) & (index != ABSENT)).any():
            raise ParameterError("A letter should have a sender. Found a row without an id. Name whom it claims to be.")
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ParameterError("`weights` should be finite and >= 0. Some are not.")
        if weights[(senders == ABSENT) | self.strangers].any():
            raise ParameterError("`weights` should be 0 in empty slots and for strangers. Some are not.")
        off = np.abs(weights.sum(axis=1) - 1.0)
        if (off > SUMS).any():
            line = int(off.argmax())
            raise ParameterError(
                f"`weights` should sum to 1 in every line. Found {weights[line].sum():.6g} in line {line}. The own "
                "weight is what the neighbours leave."
            )
        if (self.bounds < 0).any():
            raise ParameterError(f"`bounds` should satisfy b >= 0. Found {int(self.bounds.min())}.")
        weights[:, 0] += 1.0 - weights.sum(axis=1)  # to the last bit
        np.maximum(weights[:, 0], 0.0, out=weights[:, 0])

    @property
    def n(self) -> int:
        """The number of peers that mix."""
        return len(self.index)

    @property
    def m(self) -> int:
        """The number of slots of each line."""
        return int(self.index.shape[1])

    @cached_property
    def read(self) -> Integers:
        """The rows that somebody is about to read, ascending."""
        return np.unique(self.index[(self.index != ABSENT) & ~self.strangers]).astype(np.int64)

    @cached_property
    def last(self) -> int:
        """The last row that stands in `index`."""
        return int(self.index.max())

    @cached_property
    def ids(self) -> Integers:
        """The ids of the peers that mix, [n]."""
        return self.senders[:, 0]

    def like(self, other: Hoods | None) -> Hoods:
        """The other neighbourhoods if they are the same as these: what is known about them is known already."""
        names = ("index", "weights", "bounds", "senders", "strangers")
        if other is None or not all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names):
            return self
        return other

    def of(self, lines: Any) -> Hoods:
        """The neighbourhoods of some of the peers, by the numbers of their lines."""
        chosen = self.index[lines], self.weights[lines], self.bounds[lines], self.senders[lines], self.strangers[lines]
        return Hoods(*chosen)


@dataclass(frozen=True)
class Occasion:
    """When peers mix, and what else they can find out.

    Attributes
    ----------
    number : the number of the round, from 0
    rounds : how many rounds there will be, or None when nobody knows; for rules that become stricter
    losses : (peer's id, models [c, d]) -> [c]: the losses of the models on samples of the peer's own, for rules that
        try letters out before they use them
    confusions : (peer's id, models [c, d]) -> [c, C, C]: how many of the peer's own samples of each class each model
        takes for each class, for rules that try letters out class by class
    shared : (peer's id, neighbours' ids [k]) -> [k]: how many classes the peer and each neighbour both know
    draws : peer's id -> a random generator, the same whenever it is asked for, for rules that leave something to chance
    layers : the sizes of the layers that a model's d numbers consist of, in order; for rules that treat layers alike
    rumours : peer's id -> what its neighbours tell it about third peers; for rules that listen to that
    updates : (peer's id, neighbour's id) -> what this neighbour says that its own training has changed since its last
        letter, [d]; anything if it lies, as nobody can check it. For rules that remember updates in place of letters
    """

    number: int = 0
    rounds: int | None = None
    losses: Callable[[int, Array], Floats] | None = None
    confusions: Callable[[int, Array], Floats] | None = None
    shared: Callable[[int, Integers], Integers] | None = None
    draws: Callable[[int], np.random.Generator] | None = None
    layers: tuple[int, ...] | None = None
    rumours: Mapping[int, Sequence[Any]] = field(default_factory=dict)
    updates: Callable[[int, int], Any] | None = None

    @property
    def progress(self) -> float:
        """The share of the rounds that is over, from 0 to 1."""
        return self.number / self.rounds if self.rounds else 0.0
