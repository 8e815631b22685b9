"""Networks of peers as drawings: who is malicious, who is attacked, and what accuracy each honest peer has.

Shapes tell what colours tell: malicious peers are diamonds, honest peers are circles that are the fuller the better
they are, and peers next to malicious ones have a ring. The page decides how each looks, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from robustfl.graphs.exposure import malicious_neighbours
from robustfl.graphs.graph import Edges, Graph, Nodes, Points
from robustfl.graphs.layout import layout
from robustfl.graphs.spectrum import connectivity
from robustfl.wording import counted

from .drawings import Circle, Drawing, Figure, Path, Shape, Words
from .figures import radius
from .wording import number

WIDTH, HEIGHT, MARGIN, KEY = 420.0, 360.0, 18.0, 30.0
LETTER = 7.0
"""How wide a letter is, at most in the mean."""
TONES = 9
"""The number of steps of the scale from the accuracy of a peer alone to the undisturbed one."""
MOST_WITH_EDGES = 400
"""Up to so many peers, edges between honest peers are drawn."""
MOST_SINGLE = 2000
"""Up to so many peers, each peer is drawn; beyond, a cell of the picture stands for those in it."""
CELLS = 30
"""The number of cells from left to right, and from top to bottom, where cells are drawn."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What is known of a peer: its final accuracy if it is honest, and further words such as its classes."""

    malicious: bool = False
    accuracy: float | None = None
    words: str = ""


def network(graph: Graph, peers: Sequence[Peer], *, alone: float, undisturbed: float, title: str = "") -> Figure:
    """The network with its peers; accuracies lie on a scale from that of peers alone to the undisturbed one.

    Each peer has a description, which browsers show when one points at it. The worst honest peer has its number beside
    it. Above 400 peers, edges between honest peers are left out; above 2,000, peers of one place are drawn as one.
    """
    bad = np.array([peer.malicious for peer in peers], dtype=np.bool_)
    known = [peer.accuracy for peer in peers if not peer.malicious and peer.accuracy is not None]
    places = MARGIN + layout(graph) * (np.array([WIDTH, HEIGHT]) - 2 * MARGIN)
    scale = _Scale(low=alone, high=max(undisturbed, alone))
    attacked = malicious_neighbours(graph, np.flatnonzero(bad))
    if graph.n > MOST_SINGLE:
        shapes = _cells(places, peers, scale)
    else:
        hops = graph.hops(np.flatnonzero(bad))
        shapes = [*_edges(graph, places, bad), *_peers(places, peers, attacked, hops, scale)]
    bound = int(attacked[~bad].max()) if (~bad).any() else 0
    facts = (
        f"{counted(graph.n, 'peer')}, {int(bad.sum())} of them malicious, {_degrees(graph.degree)}, "
        f"algebraic connectivity {number(connectivity(graph))}, local bound {bound}"
    )
    told = f"; honest peers have accuracies from {number(min(known))} to {number(max(known))}" if known else ""
    drawing = Drawing(
        width=WIDTH,
        height=HEIGHT + KEY,
        words=f"{title or 'Network'}: {facts}{told}",
        shapes=(*shapes, *_key(scale)),
        kind="network",
    )
    return Figure(drawings=(drawing,), title=title, lines=(facts,), caption=_caption(graph.n))


@dataclass(frozen=True, kw_only=True)
class _Scale:
    low: float
    high: float

    def tone(self, accuracy: float | None) -> int | None:
        """The step of an accuracy, 0 to TONES - 1; None if it is not known."""
        if accuracy is None:
            return None
        share = 1.0 if self.high <= self.low else (accuracy - self.low) / (self.high - self.low)
        return round(min(max(share, 0.0), 1.0) * (TONES - 1))


def _edges(graph: Graph, places: Points, bad: NDArray[np.bool_]) -> list[Path]:
    """One path for the edges between honest peers, and one for all edges with a malicious end."""
    ends = graph.edges
    if graph.directed:
        ends = np.unique(np.sort(ends, axis=1), axis=0)
    attack = bad[ends].any(axis=1)
    honest = _lines(places, ends[~attack]) if graph.n <= MOST_WITH_EDGES else ""
    paths = (Path(d=honest, meaning="edge"), Path(d=_lines(places, ends[attack]), meaning="attack"))
    return [path for path in paths if path.d]


def _lines(places: Points, ends: Edges) -> str:
    return "".join(_line(places[one], places[two]) for one, two in ends)


def _line(one: Points, two: Points) -> str:
    return f"M{one[0]:.1f} {one[1]:.1f}L{two[0]:.1f} {two[1]:.1f}"


def _peers(places: Points, peers: Sequence[Peer], attacked: Nodes, hops: Nodes, scale: _Scale) -> list[Shape]:
    size = min(8.0, max(1.6, 0.13 * float(np.sqrt(WIDTH * HEIGHT / len(peers)))))
    shapes: list[Shape] = []
    honest = [place for place, peer in enumerate(peers) if not peer.malicious and peer.accuracy is not None]
    worst = min(honest, key=lambda place: (peers[place].accuracy, place)) if honest else None
    for place, peer in enumerate(peers):
        x, y = places[place].round(1).tolist()
        title = _described(place, peer, int(attacked[place]), int(hops[place]))
        if peer.malicious:
            shapes.append(Path(d=_diamond(x, y, 1.25 * size), meaning="malicious", title=title))
            continue
        if attacked[place]:
            shapes.append(Circle(x=x, y=y, r=round(1.55 * size, 1), meaning="ring"))
        shapes.append(Circle(x=x, y=y, r=round(size, 1), meaning="peer", tone=scale.tone(peer.accuracy), title=title))
    if worst is not None:
        shapes += _beside(places, worst, size, f"peer {worst}: {number(peers[worst].accuracy)}")
    return shapes


