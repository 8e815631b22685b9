"""From the caller's updates to the full answer of a rule, by the short way where there is one.

The long way describes whatever it is given, and names what is wrong with it. Plain matrices without hostile rows need
none of that, and the answer to them is the same, to the last bit; see :mod:`robustfl.aggregation.updates.one_block`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robustfl.aggregation.defense import Aggregation, Defense, Outcome
from robustfl.aggregation.hostile import Hostile, answered, by_callers_rows, layers_told, require_policy
from robustfl.aggregation.updates.ids import exceeded
from robustfl.aggregation.updates.layout import Batch
from robustfl.aggregation.updates.plain import like_plain, plain_source
from robustfl.aggregation.updates.source import HostileRows, Source
from robustfl.errors import RobustflError

Work = Callable[[Defense, Source], Outcome]
"""What a rule does with clean rows."""

Answer = tuple[Aggregation, dict[str, Any] | None]
"""The answer of a rule, and its state after it (None: unchanged)."""


def short_answer(rule: Defense, updates: Any, ids: Any, hostile: Hostile, work: Work) -> Answer | None:
    """The answer to updates that are a plain matrix, or None where the long way has an answer or an error."""
    source = plain_source(updates, ids)
    if source is None or rule.wants_trusted or rule.infeasible(source.n) is not None:
        return None
    require_policy(hostile)
    try:
        outcome = work(rule, source)
        source.verify()  # for a rule that read nothing
    except HostileRows:
        return None
    if not source.kernels.is_finite(outcome.value):
        return None
    layers = {} if outcome.layers is None else layers_told(outcome.layers, list(range(source.n)), source.n)
    info = {**outcome.info, "ids": source.ids, "reasons": {}, "exceeded": 0, **layers}
    weights = None if outcome.weights is None else np.array(outcome.weights, dtype=np.float64)
    value = like_plain(outcome.value, updates, copy=outcome.state is not None)
    return Aggregation(value, weights, np.zeros(source.n, dtype=np.bool_), info), outcome.state


def long_answer(rule: Defense, batch: Batch, hostile: Hostile, trusted: Any, work: Work) -> Answer:
    """The answer to updates of any form.

    Raises
    ------
    RobustflError : the result is not finite
    """
    outcome, source = answered(rule, batch, hostile, trusted, work)
    if not source.agreed(source.kernels.is_finite(outcome.value)):
        raise RobustflError(f"{rule!r} produced a value that is not finite from {source.n} finite rows.")
    accepted = batch.callers_rows(source)
    weights, rejected = by_callers_rows(outcome.weights, accepted, len(batch.ids))
    info = {
        **outcome.info,
        "ids": batch.ids,
        "reasons": dict(sorted(batch.rejected.items())),
        "exceeded": exceeded(batch.ids, batch.rejected, rule.byzantine),
        **batch.told(outcome.weights, rule.averages),
        **layers_told(outcome.layers, accepted, len(batch.ids)),
    }
    kept = outcome.state is not None  # the caller may change the answer, but not the rule's memory
    value = batch.restore(outcome.value, accepted, outcome.weights, averages=rule.averages, copy=kept)
    return Aggregation(value, weights, rejected, info), outcome.state
