"""The strategies with Flower's own records and messages, without an engine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.common import Code, EvaluateRes, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy

from robustfl.adapters.flower import LegacyRobustStrategy, RobustStrategy, median_metrics
from robustfl.defenses import Krum, Mean, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.server import RobustServer

SENT = {"w": np.full(3, 2.0, np.float32), "bn.running_var": np.ones(2, np.float32), "steps": np.array(4)}


def model(value: float, steps: int = 5) -> dict[str, Any]:
    variance = np.full(2, 1 + value, np.float32)
    return {"w": np.full(3, 2.0 + value, np.float32), "bn.running_var": variance, "steps": np.array(steps)}


def record(values: dict[str, Any]) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in values.items()})


def message(node: int, content: RecordDict | Error) -> Message:
    metadata = Metadata(
        run_id=1,
        message_id=f"{node}",
        src_node_id=node,
        dst_node_id=1,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=60.0,
        message_type="train",
    )
    part = {"error": content} if isinstance(content, Error) else {"content": content}
    return Message(metadata=metadata, **part)  # type: ignore[call-overload]


def reply(node: int, arrays: ArrayRecord, **metrics: float) -> Message:
    return message(node, RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1, **metrics})}))


class Nodes:
    """The one question that a strategy asks of a grid while it configures a round."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get_node_ids(self) -> list[int]:
        return list(range(100, 100 + self.count))


def configured(rule: Any, nodes: int = 5, **options: Any) -> RobustStrategy:
    strategy = RobustStrategy(rule, nodes=nodes, **options)
    import flwr.app.message.message as home  # an instruction belongs to a run, which is none here

    identity = home.TaskIdentity
    identity.run_id, identity.node_id, identity.task_id = 1, 1, 1
    messages = list(strategy.configure_train(1, record(SENT), ConfigRecord(), Nodes(nodes)))  # type: ignore[arg-type]
    assert len(messages) == nodes
    return strategy


def aggregated(strategy: RobustStrategy, replies: list[Message]) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, metrics = strategy.aggregate_train(1, replies)
    assert arrays is not None
    assert metrics is not None
    return {name: array.numpy() for name, array in arrays.items()}, dict(metrics)


def test_the_rule_sees_differences_and_the_answer_has_the_types_that_were_sent() -> None:
    rows = np.array([0.1, 0.2, 0.3, 0.4, 1e6], np.float32)
    found, metrics = aggregated(
        configured(TrimmedMean(f=1)), [reply(node, record(model(row))) for node, row in enumerate(rows)]
    )
    expected = SENT["w"] + TrimmedMean(f=1)((2 + rows[:, None].repeat(3, 1)) - SENT["w"])
    np.testing.assert_allclose(found["w"], expected, rtol=1e-6)
    assert {name: value.dtype for name, value in found.items()} == {name: value.dtype for name, value in SENT.items()}
    assert int(found["steps"]) == 5
    assert (metrics["robustfl/refused"], metrics["robustfl/held"]) == (0, 0)


