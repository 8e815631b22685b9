"""The targeted axis of the score: what a defense keeps when an attacker wants certain samples to be misclassified.

An attack with an aim succeeds on a share of the samples that it targets. Only the success above the natural rate, at
which a model without the attack makes the same mistake, is due to the attacker (:func:`lift`). A defense that ruins the
model has kept nothing, even if the attacker fails (:func:`~robustfl.evaluation.score.curve.kept`). T is the smallest
value, over all attacks with an aim and all numbers of malicious clients, of the mean of what is kept over the seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustfl.errors import ParameterError
from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.axes import TargetedCell, TargetedDefense, TargetedWorld
from robustfl.evaluation.results.records import Record, more_of
from robustfl.evaluation.results.summaries import (
    ScoredCell,
    ScoredDefense,
    ScoredWorldReport,
    Scores,
    ScoreSettingsReport,
)
from robustfl.evaluation.score.curve import kept, within_scale
from robustfl.evaluation.statistics import minimum_interval
from robustfl.evaluation.suite.plan import Cell

Records = Mapping[str, Record]
"""The records by the id of their trial."""

UNINFORMATIVE = 0.95
"""An aim that a model without the attack meets at a higher rate than this is not informative."""


def lift(success: ArrayLike, natural: ArrayLike) -> NDArray[np.float64]:
    """The share of the possible gain that the attack gained: ``clip((success - natural)/(1 - natural), 0, 1)``.

    It is 0 when the natural rate is 1, because then nothing can be gained. Raises ParameterError for rates outside
    [0, 1].
    """
    rate, base = np.asarray(success, dtype=np.float64), np.asarray(natural, dtype=np.float64)
    for name, values in (("success", rate), ("natural", base)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ParameterError(f"`{name}` should lie in [0, 1]. Found {values.tolist()}.")
    left = 1.0 - base
    gained = np.where(left > 0, (rate - base) / np.where(left > 0, left, 1.0), 0.0)
    lifted: NDArray[np.float64] = np.clip(gained, 0.0, 1.0)
    return lifted


def lifts_of(cells: Iterable[Cell], records: Records) -> dict[str, float]:
    """What each trial of an attack with an aim gained beyond the natural rate: id of the trial -> :func:`lift`.

    The natural rate is that of the same defense, told the same f, with the same seed and without the attack. Trials
    without a record are left out, and so are aims that say nothing, as a model without the attack meets them too.
    """
    known = list(cells)
    undisturbed = {
        (cell.world, cell.defense, cell.f, cell.seed): more_of(records.get(cell.trial.id))
        for cell in known
        if cell.attack == NO_ATTACK and cell.trial is not None
    }
    rates: dict[tuple[str, str, int, str], dict[str, tuple[float, float]]] = {}
    for cell in known:
        more = more_of(records.get(cell.trial.id)) if cell.trial is not None else {}
        aim = more.get("aim")
        if cell.trial is None or cell.attack == NO_ATTACK or aim is None:
            continue
        natural = undisturbed.get((cell.world, cell.defense, cell.f, cell.seed), {})
        success, base = (more.get("aims") or {}).get(aim), (natural.get("aims") or {}).get(aim)
        if success is not None and base is not None:
            rates.setdefault((cell.world, cell.defense, cell.f, cell.attack), {})[cell.trial.id] = (success, base)
    telling = (own for own in rates.values() if np.mean([base for _, base in own.values()]) <= UNINFORMATIVE)
    return {trial: float(lift(success, base)) for own in telling for trial, (success, base) in own.items()}


def effectiveness(success: tuple[float, float], accuracy: tuple[float, float]) -> float:
    """The defense effectiveness rating ``(max(0, fall of success) - max(0, fall of accuracy) + 1)/2``.

    Each pair is (without the defense, with the defense). 1 means that the attack fails completely at no cost, 0.5 means
    that nothing changed, and 0 means that the accuracy is lost without any effect on the attack.
    """
    gain, loss = max(0.0, success[0] - success[1]), max(0.0, accuracy[0] - accuracy[1])
    return (gain - loss + 1.0) / 2.0


def weakest(values: Mapping[Any, ArrayLike]) -> tuple[Any, float]:
    """The key whose mean over the seeds is smallest, and this mean, which is T."""
    means = {key: float(np.asarray(own, dtype=np.float64).mean()) for key, own in values.items()}
    key = min(means, key=means.__getitem__)
    return key, means[key]


def targeted(scores: Scores, records: Records, plain: str) -> list[TargetedWorld]:
    """The targeted axis of each world in which an attack with an aim was played, as JSON values.

    `plain` is the label of the plain rule, with which the effectiveness of the others is computed.
    """
    found = [_world(world, scores["settings"], records, plain) for world in scores["worlds"]]
    return [world for world in found if world is not None]


def _world(
    world: ScoredWorldReport, settings: ScoreSettingsReport, records: Records, plain: str
) -> TargetedWorld | None:
    """The targeted axis in one world; None when no attack of the world has an aim."""
    cells = {own["defense"]: _cells(own, records) for own in world["defenses"]}
    if not any(cells.values()):
        return None
    bare = {(cell["attack"], cell["f"]): cell for cell in cells.get(plain, ())}
    for defense, own in cells.items():
        for cell in own:
            cell["effectiveness"] = None if defense == plain else _effectiveness(bare, cell)
    confidence = 1 - settings["alpha"]
    defenses = [_axis(own, cells[own["defense"]], confidence) for own in world["defenses"]]
    return {"world": world["world"], "defenses": defenses}


def _cells(defense: ScoredDefense, records: Records) -> list[TargetedCell]:
    """The cells of every attack with an aim at every f."""
    found = []
    for point in defense["curve"]:
        unattacked = point["attacks"].get(NO_ATTACK)
        natural = [more_of(records.get(trial or "")) for trial in (unattacked["trials"] if unattacked else ())]
        for attack, cell in point["attacks"].items():
            mores = [more_of(records.get(trial or "")) for trial in cell["trials"]]
            aim = next((more["aim"] for more in mores if more.get("aim")), None)
            if attack != NO_ATTACK and aim is not None:
                found.append(_cell(attack, aim, point["f"], cell, mores, natural))
    return found


def _cell(
    attack: str,
    aim: str,
    f: int,
    cell: ScoredCell,
    mores: Sequence[Mapping[str, Any]],
    undisturbed: Sequence[Mapping[str, Any]],
) -> TargetedCell:
    """One attack at one f.

    A trial that diverged has kept nothing and has no success. A missing trial leaves the cell incomplete.
    """
    success = [(more.get("aims") or {}).get(aim) for more in mores]
    natural = [(more.get("aims") or {}).get(aim) for more in undisturbed] or [None] * len(success)
    values: list[float | None] = []
    for rate, base, utility, status in zip(success, natural, cell["u"], cell["status"], strict=True):
        if status == "diverged" and utility is not None:
            values.append(0.0)
        elif rate is None or base is None or utility is None:
            values.append(None)
        else:
            values.append(float(kept(utility, lift(rate, base))))
    base = _mean(natural)
    return {
        "attack": attack,
        "aim": aim,
        "f": f,
        "success": _mean(success),
        "natural": base,
        "accuracy": _mean(cell["accuracy"]),
        "kept": None if None in values else _mean(values),
        "kept_per_seed": values,
        "durability": _mean([more.get("durability") for more in mores]),
        "outlasts": any(more.get("durability_censored") for more in mores),
        "informative": base is None or base <= UNINFORMATIVE,
        "effectiveness": None,  # filled in once the cells of the plain rule are known
    }


def _axis(defense: ScoredDefense, cells: Sequence[TargetedCell], confidence: float) -> TargetedDefense:
    """T of a defense, its interval, and the cell behind it."""
    known = [cell for cell in cells if cell["informative"] and cell["kept"] is not None]
    counted = {(cell["attack"], cell["f"]): np.array(cell["kept_per_seed"], dtype=np.float64) for cell in known}
    report: TargetedDefense = {
        "defense": defense["defense"],
        "T": None,
        "T_ci": None,
        "worst_attack": None,
        "f": None,
        "invalid": None,
        "incomplete": [cell["attack"] for cell in cells if cell["informative"] and cell["kept"] is None],
        "attacks": list(cells),
    }
    refusal = next((p for p in defense["curve"] if p["invalid"] is not None and p["W"] is not None), None)
    if refusal is not None:
        report["T"], report["f"], report["invalid"] = 0.0, refusal["f"], refusal["invalid"]
    elif counted:
        (report["worst_attack"], report["f"]), report["T"] = weakest(counted)
        report["T_ci"] = within_scale(minimum_interval(list(counted.values()), confidence))
    return report


def _effectiveness(bare: Mapping[tuple[str, int], TargetedCell], cell: TargetedCell) -> float | None:
    without = bare.get((cell["attack"], cell["f"]))
    if without is None:
        return None
    before, after = (without["success"], without["accuracy"]), (cell["success"], cell["accuracy"])
    if before[0] is None or before[1] is None or after[0] is None or after[1] is None:
        return None
    return effectiveness((before[0], after[0]), (before[1], after[1]))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
