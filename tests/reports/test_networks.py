"""Networks as drawings: everybody is drawn once, in words too, and shapes say what colours say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from robustfl.federation.graphs import Exponential, RandomGeometric, Regular, Ring
from robustfl.graphs.graph import Graph
from robustfl.reports.html_drawings import svg
from robustfl.reports.sections.content import Circle, Figure, Path, Words
from robustfl.reports.sections.content.networks import TONES, Peer, network

CHAIN = Graph(n=5, edges=[(0, 1), (1, 2), (2, 3), (3, 4)])
PEERS = [
    Peer(accuracy=0.9, words="mostly class 3"),
    Peer(malicious=True),
    Peer(accuracy=0.4),
    Peer(accuracy=0.65),
    Peer(accuracy=0.2),
]


def shown(figure: Figure, meaning: str) -> list[Circle | Path]:
    return [s for s in figure.drawings[0].shapes if isinstance(s, Circle | Path) and s.meaning == meaning]


def honest(figure: Figure) -> list[Circle]:
    """The circles of peers, without those of the key."""
    return [shape for shape in shown(figure, "peer") if isinstance(shape, Circle) and shape.title]


def words(figure: Figure) -> list[str]:
    return [shape.text for shape in figure.drawings[0].shapes if isinstance(shape, Words)]


def test_each_peer_has_its_shape_its_tone_and_its_words() -> None:
    figure = network(CHAIN, PEERS, alone=0.4, undisturbed=0.9, title="Echo")
    assert [peer.title for peer in honest(figure)] == [
        "peer 0, accuracy 0.90, hop 0, 1 malicious neighbour, mostly class 3",
        "peer 2, accuracy 0.40, hop 0, 1 malicious neighbour",
        "peer 3, accuracy 0.65, hop 1",
        "peer 4, accuracy 0.20, hop 2",
    ]
    assert [peer.tone for peer in honest(figure)] == [TONES - 1, 0, (TONES - 1) // 2, 0], (
        "what is worse than alone is 0"
    )
    (bad,) = shown(figure, "malicious")
    assert bad.title == "peer 1, malicious"
    assert len(shown(figure, "ring")) == 2
    assert [path.d.count("M") for path in shown(figure, "attack") if isinstance(path, Path)] == [2]
    assert [path.d.count("M") for path in shown(figure, "edge") if isinstance(path, Path)] == [2]
    assert words(figure) == ["peer 4: 0.20", "alone 0.40", "0.90 undisturbed"]
    wanted = "5 peers, 1 of them malicious, degree 1 to 2 (mean 1.6), algebraic connectivity 0.38, local bound 1"
    assert figure.lines == (wanted,)
    assert figure.drawings[0].words == f"Echo: {wanted}; honest peers have accuracies from 0.20 to 0.90"


def test_rings_lie_below_the_circle_that_they_surround() -> None:
    shapes = network(CHAIN, PEERS, alone=0.4, undisturbed=0.9).drawings[0].shapes
    place = next(i for i, shape in enumerate(shapes) if isinstance(shape, Circle) and shape.meaning == "ring")
    ring, circle = shapes[place : place + 2]
    assert isinstance(ring, Circle)
    assert isinstance(circle, Circle)
    assert (ring.x, ring.y) == (circle.x, circle.y)
    assert ring.r > circle.r


@pytest.mark.parametrize("n", [1, 2, 60, 400, 401, 2000, 2001])
def test_networks_of_every_size_stay_inside(n: int) -> None:
    graph = RandomGeometric().draw(n, np.random.default_rng(0))
    peers = [Peer(malicious=place % 10 == 9, accuracy=None if place % 10 == 9 else 0.5) for place in range(n)]
    figure = network(graph, peers, alone=0.3, undisturbed=0.9)
    drawing = figure.drawings[0]
    assert bool(shown(figure, "edge")) == (1 < n <= 400)
    assert bool(shown(figure, "attack")) == (10 <= n <= 2000)
    if n <= 2000:
        assert len(honest(figure)) + len(shown(figure, "malicious")) == n
    else:
        counted = [int(shape.title.split()[0]) for shape in honest(figure)]
        assert sum(counted) == sum(not peer.malicious for peer in peers)
        assert len(counted) <= 900
    for circle in [*honest(figure), *shown(figure, "ring")]:
        assert isinstance(circle, Circle)
        assert circle.r <= circle.x <= drawing.width - circle.r
        assert circle.r <= circle.y <= drawing.height - circle.r
    assert network(graph, peers, alone=0.3, undisturbed=0.9) == figure


@pytest.mark.parametrize(
    "peers",
    [
        [Peer(malicious=True)] * 4,
        [Peer()] * 4,
        [Peer(accuracy=0.5)] * 4,
    ],
    ids=["nobody honest", "nothing known", "nobody malicious"],
)
def test_whatever_is_missing_is_left_out(peers: list[Peer]) -> None:
    figure = network(Ring().draw(4, np.random.default_rng(0)), peers, alone=0.5, undisturbed=0.5)
    assert "nan" not in str(svg(figure.drawings[0]))
    assert "local bound 0" in figure.lines[0]
    assert all(peer.tone == (None if peers[0].accuracy is None else TONES - 1) for peer in honest(figure))


def test_a_directed_edge_is_one_line() -> None:
    graph = Exponential().draw(3, np.random.default_rng(0))
    figure = network(graph, [Peer(accuracy=0.5)] * 3, alone=0.1, undisturbed=0.9)
    assert [path.d.count("M") for path in shown(figure, "edge") if isinstance(path, Path)] == [3]


def test_the_page_gets_plain_shapes_with_their_descriptions() -> None:
    graph = Regular(degree=4).draw(12, np.random.default_rng(0))
    hostile = [Peer(accuracy=0.5, words="<script>alert(1)</script>"), *[Peer(malicious=True)] * 11]
    text = str(svg(network(graph, hostile, alone=0.1, undisturbed=0.9).drawings[0]))
    assert 'class="network"' in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert len(re.findall("<title>", text)) == 12
    assert 'class="peer tone4"' in text
    assert "style=" not in text
    assert "on" not in re.findall(r" (on\w+)=", text)


def covered(figure: Figure) -> int:
    """How many peers lie under the words beside the worst one."""
    (label,) = (s for s in figure.drawings[0].shapes if isinstance(s, Words) and s.text.startswith("peer"))
    wide = 6 * len(label.text)
    left = label.x if label.anchor == "start" else label.x - wide
    assert left >= 0
    assert left + wide <= figure.drawings[0].width
    return sum(left < peer.x < left + wide and label.y - 10 < peer.y < label.y + 2 for peer in honest(figure))


@pytest.mark.parametrize("seed", range(3))
def test_the_words_beside_the_worst_peer_cover_nobody(seed: int) -> None:
    graph = RandomGeometric(radius=0.3).draw(35, np.random.default_rng(seed))
    for worst in range(0, 35, 3):
        peers = [Peer(accuracy=0.1 if place == worst else 0.5) for place in range(35)]
        assert covered(network(graph, peers, alone=0.3, undisturbed=0.9)) == 0
