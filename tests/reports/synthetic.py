"""A made-up but realistic run: the numbers follow a simple law of how defenses yield to attacks."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np

from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.score.levels import LEVELS, attacks_within
from robustfl.evaluation.statistics import area

DEFENSES = {
    "NNM > Krum": (0.46, "n >= 2f + 3"),
    "NNM > TrimmedMean": (0.50, "n > 2f"),
    "GeometricMedian": (0.41, "n > 2f"),
    "TrimmedMean": (0.33, "n > 2f"),
    "CenteredClipping(radius=10.0)": (0.30, ""),
    "Krum": (0.27, "n >= 2f + 3"),
    "Mean": (0.09, ""),
}
ATTACKS = {
    "none": (0.0, []),
    "ALIE(z=1.5)": (0.9, ["peers"]),
    "IPM(epsilon=0.5)": (0.6, ["peers"]),
    "IPM(epsilon=10.0)": (0.8, ["peers"]),
    "SignFlip": (0.45, ["own"]),
    "Mimic": (0.4, ["peers"]),
    "LabelFlip": (0.3, ["own"]),
    "AdaptiveSearch": (1.15, ["peers", "defense"]),
}
CHANCE, BASELINE = 0.1022, 0.9127


def trial_id(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def run(
    worlds: tuple[str, ...] = ("digits, Dirichlet(0.3)", "digits, IID"),
    defenses: int = 7,
    attacks: int = 8,
    f_grid: tuple[int, ...] = (0, 1, 3, 5, 7),
    seeds: tuple[int, ...] = (0, 1, 2),
    clients: int = 15,
    rounds: int = 60,
) -> RunResults:
    """A run of the given size; with the defaults it shows every kind of cell (invalid, failed, diverged)."""
    records: dict[str, dict[str, Any]] = {}
    names = list(DEFENSES)[-defenses:] if defenses < len(DEFENSES) else list(DEFENSES)
    scored = [
        _world(world, number, names, list(ATTACKS)[:attacks], f_grid, seeds, clients, rounds, records)
        for number, world in enumerate(worlds)
    ]
    states = [record["status"] for record in records.values()]
    invalid = sum(point["invalid"] is not None for w in scored for d in w["defenses"] for point in d["curve"])
    summary = {
        "schema": 1,
        "suite": {
            "name": "quickstart",
            "description": "Seven defenses against seven attacks on handwritten digits, in a few minutes.",
            "hash": trial_id("suite"),
            "command": "robustfl run quickstart --out runs/quickstart",
            "rows": {"Mean": "robustfl run quickstart --out runs/quickstart-alone --set 'defenses=[[{\"mean\": {}}]]'"},
            "seeds": list(seeds),
        },
        "provenance": {
            "robustfl": "0.1.0",
            "python": "3.11.7",
            "numpy": "2.4.6",
            "torch": "2.13.0",
            "platform": "Linux-6.1-x86_64",
            "processor": "AMD EPYC",
            "cores": 2,
            "device": "cpu",
        },
        "time": {"created": "2026-11-21T05:00:00Z", "elapsed_s": 93.1, "workers": 2},
        "trials": {
            "total": len(states),
            **{name: states.count(name) for name in ("ok", "diverged", "failed")},
            "invalid": invalid,
        },
        "components": _components(names, list(ATTACKS)[:attacks]),
        "histograms": {world: _histogram(world, clients, max(f_grid)) for world in worlds},
        "scores": {
            "schema": 1,
            "settings": {"threshold": 0.5, "margin": 0.01, "alpha": 0.05, "plain": "Mean", "aims_first": False},
            "worlds": scored,
            "ranking": _ranking(scored, names),
            "pairs": [],
            "flags": _remarks(worlds, invalid),
        },
    }
    return RunResults(summary=summary, records=tuple(records.values()))


@cache
def full() -> RunResults:
    """The run with the defaults, made once for all who read it and change nothing in it."""
    return run()


def _world(
    world: str,
    number: int,
    names: list[str],
    attacks: list[str],
    f_grid: tuple[int, ...],
    seeds: tuple[int, ...],
    clients: int,
    rounds: int,
    records: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    defenses = []
    for name in names:
        curve = []
        for f in f_grid:
            shown = attacks if f else ["none"]
            failing = name == "TrimmedMean" and f == max(f_grid) and number == 0
            invalid = "Krum: `f` should satisfy n >= 2f + 3." if "Krum" in name and clients < 2 * f + 3 else None
            cells = {
                a: _cell(world, number, name, a, f, seeds, clients, rounds, records, invalid, failing) for a in shown
            }
            curve.append(_point(f, clients, cells, invalid, len(seeds)))
        attacked = [point for point in curve if point["f"] > 0]
        reached = _area(attacked, [point["W"] for point in attacked])
        passing = [p["f"] for i, p in enumerate(curve) if all((q["W"] or 0) >= 0.5 for q in curve[: i + 1])]
        last = passing[-1] if passing else -1
        defenses.append(
            {
                "defense": name,
                "R_unt": reached,
                "R_unt_ci": _around(reached, 0.035, len(seeds)),
                "R_levels": {level: _resilience(attacked, level, len(seeds)) for level in LEVELS},
                "undisturbed": _area(attacked, [(p["attacks"].get("none") or {}).get("U") for p in attacked]),
                "curve": curve,
                "breakdown": {
                    "f": last,
                    "beta": last / clients if last >= 0 else None,
                    "verdict": "none" if last < 0 else "at_least" if last == max(f_grid) else "exact",
                    "evaluated": list(f_grid),
                    "grid": list(f_grid),
                },
            }
        )
    return {
        "world": world,
        "clients": clients,
        "seeds": list(seeds),
        "f_grid": list(f_grid),
        "chance": CHANCE,
        "test_size": 450,
        "baseline": {"mean": BASELINE, "per_seed": [BASELINE] * len(seeds)},
        "informative": True,
        "defenses": defenses,
    }


def _area(points: list[dict[str, Any]], heights: list[float | None]) -> float | None:
    known = [height for height in heights if height is not None]
    whole = known and len(known) == len(heights)
    return float(area([point["fraction"] for point in points], known)) if whole else None


def _resilience(points: list[dict[str, Any]], level: str, seeds: int) -> dict[str, Any]:
    reached = _area(points, [None if (own := point["levels"][level]) is None else own["W"] for point in points])
    return {"R": reached, "R_ci": _around(reached, 0.035, seeds)}


def _cell(
    world: str,
    number: int,
    name: str,
    attack: str,
    f: int,
    seeds: tuple[int, ...],
    clients: int,
    rounds: int,
    records: dict[str, dict[str, Any]],
    invalid: str | None,
    failing: bool,
) -> dict[str, Any]:
    if invalid:
        blank = [None] * len(seeds)
        status = ["invalid"] * len(seeds)
        return {"u": blank, "U": None, "ci": None, "accuracy": blank, "trials": [""] * len(seeds), "status": status}
    strength, toughness = ATTACKS[attack][0], DEFENSES[name][0] + 0.04 * number
    accuracy, trials, status = [], [], []
    for seed in seeds:
        trial = trial_id(world, name, attack, f, seed)
        noise = np.random.default_rng(int(trial, 16))
        share = f / clients
        u = 0.985 / (1 + np.exp((share * strength / 0.75 - toughness) * 16)) - 0.03 * strength
        u = u if share * strength else 0.99
        u = float(np.clip(u + noise.normal(0, 0.02), -0.05, 1.03))
        state = "failed" if failing and attack == "Mimic" and seed == seeds[-1] else "ok"
        state = "diverged" if name == "Mean" and attack == "IPM(epsilon=10.0)" and f == 7 else state
        tail = CHANCE if state == "diverged" else CHANCE + u * (BASELINE - CHANCE)
        accuracy.append(None if state == "failed" else tail)
        trials.append(trial)
        status.append(state)
        records[trial] = _record(trial, world, name, attack, f, seed, tail, state, rounds, noise)
    utility = [None if a is None else (a - CHANCE) / (BASELINE - CHANCE) for a in accuracy]
    mean = None if None in utility else float(np.clip(np.mean(utility), 0, 1))
    spread = float(np.std(utility, ddof=1)) * 2.5 if mean is not None and len(seeds) > 1 else 0.0
    return {
        "u": utility,
        "U": mean,
        "ci": _around(mean, spread, len(seeds)),
        "accuracy": accuracy,
        "trials": trials,
        "status": status,
    }


def _record(
    trial: str,
    world: str,
    name: str,
    attack: str,
    f: int,
    seed: int,
    tail: float,
    state: str,
    rounds: int,
    noise: np.random.Generator,
) -> dict[str, Any]:
    steps = np.arange(2, rounds + 1, 2)
    path = CHANCE + (tail - CHANCE) * (1 - np.exp(-steps / 11)) + noise.normal(0, 0.012, len(steps))
    seconds = 0.05 + 0.4 * DEFENSES[name][0] * float(noise.uniform(0.9, 1.1))
    failed = state == "failed"
    trace = 'Traceback (most recent call last):\n  File "robustfl/federation/engine.py", line 88, in play\n'
    return {
        "schema": 1,
        "trial": trial,
        "fingerprint": trial_id("code"),
        "status": state,
        "scenario": {"task": {"data": "digits"}},
        "labels": {"world": world, "defense": name, "attack": attack},
        "seed": seed,
        "f": f,
        "metrics": None
        if failed
        else {
            "accuracy": [[int(t), round(float(np.clip(v, 0, 1)), 4)] for t, v in zip(steps, path, strict=True)],
            "loss": [[int(t), None] for t in steps],
            "tail_accuracy": tail,
            "malicious_weight": round(f / 15 * (1 - DEFENSES[name][0]), 3) if "Krum" in name else None,
            "rejected_rows": 0,
            "held_rounds": 0,
        },
        "bytes": None if failed else {"up_per_client_round": 7240, "down_per_client_round": 7240},
        "time": {} if failed else {"total_s": seconds + 0.3, "aggregate_s": seconds, "compute_s": 0.2, "other_s": 0.1},
        "error": {"type": "MemoryError", "message": "out of memory", "traceback": trace + "MemoryError: out of memory"}
        if failed
        else None,
    }


def _point(f: int, clients: int, cells: dict[str, Any], invalid: str | None, seeds: int) -> dict[str, Any]:
    known = {attack: cell["U"] for attack, cell in cells.items() if cell["U"] is not None}
    incomplete = [] if invalid else [attack for attack in cells if attack not in known]
    worst = min(known, key=lambda attack: known[attack]) if known and not incomplete else None
    value = 0.0 if invalid else known[worst] if worst else None
    knowledge = {attack: ATTACKS[attack][1] for attack in known}
    levels: dict[str, Any] = {}
    for level in LEVELS:
        within = attacks_within(level, [attack for attack in known if attack != "none"], knowledge)
        least = min(within, key=lambda attack: known[attack], default=None)
        levels[level] = least and {
            "W": known[least],
            "W_ci": _around(known[least], 0.05, seeds),
            "worst_attack": least,
            "attacks": len(within),
        }
    if invalid:
        levels = {level: {"W": 0.0, "W_ci": None, "worst_attack": None, "attacks": 0} for level in LEVELS}
    return {
        "f": f,
        "fraction": f / clients,
        "W": value,
        "W_ci": None if invalid else _around(value, 0.05, seeds),
        "W_cross_fitted": value,
        "levels": levels,
        "M": None if invalid or incomplete else float(np.mean(list(known.values()))),
        "worst_attack": worst,
        "invalid": invalid,
        "incomplete": incomplete,
        "attacks": cells,
    }


def _around(value: float | None, spread: float, seeds: int) -> list[float] | None:
    return None if value is None or seeds < 3 else [max(0.0, value - spread), min(1.0, value + spread)]


def _ranking(worlds: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        own = [d for world in worlds for d in world["defenses"] if d["defense"] == name]
        areas = [d["R_unt"] for d in own]
        whole = None not in areas
        last = own[0]["curve"][-1]
        rows.append(
            {
                "defense": name,
                "R_mean": float(np.mean(areas)) if whole else None,
                "R_min": min(areas) if whole else None,
                "R_ci": _around(float(np.mean(areas)), 0.03, len(worlds[0]["seeds"])) if whole else None,
                "R_levels": {
                    level: _mean([(d["R_levels"][level] or {}).get("R") for d in own]) if whole else None
                    for level in LEVELS
                },
                "undisturbed": _mean([d["undisturbed"] for d in own]),
                "W_at_max_f": last["W"],
                "W_ci": last["W_ci"],
                "worst_attack": last["worst_attack"],
                "world": worlds[0]["world"],
            }
        )
    rows.sort(key=lambda row: -(row["R_mean"] if row["R_mean"] is not None else -1))
    for row in rows:
        value = row["R_mean"] or 0
        row["beaten_by"] = [o["defense"] for o in rows if (o["R_mean"] or 0) > value + 0.05]
        row["beats"] = [o["defense"] for o in rows if (o["R_mean"] or 0) < value - 0.05]
        row["rank"] = 1 + len(row["beaten_by"])
        row["tied"] = row is not rows[0] and row["defense"] not in rows[0]["beats"] and row["R_mean"] is not None
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _histogram(world: str, clients: int, f: int) -> dict[str, Any]:
    draw = np.random.default_rng(int(trial_id(world), 16))
    alpha = 100.0 if "IID" in world else 0.3
    shares = draw.dirichlet([alpha] * clients, size=10)
    counts = np.round(shares.T * 135).astype(int)
    malicious = sorted(int(c) for c in draw.permutation(clients)[:f])
    return {"classes": [str(c) for c in range(10)], "seed": 0, "counts": counts.tolist(), "malicious": malicious}


def _components(names: list[str], attacks: list[str]) -> dict[str, Any]:
    defenses = {
        name: {
            "stages": name.split(" > "),
            "summary": "Nearest-neighbour mixing, then the row with the smallest distances to its neighbours.",
            "guarantee": "the error is at most a constant times the spread of the honest updates, for f < n/2",
            "requires": DEFENSES[name][1],
            "reference": "Blanchard et al., Machine Learning with Adversaries, NeurIPS 2017",
        }
        for name in names
    }
    described = {
        attack: {
            "summary": "All clients are honest." if attack == "none" else "Hides inside the spread of honest updates.",
            "knowledge": ATTACKS[attack][1],
            "reference": "" if attack == "none" else "Baruch et al., A Little Is Enough, NeurIPS 2019",
        }
        for attack in attacks
    }
    return {"defenses": defenses, "attacks": described}


def _remarks(worlds: tuple[str, ...], invalid: int) -> list[dict[str, Any]]:
    blank = {"world": None, "defense": None, "attack": None, "f": None}
    few = "Only 3 seeds were run. Intervals from so few runs are too short: read differences below 0.1 as undecided."
    remarks = [{"code": "FEW_SEEDS", "level": "warning", **blank, "message": few}]
    if invalid:
        where = {"world": worlds[0], "defense": "Krum", "attack": None, "f": 7}
        text = "Krum cannot be used with 7 of 15 malicious clients (n >= 2f + 3): its resilience there counts as 0."
        remarks.append({"code": "CONFIG_INVALID", "level": "warning", **where, "message": text})
    for world in worlds:
        where = {"world": world, "defense": "Mean", "attack": "IPM(epsilon=10.0)", "f": 7}
        text = f"In {world}, training with Mean under IPM(epsilon=10.0) diverged: its accuracy counts as chance."
        remarks.append({"code": "DIVERGED", "level": "warning", **where, "message": text})
    where = {"world": worlds[0], "defense": "TrimmedMean", "attack": "Mimic", "f": 7}
    text = "A trial of TrimmedMean under Mimic failed. This cell, and every score that needs it, is missing."
    return [*remarks, {"code": "INCOMPLETE", "level": "error", **where, "message": text}]
