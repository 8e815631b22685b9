"""Any rule as a strategy of Flower.

.. code-block:: python

    strategy = RobustStrategy("nnm >> trimmed_mean", f=1, nodes=6)
    result = strategy.start(grid, ArrayRecord(model.state_dict()), num_rounds=3)

Clients stay as they are: they reply with whole models. A rule given as a text fits into ``[tool.flwr.app.config]``.

Privacy
-------
No privacy is claimed here, and rules that begin with a privacy mechanism are refused. Flower's own wrappers for
differential privacy on the server clip models before a strategy sees them and add noise after it, in proportion to what
one client can move in a *mean*. That number is not the one of another rule (:meth:`Aggregator.sensitivity` knows some),
so the guarantee that these wrappers report does not hold around a `RobustStrategy`. What clients do before they reply,
such as noise of their own, keeps its guarantee, because aggregation only processes what was released.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from robustfl.adapters.declared import medians
from robustfl.adapters.extras import missing
from robustfl.adapters.serving import log_step, served
from robustfl.aggregation import Aggregator
from robustfl.errors import ParameterError
from robustfl.server import RobustServer, Step

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
    from flwr.common import (
        EvaluateRes,
        FitIns,
        FitRes,
        Parameters,
        Scalar,
        ndarrays_to_parameters,
        parameters_to_ndarrays,
    )
    from flwr.server.client_manager import ClientManager
    from flwr.server.client_proxy import ClientProxy
    from flwr.server.strategy import FedAvg as LegacyFedAvg
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import FedAvg
except ImportError as error:
    raise missing("Flower 1.22 or later", "flower") from error

LOG = logging.getLogger("flwr")

REFUSED, HELD = "robustfl/refused", "robustfl/held"
"""Metrics of each round: how many replies were refused, and whether (1) or not (0) the model was kept."""

Metrics = Callable[[list[RecordDict], str], MetricRecord]


def median_metrics(replies: list[RecordDict], weighted_by_key: str = "") -> MetricRecord:
    """The median of each metric over the replies; no reply weighs more than another, whatever it declares."""
    return MetricRecord(medians(_flat(reply) for reply in replies))


def _flat(reply: RecordDict) -> dict[str, Any]:
    return {key: value for record in reply.metric_records.values() for key, value in record.items()}


class RobustStrategy(FedAvg):  # type: ignore[misc]  # Flower may be absent where types are checked
    """A strategy of Flower's message API that aggregates by a robust rule in place of a weighted mean.

    Formula: ``next = sent + A(reply_1 - sent, ..., reply_n - sent)``, see :class:`robustfl.server.RobustServer`.

    A round waits for `nodes` connected nodes, as a declared number f means nothing among fewer. What was sent is the
    template: a reply with other names, shapes or kinds of numbers, one that is not finite, or one that cannot be
    decoded is refused by name and reason, and the round goes on. Nodes that failed are left out. Replies reach the rule
    in the order of the ids of their nodes. The numbers of examples that clients declare play no part. With too few
    usable replies the model stays.

    Shapes: those of the arrays that are sent; integers (counters) and running statistics get a median.
    Cost: one aggregation each round; all replies of a round are in memory together.
    Guarantee: that of the rule, for the parameters. Metrics are medians, which fewer than half of the nodes cannot move
    beyond what the others declare.

    Parameters
    ----------
    rule : a rule for updates, its text, or a `RobustServer` with options of its own
    nodes : the number of nodes that train in a round at least, and that have to be connected
    f : the number of Byzantine nodes that a rule given as a text is told, where the text does not say it
    metrics : what aggregates metrics, `(replies, key) -> MetricRecord`; by default the median of each key
    options : those of Flower's `FedAvg`; they go before what is set here

    Attributes
    ----------
    server : the `RobustServer`
    last : the `Step` of the last round: who was refused and why, the weights, whether the model was kept

    Raises
    ------
    ParameterError : the rule is none for updates, or cannot answer so few nodes

    Examples
    --------
    >>> strategy = RobustStrategy("NNM(f=1) >> TrimmedMean(f=1)", nodes=5)
    >>> strategy.min_train_nodes, strategy.min_available_nodes
    (5, 5)
    """

    def __init__(
        self,
        rule: Aggregator | str | RobustServer,
        *,
        nodes: int,
        f: int | None = None,
        metrics: Metrics | None = None,
        **options: Any,
    ) -> None:
        self.server = served(_told(rule, f), nodes)
        aggregated = {"train_metrics_aggr_fn": metrics or median_metrics}
        aggregated["evaluate_metrics_aggr_fn"] = metrics or median_metrics
        counts = dict.fromkeys(("min_train_nodes", "min_evaluate_nodes", "min_available_nodes"), nodes)
        super().__init__(**{**counts, **aggregated, **options})
        self.last: Step | None = None
        self._sent: dict[str, Any] | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Remember what is sent, and send it as `FedAvg` does."""
        self._sent = {name: array.numpy() for name, array in arrays.items()}
        messages: Iterable[Message] = super().configure_train(server_round, arrays, config, grid)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The next model, and the metrics of the round."""
        answered = self._answered(replies)
        if self._sent is None or not answered:
            return None, None
        step = self.server.step(self._sent, {node: self._decoder(reply) for node, reply in answered.items()})
        log_step(LOG, server_round, step)
        self.last, self._sent = step, None
        arrays = ArrayRecord({name: Array(value) for name, value in step.model.items()})
        metrics = self.train_metrics_aggr_fn(list(answered.values()), self.weighted_by_key)
        told = {**dict(metrics or {}), REFUSED: len(step.refused), HELD: int(bool(step.held))}
        return arrays, MetricRecord(told)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The metrics of an evaluation."""
        answered = self._answered(replies)
        found: MetricRecord | None = None
        if answered:
            found = self.evaluate_metrics_aggr_fn(list(answered.values()), self.weighted_by_key)
        return found

    def _answered(self, replies: Iterable[Message]) -> dict[int, RecordDict]:
        """What each node replied that did not fail, by its id."""
        return {reply.metadata.src_node_id: reply.content for reply in replies if not reply.has_error()}

    def _decoder(self, reply: RecordDict) -> Callable[[], dict[str, Any]]:
        return lambda: {name: array.numpy() for name, array in reply[self.arrayrecord_key].items()}


