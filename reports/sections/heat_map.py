"""Every cell of a world: each defense against each attack, with the runs behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

from robustfl.evaluation.labels import PLAIN_ACCURACY
from robustfl.evaluation.results.measures import numbers
from robustfl.evaluation.results.records import curve_of, metrics_of, more_of
from robustfl.evaluation.score.costs import means
from robustfl.evaluation.score.levels import LEVELS, level_of

from .content import (
    LABEL,
    UTILITY,
    Behind,
    Cell,
    ColourKey,
    Column,
    Content,
    Detailed,
    Facts,
    Fold,
    Note,
    Records,
    Row,
    Run,
    Section,
    Sheet,
    Tab,
    Table,
    Tabs,
    Values,
    World,
    ends,
    labelled,
    labels,
)
from .content.figures import thinned

SELECT = "Select a cell for the runs behind it; without JavaScript, scores.csv has them."
NOTE = (
    "Utility kept: 1 as good as attack-free training, 0 as bad as guessing. The strongest attack on each defense is "
    f"underlined. {SELECT}"
)
AIMS_FIRST = (
    "Kept of both, the main task and the samples aimed at: 1 is as good as attack-free training, and 0 means that the "
    "model is as bad as guessing or that the attack always succeeds. The strongest attack on each defense is "
    f"underlined. {SELECT}"
)


def _of_world(world: World) -> Content:
    attacks = _attacks(world)
    tabs = Tabs(
        group=world.key,
        purpose="Number of malicious clients",
        question=f"Malicious clients of {world.clients}",
        chosen=f"{world.key}-f{_telling(world)}",
        tabs=tuple(_tab(world, f, attacks) for f in world.grid),
    )
    note = AIMS_FIRST if world.run.scores["settings"].get("aims_first") else NOTE
    key = ColourKey(low="0 destroyed", high="1 unharmed")
    shown = Detailed(full=(Note(line=note), tabs, key, *_legend(world, attacks)))
    return Content(title="Each defense against each attack", blocks=(shown,))


def _legend(world: World, attacks: Sequence[str]) -> tuple[Fold, ...]:
    """The full names of attacks that the table shortens."""
    short = world.run.short_attacks
    told = tuple((short[attack], attack) for attack in attacks if short.get(attack, attack) != attack)
    if not told:
        return ()
    return (Fold(summary="The attacks with their settings", blocks=(Facts(entries=tuple(sorted(told))),)),)


def _attacks(world: World) -> list[str]:
    """All attacks: first none, then the most harmful one first (by mean utility over defenses and f)."""
    utilities: dict[str, list[float]] = {}
    for own in world.defenses:
        for point in own["curve"]:
            for attack, cell in point["attacks"].items():
                utilities.setdefault(attack, [])
                utilities[attack] += [] if cell["U"] is None or point["f"] == 0 else [cell["U"]]
    averages = {attack: sum(known) / len(known) if known else 1.0 for attack, known in utilities.items()}
    return sorted(averages, key=lambda attack: (attack != "none", averages[attack], attack))


def _telling(world: World) -> int | None:
    """The number of malicious clients at which the defenses differ most, which is shown first."""

    def spread(f: int) -> float:
        known = [p["W"] for own in world.defenses for p in own["curve"] if p["f"] == f and p["W"] is not None]
        return float(sum(abs(a - b) for a in known for b in known))

    return max(world.grid, key=lambda f: (f > 0, spread(f), f), default=None)


def _tab(world: World, f: int, attacks: Sequence[str]) -> Tab:
    """The heat map for one number of malicious clients, and what lies behind its cells."""
    key = f"{world.key}-f{f}"
    points = [(own["defense"], next((p for p in own["curve"] if p["f"] == f), None)) for own in world.defenses]
    shown = [attack for attack in attacks if any(point and attack in point["attacks"] for _, point in points)]
    rounds = _rounds(world, points)
    rows, behind = [], []
    for name, point in points:
        found = {attack: point["attacks"].get(attack) if point else None for attack in shown}
        worst = None if point is None else point["worst_attack"]
        cells = labelled({attack: Cell(_value(cell), strong=attack == worst) for attack, cell in found.items()})
        empty = _empty(point)
        whole = {"defense": name, "worst": point["W"] if point else None}
        rows.append(Row(cells=whole if empty else cells | whole, instead=empty))
        played = (None if empty or cell is None or not any(cell["trials"]) else cell for cell in found.values())
        behind.append([cell and _behind(cell, world, rounds) for cell in played])
    columns = (
        Column(key="defense", heading="Defense", form=LABEL),
        *labels(shown, UTILITY, world.run.short_attacks),
        Column(key="worst", heading="worst case", form=UTILITY, strong=True),
    )
    values = {
        "f": f,
        "clients": world.clients,
        "seeds": world.scored["seeds"],
        "baseline": _rounded(world.scored["baseline"]["mean"], 3),
        "chance": _rounded(world.scored["chance"], 3),
        "defenses": [name for name, _ in points],
        "attacks": shown,
        "rounds": rounds,
        "cells": behind,
    }
    title = f"{f} malicious of {world.clients} clients"
    table = Table(columns=columns, rows=tuple(rows), behind=key)
    return Tab(key=key, label=str(f), title=title, blocks=(table, Behind(key=key, values=values)))


def _rounds(world: World, points: Sequence[tuple[str, Values | None]]) -> list[int]:
    """The rounds that most curves of a tab share: those of the longest one."""
    measure = world.run.scores["settings"].get("accuracy", PLAIN_ACCURACY)
    trials = (t for _, p in points if p for cell in p["attacks"].values() for t in cell["trials"] if t)
    curves = (_drawn(world.run.records.get(trial), measure) for trial in trials)
    return max(([t for t, _ in curve] for curve in curves), key=len, default=[])


def _value(cell: Values | None) -> float | str | None:
    """The utility of a cell, or why it has none."""
    if cell is None or cell["U"] is not None:
        return None if cell is None else float(cell["U"])
    if set(cell["status"]) == {"not applicable"}:
        return "n/a"
    return next((state for state in cell["status"] if state not in ("ok", "diverged")), "unknown")


def _empty(point: Values | None) -> str:
    """Why a row is empty; nothing where it is not."""
    if point is None:
        return "not tested"
    return point["invalid"] or "" if all(cell["U"] is None for cell in point["attacks"].values()) else ""


def _behind(cell: Values, world: World, rounds: Sequence[int]) -> list[Any]:
    """What lies behind a cell: its utility, the interval, and the runs, one list a column to keep the page small.

    The columns are those of `COLUMNS` in ``templates/report.js``, which lays them out: accuracy, utility, the success
    of an attack with an aim, the weight of malicious rows, the state, the trial, and accuracy over the rounds.
    """
    measure = world.run.scores["settings"].get("accuracy", PLAIN_ACCURACY)
    runs = []
    for trial, status, accuracy, utility in zip(
        *(cell["trials"], cell["status"], cell["accuracy"], cell["u"]), strict=False
    ):
        record = world.run.records.get(trial or "")
        metrics = metrics_of(record)
        rejected = f", {metrics['rejected_rows']} rows rejected" if metrics.get("rejected_rows") else ""
        runs.append(
            [
                _rounded(accuracy, 3),
                _rounded(utility, 2),
                _rounded(more_of(record).get("attack_success"), 3),
                _rounded(metrics.get("malicious_weight"), 3),
                "" if status == "ok" and not rejected else f"{status}{rejected}",
                trial[: world.run.trial_digits] if trial else "",
                _curve(_drawn(record, measure), rounds),
            ]
        )
    ci = cell["ci"] and [_rounded(end, 2) for end in cell["ci"]]
    return [_rounded(cell["U"], 2), ci, [list(column) for column in zip(*runs, strict=True)]]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits) + 0.0


def _drawn(record: Any, measure: str) -> list[tuple[int, float | None]]:
    """The points of accuracy over the rounds that the page draws; none of a record that is gone."""
    return [(int(t), value) for t, value in thinned(curve_of(record, measure))]


def _curve(points: Sequence[tuple[int, float | None]], rounds: Sequence[int]) -> str | list[tuple[int, float | None]]:
    """A curve in the fewest letters: a letter a value, for `rounds` from the first on; else the points themselves."""
    if [t for t, _ in points] != list(rounds[: len(points)]):
        return [(t, _rounded(value, 3)) for t, value in points]
    top = len(LETTERS) - 1
    return "".join("." if value is None else LETTERS[round(top * min(max(value, 0.0), 1.0))] for _, value in points)


LETTERS = ascii_uppercase + ascii_lowercase + digits + "-_"
"""The letters of values from 0 to 1; the script of the page has the same."""


COLUMNS = (
    *("world", "clients", "defense", "f", "fraction", "attack", "utility", "utility_low", "utility_high", "accuracy"),
    *("seeds", "status", "worst_case", "worst_case_low", "worst_case_high", "worst_case_cross_fitted", "is_worst"),
    *("worst_case_own", "worst_case_updates", "worst_case_everything", "level", "mean_utility", "resilience"),
    *("resilience_low", "resilience_high", "resilience_own", "resilience_updates", "undisturbed"),
    *("rank", "evaluation_status", "evaluation_remarks", "invalid", "baseline", "chance", "trials", *numbers()),
)


def _sheet(run: Run) -> Sheet:
    """A row a world, defense, number of malicious clients and attack.

    The worst cases and resiliences `own`, `updates` and `everything` are those of levels of knowledge; `level` is the
    lowest one that has the attack.

    What differs between seeds (status, trials) is in the order of the seeds. The last columns are means over the seeds
    of every measure that is one number per trial: ``robustfl list measures``.
    """
    ranks = {row["defense"]: row["rank"] for row in run.ranking}
    known = {name: card.get("knowledge") or () for name, card in run.summary["components"]["attacks"].items()}
    rows = (
        row | {"rank": ranks.get(defense["defense"])}
        for world in run.scores["worlds"]
        for defense in world["defenses"]
        for point in defense["curve"]
        for row in _rows(world, defense, point, run.records, known)
    )
    return Sheet(file="scores.csv", columns=COLUMNS, rows=tuple(rows))


def _at_level(found: Values | None, level: str, name: str) -> float | None:
    """A number of one level of knowledge; None where it is not known."""
    own = (found or {}).get(level)
    return None if own is None else own[name]


def _rows(
    world: Values, defense: Values, point: Values, records: Records, known: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """A row an attack; a point without attacks (it cannot be used, or nothing was tried) still has its row.

    `known[attack]` is what an attack knows.
    """
    shared = {
        **{key: world[key] for key in ("world", "clients", "chance", "seeds")},
        **{key: point[key] for key in ("f", "fraction", "invalid")},
        "defense": defense["defense"],
        "worst_case": point["W"],
        **ends("worst_case", point["W_ci"]),
        "worst_case_cross_fitted": point.get("W_cross_fitted"),
        **{f"worst_case_{level}": _at_level(point.get("levels"), level, "W") for level in LEVELS},
        "mean_utility": point["M"],
        "resilience": defense["R_unt"],
        **ends("resilience", defense["R_unt_ci"]),
        **{f"resilience_{level}": _at_level(defense.get("R_levels"), level, "R") for level in LEVELS[:-1]},
        "undisturbed": defense.get("undisturbed"),
        "evaluation_status": defense.get("status", ""),
        "evaluation_remarks": "; ".join(defense.get("why", [])),
        "baseline": world["baseline"]["mean"],
    }
    if not point["attacks"]:
        yield shared
    for attack, cell in point["attacks"].items():
        found = [accuracy for accuracy in cell["accuracy"] if accuracy is not None]
        yield {
            **shared,
            "attack": attack,
            "utility": cell["U"],
            **ends("utility", cell["ci"]),
            "accuracy": sum(found) / len(found) if found and len(found) == len(cell["accuracy"]) else None,
            "is_worst": attack == point["worst_attack"],
            "level": "" if attack == "none" else level_of(known.get(attack)),
            "status": [status.replace(" ", "_") for status in cell["status"]],
            "trials": [trial or "-" for trial in cell["trials"]],
            **means(cell["trials"], records, numbers()),
        }


HEAT_MAP = Section(key="cells", of_world=_of_world, sheet=_sheet)
