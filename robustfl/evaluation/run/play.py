"""Plays one trial and describes its outcome as a record.

Everything that this module imports, also inside functions, is code that decides results: an edit of such code makes
stored records stale (:mod:`robustfl.evaluation.suite.sources`). The module therefore imports nothing else.
"""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from robustfl.evaluation.labels import MOST_LISTED, SCHEMA
from robustfl.evaluation.run.ledgers import Ledgers, kept_ledger
from robustfl.isolation import isolated

if TYPE_CHECKING:
    from robustfl.evaluation.results.records import Frame, Record
    from robustfl.evaluation.run.exhibits import Exhibits
    from robustfl.evaluation.suite.scenario import TaskSettings
    from robustfl.evaluation.suite.trial import Trial
    from robustfl.federation.engine import Simulation
    from robustfl.federation.observers.contract import Observer
    from robustfl.federation.spying.plan import Spying
    from robustfl.federation.task import Population
    from robustfl.federation.trace import Trace


@dataclass(frozen=True)
class Resources:
    """Where trials are run; none of this is part of a trial's identity.

    Attributes
    ----------
    device : where clients train and updates are aggregated
    data_root : the folder of data files
    ledgers : the folder of ledgers; None if none are kept
    exhibits : the folder of samples beside reconstructions; None if none are kept
    isolate : whether each defense is in a process of its own, see :mod:`robustfl.isolation`
    twin : whether a second copy of it is asked the same in other orders and under other names; it needs `isolate`
    since : time in seconds; files that were changed later are not read by isolated defenses
    """

    device: str = "cpu"
    data_root: Path | None = None
    ledgers: Ledgers | None = None
    exhibits: Exhibits | None = None
    isolate: bool = False
    twin: bool = False
    since: float | None = None


def run_trial(trial: Trial, place: Resources, fingerprint: str) -> Record:
    """Play a trial and describe it as a record; an exception becomes a record of status `failed`."""
    try:
        return cast("Record", {**_frame(trial, fingerprint), **_played(trial, place), "error": None})
    except (Exception, SystemExit) as error:  # a part that calls sys.exit() ends only its trial
        message = str(error) or type(error).__name__
        return failed_record(trial, fingerprint, type(error).__name__, message, traceback.format_exc())


def failed_record(trial: Trial, fingerprint: str, kind: str, message: str, trace: str) -> Record:
    """The record of a failed trial."""
    error = {"type": kind, "message": message, "traceback": trace}
    missing: dict[str, Any] = {"status": "failed", "metrics": None, "bytes": None, "time": {}}
    return cast("Record", {**_frame(trial, fingerprint), **missing, "error": error})


def _frame(trial: Trial, fingerprint: str) -> Frame:
    """The part of a record that does not depend on the outcome of the trial."""
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
    from robustfl.federation.observers.leakage import Leakage

    scenario = trial.scenario
    if scenario.federation.topology is not None:  # the rules of all peers mix at once, inside the simulation
        place = replace(place, isolate=False, twin=False)
    population = population_of(scenario.task, scenario.federation.clients, trial.seed, place)
    defense = scenario.defense
    defense.reset()
    with kept_ledger(trial.id, defense, place.ledgers) as (observers, told), _asked(defense, place) as (asked, twin):
        simulation = simulation_of(trial, population, asked, place, observers=observers, twin=twin)
        trace = simulation.run()
    for watcher in simulation.observers:
        if place.exhibits is not None and isinstance(watcher, Leakage) and watcher.exhibit is not None:
            told["exhibit"] = place.exhibits.keep(trial.id, watcher.exhibit)
    return {
        "status": "diverged" if trace.diverged else "ok",
        "metrics": _metrics(trace, population),
        "bytes": {"up_per_client_round": trace.bytes_up, "down_per_client_round": trace.bytes_down},
        "time": {name: round(value, 6) for name, value in trace.seconds.items()},
        "isolated": place.isolate,
        "account": trace.account,
        **told,
    }


def simulation_of(
    trial: Trial,
    population: Population,
    defense: Any,
    place: Resources,
    *,
    observers: Sequence[Observer] = (),
    twin: Any = None,
) -> Simulation:
    """The simulation of a trial, put together but not run; `defense` and `twin` are asked in place of the trial's."""
    from robustfl.federation.assembly import assemble

    scenario = trial.scenario
    return assemble(
        population,
        scenario.federation,
        defense,
        attack=scenario.attack,
        f=scenario.f,
        faults=scenario.faults,
        aims=scenario.aims,
        evasions=scenario.evasion,
        evasion_samples=scenario.evasion_samples,
        reference=scenario.reference,
        declared=scenario.declared,
        equivocation=scenario.equivocation,
        root=place.data_root,
        spying=_spying(trial, place),
        seed=trial.seed,
        observers=observers,
        twin=twin,
        opinions=_second_opinions(),
    )


def _spying(trial: Trial, place: Resources) -> Spying | None:
    """Who watches the trial; when it is played again, for its defense, nobody trains more federations."""
    privacy = trial.scenario.privacy
    if privacy is None:
        return None
    return privacy.spying().only(members=False) if place.twin else privacy.spying()


def _second_opinions() -> bool:
    """Whether Opacus can be asked; its version is part of the fingerprint of trials."""
    return importlib.util.find_spec("opacus") is not None


@contextmanager
def _asked(defense: Any, place: Resources) -> Iterator[tuple[Any, Any]]:
    """The defense as the simulation asks it, and its twin or None."""
    if not place.isolate:
        yield defense, None
        return
    with ExitStack() as processes:
        asked = processes.enter_context(isolated(defense, device=place.device, since=place.since))
        twin = None
        if place.twin and defense.channel != "rewards":  # such a defense is told who its clients are, by name
            twin = processes.enter_context(isolated(defense, device=place.device, since=place.since))
        yield asked, twin


def _metrics(trace: Trace, population: Population) -> dict[str, Any]:
    left_out = max(0, len(trace.malicious) - MOST_LISTED)
    return {
        "accuracy": [list(point) for point in trace.accuracy],
        "loss": [list(point) for point in trace.loss],
        "tail_accuracy": trace.more["plain_accuracy"],
        "chance": population.chance,
        "test_size": len(population.test_labels),
        "parameters": population.d,
        "malicious": trace.malicious[:MOST_LISTED],
        "malicious_weight": trace.malicious_share,
        "rejected_rows": trace.rejected_rows,
        "lost_rows": trace.lost_rows,
        "held_rounds": trace.held_rounds,
        "more": trace.more,
        **({"malicious_left_out": left_out} if left_out else {}),
    }


def population_of(task: TaskSettings, clients: int, seed: int, place: Resources) -> Population:
    """The data of all clients and the initial model, as a trial with this seed has them."""
    return _prepared(task.data, task.model, task.partition, clients, seed, place)


@lru_cache(maxsize=4)
def _prepared(data: Any, model: Any, partition: Any, clients: int, seed: int, place: Resources) -> Population:
    """The population of a task; it is cached, because most consecutive trials share it."""
    from robustfl.federation.task import Task

    task = Task(data=data, model=model, partition=partition)
    return task.prepare(clients=clients, seed=seed, device=place.device, root=place.data_root)
