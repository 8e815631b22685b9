"""Outcomes and worlds with chosen utilities, for the tests of the score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from robustfl.evaluation.score.inputs import CellResult, ScoredWorld

EXAMPLE = {"none": (1, 0.98, 1.02), "A": (0.7, 0.8, 0.6), "B": (0.5, 0.55, 0.6), "C": (0.45, 0.65, 0.7)}


def world(seeds: int = 3, **changes: Any) -> ScoredWorld:
    """Chance 0.1 and baseline 0.5: a utility of u is an accuracy of 0.1 + 0.4 u."""
    known = {"label": "w", "clients": 10, "chance": 0.1, "test_size": 100_000, "seeds": tuple(range(seeds))}
    return ScoredWorld(**{**known, "baseline": (0.5,) * seeds, **changes})


def cell(attack: str, f: int, utilities: tuple[float, ...], defense: str = "D", place: str = "w") -> list[CellResult]:
    return [
        CellResult(
            world=place,
            defense=defense,
            attack=attack,
            f=f,
            seed=seed,
            trial=f"{place}-{defense}-{attack}-{f}-{seed}",
            accuracy=0.1 + 0.4 * u,
            test_size=100_000,
            chance=0.1,
            status="ok",
        )
        for seed, u in enumerate(utilities)
    ]


def suite(
    heights: dict[int, float], seeds: int = 3, defense: str = "D", spread: float = 0.02, place: str = "w"
) -> list[CellResult]:
    """A defense whose W at f is `heights[f]`, under the attack "bad", with "mild" and "none" above it."""
    noise = np.linspace(-spread, spread, seeds) if seeds > 1 else np.zeros(1)
    outcomes = []
    for f, height in heights.items():
        levels = {"none": height} if f == 0 else {"none": 1.0, "mild": (1 + height) / 2, "bad": height}
        for attack, level in levels.items():
            outcomes += cell(attack, f, tuple((level + noise).tolist()), defense, place)
    return outcomes


def only(result: dict[str, Any]) -> dict[str, Any]:
    """The single defense of a single world."""
    (report,) = result["worlds"]
    (defense,) = report["defenses"]
    return dict(defense)


def changed(outcomes: list[CellResult], attack: str, f: int, seed: int, **changes: Any) -> list[CellResult]:
    return [replace(o, **changes) if (o.attack, o.f, o.seed) == (attack, f, seed) else o for o in outcomes]


def codes(result: dict[str, Any]) -> set[str]:
    return {flag["code"] for flag in result["flags"]}
