"""One world of the HTML report as plain values: heat map, cells, curves, clients and cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from .evasion import evasion_view
from .figures import Frame, radius, thinned, ticks
from .wording import breakdown, interval, named, number, seconds, size

Records = Mapping[str, Mapping[str, Any]]
"""The records by the id of their trial."""

STEPS = 10
"""The colour scale has the classes q0 (utility 0) to q10 (utility 1)."""


def world_view(
    key: str, world: Mapping[str, Any], order: Sequence[str], records: Records, limit: float
) -> dict[str, Any]:
    """Everything that the section of a world shows; `key` starts the ids of its elements."""
    defenses = sorted(world["defenses"], key=lambda own: _place(own["defense"], order))
    attacks = _attacks(defenses)
    grid = sorted({point["f"] for own in defenses for point in own["curve"]})
    return {
        "key": key,
        "label": world["world"],
        "clients": world["clients"],
        "facts": _facts(world),
        "informative": world["informative"],
        "telling": _telling(defenses, grid),
        "panels": [_panel(f"{key}-f{f}", f, world, defenses, attacks, records) for f in grid],
        "curves": _curves(world, defenses, grid, limit),
        "evasion": evasion_view(defenses, records),
        "cost": _cost(defenses, records),
    }


def _facts(world: Mapping[str, Any]) -> list[tuple[str, str]]:
    baseline = world["baseline"]["mean"]
    return [
        ("clients", str(world["clients"])),
        ("accuracy without attack", number(baseline, 3)),
        ("accuracy of guessing", number(world["chance"], 3)),
        ("test samples", str(world["test_size"])),
        ("seeds", str(len(world["seeds"]))),
    ]


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _attacks(defenses: Sequence[Mapping[str, Any]]) -> list[str]:
    """All attacks: first none, then the most harmful one first (by mean utility over defenses and f)."""
    utilities: dict[str, list[float]] = {}
    for own in defenses:
        for point in own["curve"]:
            for attack, cell in point["attacks"].items():
                utilities.setdefault(attack, [])
                utilities[attack] += [] if cell["U"] is None or point["f"] == 0 else [cell["U"]]
    means = {attack: sum(known) / len(known) if known else 1.0 for attack, known in utilities.items()}
    return sorted(means, key=lambda attack: (attack != "none", means[attack], attack))


def _telling(defenses: Sequence[Mapping[str, Any]], grid: Sequence[int]) -> int | None:
    """The number of malicious clients at which the defenses differ most, which the heat map shows first."""

    def spread(f: int) -> float:
        known = [p["W"] for own in defenses for p in own["curve"] if p["f"] == f and p["W"] is not None]
        return float(sum(abs(a - b) for a in known for b in known))

    return max(grid, key=lambda f: (f > 0, spread(f), f), default=None)


def _panel(
    key: str,
    f: int,
    world: Mapping[str, Any],
    defenses: Sequence[Mapping[str, Any]],
    attacks: Sequence[str],
    records: Records,
) -> dict[str, Any]:
    """The heat map for one number of malicious clients, with the details behind each cell."""
    points = [(own["defense"], next((p for p in own["curve"] if p["f"] == f), None)) for own in defenses]
    shown = [attack for attack in attacks if any(point and attack in point["attacks"] for _, point in points)]
    rows, details = [], []
    for d, (name, point) in enumerate(points):
        cells = []
        for a, attack in enumerate(shown):
            cell = point["attacks"].get(attack) if point else None
            target = f"{key}-d{d}-a{a}"
            played = cell is not None and any(cell["trials"])
            is_worst = point is not None and point["worst_attack"] == attack
            cells.append({**_heat(cell), "href": target if played else "", "worst": is_worst, "attack": attack})
            if cell is not None and played:
                details.append(_detail(target, name, attack, f, cell, world, records))
        rows.append({"defense": name, "cells": cells, **_row_end(point)})
    return {"key": key, "f": f, "attacks": shown, "rows": rows, "details": details}


def _row_end(point: Mapping[str, Any] | None) -> dict[str, Any]:
    """The worst case of a row, and why the row is empty when the defense cannot be used."""
    if point is None:
        return {"W": number(None), "q": None, "invalid": "not tested"}
    empty = all(cell["U"] is None for cell in point["attacks"].values())
    invalid = point["invalid"] if point["invalid"] is not None and empty else ""
    return {"W": number(point["W"]), "q": _step(point["W"]), "invalid": invalid}


def _step(utility: float | None) -> int | None:
    return None if utility is None else round(STEPS * min(max(utility, 0.0), 1.0))


def _heat(cell: Mapping[str, Any] | None) -> dict[str, Any]:
    if cell is None:
        return {"text": number(None), "q": None}
    if cell["U"] is not None:
        return {"text": number(cell["U"]), "q": _step(cell["U"])}
    if set(cell["status"]) == {"not applicable"}:
        return {"text": "n/a", "q": None}
    return {"text": next((state for state in cell["status"] if state not in ("ok", "diverged")), "unknown"), "q": None}


def _detail(
    key: str, name: str, attack: str, f: int, cell: Mapping[str, Any], world: Mapping[str, Any], records: Records
) -> dict[str, Any]:
    """What lies behind a cell: its seeds, and accuracy over the rounds."""
    runs, paths = [], []
    curves = [((records.get(t or "") or {}).get("metrics") or {}).get("accuracy") or [] for t in cell["trials"]]
    last = max((curve[-1][0] for curve in curves if curve), default=1)
    frame = Frame(width=330, height=150, low=0, high=last, left=26, right=6)
    for seed, trial, status, accuracy, utility, curve in zip(
        world["seeds"], cell["trials"], cell["status"], cell["accuracy"], cell["u"], curves, strict=False
    ):
        metrics = (records.get(trial or "") or {}).get("metrics") or {}
        weight = metrics.get("malicious_weight")
        runs.append(
            {
                "seed": seed,
                "trial": trial or number(None),
                "status": status,
                "accuracy": number(accuracy, 3),
                "utility": number(utility),
                "weight": number(weight, 3),
                "rejected": metrics.get("rejected_rows"),
            }
        )
        paths.append(frame.line(thinned([(t, value) for t, value in curve])))
    baseline = world["baseline"]["mean"]
    return {
        "key": key,
        "defense": name,
        "attack": attack,
        "f": f,
        "utility": number(cell["U"]),
        "interval": interval(cell["ci"]) if cell["ci"] is not None else "",
        "runs": runs,
        "weighed": any(run["weight"] != number(None) for run in runs),
        "paths": [path for path in paths if path],
        "last": last,
        "baseline": None if baseline is None else frame.y(baseline),
        "chance": frame.y(world["chance"]),
    }


def _curves(
    world: Mapping[str, Any], defenses: Sequence[Mapping[str, Any]], grid: Sequence[int], limit: float
) -> dict[str, Any]:
    """Worst-case utility over the number of malicious clients, one small panel a defense."""
    frame = Frame(width=250, height=150, low=min(grid, default=0), high=max(grid, default=0))
    lines = [frame.line((p["f"], p["W"]) for p in own["curve"]) for own in defenses]
    panels = [
        {
            "defense": own["defense"],
            "survives": breakdown(own["breakdown"], world["clients"]),
            "R": "not scored" if own["R_unt"] is None else number(own["R_unt"]),
            "interval": interval(own["R_unt_ci"]) if own["R_unt_ci"] is not None else "",
            "line": lines[index],
            "others": [line for other, line in enumerate(lines) if other != index and line],
            "band": frame.band((p["f"], p["W_ci"]) for p in own["curve"]),
            "dots": [_dot(frame, p) for p in own["curve"] if p["W"] is not None],
        }
        for index, own in enumerate(defenses)
    ]
    shown = [(frame.x(f), f) for f in ticks(grid)]
    return {"panels": panels, "ticks": shown, "limit": frame.y(limit), "frame": frame}


def _dot(frame: Frame, point: Mapping[str, Any]) -> dict[str, Any]:
    why = "cannot be used" if point["invalid"] is not None else named(point["worst_attack"])
    text = f"{point['f']} malicious: {number(point['W'])} ({why})"
    return {"x": frame.x(point["f"]), "y": frame.y(point["W"]), "text": text, "invalid": point["invalid"] is not None}


def histogram_view(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The data of the clients: a column a client, a row a class, the area of a dot the number of samples."""
    if not found or not found["counts"] or not found["classes"]:
        return None
    classes, counts = found["classes"], found["counts"]
    drawn = min(len(counts), max(1, min(60, 4000 // len(classes))))
    largest = max((count for row in counts[:drawn] for count in row), default=0)
    step, top = 18, 18
    left = 28 + 6 * min(12, max(map(len, classes)))
    malicious = set(found["malicious"])
    columns = [
        {
            "client": client,
            "x": left + step * client,
            "malicious": client in malicious,
            "tick": drawn <= 30 or client % 5 == 0,
            "total": sum(row),
            "dots": [
                {"y": top + step * c, "r": radius(count, largest, step / 2 - 1), "text": f"{classes[c]}: {count}"}
                for c, count in enumerate(row[: len(classes)])
                if count > 0
            ],
        }
        for client, row in enumerate(counts[:drawn])
    ]
    return {
        "left": left,
        "width": left + step * drawn,
        "height": top + step * len(classes) + 12,
        "classes": [(top + step * c, name) for c, name in enumerate(classes)],
        "columns": columns,
        "largest": largest,
        "malicious": len([client for client in malicious if client < drawn]),
        "seed": found["seed"],
        "hidden": len(counts) - drawn,
        "bottom": top + step * len(classes) - 4,
    }


def _cost(defenses: Sequence[Mapping[str, Any]], records: Records) -> list[dict[str, Any]]:
    """Median time and bytes of the trials of each defense."""
    rows = []
    for own in defenses:
        ids = dict.fromkeys(t for p in own["curve"] for cell in p["attacks"].values() for t in cell["trials"] if t)
        used = [records[t] for t in ids if t in records and records[t]["status"] == "ok"]
        aggregate = _median(used, "time", "aggregate_s")
        rows.append(
            {
                "defense": own["defense"],
                "aggregate_s": aggregate,
                "aggregate": seconds(aggregate),
                "total": seconds(_median(used, "time", "total_s")),
                "up": size(_median(used, "bytes", "up_per_client_round")),
                "down": size(_median(used, "bytes", "down_per_client_round")),
                "trials": len(used),
            }
        )
    longest = max((row["aggregate_s"] or 0 for row in rows), default=0)
    return [{**row, "share": round(100 * (row["aggregate_s"] or 0) / longest, 1) if longest else 0} for row in rows]


def _median(records: Iterable[Mapping[str, Any]], part: str, key: str) -> float | None:
    values = [record[part][key] for record in records if (record.get(part) or {}).get(key) is not None]
    return median(values) if values else None
