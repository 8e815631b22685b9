"""How near the rules come to what the machine can do: a model of the least work of each kind of rule, and the plot.

The model counts what no implementation can do without, so that a point below a roof means lost time, and none can lie
above it for lack of counting: every pair of rows once for a Gram, a multiplication and an addition for each number in
a weighted sum, log2(n!) comparisons to order a column, and one reading of the matrix for each pass that must follow
another. Comparisons count like additions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.results import Measurement, Roofs, Run
from tests.benchmarks.subjects import Subject

BYTES = 4
STYLES = {"column": ("#D55E00", "o"), "gram": ("#0072B2", "s"), "mixed": ("#009E73", "^")}
"""Colour and marker of each family: three of the colours of Okabe and Ito, which differ for every kind of sight."""
NAMES = {"column": "column by column", "gram": "weights from geometry", "mixed": "mixing, then column by column"}
GAP = 0.028
"""Least distance between two labels, as a share of the height of the plot."""
NEAR = 0.3
"""Decades of intensity between neighbours that share a column of names."""


def work(subject: Subject, n: int, d: int) -> tuple[float, float] | None:
    """(operations, bytes) that a rule of this kind needs at least; None for rules of no family."""
    if subject.family == "other":
        return None
    geometry = {"none": 0.0, "norms": 2.0 * n, "pairs": float(n * (n + 1))}[subject.geometry]
    passes = 1.0 if subject.geometry == "none" else 2.0
    if subject.family == "column":
        a_column = comparisons(n)
    elif subject.family == "gram":
        a_column = geometry + 2.0 * n
    else:
        kept = subject.mixed_rows(n, n // 5)
        a_column = geometry + 2.0 * kept * n + comparisons(kept)
    return a_column * d, BYTES * (passes * n * d + d)


def comparisons(n: int) -> float:
    """log2(n!): the fewest comparisons that put `n` numbers in order."""
    return math.lgamma(n + 1) / math.log(2)


def plotted(run: Run) -> list[Measurement]:
    """The rules of the largest cell on the host that the model knows."""
    known = [m for m in run.measurements if m.device == "cpu" and m.seconds and m.operations and m.traffic]
    if not known:
        return []
    counts: dict[Any, int] = defaultdict(int)
    for m in known:
        counts[m.cell] += 1
    wide = [cell for cell, count in counts.items() if 2 * count >= max(counts.values())]
    largest = max(wide, key=lambda cell: (cell.input_bytes, -abs(math.log10(cell.d / cell.n) - 4)))
    return [m for m in known if m.cell == largest]


def draw(run: Run, path: Path) -> None:
    """Write the roofline plot as SVG; needs a run with the roofs of the host and at least one measured rule."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    points = plotted(run)
    roofs = next((r for r in run.roofs if r.device == "cpu"), None)
    if not points or roofs is None:
        raise ValueError("A roofline needs the roofs of the host and one rule that was measured. Found none.")
    options: Any = {"svg.fonttype": "none", "svg.hashsalt": "roofline", "font.size": 9, "font.family": "sans-serif"}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=(10, 6.5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(xscale="log", yscale="log")
        _draw_roofs(axes, roofs, points)
        _draw_points(axes, points)
        cell = points[0].cell
        axes.set(
            xlabel="arithmetic intensity (operations per byte that must be moved)",
            ylabel="attained rate (10⁹ operations per second)",
            title=f"What the rules attain of what the machine can do ({cell}, float32)",
        )
        axes.grid(which="major", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="lower right", frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})


def intensity(m: Measurement) -> float:
    """Operations for each byte."""
    return (m.operations or 0.0) / (m.traffic or 1.0)


def attained(m: Measurement) -> float:
    """10⁹ operations per second."""
    return (m.operations or 0.0) / (m.seconds or math.inf) / 1e9


def _draw_roofs(axes: Any, roofs: Roofs, points: Sequence[Measurement]) -> None:
    low, high = min(map(intensity, points)) / 3, max(map(intensity, points)) * 20
    peaks = {"float32": roofs.gemm32 / 1e9, "float64": roofs.gemm64 / 1e9}
    top = max(peaks.values())
    for name, rate, line in (("column mean", roofs.column_mean, "-"), ("copy", roofs.copy, "--")):
        ridge = min(top / (rate / 1e9), high)
        label = f"memory: {rate / 1e9:.1f} GB/s ({name})"
        axes.plot([low, ridge], [low * rate / 1e9, ridge * rate / 1e9], color="#555555", linestyle=line, label=label)
    start = min(top / (max(roofs.column_mean, roofs.copy) / 1e9), high)
    for name, peak in peaks.items():
        axes.plot([start * peak / top, high], [peak, peak], color="#000000", linewidth=1.2)
        axes.annotate(
            f"{name} matrix product: {peak:.0f} Gflop/s",
            (high, peak), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8,
        )  # fmt: skip
    axes.set_xlim(low, high)


def _draw_points(axes: Any, points: Sequence[Measurement]) -> None:
    """Points with their names to the right of them; rules of about one intensity share a column of names."""
    for family, (colour, marker) in STYLES.items():
        own = [m for m in points if m.family == family]
        if own:
            xs, ys = [intensity(m) for m in own], [attained(m) for m in own]
            axes.scatter(xs, ys, color=colour, marker=marker, s=26, label=NAMES[family], zorder=4)
    low, high = (math.log10(limit) for limit in axes.get_ylim())
    for column in _columns(points):
        heights = spread([math.log10(attained(m)) for m in column], GAP * (high - low))
        left = 1.25 * max(map(intensity, column))
        for m, height in zip(column, heights, strict=True):
            axes.annotate(
                m.label,
                (intensity(m), attained(m)),
                xytext=(left, 10**height),
                va="center", fontsize=7, color=STYLES[m.family][0], zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
                arrowprops={"arrowstyle": "-", "color": "#aaaaaa", "linewidth": 0.5},
            )  # fmt: skip


def _columns(points: Sequence[Measurement]) -> list[list[Measurement]]:
    """Groups of points of about one intensity, each from the slowest to the fastest."""
    groups: list[list[Measurement]] = []
    for m in sorted(points, key=intensity):
        if groups and intensity(m) <= intensity(groups[-1][-1]) * 10**NEAR:
            groups[-1].append(m)
        else:
            groups.append([m])
    return [sorted(group, key=attained) for group in groups]


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved apart to at least `gap`, each cluster staying around its own middle."""
    clusters: list[list[float]] = []
    for height in heights:
        clusters.append([height])
        while len(clusters) > 1 and _bottom(clusters[-1], gap) - _top(clusters[-2], gap) < gap:
            last = clusters.pop()
            clusters[-1] += last
    return [_bottom(cluster, gap) + gap * place for cluster in clusters for place in range(len(cluster))]


def _bottom(cluster: Sequence[float], gap: float) -> float:
    return sum(cluster) / len(cluster) - gap * (len(cluster) - 1) / 2


def _top(cluster: Sequence[float], gap: float) -> float:
    return _bottom(cluster, gap) + gap * (len(cluster) - 1)
