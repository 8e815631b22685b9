"""How trained models fare when test samples are attacked, where that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import NamedTuple

from robustfl.evaluation.results.records import more_of

from .content import (
    ACCURACY,
    LABEL,
    TEXT,
    Column,
    Content,
    Records,
    Row,
    Section,
    Table,
    Values,
    World,
    labelled,
    labels,
)
from .content.wording import named

NOTE = (
    "Accuracy on test samples, untouched and changed to mislead the model; “All”: samples that no attack could turn. "
    "Poisoned: the training under attack whose model keeps least; one that diverged keeps nothing."
)
_DIVERGED: Values = {"clean_accuracy": 0.0, "worst_robust_accuracy": 0.0, "robust_accuracy": {}}


class _Training(NamedTuple):
    """The seeds of one cell: what their models keep when every attack is tried, and what was measured."""

    kept: float
    f: int
    attack: str
    found: list[Values]


def _of_world(world: World) -> Content | None:
    table = accuracy_table(world.defenses, world.run.records)
    return None if table is None else Content(title="Test-time attacks", introduction=NOTE, blocks=(table,))


def accuracy_table(defenses: Sequence[Values], records: Records) -> Table | None:
    """A row a defense: accuracy under each test-time attack after undisturbed training, and after the worst training.

    The worst training is the cell with malicious clients whose model keeps least when every test-time attack is tried.
    A model that diverged is right nowhere.
    """
    known = [(own["defense"], _trainings(own, records)) for own in defenses]
    measured = (more for _, trainings in known for one in trainings for more in one.found)
    tried = dict.fromkeys(attack for more in measured for attack in more["robust_accuracy"])
    if not tried:
        return None
    columns = (
        Column(key="defense", heading="Defense", form=LABEL),
        Column(key="clean", heading="Untouched", form=ACCURACY),
        *labels(tried, ACCURACY),
        Column(key="all", heading="All", form=ACCURACY),
        Column(key="poisoned_clean", heading="Poisoned: untouched", form=ACCURACY),
        Column(key="poisoned_all", heading="All", form=ACCURACY),
        Column(key="poisoned_by", heading="Under", form=TEXT),
    )
    return Table(columns=columns, rows=tuple(_row(name, trainings, tried) for name, trainings in known))


def _trainings(own: Values, records: Records) -> list[_Training]:
    """The cells of a defense of which anything is known."""
    found = []
    for point in own["curve"]:
        for attack, cell in point["attacks"].items():
            measured = _measured(cell["trials"], records)
            if measured:
                kept = _mean(measured, "worst_robust_accuracy")
                found.append(_Training(float("inf") if kept is None else kept, point["f"], attack, measured))
    return found


def _row(defense: str, trainings: Sequence[_Training], tried: Mapping[str, None]) -> Row:
    undisturbed = next((one.found for one in trainings if one.attack == "none"), [])
    disturbed = [one for one in trainings if one.f and one.attack != "none" and one.kept < float("inf")]
    worst = min(disturbed, key=lambda one: one.kept, default=None)
    nowhere = dict.fromkeys(tried, 0.0)
    shares = [nowhere if more is _DIVERGED else more["robust_accuracy"] for more in undisturbed]
    return Row(
        cells={
            "defense": defense,
            "clean": _mean(undisturbed, "clean_accuracy"),
            **labelled({attack: _mean(shares, attack) for attack in tried}),
            "all": _mean(undisturbed, "worst_robust_accuracy"),
            "poisoned_clean": _mean(worst.found, "clean_accuracy") if worst else None,
            "poisoned_all": worst.kept if worst else None,
            "poisoned_by": f"{named(worst.attack)}, f = {worst.f}" if worst else "",
        }
    )


def _measured(trials: Iterable[str | None], records: Records) -> list[Values]:
    """What the trials say about attacks on test samples."""
    found: list[Values] = []
    for record in (records.get(trial or "") for trial in trials):
        more = more_of(record)
        if more.get("robust_accuracy"):
            found.append(more)
        elif record is not None and record["status"] == "diverged":
            found.append(_DIVERGED)
    return found


def _mean(found: Iterable[Values], key: str) -> float | None:
    values = [more[key] for more in found if more.get(key) is not None]
    return mean(values) if values else None


EVASION = Section(
    key="evasion",
    of_world=_of_world,
    measures=("clean_accuracy", "robust_accuracy", "worst_robust_accuracy", "robust_gap"),
)
