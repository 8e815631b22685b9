"""Runs with chosen utilities, as they are stored, for the tests of comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CHANCE, LEVEL = 0.1, 0.9

Utilities = Sequence[float | None]


def cell(u: Utilities, name: str, seeds: Sequence[int], status: str = "ok") -> dict[str, Any]:
    """A cell whose trials are named after the cell and the seed; None is a trial that failed."""
    return {
        "accuracy": [None if value is None else CHANCE + (LEVEL - CHANCE) * value for value in u],
        "trials": [f"{name}-{seed}" for seed in seeds],
        "status": ["failed" if value is None else status for value in u],
    }


def run(
    cells: Mapping[tuple[str, str, int], Utilities], seeds: Sequence[int] | None = None, world: str = "W"
) -> dict[str, Any]:
    """A run of one world: utilities for each (defense, attack, f)."""
    count = len(next(iter(cells.values())))
    seeds = list(range(count)) if seeds is None else list(seeds)
    points: dict[str, dict[int, dict[str, Any]]] = {}
    for (defense, attack, f), u in cells.items():
        points.setdefault(defense, {}).setdefault(f, {})[attack] = cell(u, f"{world}/{defense}/{attack}/{f}", seeds)
    return {
        "schema": 1,
        "suite": {"name": "tiny", "hash": "same", "command": "robustfl run tiny --seeds 5 --workers 2"},
        "provenance": {
            "robustfl": "1",
            "numpy": "2",
            "torch": "3",
            "processor": "p",
            "platform": "linux",
            "device": "cpu",
        },
        "scores": {
            "settings": {"accuracy": "balanced_accuracy"},
            "worlds": [
                {
                    "world": world,
                    "seeds": seeds,
                    "chance": CHANCE,
                    "test_size": 100,
                    "baseline": {"per_seed": [LEVEL] * len(seeds)},
                    "informative": True,
                    "defenses": [
                        {"defense": defense, "curve": [_point(f, attacks) for f, attacks in curve.items()]}
                        for defense, curve in points.items()
                    ],
                }
            ],
        },
    }


def one(u: Utilities, seeds: Sequence[int] | None = None) -> dict[str, Any]:
    """A run of one cell."""
    return run({("Mean", "IPM", 1): u}, seeds)


def only_cell(stored: dict[str, Any]) -> dict[str, Any]:
    """The cell of :func:`one`, to change it."""
    found: dict[str, Any] = stored["scores"]["worlds"][0]["defenses"][0]["curve"][0]["attacks"]["IPM"]
    return found


def elsewhere(stored: dict[str, Any]) -> dict[str, Any]:
    """The same run made on a machine from which equal results cannot be expected."""
    return {**stored, "provenance": {**stored["provenance"], "device": "cuda"}}


def _point(f: int, attacks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The worst attack and W as a score gives them; neither where a trial is missing."""
    means = {
        attack: sum(found["accuracy"]) / len(found["accuracy"])
        for attack, found in attacks.items()
        if None not in found["accuracy"]
    }
    worst = min(means, key=means.__getitem__, default=None)
    w = None if worst is None else min(max((means[worst] - CHANCE) / (LEVEL - CHANCE), 0.0), 1.0)
    return {"f": f, "W": w, "worst_attack": worst, "attacks": attacks}
