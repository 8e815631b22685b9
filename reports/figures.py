"""Figures for a paper, drawn by matplotlib: curves, a heat map, cost against resilience, training over the rounds."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.errors import MissingExtraError
from robustfl.evaluation.labels import PLAIN_ACCURACY
from robustfl.evaluation.results.records import mean_curve
from robustfl.evaluation.results.reporting import ReportFormat, RunResults

from .leaderboard import front, slowdowns
from .sections.content import Run, Values, World
from .sections.content.wording import named, well_formed

COLOURED = 8
"""This many defenses, the first of the ranking, have a colour and an entry in the legend; others are grey."""

OPTIONS: dict[str, Any] = {
    "svg.hashsalt": "robustfl",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
GREY = "#b5b1a8"


@dataclass(frozen=True, kw_only=True)
class Figures(ReportFormat):
    """Figures as SVG and PDF: worst case over the malicious clients, heat map, Pareto front, accuracy over the rounds.

    They are only made when asked for, as they need matplotlib: ``pip install 'robustfl[figures]'``. A run of several
    worlds has figures for each, with the number of the world in their names. A curve has at least three points, so a
    suite that tries two numbers of malicious clients has none.
    """

    asked: ClassVar[bool] = True

    def files(self, results: RunResults) -> Mapping[str, str | bytes]:
        """The figures by the names of their files; equal results give equal bytes."""
        matplotlib = _matplotlib()
        run = Run(results=results)
        with matplotlib.rc_context(OPTIONS):
            return {file: data for name, figure in _drawn(run, matplotlib) for file, data in _saved(name, figure)}


def _matplotlib() -> Any:
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise MissingExtraError(
            f"The format figures needs matplotlib, which cannot be imported ({error}). Install it: pip install "
            "'robustfl[figures]'. The page of the format html has its own figures and needs nothing."
        ) from None
    return matplotlib


def _drawn(run: Run, matplotlib: Any) -> Iterator[tuple[str, Any]]:
    """Every figure that has something to show, by its name."""
    for number, world in enumerate(run.worlds, start=1):
        end = "" if len(run.worlds) == 1 else f"_{number}"
        for name, draw in (("breakdown", _breakdown), ("heat_map", _heat_map), ("accuracy", _accuracy)):
            figure = matplotlib.figure.Figure(layout="constrained")
            if draw(world, figure):
                yield f"{name}{end}", figure
    figure = matplotlib.figure.Figure(figsize=(5, 3.6), layout="constrained")
    if _pareto(run, figure):
        yield "pareto", figure


def _saved(name: str, figure: Any) -> Iterator[tuple[str, str | bytes]]:
    """A figure in both forms, without the time at which it was drawn."""
    svg, pdf = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    yield f"{name}.svg", svg.getvalue().decode()
    yield f"{name}.pdf", pdf.getvalue()


def _plain(text: str) -> str:
    """A label that matplotlib shows as it is: no mathematics between dollars, and no control characters."""
    return "".join(sign if sign.isprintable() else "?" for sign in well_formed(text)).replace("$", r"\$")


def _styles(world: World, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How the line of each defense looks: the first of the ranking have colours."""
    return {
        name: {"color": f"C{at}", "label": _plain(name), "zorder": 3} if at < COLOURED else {"color": GREY, "lw": 0.8}
        for at, name in enumerate(names)
    }


def _breakdown(world: World, figure: Any) -> bool:
    """Worst-case utility over the number of malicious clients, one line a defense."""
    if len(world.grid) < 3:
        return False
    figure.set_size_inches(6, 3.6)
    axes = figure.add_subplot()
    styles = _styles(world, [own["defense"] for own in world.defenses])
    for own in world.defenses:
        known = [point for point in own["curve"] if point["W"] is not None]
        axes.plot([p["f"] for p in known], [p["W"] for p in known], marker="o", ms=3, **styles[own["defense"]])
        spread = [point for point in known if point["W_ci"] is not None]
        if spread and "label" in styles[own["defense"]]:
            ends = zip(*(point["W_ci"] for point in spread), strict=True)
            axes.fill_between(
                [p["f"] for p in spread], *map(list, ends), color=styles[own["defense"]]["color"], alpha=0.12, lw=0
            )
    axes.axhline(world.run.limit, color="0.5", lw=0.8, ls=":")
    axes.set(xlabel=f"malicious clients of {world.clients}", ylabel="worst-case utility", ylim=(-0.02, 1.05))
    figure.suptitle(_plain(world.label), fontsize=9)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return True


