"""The leaderboard: which defenses withstand a frozen suite of attacks in every world, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from robustfl.evaluation.results.reporting import ReportPage, RunResults
from robustfl.evaluation.score.headline import headline
from robustfl.evaluation.score.index import combined_index

from .markdown import page, written
from .markup import escaped
from .sections.content import (
    INTERVAL,
    LABEL,
    NUMBER,
    TEXT,
    Bullets,
    Cell,
    Column,
    Facts,
    Form,
    Note,
    Preformatted,
    Row,
    Run,
    Table,
    World,
)
from .sections.content.wording import MISSING, distinct, named, number
from .sections.ranking import LEVEL_COLUMNS, PEER_COLUMNS, baseline, levels, mark, peer_cells, place, standard_line


@dataclass(frozen=True, kw_only=True)
class Leaderboard(ReportPage):
    """One Markdown page that ranks defenses; only suites with a standard suite of attacks have this page.

    Each rank is shown with the results in each world, the score under attacks with an aim, and the time of aggregation
    as a multiple of plain averaging in the same run. A star marks the Pareto front: no defense that could be ranked is
    both more resilient and faster.
    """

    filename: ClassVar[str] = "leaderboard.md"

    def render(self, results: RunResults) -> str:
        """The page, or an empty text without a standard suite; equal results give equal bytes."""
        run = Run(results=results)
        suite = run.summary["suite"]
        if not suite.get("standard"):
            return ""
        names = distinct([world.label for world in run.worlds])
        unranked = _unranked(run)
        return page(
            [
                f"# {escaped(suite['name'])}",
                escaped(suite["description"] or ""),
                escaped(headline(run.results.summary)),
                escaped(standard_line(run)),
                "## Ranking",
                *written([_ranking(run, slowdowns(results))]),
                _LEGEND,
                "## Worst case in each world",
                *written([_worlds(run, names), Note(line=_conditions(run.worlds, names))]),
                *(("## Without a rank", *written([unranked])) if unranked.entries else ()),
                "## How it was made",
                *written([Preformatted(text=suite["command"]), Facts(entries=_facts(run))]),
            ]
        )


_LEGEND = (
    "Resilience is the worst-case utility, averaged over the attacked shares of malicious clients and over the worlds: "
    "1 is as good as attack-free training, 0 as bad as guessing. Rows are in its order, and ≈ marks those that cannot "
    "be told apart from the first. Intervals allow for the choice of the worst attack: the lower end is the smallest "
    "of the bounds of all attacks, the upper end is corrected for the attacks that may be the worst. A rank is one "
    "more than the number of defenses that are better beyond chance (paired t-tests over the seeds, stratified by "
    "world, of a defense at its worst attack against another cross-fitted, with Holm’s correction over all pairs). Own "
    "data only, with honest updates: the resilience against attackers who know less; resilience itself is that against "
    "all, and every attacker may know the defense. Undisturbed: what the defense, told f, keeps where nobody attacks. "
    "Worst world: the smallest resilience in one world. Strongest attack: what does most harm with the most malicious "
    "clients, in the world where it does. Aims: the usefulness that is kept under attacks with an aim, such as "
    "backdoors, in the worst world. RI[UT]: the geometric mean of resilience and aims, weighted 0.40 to 0.25. Time: of "
    "aggregation, as a multiple of plain averaging, for these small models; a star marks the Pareto front of "
    "resilience and time."
)


def slowdowns(results: RunResults) -> dict[str, float]:
    """The median time of aggregation without an attack, as a multiple of plain averaging; empty without the latter."""
    spent: dict[str, list[float]] = {}
    for record in results.records:
        if record["status"] == "ok" and record["labels"]["attack"] == "none":
            spent.setdefault(record["labels"]["defense"], []).append(float(record["time"]["aggregate_s"]))
    unit = median(spent.get("Mean", [0.0]))
    return {defense: median(times) / unit for defense, times in spent.items()} if unit > 0 else {}


def front(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """The names on the Pareto front of (resilience, time): no other is at least as good in both and better in one."""
    return {
        name
        for name, (value, time) in points.items()
        if not any(v >= value and t <= time and (v, t) != (value, time) for v, t in points.values())
    }


def _ranking(run: Run, times: Mapping[str, float]) -> Table:
    aims: dict[str, list[float]] = {}
    for _, own in run.each("targeted"):
        if own["T"] is not None:
            aims.setdefault(own["defense"], []).append(own["T"])
    shown, alone = run.contestants, run.baselines
    ranked = [row for row in shown if row["rank"] is not None and row["R_mean"] is not None]
    best = front({row["defense"]: (row["R_mean"], times[row["defense"]]) for row in ranked if row["defense"] in times})
    columns = (
        Column(key="rank", heading="Rank", form=NUMBER),
        Column(key="defense", heading="Defense", form=LABEL),
        Column(key="resilience", heading="Resilience", form=NUMBER),
        Column(key="interval", heading="95% interval", form=INTERVAL),
        *LEVEL_COLUMNS,
        Column(key="undisturbed", heading="Undisturbed", form=NUMBER),
        Column(key="worst", heading="Worst world", form=NUMBER),
        Column(key="strongest", heading="Strongest attack", form=TEXT),
        *(PEER_COLUMNS if alone else ()),
        Column(key="aims", heading="Aims", form=NUMBER),
        Column(key="index", heading="RI[UT]", form=NUMBER),
        Column(key="time", heading="Time", form=_MULTIPLE),
    )
    rows = tuple(
        Row(
            cells={
                "rank": place(row),
                "defense": row["defense"],
                "resilience": Cell(row["R_mean"], note=mark(row)),
                "interval": row["R_ci"],
                **levels(row),
                "undisturbed": row.get("undisturbed"),
                "worst": row["R_min"],
                "strongest": named(row["worst_attack"]),
                **peer_cells(row, run),
                "aims": min(aims.get(row["defense"], []), default=None),
                "index": _index(row["R_mean"], aims.get(row["defense"], [])),
                "time": Cell(times.get(row["defense"]), note=" ★" if row["defense"] in best else ""),
            }
        )
        for row in shown
    )
    return Table(columns=columns, rows=(*rows, *map(baseline, alone)))


def _index(resilience: float | None, aims: Sequence[float]) -> float | None:
    """The combined index of both axes; None if one is missing, because indexes of other axes cannot be compared."""
    if resilience is None or not aims:
        return None
    return combined_index({"U": min(max(resilience, 0.0), 1.0), "T": min(aims)}).value


def _times(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}×" if value < 10 else f"{value:.0f}×"


_MULTIPLE = Form(show=_times)
"""A time as a multiple of another one."""


def _worlds(run: Run, names: Sequence[str]) -> Table:
    """The worst case with the largest number of malicious clients, one column per world."""
    last = {
        world.key: {own["defense"]: own["curve"][-1]["W"] for own in world.defenses if own["curve"]}
        for world in run.worlds
    }
    worlds = (Column(key=key, heading=name, form=NUMBER) for key, name in zip(last, names, strict=True))
    names_of = (row["defense"] for row in run.ranking)
    return Table(
        columns=(Column(key="defense", heading="Defense", form=LABEL), *worlds),
        rows=tuple(
            Row(cells={"defense": name, **{key: values.get(name) for key, values in last.items()}}) for name in names_of
        ),
    )


def _conditions(worlds: Sequence[World], names: Sequence[str]) -> str:
    """How good training is without an attack, and how many malicious clients there are, world by world."""
    told = [
        f"{name}: {max(world.scored['f_grid'])} of {world.clients} clients malicious, accuracy "
        f"{number(world.scored['baseline']['mean'])} without any"
        for name, world in zip(names, worlds, strict=True)
    ]
    most = "The utility that is left under the worst attack with the most malicious clients."
    return f"{most} {'; '.join(told)}."


def _unranked(run: Run) -> Bullets:
    """The defenses that the table shows without a rank, and why."""
    lines = (
        f"{row['defense']}: {row.get('status', '')}: {'; '.join(row.get('why', []))}"
        for row in run.ranking
        if row["rank"] is None
    )
    return Bullets(entries=tuple((line, ()) for line in lines))


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    suite, trials = run.summary["suite"], run.summary["trials"]
    counts = ", ".join(f"{trials[state]} {state}" for state in ("ok", "diverged", "failed", "invalid") if trials[state])
    return (
        ("suite", suite["hash"]),
        ("standard suite", f"{suite['standard']['name']}, {suite['standard']['hash']}"),
        ("trials", f"{trials['total']}: {counts}"),
        ("seeds", str(len(run.seeds))),
        *((key, str(value)) for key, value in run.summary["provenance"].items()),
    )
