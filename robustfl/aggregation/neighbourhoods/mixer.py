"""What every rule for peers promises, and the one path that every letter takes through it.

``mixer.mix(letters, hoods)`` cannot be overridden. It refuses hostile letters, puts peers with neighbourhoods alike
together, calls the rule, checks what it says, and makes the new models. Authors of rules write only mathematics, for
many peers at a time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, final

import numpy as np

from robustfl.aggregation.defense import Defense
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods.gathering import Gathering
from robustfl.aggregation.neighbourhoods.letters import Flags, Hoods, Integers, Letters, Occasion
from robustfl.aggregation.neighbourhoods.one_hearsay import MYSELF, named, published, read_hearsay
from robustfl.aggregation.neighbourhoods.one_peer import OneHood, Told, flattened, names_in, read_one
from robustfl.aggregation.neighbourhoods.passes import Passes
from robustfl.aggregation.neighbourhoods.remembering import keeps
from robustfl.aggregation.neighbourhoods.sanitising import Clean, grouped, sanitised, suspects
from robustfl.aggregation.updates.source import HostileRows
from robustfl.errors import ParameterError, RobustflError, UpdatesError

Short = Literal["lower", "own"]
"""What a peer does whose neighbourhood is too small for the rule and its bound: `lower` the bound to what fits, or keep
its `own` model. A neighbourhood that is too small for any bound keeps its own model."""

Fill = Callable[[Array], bool | None]
"""Writes the new models of all groups into their lines of a matrix [n, d], and says whether they have to be finite,
which spares a look."""


@dataclass(frozen=True)
class Mixing:
    """What a rule returns to the base class.

    Attributes
    ----------
    shares : for every group, the shares [g, m] of the letters in the new models, or None if they are no weighted sums;
        where a `fill` makes the models, such as one whose shares differ between classes, the mean shares
    fill : makes the new models; by default they are the weighted sums with the shares
    info : what the rule reports
    state : the state after this mixing; None leaves it unchanged
    """

    shares: list[Floats] | None = None
    fill: Fill | None = None
    info: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None


@dataclass(frozen=True)
class Mixed:
    """The full answer of a mixing.

    Attributes
    ----------
    models : [n, d] the peers' new models, in the order of the lines
    weights : [n, m] the share of the letter in each slot in the new model, or None when the rule is no weighted sum
    rejected : bool [n, m] the letters that were refused before the rule saw them, and those that never arrived
    reasons : line -> slot -> why it was refused
    info : `bounds` [n], the bounds that the rule was told; `kept` (line -> why this peer keeps its model whatever the
        rule); `lowered` (line -> the bound that it had declared); and what the rule reports
    """

    models: Array
    weights: Floats | None
    rejected: Flags
    reasons: dict[int, dict[int, str]]
    info: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Mixer(Defense):
    """Letters -> one model a peer. Subclass a family of :mod:`robustfl.aggregation.neighbourhoods` if one fits.

    A state maps, in every one of its entries, the id of a peer to what this peer remembers.
    """

    family: ClassVar[str] = "peers"
    uses_bound: ClassVar[bool] = True
    """Whether it matters to the rule how many neighbours may be malicious."""
    by_class: ClassVar[bool] = False
    """Whether models have to be one output layer, of which each class has an equal part."""
    most: ClassVar[int] = 0
    """The number of rumours about third peers that the rule hears from each neighbour in one mixing."""
    judges: ClassVar[bool] = False
    """Whether the rule judges neighbours by what it remembers of them; then ledgers tell who got little weight."""
    by_columns: ClassVar[bool] = False
    """Whether the rule can be asked about some columns of all letters, with distances between whole ones: then several
    processes can mix together, each of which holds some of the columns."""
    requires: ClassVar[tuple[int, int]] = (0, 1)
    no_sensitivity: ClassVar[str] = "every peer sees the models of its neighbours themselves, so there is no one answer"

    @final
    def mix(
        self,
        letters: Letters,
        hoods: Hoods,
        occasion: Occasion | None = None,
        *,
        short: Short = "lower",
        out: Array | None = None,
    ) -> Mixed:
        """Mix, and remember what the rule has to remember.

        Parameters
        ----------
        letters : the letters of all peers; never mutated, unless `out` says so
        hoods : who reads which of them
        occasion : the round and what else peers can find out
        short : what peers do whose neighbourhoods are too small for the rule
        out : [n, d] where the new models go. It may be the letters' own matrix if line i of `hoods` has its own model
            in row i: then no second matrix is needed

        Hostile letters never reach a rule: a letter that is missing, malformed, from a stranger, or one of two under
        one id is rejected with a reason, and its gossip weight goes to the receiver's own model. b falls by one for
        each malformed letter. A peer without usable letters keeps its model, and so does one whose own is malformed.

        Raises
        ------
        UpdatesError : letters or neighbourhoods do not fit each other, or `out` does not fit them
        RobustflError : the rule broke its contract
        """
        answer, state = self._run(letters, hoods, occasion or Occasion(), short, out)
        if state is not None:
            self._commit(state)
        return answer

    @final
    def preview(
        self, letters: Letters, hoods: Hoods, occasion: Occasion | None = None, *, short: Short = "lower"
    ) -> Mixed:
        """The answer that :meth:`mix` would give now, without any effect on the state or on the letters."""
        return self._run(letters, hoods, occasion or Occasion(), short, None)[0]

    @final
    def mix_one(
        self,
        own: Any,
        letters: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        *,
        b: int | None = None,
        weights: Mapping[Any, float] | None = None,
        state: dict[str, Any] | None = None,
        occasion: Occasion | None = None,
        short: Short = "lower",
        rumours: Mapping[Any, Sequence[Any]] | None = None,
        name: Any = None,
        updates: Mapping[Any, Any] | None = None,
    ) -> tuple[Any, Told]:
        """One peer's next model, in the type of its own model, for loops that are nobody's simulation.

        The rule itself remembers nothing here: a memory is passed in as `state` and comes back as `told.state`.

        Parameters
        ----------
        own : the peer's own model: an array, a tensor, a list of arrays, or a state dict; never changed
        letters : neighbour -> its model, in the same form, or None if it sent none; or pairs (neighbour, model), of
            which two may come under one name (then neither counts). Anybody may send anything. Never changed
        b : how many of the neighbours may be malicious; by default what the rule itself declares
        weights : neighbour -> its gossip weight; the own model gets what they leave to 1. A neighbour without a letter
            is missing, and a letter from somebody who is not in it is a stranger's. By default all count alike
        state : what the last call told as `told.state`
        occasion, short : as for :meth:`mix`
        rumours : neighbour -> what it has told of others, for rules that listen to that: each of them tells with
            `tell_one`. Anybody may tell anything, and each teller adds at most a name to the state in each call
        name : what the others call this peer; needed with `rumours`, because those about itself are not believed
        updates : neighbour -> what it says that its own training has changed, in the form of the own model or as
            numbers [d]; for rules that ask for it

        Raises
        ------
        UpdatesError : the own model cannot be read, or is not finite
        ParameterError : the rule needs b, or a parameter is out of range
        StateError : the state is none of this rule, or of models of another size

        Examples
        --------
        >>> from robustfl.defenses import NNA
        >>> own, letters = np.array([0.0, 0.0]), {"anna": np.array([1.0, 0.0]), "boris": [9.0, 9.0], "mallory": "hello"}
        >>> model, told = NNA().mix_one(own, letters, b=2)
        >>> model.tolist(), told.rejected, told.b
        ([0.5, 0.0], {'mallory': 'unreadable (str)'}, 1)
        """
        if not (b is None or (isinstance(b, int | np.integer) and not isinstance(b, bool) and b >= 0)):
            raise ParameterError(f"`b` should be an integer >= 0, the number of malicious neighbours. Found b={b!r}.")
        expected = self.byzantine if b is None else b
        if expected is None and self.uses_bound:
            raise ParameterError(f"{self!r} should know how many neighbours may be malicious. Pass it: `b=1`.")
        known = names_in(state)
        hood = read_one(own, letters, weights, expected or 0, known, read_hearsay(name, rumours, self.most))
        peer = replace(self)
        if state:
            peer.load_state_dict(state["rule"])
        when = occasion or Occasion()
        if rumours is not None:
            when = replace(when, rumours={MYSELF: hood.rumours})
        if updates is not None:
            when = replace(when, updates=published(flattened(own, updates), hood.names))
        mixed, after = peer._run(hood.letters, hood.hoods, when, short, None)
        if 0 in mixed.reasons.get(0, {}):
            raise UpdatesError(f"The own model cannot be mixed: it is {mixed.reasons[0][0]}.")
        told = _told(mixed, hood, None if after is None else {"names": hood.names, "rule": after}, name)
        slots = [slot for slot in range(hood.hoods.m) if hood.hoods.index[0, slot] >= 0 and not mixed.rejected[0, slot]]
        shares = None if mixed.weights is None else mixed.weights[0, slots]
        return hood.restore(mixed.models[0], hood.hoods.index[0, slots].tolist(), shares), told

    def state_of(self, peer: int) -> dict[str, Any]:
        """What one peer remembers: its part of every entry of the state."""
        return {key: part[peer] for key, part in self.state_dict().items() if peer in part}

    def _run(
        self, letters: Letters, hoods: Hoods, occasion: Occasion, short: Short, out: Array | None
    ) -> tuple[Mixed, dict[str, Any] | None]:
        if short not in ("lower", "own"):
            raise ParameterError(f"`short` should be 'lower' or 'own'. Found short={short!r}.")
        made = self._target(letters, hoods, out)
        passes, faults = letters.passes(*suspects(letters, hoods)), dict(letters.faults)
        while True:
            try:
                return self._attempt(letters, hoods, occasion, short, made, passes, faults)
            except HostileRows as found:  # a pass met rows that nobody can use; nothing was remembered
                faults |= found.reasons

    def _attempt(
        self,
        letters: Letters,
        hoods: Hoods,
        occasion: Occasion,
        short: Short,
        made: Array,
        passes: Passes,
        faults: Mapping[int, str],
    ) -> tuple[Mixed, dict[str, Any] | None]:
        """The answer if no other rows are malformed than the `faults`."""
        clean = sanitised(letters, hoods, faults)
        bounds = self._feasible(clean, short)
        info = {"bounds": bounds, "kept": clean.kept, "lowered": self._lowered(clean, bounds)}
        mixes = clean.mixing()
        lines, keep = np.flatnonzero(mixes), np.flatnonzero(~mixes)
        if made is not letters.rows:
            made[keep] = letters.rows[hoods.index[keep, 0]]
        weights = np.zeros(clean.weights.shape)
        weights[keep, 0] = 1.0
        groups = grouped(hoods, clean, lines, bounds[lines])
        mixing = Mixing(shares=[])
        if groups:
            gathering = Gathering(groups, occasion, passes)
            mixing = self._locked(gathering)
            self._make(mixing, gathering, made)
            if keeps(mixing.state, letters.rows, made):
                raise RobustflError(f"{self!r} keeps a part of the letters in its state. Let it keep a copy.")
        passes.verify()  # for rules that read nothing
        for group, share in zip(groups, mixing.shares or (), strict=mixing.shares is not None):
            weights[group.lines[:, None], group.slots] = share
        told = weights if mixing.shares is not None else None
        rejected = ~clean.usable & ((hoods.senders >= 0) | (hoods.index >= 0))
        return Mixed(made[: hoods.n], told, rejected, clean.reasons, {**info, **mixing.info}), mixing.state

    def _target(self, letters: Letters, hoods: Hoods, out: Array | None) -> Array:
        shape = hoods.n, letters.d
        if out is None:
            return np.empty(shape, letters.rows.dtype)
        if out is letters.rows:
            if not (hoods.index[:, 0] == np.arange(hoods.n)).all():
                raise UpdatesError("Letters can be mixed in place if line i of `hoods` has its own model in row i.")
            return out
        if out.shape != shape or out.dtype != letters.rows.dtype or np.may_share_memory(out, letters.rows):
            raise UpdatesError(
                f"`out` should be the letters' own matrix, or one of {letters.rows.dtype} {list(shape)} that shares no "
                f"memory with it. Found {out.dtype} {list(out.shape)}."
            )
        return out

    def _feasible(self, clean: Clean, short: Short) -> Integers:
        """The bounds that the rule can bear; peers whose neighbourhoods are too small for any are added to `kept`."""
        bounds = clean.bounds.copy()
        for m, b, lines in clean.kinds:
            found = next((low for low in range(b, -1, -1) if self.infeasible(m, low) is None), -1)
            if found == b:
                continue
            bounds[lines] = max(found, 0)
            if found < 0 or short == "own":
                reason = f"{m - 1} usable letters are too few for {self} with b={b}"
                clean.kept |= dict.fromkeys(lines.tolist(), reason)
        return bounds

    def _lowered(self, clean: Clean, bounds: Integers) -> dict[int, int]:
        less = np.flatnonzero(bounds < clean.bounds)
        return {int(line): int(clean.bounds[line]) for line in less if int(line) not in clean.kept}

    def _locked(self, gathering: Gathering) -> Mixing:
        """What the rule makes of what it can read and not write to."""
        try:
            return self._mix(gathering)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise RobustflError(
                f"{self!r} wrote to the letters or to what it was told of the neighbourhoods. Let it work on a copy."
            ) from error

    def _make(self, mixing: Mixing, gathering: Gathering, out: Array) -> None:
        """The new models of all groups, in their lines of `out`."""
        shares = mixing.shares
        if shares is not None:
            for group, share in zip(gathering.groups, shares, strict=True):
                if np.shape(share) != group.index.shape or not np.isfinite(share).all():
                    raise RobustflError(f"{self!r} gave shares that are not {list(group.index.shape)} finite numbers.")
        if mixing.fill is not None:
            safe = mixing.fill(out)
        elif shares is not None:
            safe = gathering.combine(shares, out)
        else:
            raise RobustflError(f"{self!r} gave neither shares nor models.")
        if not safe and not gathering.passes.like(out).finite(gathering.groups.lines):
            raise RobustflError(f"{self!r} made a model that is not finite from letters that are.")

    @abstractmethod
    def _mix(self, gathering: Gathering) -> Mixing:
        """Apply the rule itself to clean letters; every peer in a group heard at least one neighbour."""


def _told(mixed: Mixed, hood: OneHood, state: dict[str, Any] | None, me: Any) -> Told:
    """What one peer is told of its mixing, by the names of its neighbours."""
    names = [hood.names[number - 1] for number in hood.hoods.senders[0, 1:].tolist()]
    rejected = {names[slot - 1]: reason for slot, reason in mixed.reasons.get(0, {}).items()}
    shares = None
    if mixed.weights is not None:
        found = zip(names, mixed.weights[0, 1:].tolist(), strict=True)
        shares = {name: share for name, share in found if name not in rejected}
    own = None if mixed.weights is None else float(mixed.weights[0, 0])
    kept = mixed.info["kept"].get(0)
    rest = {key: value for key, value in mixed.info.items() if key not in ("bounds", "kept", "lowered")}
    if "refused" in rest:
        rest["refused"] = {MYSELF: named(rest["refused"].get(MYSELF, []), me, hood.names)}
    if "mute" in rest:
        mute = rest["mute"].get(MYSELF, {})
        rest["mute"] = {MYSELF: {hood.names[number - 1]: reason for number, reason in mute.items()}}
    return Told(shares, own, rejected, kept, int(mixed.info["bounds"][0]), rest, state)
