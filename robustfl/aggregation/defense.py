"""What every defense promises: metadata, preconditions, state, and the form of an answer."""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.memory import holds_tensors, in_arrays, in_tensors
from robustfl.aggregation.protection import Protection
from robustfl.aggregation.sensitivity import Unbounded
from robustfl.components import Component
from robustfl.errors import ParameterError, StateError


@dataclass(frozen=True)
class Aggregation:
    """The full answer of an aggregation.

    Attributes
    ----------
    value : the aggregate, in the caller's own type
    weights : [n] the share of each row in the aggregate, or None when the rule is not a weighted sum of rows; if the
        sum is less than 1, the rest was clipped away or belongs to a point of the rule's own, such as the center of
        centered clipping
    rejected : bool [n], the rows that were refused before the rule saw them
    info : `reasons` (row -> why it was refused), `ids`, `exceeded` (by how many the clients that were caught exceed
        the declared f, else 0), and what the rule reports; `layers` (name -> `weights` and reports) for rules that are
        asked per layer
    """

    value: Any
    weights: Floats | None
    rejected: NDArray[np.bool_]
    info: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a rule returns to the base class: flat values over the accepted rows."""

    value: Array
    weights: Floats | None = None
    info: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None
    layers: dict[str, Outcome] | None = None
    """What was decided about each layer, for rules that are asked per layer."""


@dataclass(frozen=True, kw_only=True)
class Defense(Component, ABC):
    """The base of aggregators and pre-aggregations: metadata, preconditions and state.

    The runner, the documentation and the tests read these class attributes: `requires` = (a, b) for the precondition
    `n >= a f + b`; `family`, how the rule works; `guarantee`, one line; `breakdown`, the largest tolerated share of
    Byzantine rows, as text; `state_keys`, the entries of :meth:`state_dict`; `no_sensitivity`, the reason why no bound
    is known for how far one row moves the answer; `public_inputs`, what else such a bound takes to be public.
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = ""
    breakdown: ClassVar[str] = ""
    channel: ClassVar[str] = "dense"
    family: ClassVar[str] = "other"
    state_keys: ClassVar[tuple[str, ...]] = ()
    no_sensitivity: ClassVar[str] = "none is proved"
    public_inputs: ClassVar[str] = ""
    carried_out_by_clients: ClassVar[bool] = False
    compares_models: ClassVar[bool] = False
    """Whether clients compare the models that they got, and send nothing when the server gave them different ones."""

    _state: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    _caller: dict[str, bool] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Whether the updates of the last call were `tensors`; the state is handed out in that form."""

    @property
    def stages(self) -> tuple[Defense, ...]:
        return (self,)

    @property
    def client_side(self) -> tuple[Defense, ...]:
        """The stages that clients carry out themselves, see :class:`robustfl.aggregation.client_side.ClientSide`."""
        return tuple(stage for stage in self.stages if stage.carried_out_by_clients)

    @property
    def stateful(self) -> bool:
        """Whether the answer depends on earlier calls."""
        return bool(self.state_keys)

    @property
    def unclaimed(self) -> frozenset[str]:
        """The names of the properties in :mod:`robustfl.testing` that this defense does not promise."""
        return frozenset()

    @property
    def wants_trusted(self) -> bool:
        """Whether it needs an update that the server itself computed."""
        return False

    @property
    def geometric(self) -> bool:
        """Whether it needs distances or inner products between rows; norms are then computed together with them."""
        return False

    @property
    def rotation_equivariant(self) -> bool:
        """Whether a rotation of all rows rotates the answer, because it depends only on products between rows.

        If all rows are combinations of m vectors, the answer can then be computed in m dimensions.
        """
        return False

    @property
    def averages(self) -> bool:
        """Whether the answer is the sum of what each row gives on its own, over the number of rows.

        Then the sum is known from the answer, and can be divided by something else: by a number that does not depend
        on who took part.
        """
        return False

    @property
    def protection(self) -> Protection | None:
        """What a federation has to do for the mechanism that this defense begins with; None without a mechanism."""
        return None

    @property
    def byzantine(self) -> int | None:
        """The declared number of Byzantine rows, or None for rules without such a number."""
        value = getattr(self, "f", None)
        return None if value is None else int(value)

    def precondition(self) -> tuple[int, int]:
        """The (a, b) of `n >= a f + b` for these hyper-parameters; by default the class attribute `requires`."""
        return self.requires

    def output_rows(self, n: int) -> int:
        """The number of rows that a pre-aggregation makes from `n` rows; an aggregator returns `n`."""
        return n

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        """The reason why `n` rows, of which `f` may be Byzantine, are too few, or None if they are enough.

        `f` is the declared number when it is not given.
        """
        count = self.byzantine if self.byzantine is not None else (f or 0)
        a, b = self.precondition()
        if n >= max(a * count + b, 1):
            return None
        bound = f"{a}f + {b}" if a else str(b)
        return f"{type(self).__name__} needs n >= {bound} rows. Found n={n}, f={count}."

    def state_dict(self) -> dict[str, Any]:
        """The state as a dictionary of copies; empty before the first call and for stateless defenses.

        Arrays in it are tensors when updates are, so that ``torch.save`` stores it in a model's checkpoint, and
        ``torch.load`` reads that as weights alone.
        """
        state = copy.deepcopy(self._state)
        return in_tensors(state) if self._caller.get("tensors") else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned; a state that does not fit changes nothing.

        Arrays in it may be numpy's or torch's.
        """
        unknown = set(state) - set(self.state_keys)
        if unknown:
            known = ", ".join(self.state_keys) or "none, it is stateless"
            raise StateError(f"{type(self).__name__} has no state {sorted(unknown)}. Its state: {known}.")
        current = in_arrays(self.state_dict())
        try:
            self._commit(in_arrays(copy.deepcopy(state)))
        except StateError:
            self._commit(current)
            raise
        self.answers_in(holds_tensors(state))

    def answers_in(self, tensors: bool) -> None:
        """Learn whether the caller works with tensors; see :meth:`state_dict`."""
        for stage in self.stages:
            stage._caller["tensors"] = tensors

    def reset(self) -> None:
        """Forget everything that was learnt from earlier calls."""
        self._commit({})

    def unknown(self, reason: str = "") -> Unbounded:
        """That there is no bound for this defense, with the reason, by default `no_sensitivity`."""
        return Unbounded(f"{self.name}: {reason or self.no_sensitivity}")

    def shaped(self, columns: Mapping[str, int]) -> None:
        """Learn how many columns each array of the model has, by name and in order, for updates that are vectors [d].

        Rules that see an update as one vector need not know.
        """

    def released(self, value: Array) -> None:
        """Learn what was released in place of the last answer, a vector [d] such as the answer plus noise.

        Whoever adds noise to answers calls it after each of them. A rule whose next answer depends on its last one then
        depends on the release alone, which is public; see `public_inputs`. Other rules need not know.
        """

    def _commit(self, state: dict[str, Any]) -> None:
        self._state.clear()
        self._state.update(state)


D = TypeVar("D", bound=Defense)


def without_mechanism(rule: D, before: Defense) -> D:
    """The rule; raises ParameterError when it begins with a mechanism, before which no stage may stand."""
    if rule.protection is not None:
        raise ParameterError(
            f"A mechanism is the first stage: it bounds what each client sends. Found {before!r} before {rule!r}."
        )
    return rule