class LegacyRobustStrategy(LegacyFedAvg):  # type: ignore[misc]  # as above
    """The same for Flower's older strategies, with `aggregate_fit`; see :class:`RobustStrategy`.

    Arrays have no names there. Running statistics of normalisation layers are therefore parameters like all others,
    unless the rule is a `RobustServer` whose `buffer_names` names them by their places: ``buffer_names=["3", "4"]``.

    Parameters
    ----------
    rule : a rule for updates, its text, or a `RobustServer` with options of its own
    nodes : the number of clients that train in a round at least, and that have to be connected
    f : the number of Byzantine clients that a rule given as a text is told, where the text does not say it
    options : those of Flower's older `FedAvg`; metrics are medians where no functions for them are given

    Raises
    ------
    ParameterError : the rule is none for updates, or cannot answer so few clients

    Examples
    --------
    >>> LegacyRobustStrategy("krum", f=1, nodes=5).min_fit_clients
    5
    """

    def __init__(
        self, rule: Aggregator | str | RobustServer, *, nodes: int, f: int | None = None, **options: Any
    ) -> None:
        self.server = served(_told(rule, f), nodes)
        counts = dict.fromkeys(("min_fit_clients", "min_evaluate_clients", "min_available_clients"), nodes)
        super().__init__(**{**counts, **options})
        self.last: Step | None = None
        self._sent: list[Any] | None = None

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Remember what is sent, and send it as `FedAvg` does."""
        self._sent = parameters_to_ndarrays(parameters)
        sent: list[tuple[ClientProxy, FitIns]] = super().configure_fit(server_round, parameters, client_manager)
        return sent

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """The next model, and the metrics of the round."""
        if self._sent is None or not results or (failures and not self.accept_failures):
            return None, {}
        replies = {client.cid: _legacy_decoder(reply) for client, reply in results}
        step = self.server.step(self._sent, replies)
        log_step(LOG, server_round, step)
        self.last, self._sent = step, None
        if self.fit_metrics_aggregation_fn:
            told = self.fit_metrics_aggregation_fn([(reply.num_examples, reply.metrics) for _, reply in results])
        else:
            told = medians(_metrics(reply) for _, reply in results)
        told = {**told, REFUSED: len(step.refused), HELD: int(bool(step.held))}
        return ndarrays_to_parameters(step.model), told

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """The median of the losses, and the metrics of an evaluation."""
        if not results or (failures and not self.accept_failures):
            return None, {}
        loss = medians({"loss": reply.loss} for _, reply in results).get("loss")
        if self.evaluate_metrics_aggregation_fn:
            told = [(reply.num_examples, reply.metrics) for _, reply in results]
            return loss, self.evaluate_metrics_aggregation_fn(told)
        return loss, dict(medians(_metrics(reply) for _, reply in results))


def _told(rule: Aggregator | str | RobustServer, f: int | None) -> RobustServer:
    if not isinstance(rule, RobustServer):
        return RobustServer(rule, f=f)
    if f is not None:
        raise ParameterError(f"`f` is for a rule that is given as a text. Found f={f!r} and a server.")
    return rule


def _legacy_decoder(reply: FitRes) -> Callable[[], list[Any]]:
    return lambda: list(parameters_to_ndarrays(reply.parameters))


def _metrics(reply: FitRes | EvaluateRes) -> Mapping[str, Any]:
    return reply.metrics or {}
