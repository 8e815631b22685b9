"""Any rule as a postprocessor of pfl-research.

.. code-block:: python

    backend = SimulatedBackend(..., postprocessors=[WeightByDatapoints(), RobustPostprocessor("nnm >> krum", f=1)])

Privacy
-------
No privacy is claimed. pfl's central mechanisms add their noise to a sum of clipped statistics, and what they report is
about that sum. This postprocessor answers something else than the sum, so such a mechanism cannot stand behind it in
the list (the first round ends with an error); one in front of it adds noise after the rule, whose amount is not what a
robust answer would need (:meth:`Aggregator.sensitivity` knows some). Noise that each user adds to its own statistics
keeps its guarantee.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any

import numpy as np

from robustfl.adapters.extras import missing
from robustfl.adapters.serving import log_step, served
from robustfl.aggregation import Aggregator
from robustfl.aggregation.kernels.base import is_tensor
from robustfl.errors import ParameterError, UpdatesError
from robustfl.server import RobustServer, Step

try:
    from pfl.metrics import Metrics
    from pfl.postprocessor.base import Postprocessor
    from pfl.stats import MappedVectorStatistics
except ImportError as error:
    raise missing("pfl", "pfl") from error

LOG = logging.getLogger("robustfl.adapters.pfl")

CLOSE = 1e-3
"""Relative difference of two ways to add up the same statistics that rounding may explain."""


class RobustPostprocessor(Postprocessor):  # type: ignore[misc]  # pfl may be absent where types are checked
    """Answers the rule's aggregate of what users sent, in place of their weighted sum.

    Formula: ``A(s_1 / w_1, ..., s_n / w_n)`` with weight 1, for statistics s_i of weight w_i. Weights are what users
    declare, so they play no part in the answer.

    It has to be the last of the postprocessors. On users these work in the order of the list and on the server in the
    opposite one, so it sees what users really send, and nothing works on the sum before it. Where it is not the last,
    the sum that arrives differs from what it saw, and the round ends with an error; so does one of several processes,
    of which each sees its own users alone.

    Shapes: those of the statistics. Cost: all statistics of a round are held together, and one sum more.
    Guarantee: that of the rule. With too few usable users the answer is zero, and the model stays.

    Parameters
    ----------
    rule : a rule for updates, its text, or a `RobustServer` made with ``replies_are="deltas"``
    f : the number of Byzantine users that a rule given as a text is told, where the text does not say it

    Attributes
    ----------
    last : the `Step` of the last round: who was refused and why, the weights, whether the model was kept

    Raises
    ------
    ParameterError : the rule is none for updates, or its server expects whole models

    Examples
    --------
    >>> RobustPostprocessor("trimmed_mean", f=2).server.rule
    TrimmedMean(f=2)
    """

    def __init__(self, rule: Aggregator | str | RobustServer, *, f: int | None = None) -> None:
        if isinstance(rule, RobustServer):
            if f is not None or rule.replies_are != "deltas":
                raise ParameterError(
                    'Users of pfl send differences: RobustServer(rule, replies_are="deltas"), without `f`. '
                    f"Found replies_are={rule.replies_are!r}, f={f!r}."
                )
            self.server = served(rule)
        else:
            self.server = RobustServer(rule, f=f, replies_are="deltas")
        self.last: Step | None = None
        self._held: dict[Hashable, dict[str, Any]] = {}
        self._sum: Any = None
        self._round = 0

    def postprocess_one_user(self, *, stats: Any, user_context: Any) -> tuple[Any, Any]:
        """Keep what a user sends."""
        if not isinstance(stats, MappedVectorStatistics):
            raise UpdatesError(f"A rule needs statistics that are vectors with names. Found {type(stats).__name__}.")
        user = user_context.user_id
        if user in self._held:
            raise UpdatesError(f"User {user!r} took part twice in a round, and f counts users: sample each once.")
        weight = float(stats.weight)
        with np.errstate(all="ignore"):  # a weight of 0, or none that is finite, spoils the statistics, which is seen
            self._held[user] = {
                name: value * np.nan if weight == 0 else value / weight for name, value in stats.items()
            }
        copied = MappedVectorStatistics({name: _copy(value) for name, value in stats.items()}, weight=stats.weight)
        self._sum = copied if self._sum is None else self._sum + copied
        return stats, Metrics()

    def postprocess_server(self, *, stats: Any, central_context: Any, aggregate_metrics: Any) -> tuple[Any, Any]:
        """Answer the aggregate of the statistics that were kept."""
        held, total, self._held, self._sum = self._held, self._sum, {}, None
        if total is None or not _alike(stats, total):
            raise ParameterError(
                "RobustPostprocessor should be the last of the postprocessors, in one process. What arrives at the "
                "server is not the sum of what it saw of the users, so another one works behind it, or elsewhere."
            )
        nothing = {name: _zeros(value) for name, value in stats.items()}
        step = self.last = self.server.step(nothing, held)
        self._round += 1
        log_step(LOG, self._round, step)
        return MappedVectorStatistics(dict(step.model), weight=1.0), Metrics()


def _alike(found: Any, expected: Any) -> bool:
    """Whether two sums have the same parts, up to rounding; what is not finite has to be so in both."""
    if not isinstance(found, MappedVectorStatistics) or set(found.keys()) != set(expected.keys()):
        return False
    pairs = [(found.weight, expected.weight), *((found[name], expected[name]) for name in expected)]
    return all(_close(_host(one), _host(other)) for one, other in pairs)


def _close(found: Any, expected: Any) -> bool:
    if found.shape != expected.shape:
        return False
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return bool(np.allclose(found, expected, rtol=CLOSE, atol=1e-6 * scale, equal_nan=True))


def _host(value: Any) -> Any:
    return value.detach().cpu().double().numpy() if is_tensor(value) else np.asarray(value, np.float64)


def _copy(value: Any) -> Any:
    return value.detach().clone() if is_tensor(value) else np.array(value)


def _zeros(value: Any) -> Any:
    return value.detach().clone().zero_() if is_tensor(value) else np.zeros_like(value)
