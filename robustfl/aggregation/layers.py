"""A decision for each layer: a rule that is asked about every layer of a model by itself.

In one vector the largest layers decide who is near to whom. A rule that is asked per layer weighs the clients of each
layer by that layer alone:

>>> import numpy as np
>>> from robustfl.defenses import Krum, PerLayer
>>> update = lambda a, b: {"conv.weight": np.full(2, a), "fc.weight": np.full(50, b)}
>>> clients = [update(1.0, 5.0), update(1.1, 5.1), update(0.9, 5.2), update(90.0, 5.1), update(1.0, -70.0)]
>>> answer = (PerLayer() >> Krum(f=1)).aggregate(clients)
>>> {name: int(layer["weights"].argmax()) for name, layer in answer.info["layers"].items()}
{'conv': 0, 'fc': 1}
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, overload

from robustfl.aggregation.contracts import Aggregator, Chain, Pipeline, PreAggregation
from robustfl.aggregation.defense import Defense, Outcome
from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.parts import commit_parts
from robustfl.aggregation.updates.division import joined, part_of, spans_of
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import Source
from robustfl.errors import ParameterError, StateError


@dataclass(frozen=True, kw_only=True)
class Grouping(Defense):
    """A stage that says which arrays of an update belong together; the rule behind it decides about each group."""

    family: ClassVar[str] = "pre-aggregation"

    @abstractmethod
    def group(self, name: str) -> str:
        """The group of the array of this name."""

    @overload
    def __rshift__(self, then: Aggregator) -> Layered: ...
    @overload
    def __rshift__(self, then: PreAggregation) -> Opening: ...
    def __rshift__(self, then: Aggregator | PreAggregation) -> Layered | Opening:
        if isinstance(then, PreAggregation):
            return Opening(grouping=self, inside=then)
        return Layered(grouping=self, rule=then)

    def __rrshift__(self, before: PreAggregation) -> Opening:
        return Opening(grouping=self, before=before)


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A grouping, with stages before and behind it, that still waits for an aggregator."""

    grouping: Grouping
    before: PreAggregation | None = None
    inside: PreAggregation | None = None

    @overload
    def __rshift__(self, then: Aggregator) -> Layered | Pipeline: ...
    @overload
    def __rshift__(self, then: PreAggregation) -> Opening: ...
    def __rshift__(self, then: Aggregator | PreAggregation) -> Layered | Pipeline | Opening:
        if isinstance(then, PreAggregation):
            inside = then if self.inside is None else Chain(first=self.inside, then=then)
            return Opening(grouping=self.grouping, before=self.before, inside=inside)
        layered = self.grouping >> (then if self.inside is None else self.inside >> then)
        return layered if self.before is None else self.before >> layered


@dataclass(frozen=True, kw_only=True, repr=False)
class Layered(Aggregator):
    """A grouping and the rule that decides about each group: `PerLayer() >> Krum(f=2)`.

    Hostile rows are refused for all groups at once. A stateful rule has a state of its own in each group.
    """

    state_keys: ClassVar[tuple[str, ...]] = ("layers",)
    no_sensitivity: ClassVar[str] = "each layer decides by itself, and nobody has declared how many there are"

    grouping: Grouping
    rule: Aggregator

    _rules: dict[str, Aggregator] = field(init=False, repr=False, compare=False, default_factory=dict)
    _columns: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _spans: dict[str, list[slice]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        rule: Any = self.rule
        if not isinstance(rule, Aggregator) or isinstance(rule, Layered) or rule.channel != "dense":
            raise ParameterError(f"Behind {self.grouping!r} stands a rule from updates to one update. Found {rule!r}.")
        if rule.protection is not None or rule.client_side:
            raise ParameterError(
                f"{rule.stages[0]!r} concerns whole updates, and stands before {self.grouping!r}. Found it behind."
            )

    def __repr__(self) -> str:
        return f"{self.grouping!r} >> {self.rule!r}"

    def __str__(self) -> str:
        return f"{self.grouping} > {self.rule}"

    @property
    def stages(self) -> tuple[Defense, ...]:
        return self.grouping, *self.rule.stages

    @property
    def stateful(self) -> bool:
        return self.rule.stateful

    @property
    def unclaimed(self) -> frozenset[str]:
        return self.rule.unclaimed

    @property
    def wants_trusted(self) -> bool:
        return self.rule.wants_trusted

    @property
    def averages(self) -> bool:
        return self.rule.averages

    @property
    def byzantine(self) -> int | None:
        return self.rule.byzantine

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return self.rule.infeasible(n, f)

    def shaped(self, columns: Mapping[str, int]) -> None:
        self._columns.clear()
        self._columns.update(columns)

    def answers_in(self, tensors: bool) -> None:
        super().answers_in(tensors)
        for rule in self._rules.values():
            rule.answers_in(tensors)

    def state_dict(self) -> dict[str, Any]:
        return {"layers": {name: rule.state_dict() for name, rule in self._rules.items()}}

    def _commit(self, state: dict[str, Any]) -> None:
        layers = state.get("layers", {}) if self.rule.stateful else {}
        if not isinstance(layers, dict):
            raise StateError(f"{self!r} has a state for each layer, by name. Found {type(layers).__name__}.")
        rules = {name: self._rules.get(name) or copy.deepcopy(self.rule) for name in layers}
        for name, own in layers.items():
            commit_parts({"rule": own}, rule=rules[name])
        self._rules.clear()
        self._rules.update(rules)

    def released(self, value: Array) -> None:
        for name, rule in self._rules.items():
            rule.released(joined([value[span] for span in self._spans[name]]))

    def _aggregate(self, rows: Rows) -> Outcome:
        source = rows.source
        source.verify()  # before any layer is decided: a hostile row is refused in all of them
        spans = spans_of(source, self._columns, self.grouping.group)
        self._spans.clear()
        self._spans.update(spans)
        value = source.kernels.empty((source.d_here,), source.reader.working)
        found = {}
        for name, places in spans.items():
            found[name] = outcome = self._decided(name, part_of(source, places), rows)
            start = 0
            for span in places:
                value[span] = outcome.value[start : start + span.stop - span.start]
                start += span.stop - span.start
        state = {"layers": {name: outcome.state for name, outcome in found.items()}}
        alone = next(iter(found.values())) if len(found) == 1 else None
        return Outcome(value, alone.weights if alone else None, {}, state if self.stateful else None, found)

    def _decided(self, name: str, part: Source, rows: Rows) -> Outcome:
        """What the rule makes of one group of columns."""
        rule = self._rules.get(name, self.rule)
        part.geometric = rule.geometric
        part.extras.extend(rule.extra_points(part))
        return rule._aggregate(Rows(part, rows.mixing, rows.names))
