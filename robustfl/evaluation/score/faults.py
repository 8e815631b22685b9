"""How a defense withstands faults without an attack: the fault axis F, and the time until a model recovers.

F is the smallest utility over the faults of the suite, each played alone: `F = min over faults of clip(mean u)`. It is
shown next to the score and is not part of it, because a defense that withstands all faults is not therefore secure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from robustfl.evaluation.results.axes import BorneFault, FaultsDefense, FaultsWorld
from robustfl.evaluation.results.records import Record, curve_of, metrics_of, tail_of
from robustfl.evaluation.score.costs import means
from robustfl.evaluation.score.curve import lowest_mean, utility, within_scale
from robustfl.evaluation.score.inputs import ScoredWorld, ScoreSettings
from robustfl.evaluation.statistics import student_interval
from robustfl.evaluation.suite.plan import Cell

Values = Mapping[str, Any]
Records = Mapping[str, Record]
"""The records by the id of their trial."""

RECOVERED = 0.02
"""A model has recovered when its accuracy is at most this much below the accuracy before the fault."""


def fault_axis(utilities: Mapping[str, Sequence[float]]) -> tuple[str, float]:
    """The fault that harms a defense most, and F: the mean utility over the seeds under it, clipped to [0, 1]."""
    worst, lowest = lowest_mean(utilities)
    return worst, min(max(lowest, 0.0), 1.0)


def recovery_time(curve: Sequence[tuple[int, float]], start: int, tolerance: float = RECOVERED) -> float | None:
    """The number of rounds after the first round of a fault until the accuracy is again within `tolerance`.

    `curve` holds pairs (finished rounds, accuracy) in ascending order. The accuracy before the fault is that of the
    last measurement with at most `start` rounds. The result is 0 when no later measurement is below the tolerance,
    infinity when the accuracy never recovers, and None when there is no measurement before or none after the start of
    the fault. It is as precise as the measurements are frequent.
    """
    before = [accuracy for number, accuracy in curve if number <= start]
    after = [(number, accuracy) for number, accuracy in curve if number > start]
    if not before or not after:
        return None
    least, fallen = (1.0 - tolerance) * before[-1], False
    for number, accuracy in after:
        if fallen and accuracy >= least:
            return float(number - start)
        fallen |= accuracy < least
    return math.inf if fallen else 0.0


def fault_scores(
    cells: Iterable[Cell],
    worlds: Sequence[ScoredWorld],
    starts: Mapping[str, int],
    records: Records,
    settings: ScoreSettings,
) -> list[FaultsWorld]:
    """The outcome of every fault, by world and defense, as JSON values; worlds without any faults are left out.

    `starts[fault]` is the first round of a fault. A defense has these values:

    - `F` and the `worst` fault; both are null while trials are missing or nothing can be lost;
    - `told`, the number of Byzantine clients that was declared to it, and the reason why it is `invalid`;
    - `faults`, which holds for each fault the utilities and accuracies by seed and their means; `recovery`, the mean
      number of rounds (null if it is not defined or some seed did not recover), with the share `recovered` of the
      seeds; and the means over the seeds of `lost_rows`, `held_rounds` and `honest_ignored` (the false exclusions).
    """
    table: dict[str, dict[str, dict[str, dict[int, Cell]]]] = {}
    for cell in cells:
        table.setdefault(cell.world, {}).setdefault(cell.defense, {}).setdefault(cell.attack, {})[cell.seed] = cell
    return [
        {
            "world": world.label,
            "defenses": [
                _defense(defense, faults, world, starts, records, settings)
                for defense, faults in table[world.label].items()
            ],
        }
        for world in worlds
        if world.label in table
    ]


def _defense(
    defense: str,
    faults: Mapping[str, Mapping[int, Cell]],
    world: ScoredWorld,
    starts: Mapping[str, int],
    records: Records,
    settings: ScoreSettings,
) -> FaultsDefense:
    every = [cell for seeds in faults.values() for cell in seeds.values()]
    invalid = next((cell.invalid for cell in every if cell.invalid), None)
    played = {name: seeds for name, seeds in faults.items() if not any(cell.unfit for cell in seeds.values())}
    found = {name: _fault(seeds, world, starts.get(name, 0), records, settings) for name, seeds in played.items()}
    known = {
        name: [value for value in cell["u"] if value is not None]
        for name, cell in found.items()
        if cell["U"] is not None
    }
    worst, value = fault_axis(known) if known and len(known) == len(found) else (None, None)
    return {
        "defense": defense,
        "told": every[0].f,
        "F": 0.0 if invalid else value,
        "worst": worst,
        "invalid": invalid,
        "faults": {} if invalid else found,
    }


def _fault(
    seeds: Mapping[int, Cell], world: ScoredWorld, start: int, records: Records, settings: ScoreSettings
) -> BorneFault:
    trials = [cell.trial.id if (cell := seeds.get(seed)) and cell.trial else None for seed in world.seeds]
    own = [records.get(trial or "") for trial in trials]
    accuracy = [_accuracy(record, world.chance, settings.accuracy) for record in own]
    u: list[float | None] = [None] * len(own)
    if world.level is not None and world.informative:
        base = world.level
        u = [None if a is None else float(utility(a, chance=world.chance, baseline=base)) for a in accuracy]
    values = [value for value in u if value is not None]
    whole = bool(values) and len(values) == len(u)
    interval = student_interval(values, 1 - settings.alpha) if whole else None
    times = [recovery_time(_curve(record, settings.accuracy), start) for record in own]
    defined = [time for time in times if time is not None]
    back = [time for time in defined if math.isfinite(time)]
    return {
        "u": u,
        "U": min(max(float(np.mean(values)), 0.0), 1.0) if whole else None,
        "ci": within_scale(interval),
        "accuracy": accuracy,
        "recovery": float(np.mean(back)) if back and len(back) == len(times) else None,
        "recovered": len(back) / len(defined) if defined else None,
        "lost_rows": _mean(own, "lost_rows"),
        "held_rounds": _mean(own, "held_rounds"),
        "honest_ignored": means(trials, records, ("honest_ignored",))["honest_ignored"],
        "trials": trials,
        "status": ["missing" if record is None else record["status"] for record in own],
    }


def _accuracy(record: Record | None, chance: float, accuracy: str) -> float | None:
    if record is None or record["status"] not in ("ok", "diverged"):
        return None
    return chance if record["status"] == "diverged" else tail_of(record, accuracy)


def _curve(record: Record | None, accuracy: str) -> list[tuple[int, float]]:
    """The accuracy over the rounds; a model that diverged counts as never recovered."""
    if record is None or not record.get("metrics"):
        return []
    curve = curve_of(record, accuracy)
    rounds = int(record["scenario"]["federation"]["rounds"])
    return [*curve, (rounds, 0.0)] if record["status"] == "diverged" else curve


def _mean(records: Sequence[Record | None], name: Literal["lost_rows", "held_rounds"]) -> float | None:
    measured = [metrics_of(record) for record in records if record is not None and record.get("metrics")]
    found = [value for metrics in measured if (value := metrics[name]) is not None]
    return float(np.mean(found)) if found and len(found) == len(records) else None
