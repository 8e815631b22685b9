"""The leaderboard: who withstands a frozen suite of attacks in every world, and at what cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

from robustfl.evaluation.results.reporting import ReportFormat, RunResults
from robustfl.evaluation.score.index import combined_index

from .markup import escaped, fenced, table
from .status import place, standard_line
from .wording import MISSING, answer, interval, named, number, well_formed

Summary = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Leaderboard(ReportFormat):
    """One Markdown page that ranks defenses, for suites with a standard suite of attacks; others have none.

    Beside the rank stand what depends on the world, the score of attacks with an aim, and the time that aggregation
    took, as a multiple of plain averaging in the same run. A star marks the Pareto front: no defense that could be
    ranked is both more resilient and faster.
    """

    filename: ClassVar[str] = "leaderboard.md"

    def render(self, results: RunResults) -> str:
        """The page, or nothing; equal results give equal bytes."""
        summary = results.summary
        suite, scores = summary["suite"], summary["scores"]
        if not suite.get("standard"):
            return ""
        names = distinct([world["world"] for world in scores["worlds"]])
        blocks = [
            f"# {escaped(suite['name'])}",
            escaped(suite["description"] or ""),
            escaped(" ".join(answer(results)[:2])),
            escaped(standard_line(summary)),
            "## Ranking",
            _ranking(summary, slowdowns(results)),
            _LEGEND,
            "## Worst case in each world",
            _worlds(summary, names),
            "The utility that is left under the worst attack with the most malicious clients. "
            + escaped(_conditions(scores["worlds"], names)),
            *_unranked(scores["ranking"]),
            "## How it was made",
            fenced(suite["command"]),
            table(("", ""), _facts(summary), "ll"),
        ]
        return well_formed("\n\n".join(block for block in blocks if block) + "\n")


_LEGEND = (
    "Resilience is the worst-case utility, averaged over the tested shares of malicious clients and over the worlds: 1 "
    "is as good as attack-free training, 0 as bad as guessing. A rank is one more than the number of defenses that are "
    "better beyond chance (paired t-tests over the seeds, stratified by world, with Holm's correction over all pairs); "
    "equal ranks cannot be told apart. Worst world: the smallest resilience in one world. Strongest attack: what does "
    "most harm with the most malicious clients, in the world where it does. Aims: the usefulness that is kept under "
    "attacks with an aim, such as backdoors, in the worst world. RI[UT]: the geometric mean of resilience and aims, "
    "weighted 0.40 to 0.25. Time: of aggregation, as a multiple of plain averaging, for these small models; a star "
    "marks the Pareto front of resilience and time."
)


def slowdowns(results: RunResults) -> dict[str, float]:
    """The median time of aggregation without an attack, as a multiple of that of plain averaging; empty without it."""
    spent: dict[str, list[float]] = {}
    for record in results.records:
        if record["status"] == "ok" and record["labels"]["attack"] == "none":
            spent.setdefault(record["labels"]["defense"], []).append(float(record["time"]["aggregate_s"]))
    unit = median(spent.get("Mean", [0.0]))
    return {defense: median(times) / unit for defense, times in spent.items()} if unit > 0 else {}


def distinct(labels: Sequence[str]) -> list[str]:
    """Labels without the parts that all share: `Digits, IID, f=1` and `Digits, IID, f=2` -> `f=1` and `f=2`."""
    parts = [re.split(r", (?![^(]*\))", label) for label in labels]
    shared = set.intersection(*map(set, parts)) if parts else set()
    short = [", ".join(part for part in own if part not in shared) for own in parts]
    return short if all(short) else list(labels)


def front(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """Who is on the Pareto front of (resilience, time): nobody is at least as good in both and better in one."""
    return {
        name
        for name, (value, time) in points.items()
        if not any(v >= value and t <= time and (v, t) != (value, time) for v, t in points.values())
    }


def _ranking(summary: Summary, times: Mapping[str, float]) -> str:
    rows = summary["scores"]["ranking"]
    aims: dict[str, list[float]] = {}
    for world in summary.get("targeted", []):
        for own in world["defenses"]:
            if own["T"] is not None:
                aims.setdefault(own["defense"], []).append(own["T"])
    ranked = [row for row in rows if row["rank"] is not None and row["R_mean"] is not None]
    best = front({row["defense"]: (row["R_mean"], times[row["defense"]]) for row in ranked if row["defense"] in times})
    shown = [
        (
            place(row),
            row["defense"],
            number(row["R_mean"]),
            interval(row["R_ci"]),
            number(row["R_min"]),
            named(row["worst_attack"]),
            number(min(aims.get(row["defense"], []), default=None)),
            _index(row["R_mean"], aims.get(row["defense"], [])),
            _times(times.get(row["defense"])) + (" ★" if row["defense"] in best else ""),
        )
        for row in rows
    ]
    header = (
        *("Rank", "Defense", "Resilience", "95% interval", "Worst world"),
        *("Strongest attack", "Aims", "RI[UT]", "Time"),
    )
    return table(header, shown, "rlrrrlrrr")


def _index(resilience: float | None, aims: Sequence[float]) -> str:
    """The combined index of both axes; a dash where one is missing, as indexes of other axes do not compare."""
    if resilience is None or not aims:
        return MISSING
    return number(combined_index({"U": min(max(resilience, 0.0), 1.0), "T": min(aims)}).value)


def _times(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}×" if value < 10 else f"{value:.0f}×"


def _worlds(summary: Summary, names: Sequence[str]) -> str:
    worlds = summary["scores"]["worlds"]
    last = [{own["defense"]: own["curve"][-1]["W"] for own in world["defenses"] if own["curve"]} for world in worlds]
    rows = [
        (row["defense"], *(number(world.get(row["defense"])) for world in last)) for row in summary["scores"]["ranking"]
    ]
    return table(("Defense", *names), rows, "l" + "r" * len(names))


def _conditions(worlds: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """How good training is without an attack, and how many malicious clients there are, world by world."""
    told = [
        f"{name}: {max(world['f_grid'])} of {world['clients']} clients malicious, accuracy "
        f"{number(world['baseline']['mean'])} without any"
        for name, world in zip(names, worlds, strict=True)
    ]
    return "; ".join(told) + "."


def _unranked(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whom the table shows without a rank, and why."""
    lines = [
        f"- {escaped(row['defense'])}: {escaped(row.get('status', ''))}: {escaped('; '.join(row.get('why', [])))}"
        for row in rows
        if row["rank"] is None
    ]
    return ["## Without a rank", "\n".join(lines)] if lines else []


def _facts(summary: Summary) -> list[tuple[str, str]]:
    suite, trials = summary["suite"], summary["trials"]
    counts = ", ".join(f"{trials[state]} {state}" for state in ("ok", "diverged", "failed", "invalid") if trials[state])
    return [
        ("suite", suite["hash"]),
        ("standard suite", f"{suite['standard']['name']}, {suite['standard']['hash']}"),
        ("trials", f"{trials['total']}: {counts}"),
        ("seeds", str(len(suite["seeds"]))),
        *((key, str(value)) for key, value in summary["provenance"].items()),
    ]
