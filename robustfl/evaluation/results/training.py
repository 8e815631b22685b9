"""How the undisturbed training of a world went: what decides whether a score in that world means anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from robustfl.evaluation.results.records import Record, curve_of, more_of
from robustfl.federation.settings import Peers

WINDOW = 4
"""The slope at the end of a training is that of the measurements in the last 1/4 of its rounds."""

AHEAD = 10
"""A rise is what the slope adds in 1/10 of the rounds."""


class TrainingReport(TypedDict):
    """The trials of the plain rule without an attack, one value for each seed; null where it is not known.

    `rise` is what a tenth of the rounds more would add to the accuracy if it went on rising as in the last quarter.
    `central` is what training on the data of all clients at once reaches in as many steps. `sharpness` is the largest
    eigenvalue of the Hessian of the training loss, and `instability` is that divided by the largest for which the step
    is stable.
    """

    rise: list[float | None]
    central: list[float | None]
    sharpness: list[float | None]
    instability: list[float | None]


def training_of(records: Sequence[Record | None], accuracy: str) -> TrainingReport:
    """How these trainings went, in the chosen measure of accuracy."""
    mores = [more_of(record) for record in records]
    return {
        "rise": [_rise(record, accuracy) for record in records],
        "central": [more.get(f"central_{accuracy}") for more in mores],
        "sharpness": [more.get("sharpness") for more in mores],
        "instability": [more.get("instability") for more in mores],
    }


def _rise(record: Record | None, accuracy: str) -> float | None:
    """The slope of the accuracy by least squares at the end, times a tenth of the rounds; None for a training that did
    not get there, or that has fewer than three measurements there. Where peers merge their models in the last round, it
    is that of the training before, as the leap at the merging says nothing about a longer training."""
    if record is None or record["status"] != "ok":
        return None
    rounds = int(record["scenario"]["federation"]["rounds"])
    last = [(finished, value) for finished, value in curve_of(record, accuracy) if finished > rounds - rounds / WINDOW]
    peers = record["scenario"]["federation"].get("peers")
    if peers is not None and Peers.model_validate(peers).ends_merged(rounds):
        last = last[:-1]
    if len(last) < 3:
        return None
    times, values = np.array(last, dtype=np.float64).T
    away = times - times.mean()
    return float(away @ values / (away @ away) * rounds / AHEAD)