HOSTILE: dict[str, tuple[Any, str]] = {
    "nan": (record({**SENT, "w": np.full(3, np.nan, np.float32)}), "w: not finite"),
    "huge": (record({**SENT, "w": np.full(3, 1e38, np.float32)}), "too large to sum"),
    "wide": (record({**SENT, "w": np.full(3, 1e300)}), "w: not finite"),
    "names": (record({name + "x": value for name, value in SENT.items()}), "names differ: it lacks w"),
    "axis": (record({**SENT, "w": np.ones((1, 3), np.float32)}), "w: shape [1, 3] in place of [3]"),
    "objects": (
        ArrayRecord({**record(SENT), "w": Array("float32", (3,), "numpy.ndarray", b"\x93NUMPY\x01\x00garbage")}),
        "Error",
    ),
    "empty": (ArrayRecord(), "names differ: it lacks w"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("place", [0, 4], ids=["first", "last"])
def test_a_hostile_reply_is_refused_by_its_node_and_ends_no_round(kind: str, place: int) -> None:
    arrays, reason = HOSTILE[kind]
    replies = [reply(node, record(model(0.5))) for node in range(4)]
    replies.insert(place, reply(77, arrays))
    strategy = configured(Mean())
    found, metrics = aggregated(strategy, replies)
    assert strategy.last is not None
    assert list(strategy.last.refused) == [77]
    assert reason in strategy.last.refused[77]
    np.testing.assert_allclose(found["w"], 2.5)
    assert metrics["robustfl/refused"] == 1


def test_a_record_of_another_kind_in_the_place_of_arrays_is_refused() -> None:
    strategy = configured(Mean())
    liar = message(9, RecordDict({"arrays": MetricRecord({"w": 1.0}), "metrics": MetricRecord({"num-examples": 1})}))
    nothing = message(10, RecordDict())
    aggregated(strategy, [liar, nothing, *[reply(node, record(model(0.5))) for node in range(3)]])
    assert strategy.last is not None
    assert sorted(strategy.last.refused) == [9, 10]


def test_nodes_that_failed_are_left_out_and_not_refused() -> None:
    strategy = configured(Mean())
    dead = message(8, Error(code=1, reason="it died"))
    aggregated(strategy, [dead, *[reply(node, record(model(0.5))) for node in range(3)]])
    assert strategy.last is not None
    assert strategy.last.refused == {}
    assert strategy.last.answer is not None
    assert strategy.last.answer.info["ids"] == (0, 1, 2)


def test_the_order_of_replies_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    models = {node: record({**SENT, "w": rng.normal(size=3).astype(np.float32)}) for node in range(5)}
    first, _ = aggregated(configured("NNM(f=1) >> Krum(f=1)"), [reply(node, models[node]) for node in range(5)])
    then, _ = aggregated(configured("NNM(f=1) >> Krum(f=1)"), [reply(node, models[node]) for node in (3, 1, 4, 0, 2)])
    assert first["w"].tobytes() == then["w"].tobytes()


def test_too_few_usable_replies_keep_the_model_and_say_so() -> None:
    strategy = configured(Krum(f=1))
    found, metrics = aggregated(strategy, [reply(node, record(model(0.5))) for node in range(2)])
    assert found["w"].tolist() == SENT["w"].tolist()
    assert metrics["robustfl/held"] == 1
    assert strategy.last is not None
    assert "needs n >=" in strategy.last.held


def test_nobody_answered() -> None:
    assert configured(Mean()).aggregate_train(1, [message(1, Error(code=1))]) == (None, None)


def test_metrics_are_medians_whatever_a_client_declares_as_its_weight() -> None:
    arrays = record(model(0.5))
    replies = [reply(node, arrays, loss=0.5 + node / 10) for node in range(4)]
    boast = {"num-examples": 10**15, "loss": -1e30, "boast": 1.0, "robustfl/held": 1}
    replies.append(message(4, RecordDict({"arrays": arrays, "metrics": MetricRecord(boast)})))
    _, metrics = aggregated(configured(Mean()), replies)
    assert metrics == {"loss": 0.6, "num-examples": 1.0, "robustfl/refused": 0, "robustfl/held": 0}


def test_metrics_of_an_evaluation_never_end_a_run() -> None:
    strategy = RobustStrategy(Mean(), nodes=3)
    odd = message(2, RecordDict({"a": MetricRecord({"loss": [1.0]}), "b": MetricRecord({"x": 1})}))
    found = strategy.aggregate_evaluate(1, [reply(0, ArrayRecord(), loss=1.0), reply(1, ArrayRecord(), loss=3.0), odd])
    assert dict(found or {}) == {"loss": 2.0, "num-examples": 1.0}
    assert strategy.aggregate_evaluate(1, []) is None


def test_metrics_may_be_aggregated_by_a_function_of_ones_own() -> None:
    strategy = configured(Mean(), metrics=lambda replies, key: MetricRecord({"count": len(replies)}))
    _, metrics = aggregated(strategy, [reply(node, record(model(0.5))) for node in range(4)])
    assert metrics["count"] == 4
    assert dict(median_metrics([])) == {}


def test_a_rule_that_cannot_answer_so_few_nodes_is_refused_at_once() -> None:
    with pytest.raises(ParameterError, match=r"Krum needs n >= 2f \+ 3 rows\. Found n=4, f=1"):
        RobustStrategy("krum", f=1, nodes=4)
    with pytest.raises(ParameterError, match="nodes >= 1"):
        RobustStrategy("mean", nodes=True)
    with pytest.raises(ParameterError, match="`f` is for a rule that is given as a text"):
        RobustStrategy(RobustServer("mean"), f=1, nodes=4)
    with pytest.raises(ParameterError, match="needs a rule from updates"):
        RobustStrategy("frl", nodes=4)


def test_options_of_flower_go_before_ours() -> None:
    strategy = RobustStrategy("mean", nodes=4, min_available_nodes=9, fraction_evaluate=0.0)
    assert (strategy.min_train_nodes, strategy.min_available_nodes, strategy.min_evaluate_nodes) == (4, 9, 0)


class Client(ClientProxy):
    """A client of the older interface, which is asked nothing here."""

    def __init__(self, cid: str) -> None:
        super().__init__(cid)

    def get_properties(self, *given: Any) -> Any:
        raise NotImplementedError

    get_parameters = fit = evaluate = reconnect = get_properties


def fit_result(arrays: list[Any], **metrics: Any) -> FitRes:
    parameters = ndarrays_to_parameters(arrays)
    return FitRes(status=Status(Code.OK, ""), parameters=parameters, num_examples=10**9, metrics=metrics)


def legacy(rule: Any, nodes: int = 4, **options: Any) -> LegacyRobustStrategy:
    strategy, manager = LegacyRobustStrategy(rule, nodes=nodes, **options), SimpleClientManager()
    for number in range(nodes):
        manager.register(Client(str(number)))
    sent = ndarrays_to_parameters([np.zeros((2, 2), np.float32), np.array(3)])
    assert len(strategy.configure_fit(1, sent, manager)) == nodes
    return strategy


def test_the_older_interface_does_the_same() -> None:
    strategy = legacy("median")
    results = [(Client(str(n)), fit_result([np.full((2, 2), n, np.float32), np.array(4)], loss=n)) for n in (2, 0, 1)]
    liar = fit_result([np.full((2, 2), np.nan, np.float32), np.array(4)], loss=-1e9)
    parameters, metrics = strategy.aggregate_fit(1, [*results, (Client("liar"), liar)], [])
    assert parameters is not None
    found = parameters_to_ndarrays(parameters)
    assert found[0].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert (found[0].dtype, int(found[1])) == (np.float32, 4)
    assert metrics == {"loss": 0.5, "robustfl/refused": 1, "robustfl/held": 0}
    assert strategy.last is not None
    assert strategy.last.refused == {"liar": "0: not finite"}


def test_the_older_interface_refuses_what_cannot_be_read() -> None:
    strategy = legacy("mean")
    broken = fit_result([])
    broken.parameters.tensors = [b"no archive", b""]
    good = [(Client(str(n)), fit_result([np.ones((2, 2), np.float32), np.array(4)])) for n in range(2)]
    parameters, _ = strategy.aggregate_fit(1, [(Client("b"), broken), *good, (Client("e"), fit_result([]))], [])
    assert parameters is not None
    assert strategy.last is not None
    assert sorted(strategy.last.refused) == ["b", "e"]


def test_the_older_interface_stops_at_failures_only_when_told() -> None:
    good = [(Client(str(n)), fit_result([np.ones((2, 2), np.float32), np.array(4)])) for n in range(2)]
    assert legacy("mean", accept_failures=False).aggregate_fit(1, good, [RuntimeError("dead")]) == (None, {})
    assert legacy("mean").aggregate_fit(1, good, [RuntimeError("dead")])[0] is not None
    assert legacy("mean").aggregate_fit(1, [], []) == (None, {})


def test_losses_of_the_older_interface_are_medians() -> None:
    def told(loss: float) -> EvaluateRes:
        return EvaluateRes(status=Status(Code.OK, ""), loss=loss, num_examples=10**9, metrics={"acc": loss})

    results = [(Client(str(n)), told(loss)) for n, loss in enumerate([0.5, 0.7, -1e9, float("nan")])]
    assert LegacyRobustStrategy("mean", nodes=4).aggregate_evaluate(1, results, []) == (0.5, {"acc": 0.5})
