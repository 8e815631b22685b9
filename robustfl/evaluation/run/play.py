"""Plays one trial and describes what came of it as a record."""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustfl.evaluation.results.schema import SCHEMA
from robustfl.evaluation.run.ledgers import Ledgers, kept_ledger
from robustfl.evaluation.suite.scenario import TaskSettings
from robustfl.evaluation.suite.trial import Trial

if TYPE_CHECKING:
    from robustfl.federation.task import Population
    from robustfl.federation.trace import Trace


@dataclass(frozen=True)
class Resources:
    """Where trials are run: the device, the folder with data files, and that for ledgers (None: none are kept).

    No part of a trial's identity.
    """

    device: str = "cpu"
    data_root: Path | None = None
    ledgers: Ledgers | None = None


def run_trial(trial: Trial, place: Resources, fingerprint: str) -> dict[str, Any]:
    """Play a trial and describe it as a record; an exception becomes a record of status `failed`."""
    try:
        return {**_frame(trial, fingerprint), **_played(trial, place), "error": None}
    except (Exception, SystemExit) as error:  # a part that calls sys.exit() ends its trial, not the run
        message = str(error) or type(error).__name__
        return failed_record(trial, fingerprint, type(error).__name__, message, traceback.format_exc())


def failed_record(trial: Trial, fingerprint: str, kind: str, message: str, trace: str) -> dict[str, Any]:
    """The record of a trial that did not come to an end."""
    error = {"type": kind, "message": message, "traceback": trace}
    missing: dict[str, Any] = {"status": "failed", "metrics": None, "bytes": None, "time": {}}
    return {**_frame(trial, fingerprint), **missing, "error": error}


def _frame(trial: Trial, fingerprint: str) -> dict[str, Any]:
    """What a record says whatever came of the trial."""
    return {
        "schema": SCHEMA,
        "trial": trial.id,
        "labels": {"world": trial.world, "defense": trial.defense, "attack": trial.attack},
        "seed": trial.seed,
        "f": trial.scenario.f,
        "scenario": trial.description,
        "fingerprint": fingerprint,
    }


def _played(trial: Trial, place: Resources) -> dict[str, Any]:
    from robustfl.federation import assemble

    scenario = trial.scenario
    population = _population(scenario.task, scenario.federation.clients, trial.seed, place)
    defense = scenario.defense
    defense.reset()
    with kept_ledger(trial.id, defense, place.ledgers) as (observers, told):
        simulation = assemble(
            population,
            scenario.federation,
            defense,
            attack=scenario.attack,
            f=scenario.f,
            faults=scenario.faults,
            aims=scenario.aims,
            evasions=scenario.evasion,
            evasion_samples=scenario.evasion_samples,
            seed=trial.seed,
            observers=observers,
        )
        trace = simulation.run()
    return {
        "status": "diverged" if trace.diverged else "ok",
        "metrics": _metrics(trace, population),
        "bytes": {"up_per_client_round": trace.bytes_up, "down_per_client_round": trace.bytes_down},
        "time": {name: round(value, 6) for name, value in trace.seconds.items()},
        **told,
    }


def _metrics(trace: Trace, population: Population) -> dict[str, Any]:
    values = [value for _, value in trace.accuracy]
    tail = values[-math.ceil(len(values) / 10) :] if values else []
    return {
        "accuracy": [list(point) for point in trace.accuracy],
        "loss": [list(point) for point in trace.loss],
        "tail_accuracy": sum(tail) / len(tail) if tail else None,
        "chance": population.chance,
        "test_size": len(population.test_labels),
        "parameters": population.d,
        "malicious": trace.malicious,
        "malicious_weight": trace.malicious_share,
        "rejected_rows": trace.rejected_rows,
        "lost_rows": trace.lost_rows,
        "held_rounds": trace.held_rounds,
        "more": trace.more,
    }


def _population(task: TaskSettings, clients: int, seed: int, place: Resources) -> Population:
    return _prepared(task.data, task.model, task.partition, clients, seed, place)


@lru_cache(maxsize=4)
def _prepared(data: Any, model: Any, partition: Any, clients: int, seed: int, place: Resources) -> Population:
    """Many trials share a population; consecutive ones mostly do."""
    from robustfl.federation.task import Task

    task = Task(data=data, model=model, partition=partition)
    return task.prepare(clients=clients, seed=seed, device=place.device, root=place.data_root)
