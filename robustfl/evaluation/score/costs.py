"""What robustness costs without an attack, and whom a defense catches: from records to JSON values.

Costs are differences between the plain mean without an attack and the defense, for each seed. They are positive when
the defense makes something worse. The smallest of several noisy accuracies is biased downwards. This is true for the
plain mean as well, so differences say more than values. A model that diverged has accuracy 0 on its worst class and for
its worst client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from robustfl.evaluation.labels import NO_ATTACK, PLAIN_ACCURACY
from robustfl.evaluation.results.records import Record, more_of, tail_of
from robustfl.evaluation.results.summaries import (
    Caught,
    Detected,
    LostUtility,
    ScoredPoint,
    ScoredWorldReport,
    Scores,
    Served,
    SideEffects,
    Undisturbed,
)
from robustfl.evaluation.statistics import FloatArray, student_interval

Records = Mapping[str, Record]
"""The records by the id of their trial."""

SERVED = ("worst_class", "worst_client", "client_spread")
IGNORED = ("honest_ignored", "honest_unheard")
DETECTED = ("detection_precision", "detection_recall", "detection_auc")
_DIVERGED = {"worst_class": 0.0, "worst_client": 0.0}


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """The measure of accuracy, what guessing reaches in it, and the level of utility 1 (None: nothing is learnt)."""

    accuracy: str
    chance: float
    level: float | None

    def utility(self, record: Record | None) -> float | None:
        """The utility of a trial; None if it failed or has no record, or where nothing is learnt."""
        if record is None or record.get("metrics") is None or self.level is None:
            return None
        value = self.chance if record["status"] == "diverged" else tail_of(record, self.accuracy)
        return None if value is None else (value - self.chance) / (self.level - self.chance)


def side_effects(scores: Scores, records: Records, baselines: Mapping[str, Sequence[str]]) -> list[SideEffects]:
    """The costs and the detection for every world and defense of the scores.

    `baselines[world]` holds the trials of the plain mean without an attack, in the order of the world's seeds.

    A world has `baseline` (the measures of the plain mean, by name) and, for each defense, `undisturbed` and `caught`.

    - Each entry of `undisturbed` is one outcome without an attack: the declared numbers `f` of the grid that have this
      outcome, the means by name, and `utility_lost`, `worst_class_lost` and `worst_client_lost`, each of which is
      `{"mean", "ci"}` or null.
    - `caught` is null without malicious clients. Otherwise it describes the largest `f`: `attacks` holds, for each
      attack that was played, the means by name; `mean` is their mean over the attacks for which they are defined; and
      `hardest` is the attack that is hardest to catch, which has the smallest `detection_auc`.
    """
    accuracy = scores["settings"].get("accuracy", PLAIN_ACCURACY)
    return [_world(world, 1 - scores["settings"]["alpha"], accuracy, records, baselines) for world in scores["worlds"]]


def means(trials: Sequence[str | None], records: Records, names: Sequence[str]) -> dict[str, float | None]:
    """The mean over the trials for each name; null if a trial failed.

    If a measure is defined for some seeds only, the mean is over these seeds. An example is the precision of a defense
    that on some seeds ignores no message.
    """
    found = [_measured(records.get(trial or "")) for trial in trials]
    whole = bool(found) and None not in found
    known = {name: [more[name] for more in found if more and more.get(name) is not None] for name in names}
    return {name: float(np.mean(values)) if whole and values else None for name, values in known.items()}


def _world(
    world: ScoredWorldReport,
    confidence: float,
    accuracy: str,
    records: Records,
    baselines: Mapping[str, Sequence[str]],
) -> SideEffects:
    plain, level = baselines.get(world["world"], ()), world["baseline"]["mean"]
    scale = _Scale(accuracy=accuracy, chance=world["chance"], level=level if world["informative"] else None)
    return {
        "world": world["world"],
        "baseline": _served(means(plain, records, SERVED)),
        "defenses": [
            {
                "defense": defense["defense"],
                "undisturbed": _undisturbed(defense["curve"], plain, scale, confidence, records),
                "caught": _caught(defense["curve"], records),
            }
            for defense in world["defenses"]
        ],
    }


def _served(found: Mapping[str, float | None]) -> Served:
    return {
        "worst_class": found["worst_class"],
        "worst_client": found["worst_client"],
        "client_spread": found["client_spread"],
    }


def _undisturbed(
    curve: Sequence[ScoredPoint], plain: Sequence[str], scale: _Scale, confidence: float, records: Records
) -> list[Undisturbed]:
    """The cost of the defense without an attack, for every declared f."""
    told: dict[tuple[str | None, ...], list[int]] = {}
    for point in curve:
        cell = point["attacks"].get(NO_ATTACK)
        if cell is not None and any(cell["trials"]):
            told.setdefault(tuple(cell["trials"]), []).append(point["f"])
    reports: list[Undisturbed] = []
    for trials, grid in told.items():
        found = means(trials, records, (*SERVED, *IGNORED))
        lost = _lost(scale.utility, plain, trials, records)
        reports.append(
            {
                "f": grid,
                **_served(found),
                "honest_ignored": found["honest_ignored"],
                "honest_unheard": found["honest_unheard"],
                "utility_lost": _estimate(lost, confidence),
                "worst_class_lost": _estimate(
                    _lost(partial(_measure, name="worst_class"), plain, trials, records), confidence
                ),
                "worst_client_lost": _estimate(
                    _lost(partial(_measure, name="worst_client"), plain, trials, records), confidence
                ),
            }
        )
    return reports


def _lost(
    value: Callable[[Record | None], float | None],
    plain: Sequence[str],
    trials: Sequence[str | None],
    records: Records,
) -> FloatArray | None:
    """How much each seed loses with the defense compared with the plain mean, [R]; None if a seed is missing."""
    before, after = ([value(records.get(trial or "")) for trial in own] for own in (plain, trials))
    if None in before or None in after or not len(before) == len(after) > 0:
        return None
    return np.array(before, dtype=np.float64) - np.array(after, dtype=np.float64)


def _estimate(values: FloatArray | None, confidence: float) -> LostUtility | None:
    if values is None:
        return None
    interval = student_interval(values, confidence)
    return {"mean": float(values.mean()), "ci": None if interval is None else list(interval)}


def _caught(curve: Sequence[ScoredPoint], records: Records) -> Caught | None:
    """Whom the defense ignores when the number of malicious clients is the largest."""
    point = max((point for point in curve if point["f"] > 0), key=lambda point: point["f"], default=None)
    if point is None:
        return None
    names = (*DETECTED, IGNORED[0])
    played = {a: cell["trials"] for a, cell in point["attacks"].items() if a != NO_ATTACK and any(cell["trials"])}
    cells = {attack: means(trials, records, names) for attack, trials in played.items()}
    known = {attack: found for attack, found in cells.items() if found["detection_auc"] is not None}
    columns = {name: [value for found in known.values() if (value := found[name]) is not None] for name in names}
    return {
        "f": point["f"],
        "attacks": {attack: _detected(found) for attack, found in cells.items()},
        "mean": _detected({name: float(np.mean(values)) if values else None for name, values in columns.items()}),
        "hardest": min(known, key=lambda attack: known[attack]["detection_auc"] or 0.0) if known else None,
    }


def _detected(found: Mapping[str, float | None]) -> Detected:
    return {
        "detection_precision": found["detection_precision"],
        "detection_recall": found["detection_recall"],
        "detection_auc": found["detection_auc"],
        "honest_ignored": found["honest_ignored"],
    }


def _measured(record: Record | None) -> dict[str, Any] | None:
    """The measures of side effects in a record; None if the trial failed or has no record."""
    if record is None or record.get("metrics") is None:
        return None
    return {**more_of(record), **(_DIVERGED if record["status"] == "diverged" else {})}


def _measure(record: Record | None, name: str) -> float | None:
    return (_measured(record) or {}).get(name)