def _heat_map(world: World, figure: Any) -> bool:
    """The utility that each defense keeps under each attack by the most malicious clients."""
    last = max(world.grid, default=0)
    points = [(own["defense"], point) for own in world.defenses for point in own["curve"] if point["f"] == last]
    attacks = list(dict.fromkeys(attack for _, point in points for attack in point["attacks"]))
    if not points or not attacks:
        return False
    values = [[_utility(point, attack) for attack in attacks] for _, point in points]
    figure.set_size_inches(2.2 + 0.42 * len(attacks), 1.4 + 0.26 * len(points))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    short = world.run.short_attacks
    axes.set_xticks(range(len(attacks)), [_plain(named(short.get(a, a))) for a in attacks], rotation=60, ha="right")
    axes.set_yticks(range(len(points)), [_plain(name) for name, _ in points])
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if value == value:
                ink = "white" if value < 0.5 else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=6)
    figure.suptitle(f"{_plain(world.label)}\n{last} malicious clients of {world.clients}", fontsize=9)
    figure.colorbar(image, label="utility")
    return True


def _utility(point: Values, attack: str) -> float:
    """The utility of a cell within [0, 1], or NaN, which matplotlib leaves empty."""
    cell = point["attacks"].get(attack)
    return float("nan") if cell is None or cell["U"] is None else min(max(float(cell["U"]), 0.0), 1.0)


def _accuracy(world: World, figure: Any) -> bool:
    """Accuracy over the rounds, the mean over the seeds: each defense under its own worst attack."""
    measure = world.run.scores["settings"].get("accuracy", PLAIN_ACCURACY)
    styles = _styles(world, [own["defense"] for own in world.defenses])
    figure.set_size_inches(6, 3.6)
    axes = figure.add_subplot()
    drawn = False
    for own in world.defenses:
        curve = _mean_curve(own, world, measure)
        if len(curve) > 2:
            drawn = True
            axes.plot(*zip(*curve, strict=True), **styles[own["defense"]])
    for level, style in ((world.scored["baseline"]["mean"], "--"), (world.scored["chance"], ":")):
        if level is not None:
            axes.axhline(level, color="0.5", lw=0.8, ls=style)
    most = max(world.grid, default=0)
    axes.set(xlabel="round", ylabel=measure.replace("_", " "), ylim=(0, 1.02))
    told = f"each under its worst attack by {most} malicious clients of {world.clients}"
    figure.suptitle(f"{_plain(world.label)}\n{told}", fontsize=9)
    if drawn:
        figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return drawn


def _mean_curve(own: Values, world: World, measure: str) -> list[tuple[int, float]]:
    """The mean over the seeds where all seeds were measured, under the worst attack by the most malicious clients."""
    point = max(own["curve"], key=lambda point: point["f"], default=None)
    cell = None if point is None else point["attacks"].get(point["worst_attack"] or "")
    if cell is None:
        return []
    return mean_curve((world.run.records.get(trial or "") for trial in cell["trials"]), measure)


def _pareto(run: Run, figure: Any) -> bool:
    """Resilience against the time of aggregation, as a multiple of plain averaging.

    A line joins the Pareto front of the defenses that have a rank; those without one are rings.
    """
    times = slowdowns(run.results)
    known = {
        row["defense"]: (row["R_mean"], times[row["defense"]])
        for row in run.ranking
        if row["R_mean"] is not None and times.get(row["defense"], 0) > 0
    }
    if len(known) < 2:
        return False
    axes = figure.add_subplot()
    ranked = {row["defense"] for row in run.ranking if row["rank"] is not None}
    best = sorted(front({name: known[name] for name in known if name in ranked}), key=lambda name: known[name][1])
    axes.plot(
        [known[name][1] for name in best], [known[name][0] for name in best], color="C0", lw=1, drawstyle="steps-post"
    )
    for name, (value, time) in known.items():
        ring = {} if name in ranked else {"mfc": "none"}
        axes.plot(time, value, "o", ms=4, color="C0" if name in best else GREY, **ring)
        axes.annotate(_plain(name), (time, value), xytext=(3, 3), textcoords="offset points", fontsize=6)
    axes.set(
        xscale="log", xlabel="time of aggregation / that of plain averaging", ylabel="resilience", ylim=(-0.02, 1.05)
    )
    return True
