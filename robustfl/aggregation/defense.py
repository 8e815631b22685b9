"""What everything on the defender's side promises: metadata, preconditions, state, and the form of an answer."""

from __future__ import annotations

import copy
from abc import ABC
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.components import Component
from robustfl.errors import StateError


@dataclass(frozen=True)
class Aggregation:
    """The full answer of an aggregation.

    Attributes
    ----------
    value : the aggregate, in the caller's own type
    weights : [n] share of each row in the aggregate, or None when the rule is no weighted sum of rows; what is missing
        to 1 was clipped away or stayed with the rule's own point, such as the center of centered clipping
    rejected : bool [n], rows that were refused before the rule saw them
    info : `reasons` (row -> why it was refused), `ids`, `exceeded` (how many more clients were caught than the
        declared f, else 0), and what the rule has to tell
    """

    value: Any
    weights: Floats | None
    rejected: NDArray[np.bool_]
    info: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a rule hands back to the base class: flat values over the accepted rows."""

    value: Array
    weights: Floats | None = None
    info: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Defense(Component, ABC):
    """Common to aggregators and pre-aggregations: metadata, preconditions and state.

    Class attributes read by the runner, the documentation and the tests: `requires` = (a, b) for the precondition
    `n >= a f + b`; `family`, how the rule works; `guarantee`, one line; `breakdown`, the largest tolerated share of
    Byzantine rows, as text; `state_keys`, the entries of :meth:`state_dict`.
    """

    requires: ClassVar[tuple[int, int]] = (2, 1)
    guarantee: ClassVar[str] = ""
    breakdown: ClassVar[str] = ""
    channel: ClassVar[str] = "dense"
    family: ClassVar[str] = "other"
    state_keys: ClassVar[tuple[str, ...]] = ()

    _state: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    @property
    def stages(self) -> tuple[Defense, ...]:
        return (self,)

    @property
    def stateful(self) -> bool:
        """Whether the answer depends on earlier calls."""
        return bool(self.state_keys)

    @property
    def unclaimed(self) -> frozenset[str]:
        """Names of the properties in :mod:`robustfl.testing` that this defense does not promise."""
        return frozenset()

    @property
    def wants_trusted(self) -> bool:
        """Whether it needs an update that the server itself computed."""
        return False

    @property
    def geometric(self) -> bool:
        """Whether it asks for distances or products between rows; norms that are wanted first then come with them."""
        return False

    @property
    def rotation_equivariant(self) -> bool:
        """Whether rows that are turned in space give the answer turned: only products between rows matter to it.

        Its answer to combinations of a few vectors can then be had in as many dimensions as there are vectors.
        """
        return False

    @property
    def byzantine(self) -> int | None:
        """The declared number of Byzantine rows, or None for rules that are not told."""
        value = getattr(self, "f", None)
        return None if value is None else int(value)

    def precondition(self) -> tuple[int, int]:
        """(a, b) of `n >= a f + b` for these hyper-parameters; the class attribute `requires` unless overridden."""
        return self.requires

    def output_rows(self, n: int) -> int:
        """How many rows a pre-aggregation makes of `n`; an aggregator is at the end of the line."""
        return n

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        """Why `n` rows of which `f` may be Byzantine are too few, or None. `f` defaults to the declared one."""
        count = self.byzantine if self.byzantine is not None else (f or 0)
        a, b = self.precondition()
        if n >= max(a * count + b, 1):
            return None
        bound = f"{a}f + {b}" if a else str(b)
        return f"{type(self).__name__} needs n >= {bound} rows. Found n={n}, f={count}."

    def state_dict(self) -> dict[str, Any]:
        """The state as a dictionary of copies; empty before the first call and for stateless defenses."""
        return copy.deepcopy(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned; a state that does not fit changes nothing."""
        unknown = set(state) - set(self.state_keys)
        if unknown:
            known = ", ".join(self.state_keys) or "none, it is stateless"
            raise StateError(f"{type(self).__name__} has no state {sorted(unknown)}. Its state: {known}.")
        current = self.state_dict()
        try:
            self._commit(copy.deepcopy(state))
        except StateError:
            self._commit(current)
            raise

    def reset(self) -> None:
        """Forget everything learnt from earlier calls."""
        self._commit({})

    def _commit(self, state: dict[str, Any]) -> None:
        self._state.clear()
        self._state.update(state)
