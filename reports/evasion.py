"""Accuracy on attacked test samples, as plain values for a table; None for a run that did not measure it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from .wording import named, number

Records = Mapping[str, Mapping[str, Any]]
"""The records by the id of their trial."""


_DIVERGED: Mapping[str, Any] = {"clean_accuracy": 0.0, "worst_robust_accuracy": 0.0, "robust_accuracy": {}}


def evasion_view(defenses: Sequence[Mapping[str, Any]], records: Records) -> dict[str, Any] | None:
    """A row a defense: accuracy under each test-time attack after undisturbed training, and after the worst training.

    The worst training is the cell with malicious clients whose model keeps least when every test-time attack is tried.
    A model that diverged is right nowhere.
    """
    rows, labels = [], dict[str, None]()
    for own in defenses:
        cells = [(p["f"], a, _measured(c["trials"], records)) for p in own["curve"] for a, c in p["attacks"].items()]
        known = [(f, attack, found) for f, attack, found in cells if found]
        undisturbed = next((found for _, attack, found in known if attack == "none"), [])
        disturbed = [(_mean(found, "worst_robust_accuracy"), f, attack, found) for f, attack, found in known if f]
        worst = min((cell for cell in disturbed if cell[2] != "none" and cell[0] is not None), default=None, key=_first)
        for _, _, found in known:
            labels |= {label: None for more in found for label in more["robust_accuracy"]}
        rows.append((own["defense"], undisturbed, worst))
    if not labels:
        return None
    return {"attacks": list(labels), "rows": [_row(*row, labels) for row in rows]}


def _row(
    defense: str, undisturbed: Sequence[Mapping[str, Any]], worst: tuple[Any, ...] | None, labels: Iterable[str]
) -> dict[str, Any]:
    nowhere = dict.fromkeys(labels, 0.0)
    shares = [nowhere if more is _DIVERGED else more["robust_accuracy"] for more in undisturbed]
    return {
        "defense": defense,
        "clean": number(_mean(undisturbed, "clean_accuracy"), 3),
        "robust": [number(_mean(shares, label), 3) for label in labels],
        "all": number(_mean(undisturbed, "worst_robust_accuracy"), 3),
        "poisoned_clean": number(_mean(worst[3], "clean_accuracy") if worst else None, 3),
        "poisoned_all": number(worst[0] if worst else None, 3),
        "poisoned_by": f"{named(worst[2])}, f = {worst[1]}" if worst else "",
    }


def _measured(trials: Iterable[str | None], records: Records) -> list[Mapping[str, Any]]:
    """What the trials say about attacks on test samples."""
    found = []
    for record in (records.get(trial or "") or {} for trial in trials):
        more = (record.get("metrics") or {}).get("more") or {}
        if more.get("robust_accuracy"):
            found.append(more)
        elif record.get("status") == "diverged":
            found.append(_DIVERGED)
    return found


def _mean(found: Iterable[Mapping[str, Any]], key: str) -> float | None:
    values = [more[key] for more in found if more.get(key) is not None]
    return mean(values) if values else None


def _first(cell: tuple[Any, ...]) -> float:
    return float(cell[0])
