"""The neighbourhood of a single peer in the caller's own types, for loops that are nobody's simulation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.aggregation.neighbourhoods.letters import ABSENT, Hoods, Letters
from robustfl.aggregation.neighbourhoods.one_hearsay import NOTHING, OneHearsay
from robustfl.aggregation.updates.ids import identify
from robustfl.aggregation.updates.layout import Batch, read_updates
from robustfl.aggregation.updates.leaves import Layout
from robustfl.aggregation.updates.order import by_id
from robustfl.aggregation.updates.parsing import difference, parse
from robustfl.errors import ParameterError, StateError, UpdatesError


@dataclass(frozen=True)
class Told:
    """What a peer is told beside its new model.

    Attributes
    ----------
    weights : neighbour -> the share of its letter in the new model, or None when the rule is no weighted sum
    own_weight : the share of the own model, or None
    rejected : neighbour -> why its letter was not used
    kept : why the peer keeps its own model, or None
    b : how many malicious neighbours the rule was told
    info : what the rule reports
    state : what to pass as `state` the next time; None for rules without a memory
    """

    weights: dict[Hashable, float] | None
    own_weight: float | None
    rejected: dict[Hashable, str]
    kept: str | None
    b: int
    info: dict[str, Any]
    state: dict[str, Any] | None


@dataclass(frozen=True)
class OneHood:
    """One peer's letters, read: what mixers need, and what is needed to answer in the caller's own form.

    `names` are the neighbours, and those of whom they have told, by their numbers in `hoods`, from 1; 0 is the peer.
    `rows` are the rows of the letters that stand in `batch`. `rumours` are what neighbours have told, by numbers.
    """

    letters: Letters
    hoods: Hoods
    batch: Batch
    names: tuple[Hashable, ...]
    rows: tuple[int, ...]
    rumours: list[Any]

    def restore(self, model: Array, usable: list[int], weights: Any) -> Any:
        """The new model [d] in the form of the own one; `usable` are the rows of the letters, with these weights."""
        placed = {row: place for place, row in enumerate(self.rows)}
        return self.batch.restore(model, [placed[row] for row in usable], weights)


def read_one(
    own: Any,
    letters: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    weights: Mapping[Any, float] | None,
    b: int,
    known: tuple[Hashable, ...],
    hearsay: OneHearsay = NOTHING,
) -> OneHood:
    """Read one peer's own model, letters and what it was told; `known` are the names that have numbers already."""
    if not isinstance(letters, Iterable):
        raise UpdatesError(f"`letters` should be a mapping, or pairs (name, model). Found {type(letters).__name__}.")
    pairs = list(letters.items()) if isinstance(letters, Mapping) else [_pair(entry) for entry in letters]
    names, nobody = identify([name for name, _ in pairs], len(pairs)) if pairs else ((), {})
    nameless = [row for row, reason in nobody.items() if "names no client" in reason]
    if nameless:
        raise UpdatesError("A letter's name should be the id of a neighbour. Found one that is no number (NaN).")
    shares = _shares(names, weights)
    numbers = _numbered({*names, *shares, *hearsay.names}, known)
    batch, rows, matrix, faults = _read(own, [letter for _, letter in pairs])
    silent = [name for name in shares if name not in names]
    senders = [0, *(numbers[name] for name in names), *(numbers[name] for name in silent)]
    index = [0, *(row if pairs[row - 1][1] is not None else ABSENT for row in range(1, len(pairs) + 1))]
    index += [ABSENT] * len(silent)
    slots = [1.0 - sum(shares.values()), *(_once(shares, names, place) for place in range(len(names)))]
    slots += [shares[name] for name in silent]
    strangers = [False, *(name not in shares for name in names), *(False for _ in silent)]
    hoods = Hoods(
        index=np.array([index]),
        weights=np.array([slots]),
        bounds=np.array([b]),
        senders=np.array([senders]),
        strangers=np.array([strangers]),
    )
    known = tuple(sorted(numbers, key=numbers.__getitem__))
    return OneHood(Letters(matrix, faults), hoods, batch, known, rows, hearsay.numbered(numbers))


def names_in(state: Any) -> tuple[Hashable, ...]:
    """The names that have numbers in what the last call told as `told.state`; none without one."""
    if not state:
        return ()
    if not isinstance(state, Mapping) or set(state) != {"names", "rule"}:
        found = f"the keys {list(state)[:4]}" if isinstance(state, Mapping) else type(state).__name__
        raise StateError(f"`state` should be what the last call told as `told.state`. Found {found}.")
    return tuple(state["names"])


