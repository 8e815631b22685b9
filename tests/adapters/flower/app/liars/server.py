"""The server, which writes what it saw into a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from liars.hostile import record
from liars.task import accuracy, start
from robustfl.adapters.flower import RobustStrategy

app = ServerApp()


class Watched(RobustStrategy):
    """Keeps the reasons of every round."""

    reasons: list[list[str]]

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        answer = super().aggregate_train(server_round, replies)
        assert self.last is not None
        self.reasons.append(list(self.last.refused.values()))
        return answer


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    strategy = Watched(str(config["rule"]), nodes=int(config["nodes"]))
    strategy.reasons = []
    result = strategy.start(grid, record(start()), num_rounds=int(config["rounds"]))
    model = {name: array.numpy() for name, array in result.arrays.items()}
    told = {
        "accuracy": accuracy(model),
        "reasons": strategy.reasons,
        "trained": [dict(metrics) for metrics in result.train_metrics_clientapp.values()],
        "evaluated": [dict(metrics) for metrics in result.evaluate_metrics_clientapp.values()],
        "counter": int(model["norm.num_batches_tracked"]),
        "types": {name: str(value.dtype) for name, value in model.items()},
        "least_variance": float(model["norm.running_var"].min()),
    }
    Path(str(config["out"])).write_text(json.dumps(told))
