"""Any rule for the updates of a server, in every neighbourhood of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from typing_extensions import Doc

from robustfl.aggregation.contracts import Aggregator, Chain, Pipeline
from robustfl.aggregation.defense import Aggregation, Defense
from robustfl.aggregation.families import CoordinateWise, GramAggregator, RowMap, is_current
from robustfl.aggregation.kernels.base import Array, Floats, column_blocks
from robustfl.aggregation.neighbourhoods.families import LinearMixer
from robustfl.aggregation.neighbourhoods.gathering import Gathering, Group
from robustfl.aggregation.neighbourhoods.mixer import Mixer, Mixing
from robustfl.aggregation.updates.gram import Gram
from robustfl.aggregation.updates.grams import Grams
from robustfl.aggregation.updates.readers import Dense
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import Source, T, Work
from robustfl.errors import ParameterError

AT_ONCE = 1 << 20
"""Numbers in the Grams of neighbourhoods that are asked about at once: some MB, whatever the number of peers."""


@dataclass(frozen=True, kw_only=True)
class PerNeighbourhood(Mixer):
    """A rule or pipeline for the updates of a server, applied to the letters of every neighbourhood.

    Formula: ``x_i <- rule({x_j : j in N(i) and i})``, where the f of every stage of the rule is the bound of peer i.

    A rule that consists of row maps and ends with a rule by Gram or by columns costs two passes over the letters for
    all peers together. Every other rule is called once a peer, and one with a memory has a memory of each peer's own.

    Guarantee: that of the rule among the letters of a neighbourhood, if at most b of them are malicious.

    Parameters
    ----------
    rule : the rule; its own f is the default for peers that mix on their own with `mix_one`
    own : whether a peer's own model is one of the rows, as in all public code, or `trusted`: passed to the rule as its
        trusted update, and no row. A rule that wants a trusted update gets the own model as that in either case. With
        `unheard` the own model is not used at all: the receiver is somebody who combines the models of others

    Examples
    --------
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
    >>> from robustfl.defenses import Median
    >>> star = Hoods(index=[[0, 1, 2], [1, 0, -1], [2, 0, -1]], weights=np.array([[1, 1, 1], [2, 1, 0], [2, 1, 0]]) / 3,
    ...              bounds=[1, 0, 0])
    >>> PerNeighbourhood(rule=Median()).mix(Letters(np.array([[0.0], [1.0], [9.0]])), star).models.tolist()
    [[1.0], [0.5], [4.5]]
    """

    state_keys: ClassVar[tuple[str, ...]] = ("rules",)

    rule: Annotated[Aggregator, Doc("the rule for updates")]
    own: Annotated[
        Literal["row", "trusted", "unheard"],
        Doc("whether the own model is one of the rows, or the rule's trusted update alone, or not used"),
    ] = "row"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.own == "trusted" and not self.rule.wants_trusted:
            raise ParameterError(
                f"`own` should be 'row' for {self.rule!r}, which has no use for a trusted update: a peer's own model "
                "would count for nothing. Found own='trusted'."
            )
        if self.own == "unheard" and self.rule.wants_trusted:
            raise ParameterError(
                f"{self.rule!r} needs a trusted update, which who combines the models of others does not have."
            )
        if self.rule.channel != "dense" or self.rule.protection is not None:
            raise ParameterError(
                f"`rule` should be a rule for updates, without a mechanism for privacy: peers send each other models. "
                f"Found {self.rule!r}."
            )

    def __str__(self) -> str:
        return f"{self.rule} (own model trusted)" if self.own == "trusted" else str(self.rule)

    @property
    def stateful(self) -> bool:
        return self.rule.stateful

    @property
    def uses_bound(self) -> bool:  # type: ignore[override]  # it depends on the rule
        """Whether a stage of the rule has an f."""
        return self.rule.byzantine is not None

    @property
    def by_columns(self) -> bool:  # type: ignore[override]  # likewise
        """Whether every stage of the rule can be asked about some of the columns."""
        return self._parts is not None

    @property
    def byzantine(self) -> int | None:
        return self.rule.byzantine

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        """Why a neighbourhood of n letters, the own one among them, is too small for the rule with this f, or None."""
        rows = n if self.own == "row" else n - 1
        try:
            return self._with(f).infeasible(rows, f) if rows else "There are no rows."
        except ParameterError as error:  # other parameters do not fit this f
            return str(error)

    @cached_property
    def _made(self) -> dict[int, Aggregator]:
        return {}

    def _with(self, f: int | None) -> Aggregator:
        """The rule with this f."""
        if f is None:
            return self.rule
        if f not in self._made:
            self._made[f] = with_bound(self.rule, f)
        return self._made[f]

    @cached_property
    def _parts(self) -> tuple[tuple[RowMap, ...], Aggregator] | None:
        """The row maps and the rule at the end if there is nothing else, and no peer has to be asked on its own."""
        *before, end = self.rule.stages
        maps = tuple(stage for stage in before if isinstance(stage, RowMap))
        if not isinstance(end, GramAggregator | CoordinateWise) or len(maps) < len(before):
            return None
        alone = (
            self.own != "row"
            or self.rule.stateful
            or self.rule.wants_trusted
            or type(end).extra_points is not Aggregator.extra_points
        )
        return None if alone else (maps, end)

    def _mix(self, gathering: Gathering) -> Mixing:
        if self._parts is None:
            return self._called(gathering)
        maps, end = self._parts
        if isinstance(end, CoordinateWise):
            works, mapped = [], []
            for number, group in enumerate(gathering.groups):
                rule = self._with(group.b).stages[-1]
                assert isinstance(rule, CoordinateWise)
                works.append(rule.columns)
                parts = _parts_of(gathering, number) if maps else ()
                mapped.append(np.concatenate([self._matrices(part) for part in parts]) if maps else None)
            return Mixing(fill=partial(gathering.columnwise, works, mapped))
        groups = range(len(gathering.groups))
        return Mixing([np.concatenate([self._shares(part) for part in _parts_of(gathering, i)]) for i in groups])

    def _shares(self, part: _Part) -> Floats:
        """The shares [g, m] of the letters in each neighbourhood of a part."""
        *before, rule = self._with(part.group.b).stages
        assert isinstance(rule, GramAggregator)
        mixing = self._mixing(part) if before else None
        if is_current(type(rule), "weights_of_all", "weights") and (mixing is not None or not before):
            weights = rule.weights_of_all(part.grams if mixing is None else part.grams.mixed(mixing))
            if weights is not None:
                return weights if mixing is None else (weights[:, None] @ mixing)[:, 0]
        return np.stack([rows.source_weights(np.asarray(rule.weights(rows.gram))) for rows in self._rows(part, mixing)])

    def _matrices(self, part: _Part) -> Floats:
        """What the row maps make of the letters in each neighbourhood of a part, as sums of these, [g, m', m]."""
        found = self._mixing(part)
        if found is not None:
            return found
        return np.stack([rows.mixing for rows in self._rows(part) if rows.mixing is not None])

    def _mixing(self, part: _Part) -> Floats | None:
        """The :meth:`_matrices` if every row map can tell those of all neighbourhoods at once."""
        mixing: Floats | None = None
        *before, rule = self._with(part.group.b).stages
        for stage in before:
            assert isinstance(stage, RowMap)
            if stage.regroups or not is_current(type(stage), "matrices_of_all", "matrix"):
                return None
            if rule.geometric:
                _ = part.grams.centred  # products of mixtures will need it: now it takes one pass, and later two
            found = stage.matrices_of_all(part.grams if mixing is None else part.grams.mixed(mixing))
            if found is None:
                return None
            mixing = found if mixing is None else found @ mixing
        return mixing

    def _rows(self, part: _Part, mixing: Floats | None = None) -> Iterator[Rows]:
        """The rows that the last stage sees in each neighbourhood, without their numbers; `mixing` if that is known."""
        for place, source in enumerate(part.sources()):
            rows = Rows(source, None if mixing is None else mixing[place])
            for stage in self._with(part.group.b).stages[:-1] if mixing is None else ():
                assert isinstance(stage, RowMap)
                rows = stage.apply(rows)[0]
            yield rows

    def _called(self, gathering: Gathering) -> Mixing:
        """One call of the rule a peer."""
        answers: list[tuple[int, Aggregation]] = []
        shares: list[Floats] = []
        state = dict(self._state.get("rules", {}))
        decisions = {}
        for group in gathering.groups:
            told = []
            for place, line in enumerate(group.lines.tolist()):
                rule, peer = self._with(group.b), int(group.senders[place, 0])
                if rule.stateful:
                    rule = with_bound(self.rule, group.b)
                    rule.load_state_dict(state.get(peer, {}))
                answer = self._asked(rule, gathering.rows, group, place)
                if rule.stateful:
                    state[peer] = rule.state_dict()
                answers.append((line, answer))
                told.append(answer.weights)
                if "decisions" in answer.info:
                    decisions[line] = answer.info["decisions"]
            shares += _told(told, self.own) if all(weights is not None for weights in told) else []
        known = len(shares) == len(gathering.groups)
        return Mixing(
            shares if known else None,
            partial(_write, answers),
            {"decisions": decisions} if decisions else {},
            {"rules": state} if self.rule.stateful else None,
        )

    def _asked(self, rule: Aggregator, rows: Array, group: Group, place: int) -> Aggregation:
        first = 0 if self.own == "row" else 1
        trusted = rows[group.index[place, 0]] if rule.wants_trusted else None
        ids = group.senders[place, first:].tolist()
        return rule.aggregate(rows[group.index[place, first:]], ids=ids, trusted=trusted)


def _told(weights: Sequence[Floats | None], own: str) -> list[Floats]:
    """The shares [g, m] of one group; what a rule gives to the trusted update is the share of the own model."""
    shares = np.stack([np.asarray(line) for line in weights])
    if own == "row":
        return [shares]
    if own == "unheard":
        return [np.concatenate([np.zeros_like(shares[:, :1]), shares], axis=1)]
    return [np.concatenate([np.maximum(1.0 - shares.sum(axis=1, keepdims=True), 0.0), shares], axis=1)]


def _write(answers: Sequence[tuple[int, Aggregation]], out: Array) -> None:
    for line, answer in answers:
        out[line] = answer.value


class _Letters(Source):
    """The letters of one neighbourhood, whose Gram is known already and which were found to be clean."""

    def __init__(self, gathering: Gathering, index: list[int], ids: tuple[int, ...], gram: Gram) -> None:
        rows = gathering.passes.rows
        super().__init__(Dense(rows, str(rows.dtype)), ids, index)
        self._gathering = gathering
        self.extent = np.zeros(0), np.zeros(0)  # nobody has to look for hostile rows again
        self.__dict__["gram"] = gram

    def sweep(self, work: Work[T]) -> Iterator[tuple[slice, T]]:
        self._gathering.passes.verify()
        return super().sweep(work)

    @property
    def squared_norms(self) -> Floats:
        return self.gram.squared_norms


@dataclass(frozen=True)
class _Part:
    """Neighbourhoods that are asked about at once: some of those of a group, and their Grams."""

    gathering: Gathering
    group: Group
    places: slice
    grams: Grams

    def sources(self) -> Iterator[Source]:
        """The letters of each neighbourhood as rules for updates see them."""
        pairs = zip(self.group.index[self.places].tolist(), self.group.senders[self.places].tolist(), strict=True)
        for place, (index, ids) in enumerate(pairs):
            yield _Letters(self.gathering, index, tuple(ids), self.grams.of(place))


def _parts_of(gathering: Gathering, number: int) -> Iterator[_Part]:
    """A group in parts whose Grams need little memory at a time."""
    group = gathering.groups[number]
    size = max(1, AT_ONCE // (group.m + 1) ** 2)
    for places in column_blocks(len(group.lines), size):
        measured = partial(_some, gathering.squared_pairs, number, places)
        norms = partial(_some, gathering.squared_norms, number, places)
        both = partial(_some_of_both, gathering, number, places)
        yield _Part(gathering, group, places, Grams.between(group.m, measured, norms, both))


def _some(of: Callable[[int], Floats], number: int, places: slice) -> Floats:
    return of(number)[places]


def _some_of_both(gathering: Gathering, number: int, places: slice) -> tuple[Floats, Floats]:
    squares, norms = gathering.squared_pairs_and_norms(number)
    return squares[places], norms[places]


def with_bound(rule: Any, f: int) -> Any:
    """The rule, or pre-aggregation, or pipeline with this f in every stage that has one; its memory is empty."""
    if isinstance(rule, Pipeline):
        return replace(rule, before=with_bound(rule.before, f), rule=with_bound(rule.rule, f))
    if isinstance(rule, Chain):
        return replace(rule, first=with_bound(rule.first, f), then=with_bound(rule.then, f))
    return replace(rule, f=f) if any(p.name == "f" for p in rule.declared_parameters()) else replace(rule)


def for_peers(defense: Defense) -> Mixer:
    """The defense as a rule for peers: a mixer is one, and a rule for updates is lifted into every neighbourhood.

    Raises
    ------
    ParameterError : it is neither
    """
    if isinstance(defense, Mixer):
        return defense
    if isinstance(defense, Aggregator):
        return PerNeighbourhood(rule=defense)
    raise ParameterError(f"{defense!r} makes no model from letters. Peers need a mixer or a rule for updates.")


def for_samples(defense: Defense) -> Mixer:
    """The defense as a rule for those who combine the models of others: a rule for updates, or plain gossip.

    Raises
    ------
    ParameterError : it needs a model of the receiver's own
    """
    if isinstance(defense, LinearMixer):
        equal = np.array([[0.0, 0.5, 0.5]])
        if np.array_equal(defense.shares(equal, 0), equal):
            return defense
    if isinstance(defense, Mixer) or not isinstance(defense, Aggregator):
        raise ParameterError(
            f"{defense!r} starts from a peer's own model, and aggregators of a sample combine models of others. Take a "
            "rule for updates."
        )
    return PerNeighbourhood(rule=defense, own="unheard")