def _beside(places: Points, place: int, size: float, text: str) -> list[Shape]:
    """Words beside a peer, where they cover the fewest others, as near as that is; a line leads to them from afar."""
    x, y = places[place].round(1).tolist()
    others, wide, far = np.delete(places, place, axis=0), LETTER * len(text), 2 * size + 2
    found: list[tuple[bool, int, int, float, float, int]] = []
    for away, side, down in product((1, 2, 3, 5, 8, 12), (1, -1) if x <= WIDTH / 2 else (-1, 1), (0, 1, -1)):
        start, level = x + side * far * (1 if down == 0 else 0.4) * away, y + down * away * (far + 4)
        left, right = sorted((start, start + side * wide))
        near = (others > (left - far, level - 8 - far)) & (others < (right + far, level + 8 + far))
        outside = left < 0 or right > WIDTH or not 8 < level < HEIGHT - 8
        found.append((outside, int(near.all(axis=1).sum()), away, start, level, side))
    _, _, away, start, level, side = min(found, key=lambda one: one[:3])
    words = Words(x=round(start, 1), y=round(level + 4, 1), text=text, anchor="start" if side > 0 else "end")
    if away == 1:
        return [words]
    ends = np.array([[x, y], [start - 2 * side, level]])
    ends[0] += (ends[1] - ends[0]) * min(1.0, 1.55 * size / max(float(np.linalg.norm(ends[1] - ends[0])), 1.0))
    return [Path(d=_line(ends[0], ends[1]), meaning="leader"), words]


def _cells(places: Points, peers: Sequence[Peer], scale: _Scale) -> list[Shape]:
    """A circle for the honest peers of each cell and a diamond for the malicious ones, the larger the more they are."""
    across = np.minimum((places - MARGIN) / (np.array([WIDTH, HEIGHT]) - 2 * MARGIN) * CELLS, CELLS - 1).astype(int)
    held: dict[tuple[int, int], list[Peer]] = {}
    for (column, row), peer in zip(across.tolist(), peers, strict=True):
        held.setdefault((row, column), []).append(peer)
    largest = max(map(len, held.values()))
    full = 0.5 * min(WIDTH, HEIGHT) / CELLS
    shapes: list[Shape] = []
    for (row, column), some in sorted(held.items()):
        x = round(MARGIN + (column + 0.5) / CELLS * (WIDTH - 2 * MARGIN), 1)
        y = round(MARGIN + (row + 0.5) / CELLS * (HEIGHT - 2 * MARGIN), 1)
        honest = [peer for peer in some if not peer.malicious]
        known = [peer.accuracy for peer in honest if peer.accuracy is not None]
        mean = sum(known) / len(known) if known else None
        malicious = len(some) - len(honest)
        title = f"{counted(len(honest), 'honest peer')}, mean accuracy {number(mean)}; {malicious} malicious"
        if honest:
            size = radius(len(honest), largest, full)
            shapes.append(Circle(x=x, y=y, r=size, meaning="peer", tone=scale.tone(mean), title=title))
        if malicious:
            shapes.append(Path(d=_diamond(x, y, radius(malicious, largest, full)), meaning="malicious", title=title))
    return shapes


def _diamond(x: float, y: float, size: float) -> str:
    return f"M{x:.1f} {y - size:.1f}l{size:.1f} {size:.1f}l{-size:.1f} {size:.1f}l{-size:.1f} {-size:.1f}z"


def _key(scale: _Scale) -> list[Shape]:
    """The steps of the scale, from the accuracy of peers alone to the undisturbed one, below the network."""
    y, gap = HEIGHT + KEY / 2, 15.0
    start = (WIDTH - gap * (TONES - 1)) / 2
    steps: list[Shape] = [Circle(x=start + gap * step, y=y, r=6, meaning="peer", tone=step) for step in range(TONES)]
    return [
        Words(x=start - 12, y=y + 4, text=f"alone {number(scale.low)}", anchor="end"),
        *steps,
        Words(x=start + gap * (TONES - 1) + 12, y=y + 4, text=f"{number(scale.high)} undisturbed"),
    ]


def _described(place: int, peer: Peer, attackers: int, hops: int) -> str:
    more = f", {peer.words}" if peer.words else ""
    if peer.malicious:
        return f"peer {place}, malicious{more}"
    distance = f", hop {hops - 1}" if hops > 0 else ""
    near = f", {counted(attackers, 'malicious neighbour')}" if attackers else ""
    return f"peer {place}, accuracy {number(peer.accuracy)}{distance}{near}{more}"


def _degrees(degree: Nodes) -> str:
    low, high = int(degree.min()), int(degree.max())
    return f"degree {low}" if low == high else f"degree {low} to {high} (mean {number(float(degree.mean()), 1)})"


def _caption(n: int) -> str:
    if n > MOST_SINGLE:
        return (
            "A circle stands for the honest peers of its place, and a diamond for the malicious ones; areas are in "
            "proportion to their numbers. The fuller a circle, the better its peers are on average."
        )
    left_out = "" if n <= MOST_WITH_EDGES else " Edges between honest peers are left out."
    return (
        "Circles are honest peers, the fuller the better their final accuracy. A ring marks who hears a malicious "
        f"peer. Diamonds are malicious peers, and dashed lines are their edges.{left_out} The worst honest peer has "
        "its number beside it."
    )
