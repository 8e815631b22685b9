"""Five honest nodes, and one that does in each round what is next in the list."""

from __future__ import annotations

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from liars.hostile import KINDS, record
from liars.task import accuracy, trained

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    sent = {name: array.numpy() for name, array in message.content["arrays"].items()}
    part, number = int(context.node_config["partition-id"]), int(message.content["config"]["server-round"])
    own = trained(sent, part, 6, number)
    examples, loss = 200, 1 - accuracy(own)
    if part == 0:
        lie = list(KINDS.values())[(number - 1) % len(KINDS)]
        arrays, examples, loss = lie(sent, own), 10**9, -1e9
    else:
        arrays = record(own)
    metrics = MetricRecord({"num-examples": examples, "loss": loss})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    sent = {name: array.numpy() for name, array in message.content["arrays"].items()}
    liar = context.node_config["partition-id"] == 0
    metrics = MetricRecord({"boast": 1.0}) if liar else MetricRecord({"accuracy": accuracy(sent), "num-examples": 200})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
