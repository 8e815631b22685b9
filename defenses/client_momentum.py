"""Client momentum that the server keeps: each update becomes a moving average of its client's updates."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Lt
from typing_extensions import Doc

from robustfl.aggregation import PreAggregation, Rows
from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.sensitivity import MEMORY
from robustfl.aggregation.updates.source import Extent, Source
from robustfl.errors import ParameterError, StateError


@dataclass(frozen=True, kw_only=True)
class ClientMomentum(PreAggregation):
    """Client momentum: each update is replaced by an exponential moving average of its client's updates.

    Formula: ``m_i <- beta m_i + (1 - beta) x_i``, with one m per client id, which is 0 at first. A client that stays
    away keeps its m. Some papers have ``m_i <- beta m_i + x_i``, which is 1/(1 - beta) times as long: with those, the
    radius of a clipping rule has to be larger by the same factor. Here the server keeps the averages, so clients need
    no momentum of their own.

    This stage should come first in a pipeline, because rows that another stage has mixed belong to no single client. It
    identifies clients by `ids`, or by the position of their row if no ids are given.

    Shapes: [n, d] -> [n, d]. Cost: one pass. Memory: one vector [d] for each client ever seen, and during a call one
    more matrix [n, d] (the state holds `ids` and `momenta` of the last call, and `away` for clients that were not in
    it).

    Guarantee: the noise of honest updates averages out, which shrinks their spread by sqrt((1 - beta)/(1 + beta)), and
    by as much the error that attackers can cause in a robust rule.

    Raises
    ------
    ParameterError : a stage before this one has mixed the rows
    StateError : the remembered momenta have another number of values than the updates

    References
    ----------
    S. P. Karimireddy, L. He, M. Jaggi. Learning from History for Byzantine Robust Optimization. ICML 2021.
    S. Farhadkhani, R. Guerraoui, N. Gupta, R. Pinot, J. Stephan. Byzantine Machine Learning Made Easy by Resilient
    Averaging of Momentums. ICML 2022.

    Examples
    --------
    >>> from robustfl.defenses import ClientMomentum, Median
    >>> rule = ClientMomentum(beta=0.5) >> Median()
    >>> rule({"ann": [2.0], "bob": [4.0], "eve": [-9.0]}).tolist()
    [1.0]
    >>> rule({"ann": [2.0], "eve": [9.0]}).tolist()  # ann: 1.5, eve: 2.25
    [1.875]
    """

    requires: ClassVar[tuple[int, int]] = (0, 1)
    guarantee: ClassVar[str] = "shrinks the spread of honest rows by sqrt((1 - beta)/(1 + beta)) over time"
    breakdown: ClassVar[str] = "the breakdown point of the next rule"
    unfit: ClassVar[str] = (
        "alone, as it rejects nobody; or where clients seldom take part, as their average is then as old as their "
        "last visit"
    )
    no_sensitivity: ClassVar[str] = MEMORY
    reference: ClassVar[str] = "Karimireddy et al., Learning from History for Byzantine Robust Optimization, ICML 2021"
    state_keys: ClassVar[tuple[str, ...]] = ("ids", "momenta", "away")

    beta: Annotated[
        float, Ge(0), Lt(1), Doc("weight of a client's previous momentum; its new update has the weight 1 - beta")
    ] = 0.9

    @property
    def unclaimed(self) -> frozenset[str]:
        """Momenta start at zero, which draws the rows towards zero."""
        return frozenset({"translation", "consensus", "box"})

    def apply(self, rows: Rows) -> tuple[Rows, dict[str, Any]]:
        source = rows.source
        if rows.mixing is not None:
            raise ParameterError(
                f"{self!r} follows clients, but a stage before it has mixed their updates. "
                "Put it first in the pipeline."
            )
        past = self._past(source.d_here)
        known = [source.place(past[client]) if client in past else None for client in source.ids]
        ops, fresh = rows.kernels, 1.0 - self.beta

        def averaged(values: Array, columns: slice, extent: Extent | None) -> Array:
            old = [values[row] * 0 if m is None else m[columns] for row, m in enumerate(known)]
            return self.beta * ops.stack(old) + fresh * values

        momenta = ops.empty((source.n, source.d_here), source.reader.working)
        for columns, part in source.sweep(averaged):
            momenta[:, columns] = part
        state = {"ids": source.ids, "momenta": momenta, "away": self._away(source)}
        return Rows(source.replaced(momenta, fresh)), state

    def _past(self, d: int) -> dict[Hashable, Array]:
        """The momentum [d] of every client ever seen."""
        recent = zip(self._state.get("ids", ()), self._state.get("momenta", ()), strict=True)
        past = {**self._state.get("away", {}), **dict(recent)}
        other = next((len(vector) for vector in past.values() if len(vector) != d), None)
        if other is not None:
            raise StateError(f"ClientMomentum remembers momenta of {other} values; the updates have {d}. Call reset().")
        return past

    def _away(self, source: Source) -> dict[Hashable, Array]:
        """The momenta of clients that are not in this call; those of the last call are copied out of its matrix."""
        present = set(source.ids)
        away = {client: vector for client, vector in self._state.get("away", {}).items() if client not in present}
        for client, vector in zip(self._state.get("ids", ()), self._state.get("momenta", ()), strict=True):
            if client not in present:
                away[client] = source.kernels.stack([source.place(vector)])[0]
        return away
