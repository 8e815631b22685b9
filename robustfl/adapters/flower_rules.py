"""A strategy of Flower as a rule: how does Flower's own Krum, or yours, do under the attacks here?

>>> import numpy as np
>>> from flwr.serverapp.strategy import FedMedian
>>> from robustfl.adapters import FromFunction
>>> FromFunction(StrategyRule(FedMedian()))(np.array([[1.0, 2.0], [3.0, 9.0], [4.0, 1.0]])).tolist()
[3.0, 2.0]
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from robustfl.adapters.extras import missing
from robustfl.errors import ParameterError, RobustflError

try:
    from flwr.app import Array, ArrayRecord, Message, Metadata, MetricRecord, RecordDict
    from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server.client_proxy import ClientProxy
except ImportError as error:
    raise missing("Flower 1.22 or later", "flower") from error


class StrategyRule:
    """The aggregation of a strategy, as a function from rows [n, d] to one row [d].

    Each row is the reply of a node that declares one example, so that a weighted mean is the plain one. Strategies of
    the message API are asked by `aggregate_train`, older ones by `aggregate_fit`, always in round 1. Those that step
    from a model which they remember, such as `FedAdam`, have none here, and end with an error of their own.

    Parameters
    ----------
    strategy : a strategy of Flower, old or new; to be played in trials it has to be pickled, as all rules are

    Raises
    ------
    ParameterError : the object has neither of the two methods
    RobustflError : the strategy answered no arrays
    """

    def __init__(self, strategy: Any) -> None:
        if not callable(getattr(strategy, "aggregate_train", None) or getattr(strategy, "aggregate_fit", None)):
            raise ParameterError(f"`strategy` should be a strategy of Flower. Found {type(strategy).__name__}.")
        self.strategy = strategy
        self.__name__ = type(strategy).__name__

    def __call__(self, rows: Any) -> Any:
        """One row of the rows."""
        new = callable(getattr(self.strategy, "aggregate_train", None))
        answer = self._train(rows) if new else self._fit(rows)
        if answer is None:
            raise RobustflError(f"{self.__name__} answered no arrays to {len(rows)} replies.")
        return answer

    def _train(self, rows: Any) -> Any:
        arrays, _ = self.strategy.aggregate_train(1, [_message(node, row) for node, row in enumerate(rows)])
        return None if arrays is None else next(iter(arrays.values())).numpy()

    def _fit(self, rows: Any) -> Any:
        parameters, _ = self.strategy.aggregate_fit(
            1, [(_Proxy(str(n)), _result(row)) for n, row in enumerate(rows)], []
        )
        return None if parameters is None else parameters_to_ndarrays(parameters)[0]


def _message(node: int, row: Any) -> Message:
    metadata = Metadata(
        run_id=1,
        message_id=str(node),
        src_node_id=node,
        dst_node_id=1,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=60.0,
        message_type="train",
    )
    arrays = ArrayRecord({"row": Array(np.ascontiguousarray(row))})
    return Message(
        metadata=metadata, content=RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    )


def _result(row: Any) -> FitRes:
    parameters = ndarrays_to_parameters([np.ascontiguousarray(row)])
    return FitRes(status=Status(Code.OK, ""), parameters=parameters, num_examples=1, metrics={})


class _Proxy(ClientProxy):  # type: ignore[misc]  # Flower may be absent where types are checked
    """A client that has already replied."""

    def get_properties(self, *given: Any) -> Any:
        """No strategy asks for anything while it aggregates."""
        raise RobustflError("This client has already replied, and answers no further question.")

    get_parameters = fit = evaluate = reconnect = get_properties
