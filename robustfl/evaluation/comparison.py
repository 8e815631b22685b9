"""Two runs side by side: what changed for each defense, over the seeds that both have."""

from __future__ import annotations

from typing import Any

from robustfl.errors import DataError

Summary = dict[str, Any]


def compare_runs(before: Summary, after: Summary, tolerance: float = 0.02) -> Summary:
    """Worst-case utilities of two runs and their paired differences, as JSON values.

    For each world, defense and f that both runs have: d_r = u_r(after) - u_r(before), each at its own worst attack,
    with a Student-t interval over the common seeds. The verdict is `better` or `worse` when the interval lies beyond
    0 and the mean beyond `tolerance`, `equal` when no seed differs, `within tolerance` when the interval does, and
    `unclear` otherwise.

    Raises
    ------
    DataError : the runs have no world and defense in common
    """
    remarks = []
    if before["suite"]["hash"] != after["suite"]["hash"]:
        remarks.append("The suites differ, so attacks or settings may: differences are not due to the defenses alone.")
    for key in ("robustfl", "numpy", "torch"):
        old, new = before["provenance"].get(key), after["provenance"].get(key)
        if old != new:
            remarks.append(f"{key}: {old} before, {new} after.")
    rows = [
        _compared(world["world"], defense["defense"], old, new, worlds, tolerance)
        for world, other in _matched(before["scores"]["worlds"], after["scores"]["worlds"], "world")
        for worlds in [(world, other)]
        for defense, twin in _matched(world["defenses"], other["defenses"], "defense")
        for old, new in _matched(defense["curve"], twin["curve"], "f")
    ]
    if not rows:
        raise DataError("The two runs have no world and defense in common, so there is nothing to compare.")
    return {"remarks": remarks, "tolerance": tolerance, "rows": rows}


def comparison_rows(found: Summary) -> list[tuple[str, ...]]:
    """The comparison as cells of a table."""
    return [
        (
            row["world"],
            row["defense"],
            str(row["f"]),
            _shown(row["before"]),
            _shown(row["after"]),
            _shown(row["change"], sign=True),
            f"{row['ci'][0]:+.2f} to {row['ci'][1]:+.2f}" if row["ci"] else "",
            row["verdict"],
        )
        for row in found["rows"]
    ]


def _matched(first: list[Any], second: list[Any], key: str) -> list[tuple[Any, Any]]:
    by_key = {entry[key]: entry for entry in second}
    return [(entry, by_key[entry[key]]) for entry in first if entry[key] in by_key]


def _compared(
    world: str, defense: str, old: Summary, new: Summary, worlds: tuple[Summary, Summary], tolerance: float
) -> Summary:
    row = {"world": world, "defense": defense, "f": old["f"], "before": old["W"], "after": new["W"]}
    past, present = _worst_by_seed(old, worlds[0]["seeds"]), _worst_by_seed(new, worlds[1]["seeds"])
    differences = [present[seed] - past[seed] for seed in past if seed in present]
    if old["W"] is None or new["W"] is None or not differences:
        return {**row, "change": None, "ci": None, "verdict": "cannot be compared"}
    change = sum(differences) / len(differences)
    interval = _interval(differences)
    if not any(differences):
        verdict = "equal"
    elif interval is None:
        verdict = "one seed, not tested"
    elif interval[0] > 0 and change > tolerance:
        verdict = "better"
    elif interval[1] < 0 and change < -tolerance:
        verdict = "worse"
    elif -tolerance < interval[0] and interval[1] < tolerance:
        verdict = "within tolerance"
    else:
        verdict = "unclear"
    return {**row, "change": change, "ci": interval, "verdict": verdict}


def _worst_by_seed(point: Summary, seeds: list[int]) -> dict[int, float]:
    """Utility of each seed under the attack that is worst on average."""
    attack = point["attacks"].get(point["worst_attack"])
    if attack is None:
        return {}
    return {seed: value for seed, value in zip(seeds, attack["u"], strict=True) if value is not None}


def _interval(differences: list[float]) -> list[float] | None:
    if len(differences) < 2:
        return None
    from robustfl.evaluation.statistics import student_interval

    interval = student_interval(differences)
    return None if interval is None else [interval[0], interval[1]]


def _shown(value: float | None, sign: bool = False) -> str:
    return "unknown" if value is None else f"{value:+.3f}" if sign else f"{value:.3f}"
