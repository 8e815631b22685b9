"""Lets a defense work on the rows of a batch that are accepted, and decides what happens to the other rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.defense import Defense, Outcome
from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.updates.ids import exceeded
from robustfl.aggregation.updates.layout import Batch, reasons_told
from robustfl.aggregation.updates.source import HostileRows, Source
from robustfl.errors import ExceededError, InfeasibleError, ParameterError, UpdatesError

T = TypeVar("T")

Hostile = Literal["reject", "stop", "raise"]
"""What happens to hostile rows: `reject` leaves them out; `stop` does the same, and raises when more clients were
caught than the declared f; `raise` raises whenever there is such a row."""


def answered(
    defense: Defense, batch: Batch, hostile: Hostile, trusted: Any, work: Callable[[Defense, Source], T]
) -> tuple[T, Source]:
    """The result of a defense's work on the clean rows, and these rows; the batch then lists the hostile rows."""
    require_policy(hostile)
    source = batch.source()
    try:
        if batch.base is not None and not source.agreed(bool((abs(batch.subtracted) < np.inf).all())):
            raise UpdatesError("`relative_to` should be finite. It is not.")
        if defense.wants_trusted:
            source.trusted = _trusted(defense, batch, source, trusted)
        while True:
            try:
                return _attempt(defense, batch, source, hostile, work), source
            except HostileRows as found:
                for row, reason in found.reasons.items():
                    batch.rejected[batch.callers_rows(source)[row]] = reason
                source = source.without(found.reasons)
    except Exception as error:
        source.failed(error)
        raise


def _attempt(
    defense: Defense, batch: Batch, source: Source, hostile: Hostile, work: Callable[[Defense, Source], T]
) -> T:
    """Try the work on rows; raise :class:`HostileRows` if some of them turn out to be hostile."""
    lacking = defense.infeasible(source.n)
    if source.n and (hostile == "raise" or lacking is not None):
        source.verify()  # the error should name all hostile rows
    judge(defense, batch.ids, batch.rejected, hostile)
    if lacking is not None:
        raise _too_few(lacking, defense, batch)
    result = work(defense, source)
    source.verify()  # for a rule that read nothing
    return result


def _trusted(defense: Defense, batch: Batch, source: Source, update: Any) -> Array:
    """The server's own update as a vector; a fault in it is an error of the caller, not of a client."""
    if update is None:
        raise UpdatesError(
            f"{defense!r} measures the rows against an update of the server's own. Pass it: `trusted=update`."
        )
    vector = batch.vector(update)
    if not source.agreed(batch.usable(vector, source.d)):
        raise UpdatesError("`trusted` should be finite, and small enough to be summed. It is not.")
    return vector


def require_policy(hostile: str) -> None:
    """Raise ParameterError for a word that is not one of the choices of :data:`Hostile`."""
    if hostile not in ("reject", "stop", "raise"):
        raise ParameterError(f"`hostile` should be 'reject', 'stop' or 'raise'. Found hostile={hostile!r}.")


def judge(defense: Defense, ids: tuple[Hashable, ...], rejected: dict[int, str], hostile: Hostile) -> None:
    """Raise if the caller wants no answer with these rejected rows."""
    if not rejected or hostile == "reject":
        return
    listed = "; ".join(f"row {row}: {reason}" for row, reason in sorted(rejected.items()))
    if hostile == "raise":
        raise UpdatesError(f"{defense!r} was given hostile rows and told to raise. {listed}.")
    more = exceeded(ids, rejected, defense.byzantine)
    if more:
        declared = defense.byzantine or 0
        raise ExceededError(
            f"{defense!r} was told to stop when more clients are caught than f={declared}. Found {declared + more}. "
            f"{listed}. Declare a larger f, or find out what is wrong with these clients."
        )


def _too_few(reason: str, defense: Defense, batch: Batch) -> InfeasibleError:
    lost = ""
    if batch.rejected:
        count = f"{len(batch.rejected)} of {len(batch.ids)} rows were rejected"
        lost = f" {count}, which does not lower f. {reasons_told(batch.rejected)}"
    others = "a rule with a weaker precondition, or collect more updates."
    remedy = f"Lower f, use {others}" if defense.byzantine else f"Use {others}"
    return InfeasibleError(f"{reason}{lost} {remedy}", rejected=len(batch.rejected))


def by_callers_rows(weights: Floats | None, accepted: list[int], n: int) -> tuple[Floats | None, NDArray[np.bool_]]:
    """The weights of the accepted rows as weights of all rows that came in, and which of those were rejected."""
    places: slice | list[int] = slice(None) if len(accepted) == n else accepted
    rejected = np.ones(n, dtype=np.bool_)
    rejected[places] = False
    if weights is None:
        return None, rejected
    shares = np.zeros(n)
    shares[places] = weights
    return shares, rejected


def layers_told(layers: Mapping[str, Outcome] | None, accepted: list[int], n: int) -> dict[str, Any]:
    """What the answer's `info` says of each layer, with weights of all rows that came in: nothing without layers."""
    if layers is None:
        return {}
    return {
        "layers": {
            name: {"weights": by_callers_rows(outcome.weights, accepted, n)[0], **outcome.info}
            for name, outcome in layers.items()
        }
    }
