"""Figures about networks of peers: the network, peers over rounds, how far they agree, who is hit, what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .content import Circle, Drawing, Figure, Path, Shape, Words
from .content.figures import Frame, Point, ticks
from .content.networks import network
from .content.wording import number, size
from .peer_readings import Duel, Place, Yardstick

WIDTH, HEIGHT = 250.0, 150.0
CURVES = {
    "best_peer_curve": ("best", "thin line"),
    "mean_peer_curve": ("mean", "line"),
    "lowest_tenth_curve": ("lowest tenth", "base"),
    "worst_peer_curve": ("worst", "thin line"),
}
"""Measure -> its name in a figure, and how it is drawn."""


def networks(shown: Sequence[Duel], yard: Yardstick) -> Iterator[Figure]:
    """The network of each pair; those that are too large for records are left out."""
    for duel in shown:
        graph = duel.graph()
        if graph is not None:
            title = f"{duel.name}, f = {duel.f}"
            yield network(graph, duel.peers(), alone=yard.alone, undisturbed=yard.undisturbed, title=title)


def rounds(duel: Duel, yard: Yardstick) -> Figure | None:
    """The accuracy of peers over rounds: the best, the mean, the lowest tenth and the worst, and what peers have alone.

    The area between the worst and the best is filled.
    """
    finished = duel.finished
    curves = {name: [float(value) for value in duel.more.get(name) or ()] for name in CURVES}
    if not finished or any(len(values) != len(finished) for values in curves.values()):
        return None
    frame = Frame(width=WIDTH, height=HEIGHT, low=0, high=finished[-1])
    span = zip(finished, zip(curves["worst_peer_curve"], curves["best_peer_curve"], strict=True), strict=True)
    shapes: list[Shape] = [*frame.axes(), Path(d=frame.band(span), meaning="band")]
    shapes += [Path(d=frame.across(yard.alone), meaning="limit", title=f"alone {number(yard.alone, 3)}")]
    told = []
    for name, (words, meaning) in CURVES.items():
        points: list[Point] = list(zip(finished, curves[name], strict=True))
        title = f"{words} {number(curves[name][-1], 3)}"
        told.append(title)
        if meaning in ("line", "base"):
            shapes.append(Path(d=frame.line(points), meaning="line" if meaning == "line" else "base", title=title))
    shapes += _rounds_below(frame, finished)
    end = f"in the end {', '.join(told)}; alone {number(yard.alone, 3)}"
    words = f"Accuracy of honest peers over rounds, {duel.name}; {end}"
    return Figure(
        title=duel.name,
        lines=("Peers over rounds",),
        drawings=(_drawing(words, shapes),),
        caption=(
            "Line: the mean peer. Dashed: the lowest tenth. Filled: from the worst to the best. Dotted: what peers "
            "reach alone."
        ),
    )


def consensus(shown: Sequence[Duel]) -> Figure | None:
    """How far models are from their mean, on a logarithmic scale."""
    curves = [
        (duel, [(one, float(value)) for one, value in zip(duel.finished, duel.more["consensus"], strict=False)])
        for duel in shown
        if duel.more.get("consensus")
    ]
    known = [value for _, points in curves for _, value in points if value > 0 and math.isfinite(value)]
    if not known:
        return None
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    high = max(high, low + 1)
    last = max(points[-1][0] for _, points in curves)
    frame = Frame(width=WIDTH, height=HEIGHT, low=0, high=last, left=34)

    def share(value: float) -> float | None:
        return (math.log10(value) - low) / (high - low) if value > 0 and math.isfinite(value) else None

    powers = ticks(range(low, high + 1), 5)
    shapes: list[Shape] = [Path(d="".join(frame.across((one - low) / (high - low)) for one in powers), meaning="grid")]
    shapes += [
        Words(x=frame.left - 6, y=frame.y((one - low) / (high - low)) + 4, text=_power(one), anchor="end")
        for one in powers
    ]
    lines = []
    for place, (duel, points) in enumerate(curves):
        line = frame.line((one, share(value)) for one, value in points)
        shapes.append(Path(d=line, meaning="base" if place else "line", title=duel.name))
        lines.append(f"{'Dashed' if place else 'Line'}: {duel.defense}, {_short(points[-1][1])} in the end.")
    shapes += _rounds_below(frame, [one for one, _ in curves[0][1]])
    words = f"Distance of honest models from their mean over rounds; {' '.join(lines)}"
    return Figure(
        title="How far peers disagree",
        lines=("Distance from their mean model, over their mean length",),
        drawings=(_drawing(words, shapes),),
        caption=" ".join(lines),
    )


def by_hops(shown: Sequence[Duel], yard: Yardstick) -> Figure | None:
    """Success of the attack by hops from malicious peers, or, of attacks without an aim, accuracy.

    Where all peers are as far away, there is nothing to compare.
    """
    aimed = all(duel.more.get("hop_attack_success") for duel in shown)
    key = "hop_attack_success" if aimed else "hop_accuracy"
    told = [(duel, dict(duel.more.get(key) or {})) for duel in shown if duel.more.get(key)]
    if not told:
        return None
    hops = list(dict.fromkeys(hop for _, found in told for hop in found))
    if len(hops) < 2:
        return None
    frame = Frame(width=WIDTH, height=HEIGHT, low=0, high=len(hops))
    shapes: list[Shape] = [*frame.axes()]
    if not aimed:
        shapes.append(Path(d=frame.across(yard.alone), meaning="limit", title=f"alone {number(yard.alone, 3)}"))
    wide, lines = 0.7 / len(told), []
    for place, (duel, found) in enumerate(told):
        for column, hop in enumerate(hops):
            if hop in found:
                start = column + 0.15 + place * wide
                left, right = frame.x(start), frame.x(start + wide)
                top, floor = frame.y(float(found[hop])), frame.y(0)
                path = f"M{left:g} {floor:g}V{top:g}H{right:g}V{floor:g}"
                title = f"hop {hop}: {number(found[hop], 3)}, {duel.name}"
                shapes.append(Path(d=path, meaning="base" if place else "line", title=title))
        lines.append(f"{'Dashed' if place else 'Line'}: {duel.defense}.")
    shapes += [
        Words(x=frame.x(column + 0.5), y=HEIGHT - 5, text=hop, anchor="middle") for column, hop in enumerate(hops)
    ]
    shapes.append(Words(x=134, y=HEIGHT + 9, text="hops from malicious peers", anchor="middle"))
    said = "; ".join(
        f"{duel.defense}: " + ", ".join(f"hop {hop} {number(value, 3)}" for hop, value in found.items())
        for duel, found in told
    )
    title = "Success of the attack by hops" if aimed else "Accuracy by hops"
    alone = "" if aimed else " Dotted: what peers reach alone."
    return Figure(
        title=title,
        lines=(f"Under {shown[0].attack}; hop 0 hears a malicious peer",),
        drawings=(_drawing(f"{title}; {said}", shapes),),
        caption=" ".join(lines) + alone,
    )


def against_bytes(points: Sequence[Place], alone: float | None) -> Figure | None:
    """The accuracy of the mean and of the worst peer over the bytes of a peer in a round, unless all bytes are equal.

    `alone` is what peers reach alone; None where that is not the same for all points.
    """
    if len({point.bytes for point in points}) < 2:
        return None
    most = max(point.bytes for point in points)
    frame = Frame(width=WIDTH, height=HEIGHT, low=0, high=1.08 * most)
    shapes: list[Shape] = [*frame.axes()]
    if alone is not None:
        shapes.append(Path(d=frame.across(alone), meaning="limit", title=f"alone {number(alone, 3)}"))
    for point in points:
        x, title = frame.x(point.bytes), f"{point.name}: {size(point.bytes)}, mean {number(point.mean, 3)}, "
        title += f"worst {number(point.worst, 3)}"
        shapes.append(Path(d=f"M{x:g} {frame.y(point.mean):g}V{frame.y(point.worst):g}", meaning="base", title=title))
        shapes.append(Circle(x=x, y=frame.y(point.mean), r=3.2, meaning="dot", title=title))
    shapes += [
        Words(x=frame.x(0), y=HEIGHT - 5, text="0", anchor="middle"),
        Words(x=frame.x(most), y=HEIGHT - 5, text=size(most), anchor="middle"),
        Words(x=134, y=HEIGHT + 9, text="bytes of a peer in a round", anchor="middle"),
    ]
    said = "; ".join(f"{p.name} {size(p.bytes)}, {number(p.mean, 3)} to {number(p.worst, 3)}" for p in points)
    return Figure(
        title="Accuracy against bytes",
        lines=("Of the mean peer, down to the worst",),
        drawings=(_drawing(f"Accuracy of the mean and of the worst peer over bytes in a round; {said}", shapes),),
        caption="Dots: the mean peer. Dashed: from there to the worst."
        + ("" if alone is None else " Dotted: what peers reach alone."),
    )


def _rounds_below(frame: Frame, finished: Sequence[int]) -> list[Shape]:
    return [
        *(
            Words(x=frame.x(one), y=HEIGHT - 5, text=str(one), anchor="middle")
            for one in sorted({0, finished[-1] // 2, finished[-1]})
        ),
        Words(x=134, y=HEIGHT + 9, text="rounds", anchor="middle"),
    ]


def _drawing(words: str, shapes: Sequence[Shape]) -> Drawing:
    return Drawing(width=WIDTH, height=HEIGHT + 12, words=words, shapes=tuple(shapes))


def _power(exponent: int) -> str:
    """A power of ten: `1`, `0.01`, `10000`."""
    return f"{10.0**exponent:g}"


def _short(value: float) -> str:
    return f"{value:.2g}"
