"""What a run of many clients leaves behind stays small, says what is left out, and does not depend on the processes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from robustfl.evaluation.labels import MOST_LISTED
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.provenance import histogram
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.reports import HTML

CLIENTS, MALICIOUS = 20_000, 4_000
SUITE: dict[str, Any] = {
    "name": "many",
    "task": {"data": "digits", "model": "softmax", "partition": {"overlapping": {"samples": 5, "alpha": 2}}},
    "federation": {
        "clients": CLIENTS,
        "participation": 20 / CLIENTS,
        "rounds": 2,
        "batch_size": 4,
        "client_momentum": 0.5,
    },
    "adversary": {"f": [0, MALICIOUS]},
    "defenses": ["mean"],
    "attacks": ["sign_flip"],
    "seeds": 1,
}


def experiment(f: int = MALICIOUS, **federation: Any) -> Experiment:
    changed = copy.deepcopy(SUITE)
    changed["adversary"]["f"] = [0, f]
    changed["federation"] |= federation
    return Experiment(changed)


def test_records_are_capped_and_the_same_in_every_number_of_processes(tmp_path: Path) -> None:
    found = []
    for workers in (0, 1):
        out = tmp_path / str(workers)
        run_experiment(experiment(), RunOptions(out=out, workers=workers, checks=NO_CHECKS))
        records = read_records(out / "records.jsonl")
        found.append({record["trial"]: {**record, "time": {}} for record in records})
    assert found[0] == found[1]
    (attacked,) = (record for record in found[0].values() if record["f"])
    metrics = attacked["metrics"]
    assert metrics is not None
    assert len(metrics["malicious"]) == MOST_LISTED
    assert metrics["malicious_left_out"] == MALICIOUS - MOST_LISTED
    (calm,) = (record for record in found[0].values() if not record["f"])
    assert "malicious_left_out" not in (calm["metrics"] or {})

    results = RunResults.load(tmp_path / "0")
    (shown,) = results.summary["histograms"].values()
    assert len(shown["counts"]) == len(shown["clients"]) == MOST_LISTED
    assert shown["left_out"] == CLIENTS - MOST_LISTED
    assert shown["clients"][0] == 0
    assert shown["clients"][-1] == CLIENTS - 1
    assert all(sum(row) == 5 for row in shown["counts"])
    assert set(shown["malicious"]) <= set(shown["clients"])
    assert len(shown["malicious"]) > MOST_LISTED / 10
    page = HTML().render(results)
    assert f"{CLIENTS - 60} more clients are not drawn. The numbers of those that are drawn lie at even" in page
    assert f"client {shown['clients'][1]}" in page


def test_few_clients_are_all_shown() -> None:
    (world,) = experiment(f=3, clients=30, participation=1.0).worlds
    shown = histogram(world, 0, 3, None)
    assert len(shown["counts"]) == 30
    assert len(shown["malicious"]) == 3
    assert "left_out" not in shown
    assert "clients" not in shown
