"""How often attacks that are equally strong make a defense suspect, by simulation, and which real gaps are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robustfl.evaluation.trust.comparisons import comparison_remarks
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.remark import CurvePoint, Remark

INFORMED = [f"search {i}" for i in range(12)]
BLIND = [f"blind {i}" for i in range(15)]
HUMBLE = [f"poison {i}" for i in range(8)]
ATTACKS = [*INFORMED, *BLIND, *HUMBLE]
KNOWLEDGE = {
    **dict.fromkeys(INFORMED, ("own", "peers", "defense")),
    **dict.fromkeys(BLIND, ("own", "peers")),
    **dict.fromkeys(HUMBLE, ("own",)),
}
EVIDENCE = Evidence(doubled={"search 0": "search 1", "search 2": "search 3"})

Levels = NDArray[np.float64]  # [points, attacks], the true utilities


def remarks(rng: np.random.Generator, levels: Levels, *, seeds: int, noise: float, worlds: int = 1) -> list[Remark]:
    """The remarks on one defense: utilities by attack and seed, with noise of the seed and noise of their own."""
    curves = []
    for number in range(worlds):
        shared = rng.normal(size=(len(levels), 1, seeds))
        own = rng.normal(size=(*levels.shape, seeds)) * np.exp(0.5 * rng.normal(size=(*levels.shape, 1)))
        u = levels[:, :, None] + noise * (shared + own)
        points = [_point(f + 1, table) for f, table in enumerate(u)]
        defense: Any = {"defense": "Krum", "curve": points}
        world: Any = {"world": f"w{number}", "seeds": list(range(seeds)), "defenses": [defense]}
        curves.append([CurvePoint(world, defense, point) for point in points])
    return comparison_remarks(curves, KNOWLEDGE, EVIDENCE)


def _point(f: int, table: NDArray[np.float64]) -> Any:
    cells: dict[str, Any] = {
        attack: {"u": row.tolist(), "U": float(np.clip(row.mean(), 0, 1))}
        for attack, row in zip(ATTACKS, table, strict=True)
    }
    worst = min(cells, key=lambda attack: cells[attack]["U"])
    known = {"f": f, "W": cells[worst]["U"], "worst_attack": worst, "invalid": None, "incomplete": []}
    return {**known, "attacks": cells}


def equal(points: int) -> Levels:
    return np.full((points, len(ATTACKS)), 0.6)


def just_as_good(points: int) -> Levels:
    """One search is as strong as all blind attacks but for what is negligible, and all other searches are weak."""
    levels = equal(points)
    levels[:, : len(INFORMED)] = 0.9
    levels[:, 0] = 0.62
    return levels


@pytest.mark.parametrize(
    ("levels", "seeds", "noise", "worlds"),
    [
        (equal(1), 3, 0.05, 1),
        (equal(2), 5, 0.1, 1),
        (equal(1), 10, 0.02, 2),
        (just_as_good(1), 3, 0.05, 1),
        (just_as_good(1), 5, 0.1, 2),
    ],
)
def test_equally_strong_attacks_make_at_most_one_defense_in_twenty_suspect(
    levels: Levels, seeds: int, noise: float, worlds: int
) -> None:
    rng = np.random.default_rng([seeds, worlds])
    found = [bool(remarks(rng, levels, seeds=seeds, noise=noise, worlds=worlds)) for _ in range(200)]
    assert sum(found) <= 10


def stronger(name: str, gap: float) -> Levels:
    """One attack does more harm than all others, whose utilities lie between 0.6 and 0.9."""
    levels = [0.6 + 0.3 * i / len(group) for group in (INFORMED, BLIND, HUMBLE) for i in range(len(group))]
    levels[ATTACKS.index(name)] = 0.6 - gap
    return np.array([levels])


@pytest.mark.parametrize(
    ("levels", "code"),
    [
        (stronger("blind 3", 0.2), "WEAK_WHITE_BOX"),
        (stronger("poison 3", 0.2), "LESS_KNOWLEDGE_STRONGER"),
        (stronger("search 3", 0.2), "SEARCH_NOT_CONVERGED"),
        (np.concatenate([stronger("blind 3", 0.2), stronger("blind 3", 0)]), "NON_MONOTONE"),
    ],
)
def test_a_real_gap_is_found_with_five_seeds(levels: Levels, code: str) -> None:
    rng = np.random.default_rng(1)
    found = [{remark["code"] for remark in remarks(rng, levels, seeds=5, noise=0.02)} for _ in range(50)]
    assert sum(code in codes for codes in found) >= 45


def test_one_seed_raises_no_doubt() -> None:
    assert remarks(np.random.default_rng(0), stronger("blind 3", 0.5), seeds=1, noise=0.0) == []


def test_a_defense_that_loses_everything_under_all_attacks_is_not_suspect() -> None:
    levels = stronger("blind 3", 0.3) - 0.7  # far below guessing, where utilities mean nothing
    assert remarks(np.random.default_rng(0), levels, seeds=5, noise=0.01) == []
