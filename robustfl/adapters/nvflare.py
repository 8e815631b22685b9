"""Any rule as an aggregator of NVFlare.

.. code-block:: python

    recipe = FedAvgRecipe(..., aggregator=RobustAggregator("NNM(f=1) >> TrimmedMean(f=1)"))

Clients stay as they are; they may send whole models or differences. The rule is a text, because jobs are stored with
the constructor's plain arguments.

What an aggregator cannot decide in NVFlare: the best model is chosen by metrics that clients declare before it is
asked, and where clients transfer differences, one whose parameters have other names ends the job before it arrives
here. No privacy is claimed; filters of clients that add noise keep their guarantee.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from robustfl.adapters.declared import medians
from robustfl.adapters.extras import missing
from robustfl.adapters.serving import log_step
from robustfl.errors import ParameterError, UpdatesError
from robustfl.server import RobustServer, Step

try:
    from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
    from nvflare.app_common.abstract.model import ModelLearnableKey
    from nvflare.app_common.aggregators.model_aggregator import ModelAggregator
    from nvflare.app_common.app_constant import AppConstants
except ImportError as error:
    raise missing("NVFlare", "nvflare") from error

LOG = logging.getLogger("robustfl.adapters.nvflare")


class RobustAggregator(ModelAggregator):  # type: ignore[misc]  # NVFlare may be absent where types are checked
    """Aggregates what sites send by a robust rule in place of a weighted mean.

    Formula: ``next = sent + A(reply_1 - sent, ..., reply_n - sent)``, see :class:`robustfl.server.RobustServer`.

    The template is the global model of the job, and not what a site sent. Sites are known by the names under which they
    are registered, and a reply that does not fit is refused by name and reason. Numbers of steps that sites declare
    play no part, and metrics become medians. With too few usable replies the model stays.

    Shapes: those of the global model, a mapping from names to arrays.
    Cost: one aggregation each round; all replies of a round are in memory together.
    Guarantee: that of the rule, for the parameters.

    Parameters
    ----------
    rule : the text of a rule for updates, which says everything, such as ``"NNM(f=1) >> Krum(f=1)"``

    Attributes
    ----------
    last : the `Step` of the last round: who was refused and why, the weights, whether the model was kept

    Raises
    ------
    ParameterError : the rule is no text, or none for updates
    UpdatesError : the job has no global model when the rule is asked

    Examples
    --------
    >>> RobustAggregator("TrimmedMean(f=1)").rule
    'TrimmedMean(f=1)'
    """

    def __init__(self, rule: str) -> None:
        super().__init__()
        if not isinstance(rule, str):
            raise ParameterError(f"Jobs are stored as plain values: give the rule as a text. Found {rule!r}.")
        self.rule = rule  # jobs are stored by the names of these arguments
        models = RobustServer(rule)
        deltas = RobustServer(models.rule, replies_are="deltas")  # the same rule, with one memory
        self._servers = {ParamsType.FULL: models, ParamsType.DIFF: deltas}
        self._replies: dict[str, FLModel] = {}
        self.last: Step | None = None

    def accept_model(self, model: FLModel) -> None:
        """Keep what a site sends."""
        self._replies[str(model.meta["client_name"])] = model

    def aggregate_model(self) -> FLModel:
        """The next global model."""
        replies, self._replies = self._replies, {}
        sent = self._global_model()
        kinds = {reply.params_type for reply in replies.values()}
        kind = ParamsType.DIFF if kinds == {ParamsType.DIFF} else ParamsType.FULL
        step = self._servers[kind].step(
            sent, {site: _decoder(reply, kind, sent) for site, reply in sorted(replies.items())}
        )
        self.last = step
        number = self.fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
        log_step(LOG, number, step)
        metrics = medians(reply.metrics or {} for reply in replies.values())
        return FLModel(params_type=ParamsType.FULL, params=dict(step.model), metrics=metrics or None)

    def reset_stats(self) -> None:
        """Forget the replies of a round."""
        self._replies = {}

    def _global_model(self) -> dict[str, Any]:
        found = None if self.fl_ctx is None else self.fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)
        weights = (found or {}).get(ModelLearnableKey.WEIGHTS)
        if not weights:
            raise UpdatesError(
                "The job has no global model, and what sites send cannot stand in for it. Give the recipe a model."
            )
        return dict(weights)


def _decoder(reply: FLModel, kind: ParamsType, sent: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """What reads a reply; where some sites send whole models, differences become such."""

    def decoded() -> dict[str, Any]:
        params = dict(reply.params)
        if reply.params_type == kind:
            return params
        return {name: value + sent[name] if name in sent else value for name, value in params.items()}

    return decoded
