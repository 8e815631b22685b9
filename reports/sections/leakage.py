"""What somebody who watched the training found out about clients' data, where that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.records import more_of

from .content import LABEL, NUMBER, PERCENT, TEXT, Column, Content, Records, Row, Section, Table, Values, World

NOTE = (
    "Identified: samples that are the nearest of all training samples to their reconstruction. Reconstructed: samples "
    "recovered with 20 dB or more, above the control: what noise in place of messages, or random images of other "
    "clients, would seem to recover. Labels: share recovered, beside uniform guesses. Means over clients and seeds, of "
    "trainings without an attack. Numbers of an attack that was told what no spy knows are marked (told)."
)
_SHARES = {
    "identified": "Identified",
    "reconstructed": "Reconstructed",
    "reconstructed_control": "Control",
    "certified": "Certified",
    "label_accuracy": "Labels",
    "label_chance": "By chance",
    "mia_tpr_1": "Members at 1 % FPR",
}
_NUMBERS = {"psnr": "PSNR in dB", "mia_auc": "AUC of members"}
_ALSO = (
    "reconstructed_15",
    "reconstructed_20",
    "reconstructed_25",
    "wrongly_certified",
    "mia_tpr_5",
    "mia_tpr_01",
    "ssim",
    "self_consistency",
)
_UNFIT = ("privacy_unfit", "mia_unfit")
_NAMES = (*_SHARES, *_NUMBERS, *_ALSO)


def _of_world(world: World) -> Content | None:
    rows = [row for own in world.defenses for row in _rows(own, world.run.records)]
    if not rows:
        return None
    shown = [name for name in (*_SHARES, *_NUMBERS) if any(row.cells.get(name) is not None for row in rows)]
    columns = (
        Column(key="defense", heading="Defense", form=LABEL),
        Column(key="attack", heading="Spy", form=TEXT),
        *(
            Column(key=name, heading=({**_SHARES, **_NUMBERS})[name], form=PERCENT if name in _SHARES else NUMBER)
            for name in shown
        ),
    )
    return Content(title="What a spy found out", introduction=NOTE, blocks=(Table(columns=columns, rows=tuple(rows)),))


def _rows(own: Values, records: Records) -> list[Row]:
    """A row for each attack on privacy, and for each attack and round; those that do not apply say so."""
    trials = dict.fromkeys(
        trial for point in own["curve"] for trial in (point["attacks"].get(NO_ATTACK) or {"trials": ()})["trials"]
    )
    found = [more_of(records.get(trial or "")) for trial in trials]
    spies = dict.fromkeys(label for more in found for name in _NAMES for label in more.get(f"{name}_by") or {})
    told = {label for more in found for label in more.get("privacy_oracles") or ()}
    rows = []
    for label in spies:
        known = {name: _mean(found, name, label) for name in (*_SHARES, *_NUMBERS)}
        marked = f"{label} (told)" if label.rpartition(", round ")[0] in told or label in told else label
        rows.append(Row(cells={"defense": own["defense"], "attack": marked, **known}))
    unfit = [text for more in found for name in _UNFIT for text in more.get(name) or ()]
    for text in dict.fromkeys(unfit):
        label, _, reason = text.partition(": ")
        rows.append(Row(cells={"defense": own["defense"], "attack": label}, instead=f"not applicable: {reason}"))
    return rows


def _mean(found: Sequence[Values], name: str, label: str) -> float | None:
    values = [by[label] for more in found if (by := more.get(f"{name}_by") or {}).get(label) is not None]
    return mean(values) if values else None


LEAKAGE = Section(
    key="leakage",
    of_world=_of_world,
    measures=(*_NAMES, *(f"{name}_by" for name in _NAMES), "privacy_oracles", *_UNFIT),
)
