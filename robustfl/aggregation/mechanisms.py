"""Mechanisms: what makes the releases of a defense differentially private, as the first stage of a pipeline.

A mechanism is a declaration. Which noise goes where, and how long a message may be, is data (:class:`Protection`); a
federation carries it out (:mod:`robustfl.federation.mechanisms`), so that a rule that works in a process of its own, or
one that is asked by an attacker what it would answer, never sees noise and cannot leave it out.

A mechanism cannot be combined with a rule of which nobody knows how far one row can move its answer:

>>> from robustfl.defenses import DPFedAvg, Median, TrimmedMean
>>> DPFedAvg(clip=0.3, delta=1e-3, target_epsilon=2.0) >> TrimmedMean(f=1)
DPFedAvg(clip=0.3, delta=0.001, noise_multiplier=None, target_epsilon=2.0) >> TrimmedMean(f=1)
>>> DPFedAvg(clip=0.3, delta=1e-3, target_epsilon=2.0) >> Median()
Traceback (most recent call last):
...
robustfl.errors.ParameterError: dp_fed_avg: No bound is known for how far one row moves the answer of Median: median: \
two clusters of n/2, and the replaced row is the tie-breaker. Take a rule that has one, let clients add the noise \
(local_dp), or drop the claim. To drop it: `claim: none`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, overload

from annotated_types import Gt, Lt
from typing_extensions import Doc

from robustfl.aggregation.contracts import Aggregator, Chain, PreAggregation
from robustfl.aggregation.defense import Defense, Outcome
from robustfl.aggregation.protection import Place, Protection
from robustfl.aggregation.sensitivity import Change, Term, Unbounded
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import Source
from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from robustfl.privacy.compatibility import RuleFacts

MANY = 10**6
"""A number of rows with which a rule is asked whether it has a bound at all."""


@dataclass(frozen=True, kw_only=True)
class Mechanism(Defense):
    """The base of mechanisms, which compose with `>>` to the rule behind them.

    Either `noise_multiplier` or `target_epsilon` is given. Subclasses say where the noise goes.
    """

    family: ClassVar[str] = "privacy mechanism"
    requires: ClassVar[tuple[int, int]] = (0, 1)
    breakdown: ClassVar[str] = "that of the rule behind it"
    place: ClassVar[Place]

    clip: Annotated[float, Gt(0), Doc("length C to which each record is scaled back, in the unit of the messages")]
    delta: Annotated[float, Gt(0), Lt(1), Doc("delta of the guarantee; usual is less than one over the records")]
    noise_multiplier: Annotated[
        float | None, Doc("standard deviation of the noise over C, before any division; this or `target_epsilon`")
    ] = None
    target_epsilon: Annotated[
        float | None, Doc("epsilon of the whole training, from which the noise follows before it begins")
    ] = None
    max_epsilon: Annotated[
        float | None, Doc("budget: the training stops before the round that would exceed it; none if not given")
    ] = None
    claim: Annotated[
        Literal["proved", "none"],
        Doc("`none` drops the claim, and then the rule may be any; no epsilon is told"),
    ] = "proved"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [value for value in (self.noise_multiplier, self.target_epsilon) if value is not None]
        if len(given) != 1:
            raise ParameterError(
                f"{type(self).__name__}: give either `noise_multiplier` or `target_epsilon`. "
                f"Found noise_multiplier={self.noise_multiplier}, target_epsilon={self.target_epsilon}."
            )
        for name, low in (("noise_multiplier", -1.0), ("target_epsilon", 0.0), ("max_epsilon", 0.0)):
            value = getattr(self, name)
            if value is not None and not (low < value < math.inf and value >= 0):
                raise ParameterError(
                    f"{type(self).__name__}: `{name}` should be finite and {'>' if low == 0 else '>='} 0. "
                    f"Found {name}={value}."
                )
        if not math.isfinite(self.clip):
            raise ParameterError(f"{type(self).__name__}: `clip` should be finite. Found clip={self.clip}.")

    def __repr__(self) -> str:
        shown = ("clip", "delta", "noise_multiplier", "target_epsilon")
        others = [
            p.name for p in self.declared_parameters() if p.name not in shown and getattr(self, p.name) != p.default
        ]
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in (*shown, *others))
        return f"{type(self).__name__}({values})"

    def declared(self) -> Protection:
        """What a federation has to do."""
        return Protection(
            name=self.name,
            place=self.place,
            clip=self.clip,
            delta=self.delta,
            noise_multiplier=self.noise_multiplier,
            target_epsilon=self.target_epsilon,
            max_epsilon=self.max_epsilon,
            claims=self.claim == "proved",
        )

    @overload
    def __rshift__(self, then: Aggregator) -> Protected: ...
    @overload
    def __rshift__(self, then: PreAggregation) -> Beginning: ...
    def __rshift__(self, then: Aggregator | PreAggregation) -> Protected | Beginning:
        if isinstance(then, Aggregator):
            return Protected(mechanism=self, rule=then)
        if isinstance(then, PreAggregation):
            return Beginning(mechanism=self, before=then)
        raise ParameterError(
            f"{self.name} protects updates, which are vectors of bounded length. Found {then!r} behind it, whose "
            "sensitivity nobody has declared."
        )


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """A mechanism and pre-aggregations that still wait for an aggregator."""

    mechanism: Mechanism
    before: PreAggregation

    @overload
    def __rshift__(self, then: Aggregator) -> Protected: ...
    @overload
    def __rshift__(self, then: PreAggregation) -> Beginning: ...
    def __rshift__(self, then: Aggregator | PreAggregation) -> Protected | Beginning:
        if isinstance(then, Aggregator):
            return self.mechanism >> (self.before >> then)
        return Beginning(mechanism=self.mechanism, before=Chain(first=self.before, then=then))


@dataclass(frozen=True, kw_only=True, repr=False)
class Protected(Aggregator):
    """A rule, and the mechanism that a federation puts around it: `DPFedAvg(...) >> TrimmedMean(f=2)`.

    Called by itself it is the rule alone. It is the federation that clips messages before they reach the rule and adds
    noise to what it answers; so previews of attackers, and whoever checks the conduct of rules, meet no noise.
    """

    mechanism: Mechanism
    rule: Aggregator

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule.protection is not None:
            raise ParameterError(f"A pipeline has one mechanism, as its first stage. Found {self!r}.")
        from robustfl.privacy.compatibility import Level, Situation, standing  # slow to import

        if self.rule.channel != "dense":
            raise ParameterError(
                f"{self.mechanism.name} protects updates that become one model. {self.rule!r} speaks the channel "
                f"{self.rule.channel!r}, for whose messages no sensitivity is declared."
            )
        errors = standing(
            Situation(place=self.mechanism.place, rule=facts_of(self.rule, MANY, self.mechanism.clip))
        ).of(Level.ERROR)
        if errors and self.mechanism.claim == "proved":
            reasons = " ".join(error.text for error in errors)
            raise ParameterError(f"{self.mechanism.name}: {reasons} To drop it: `claim: none`.")

    def __repr__(self) -> str:
        return f"{self.mechanism!r} >> {self.rule!r}"

    def __str__(self) -> str:
        return f"{self.mechanism} > {self.rule}"

    @property
    def protection(self) -> Protection:
        return self.mechanism.declared()

    @property
    def stages(self) -> tuple[Defense, ...]:
        return self.mechanism, *self.rule.stages

    @property
    def behind(self) -> str:
        """The label of the rule behind the mechanism."""
        return str(self.rule)

    @property
    def averages(self) -> bool:
        return self.rule.averages

    @property
    def stateful(self) -> bool:
        return self.rule.stateful

    @property
    def state_keys(self) -> tuple[str, ...]:  # type: ignore[override]  # a mechanism has no state of its own
        """Those of the rule."""
        return self.rule.state_keys

    @property
    def unclaimed(self) -> frozenset[str]:
        return self.rule.unclaimed

    @property
    def geometric(self) -> bool:
        return self.rule.geometric

    @property
    def rotation_equivariant(self) -> bool:
        return self.rule.rotation_equivariant

    @property
    def wants_trusted(self) -> bool:
        return self.rule.wants_trusted

    @property
    def byzantine(self) -> int | None:
        return self.rule.byzantine

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return self.rule.infeasible(n, f)

    def state_dict(self) -> dict[str, Any]:
        return self.rule.state_dict()

    def _commit(self, state: dict[str, Any]) -> None:
        self.rule._commit(state)

    def released(self, value: Any) -> None:
        self.rule.released(value)

    def shaped(self, columns: Mapping[str, int]) -> None:
        self.rule.shaped(columns)

    def extra_points(self, source: Source) -> list[Any]:
        return self.rule.extra_points(source)

    def moved(self, change: Change) -> Term | Unbounded:
        """A mechanism moves nothing: the bound is that of the rule."""
        return self.rule.moved(change)

    def _aggregate(self, rows: Rows) -> Outcome:
        return self.rule._aggregate(rows)


def facts_of(rule: Any, rows: int, clip: float) -> RuleFacts:
    """What a mechanism has to know of a rule, which gets so many rows; the rule may be in another process."""
    from robustfl.privacy.compatibility import RuleFacts

    found = rule.sensitivity_bound(rows, clip)
    return RuleFacts(
        name=getattr(rule, "behind", str(rule)),
        averages=rule.averages,
        bounded=found.value is not None,
        why=found.reason,
        geometric=rule.geometric,
        names="names" in rule.unclaimed,
    )