def _pair(entry: Any) -> tuple[Any, Any]:
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise UpdatesError(f"`letters` should be a mapping, or pairs (name, model). Found {type(entry).__name__}.")
    return entry[0], entry[1]


def _once(shares: Mapping[Hashable, float], names: tuple[Hashable, ...], place: int) -> float:
    """The weight of a letter; of several under one name, the first one stands for its sender."""
    name = names[place]
    return shares.get(name, 0.0) if names.index(name) == place else 0.0


def _shares(names: tuple[Hashable, ...], weights: Mapping[Any, float] | None) -> dict[Hashable, float]:
    """The gossip weights of the neighbours; by default all letters and the own model count alike."""
    if weights is None:
        distinct = dict.fromkeys(names)
        return dict.fromkeys(distinct, 1.0 / (len(distinct) + 1))
    if not isinstance(weights, Mapping):
        raise ParameterError(
            f"`weights` should be a mapping from neighbours to numbers. Found {type(weights).__name__}."
        )
    plain, _ = identify(list(weights), len(weights)) if weights else ((), {})
    try:
        found = {name: float(value) for name, value in zip(plain, weights.values(), strict=True)}
    except (TypeError, ValueError):
        raise ParameterError(f"`weights` should be numbers. Found {dict(list(weights.items())[:4])}.") from None
    if not all(np.isfinite(value) and value >= 0 for value in found.values()) or sum(found.values()) > 1.0 + 1e-9:
        raise ParameterError(
            "`weights` should be finite, >= 0, and sum to at most 1: the own model gets what they leave. "
            f"Found {dict(list(found.items())[:4])}, of sum {sum(found.values()):.6g}."
        )
    return found


def _numbered(names: set[Hashable], known: tuple[Hashable, ...]) -> dict[Hashable, int]:
    """The numbers of the neighbours from 1 on: those of old, then the new ones in the order of their ids."""
    new = [name for name in names if name not in known]
    ordered = [*known, *(new[place] for place in by_id(new))]
    return {name: number for number, name in enumerate(ordered, 1)}


def _read(own: Any, letters: list[Any]) -> tuple[Batch, tuple[int, ...], Array, dict[int, str]]:
    """The models that can be read, their rows, all rows as a matrix, and what is wrong with the others."""
    mine = parse(own)
    if isinstance(mine, str):
        raise UpdatesError(f"The own model cannot be read: {mine}.")
    if mine[0].size == 0:
        held = ", ".join(dict.fromkeys(leaf.dtype for leaf in mine[0].leaves))
        raise UpdatesError(f"The own model holds no floating-point numbers to mix, but {held}. Convert it to floats.")
    faults: dict[int, str] = {}
    entries: dict[int, Any] = {0: own}  # what the own model is decides the types, whatever most letters are
    for row, letter in enumerate(letters, 1):
        if letter is None:
            continue
        found = _alike(letter, mine[0])
        if isinstance(found, str):
            faults[row] = found
        else:
            entries[row] = found[0]
    batch = read_updates(list(entries.values()), like=mine[0])
    placed = list(entries)
    if 0 in batch.rejected:
        raise UpdatesError(f"The own model cannot be mixed: {batch.rejected[0]}.")
    faults |= {placed[place]: reason for place, reason in batch.rejected.items()}
    values = _values(batch)
    matrix = np.zeros((len(letters) + 1, values.shape[1]), values.dtype)
    for value, place in zip(values, batch.origin, strict=True):
        matrix[placed[place]] = value
    return batch, tuple(placed), matrix, faults


def flattened(own: Any, updates: Mapping[Any, Any]) -> dict[Any, Any]:
    """Updates in the form of the own model as numbers [d]; what has another form stays what it is."""
    mine, found = parse(own), dict(updates)
    if isinstance(mine, str):  # an error in any case, once the own model is read
        return found
    for name, update in updates.items():
        alike = _alike(update, mine[0])
        if not isinstance(alike, str):
            batch = read_updates([own, *alike], like=mine[0])
            found[name] = _values(batch)[-1] if not batch.rejected else update
    return found


def _alike(letter: Any, mine: Layout) -> tuple[Any] | str:
    """The letter with its parts in the order of the own model, or why it is no model like that."""
    if isinstance(letter, Mapping) and mine.form == "mapping" and set(letter) == set(mine.names):
        letter = {name: letter[name] for name in mine.names}
    found = parse(letter)
    if isinstance(found, str):
        return found
    return (letter,) if found[0].signature == mine.signature else f"wrong layout: {difference(found[0], mine)}"


def _values(batch: Batch) -> Array:
    """The rows of the batch in memory, [r, d]."""
    ((_, read),) = batch.reader.pieces(None, batch.reader.d)
    values = read()
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)
