"""Whether the worlds of a suite can be played at all, asked before any trial: nobody should wait for a typing error.

For each world, the first trial without an attack is put together: its data are divided over the clients, its model is
built and trained for a step if it initialises itself, the settings of spies are read, and each attack on test samples
is tried on a few of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path

from robustfl.errors import RobustflError, ScenarioError
from robustfl.evaluation.run.play import Resources, simulation_of
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.trial import Trial
from robustfl.federation.clients.trainable import require_trainable
from robustfl.federation.streams import stream
from robustfl.federation.task import Task

FEW = 2
"""The number of test samples on which attacks are tried."""


def unplayable(plan: Plan, root: Path | None) -> dict[str, RobustflError]:
    """The reason why nothing can be played in a world, for those worlds of which that is known before any trial.

    `root` is the folder of data files. Cost: that of setting up one trial in each world, on the CPU.
    """
    firsts: dict[str, Trial] = {}
    for cell in chain(plan.baseline, plan.cells):
        if cell.trial is not None and cell.trial.scenario.attack is None:
            firsts.setdefault(cell.world, cell.trial)
    found: dict[str, RobustflError] = {}
    for world in plan.experiment.worlds:
        if world.label in firsts:
            try:
                _set_up(firsts[world.label], root)
            except RobustflError as error:
                found[world.label] = error
            except Exception as error:  # parts may be anybody's
                found[world.label] = ScenarioError(f"{type(error).__name__}: {error}")
    return found


def require_playable(plan: Plan, reasons: Mapping[str, RobustflError]) -> None:
    """Raise an error if there is a reason for each world of a plan why it cannot be played.

    Raises the error of the worlds if all have the same, and a ScenarioError with all of them otherwise.
    """
    if len(reasons) < len(plan.experiment.worlds):
        return
    texts = list(dict.fromkeys(map(str, reasons.values())))
    if len(texts) == 1:
        raise next(iter(reasons.values()))
    listed = " ".join(f"{world}: {error}" for world, error in reasons.items())
    raise ScenarioError(f"None of the {len(reasons)} worlds can be played. {listed}")


def _set_up(trial: Trial, root: Path | None) -> None:
    from robustfl.federation.clients.hardening import feature_range
    from robustfl.federation.clients.training import predict

    scenario = trial.scenario
    task = Task(data=scenario.task.data, model=scenario.task.model, partition=scenario.task.partition)
    require_trainable(task, task.data.load(root), scenario.federation)
    population = task.prepare(clients=scenario.federation.clients, seed=trial.seed, root=root)
    simulation_of(trial, population, copy.deepcopy(scenario.defense), Resources(data_root=root))
    model = partial(predict, population, population.initial)
    features = population.test_features[:FEW]
    labels, (low, high) = model(features).argmax(dim=1), feature_range(population.features)
    for evasion in scenario.evasion:
        evasion(model, features, labels, low=low, high=high, rng=stream(trial.seed, "preflight"))
