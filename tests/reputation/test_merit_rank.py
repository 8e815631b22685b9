"""MeritRank: scores, and how little Sybils gain in every way of placing them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.reputation import FeedbackGraph, Visits, exact_visits, expected_visits, merit_scores

LAYOUTS = ("path", "star", "cycle", "parallel")


def attacked(layout: str, sybils: int, seed: int | None = None) -> FeedbackGraph:
    """me -> honest (3) -> friend (1); me -> attacker (1), which has `sybils` Sybils, in one of four layouts."""
    graph = FeedbackGraph()
    graph.rate("me", "honest", 3.0)
    graph.rate("me", "attacker", 1.0)
    graph.rate("honest", "friend", 1.0)
    names = [f"sybil {number}" for number in range(sybils)]
    if layout == "path":
        for rater, rated in zip(["attacker", *names], names, strict=False):
            graph.rate(rater, rated, 1.0)
    elif layout == "cycle":
        for rater, rated in zip(["attacker", *names], [*names, "attacker"], strict=True):
            if rater != rated:
                graph.rate(rater, rated, 1.0)
    for name in names if layout in ("star", "parallel") else ():
        graph.rate("attacker", name, 1.0)
        if layout == "star":
            graph.rate(name, "attacker", 1.0)
    if seed is not None:  # and anything else among themselves
        rng = np.random.default_rng(seed)
        for rater in ["attacker", *names]:
            for rated in rng.choice(["attacker", *names], size=3):
                if rater != rated:
                    graph.rate(rater, str(rated), float(rng.exponential()))
    return graph


def gain(graph: FeedbackGraph, stop: float, decay: float = 0.0) -> float:
    """The scores of the Sybils, in units of what their attacker has without any decay."""
    scores = graph.scores("me", stop=stop, decay=decay)
    whole = graph.scores("me", stop=stop, decay=0.0)
    return sum(score for name, score in scores.items() if str(name).startswith("sybil")) / whole["attacker"]


def share(graph: FeedbackGraph, stop: float) -> float:
    scores = graph.scores("me", stop=stop, decay=0.0)
    return 1 - scores["honest"] - scores["friend"]


@pytest.mark.parametrize(
    ("c", "sybils", "expected", "gained"),
    [
        (0.85, 0, 0.151, 0),
        (0.85, 1, 0.250, 0.844),
        (0.85, 5, 0.355, 2.03),
        (0.85, 50, 0.417, 2.94),
        (0.5, 0, 0.183, 0),
        (0.5, 1, 0.249, 0.50),
        (0.5, 50, 0.270, 0.66),
        (0.95, 0, 0.148, 0),
        (0.95, 1, 0.250, 0.95),
        (0.95, 50, 0.613, 8.2),
    ],
)
def test_reference_run_of_a_star(c: float, sybils: int, expected: float, gained: float) -> None:
    graph = attacked("star", sybils)  # the expected values are estimates from 100 000 walks
    assert share(graph, 1 - c) == pytest.approx(expected, abs=0.005)
    assert gain(graph, 1 - c) == pytest.approx(gained, rel=0.015, abs=1e-12)


@pytest.mark.parametrize("c", [0.5, 0.85, 0.95])
def test_gains_in_each_layout_are_the_known_ones(c: float) -> None:
    for k in (1, 7, 50):
        assert gain(attacked("path", k), 1 - c) == pytest.approx(c * (1 - c**k) / (1 - c))
        assert gain(attacked("parallel", k), 1 - c) == pytest.approx(c), "a dead end each: one step, to any of them"
    assert gain(attacked("star", 2000), 1 - c) == pytest.approx(c / (1 - c**2), rel=0.02)


@pytest.mark.parametrize(
    ("layout", "sybils", "gained"),
    [
        ("path", 1, 0.5),
        ("path", 5, 0.96875),
        ("path", 40, 1.0),
        ("parallel", 1, 0.5),
        ("parallel", 40, 0.5),
    ],
)
def test_gains_of_walks_that_stop_at_every_other_step(layout: str, sybils: int, gained: float) -> None:
    assert gain(attacked(layout, sybils), 0.5) == pytest.approx(gained, abs=1e-9)


def test_walks_that_come_back_are_counted_once() -> None:
    """Scores rest on first visits; however often Sybils hand walks back, the attacker's hits stay what they were."""
    alone, returned = attacked("star", 0), attacked("star", 400)
    hits = [exact_visits(graph.edges, 0, 0.5).hits for graph in (alone, returned)]
    attacker = returned.nodes.index("attacker")
    assert hits[1][attacker] == hits[0][attacker]
    assert gain(returned, 0.5) == pytest.approx(0.66666667, abs=1e-3), "among so many, hardly a Sybil is met twice"
    assert gain(attacked("star", 1), 0.5) == pytest.approx(0.5), "a single one is met by half of the walks"


@pytest.mark.parametrize(
    ("layout", "sybils", "of_attacker", "of_sybils"),
    [
        ("path", 1, 1.0, 0.5),
        ("path", 5, 1.0, 0.96875),
        ("path", 60, 1.0, 1.0),
        *(("parallel", k, 1.0, 0.5) for k in (1, 5, 50)),
        *(("star", k, 1.33333333, 0.66666667) for k in (1, 5, 50)),
    ],
)
def test_visits_of_walks_that_stop_at_every_other_step(
    layout: str, sybils: int, of_attacker: float, of_sybils: float
) -> None:
    """In units of the R visits that the attacker gets from outside; a star is what others call a cycle: there and back.

    With one Sybil the ring is a star too; with more, walks come back only after a whole round.
    """
    graph = attacked(layout, sybils)
    attacker, *names = (graph.nodes.index(node) for node in graph.nodes if str(node)[:5] in ("attac", "sybil"))
    for ego, outside in ((0, 0.5 * 0.25), (attacker, 1.0)):
        visits = expected_visits(graph.edges, ego, 0.5) / outside
        assert visits[attacker] == pytest.approx(of_attacker, abs=5e-9)
        assert visits[names].sum() == pytest.approx(of_sybils, abs=5e-9)


@pytest.mark.parametrize("c", [0.5, 0.85, 0.95])
@pytest.mark.parametrize("k", [1, 5, 50])
def test_visits_in_each_layout_follow_their_formulas(c: float, k: int) -> None:
    around = c ** (k + 1)  # the share of walks that come back to the attacker of a ring
    for layout, of_attacker, of_sybils in (
        ("path", 1.0, c * (1 - c**k) / (1 - c)),
        ("parallel", 1.0, c),
        ("star", 1 / (1 - c**2), c / (1 - c**2)),
        ("cycle", 1 / (1 - around), c * (1 - c**k) / (1 - c) / (1 - around)),
    ):
        graph = attacked(layout, k)
        attacker = graph.nodes.index("attacker")
        visits = expected_visits(graph.edges, 0, 1 - c) / (0.25 * c)
        sybils = [place for place, node in enumerate(graph.nodes) if str(node).startswith("sybil")]
        np.testing.assert_allclose([visits[attacker], visits[sybils].sum()], [of_attacker, of_sybils])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("c", [0.5, 0.85, 0.95])
def test_sybils_gain_a_bounded_amount_whatever_their_number(layout: str, c: float) -> None:
    bound = c / (1 - c)
    for k in (1, 2, 5, 20, 50):
        graph = attacked(layout, k)
        assert gain(graph, 1 - c) <= bound * (1 + 1e-9)
        assert gain(graph, 1 - c, decay=0.5) <= 0.5 * bound * (1 + 1e-9), "all of them are behind one attacker"


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), sybils=st.integers(1, 30), layout=st.sampled_from(LAYOUTS))
def test_no_graph_among_sybils_exceeds_the_bound(seed: int, sybils: int, layout: str) -> None:
    graph = attacked(layout, sybils, seed)
    assert gain(graph, 0.15) <= 0.85 / 0.15
    assert gain(graph, 0.15, decay=0.8) <= 0.2 * 0.85 / 0.15 * (1 + 1e-9)


def test_honest_nodes_keep_their_hits_whatever_sybils_do() -> None:
    alone, flooded = attacked("star", 0), attacked("star", 50, seed=1)
    ratio = [graph.scores("me", decay=0.0) for graph in (alone, flooded)]
    for scores in ratio:
        assert scores["honest"] / scores["friend"] == pytest.approx(1 / 0.85)
        assert scores["honest"] / scores["attacker"] >= 3 - 1e-9, "Sybils lead walks nowhere but among themselves"


def test_connectivity_decay_is_an_indicator_beyond_the_threshold() -> None:
    visits = Visits(np.array([1.0, 0.4, 0.3, 0.3]), np.array([0.0, 0.95, 0.96, 0.5]))
    np.testing.assert_allclose(merit_scores(visits, 0), [0, 0.4, 0.15, 0.3])
    np.testing.assert_allclose(merit_scores(visits, 0, threshold=0.4, decay=1.0), [0, 0, 0, 0])
    nowhere = Visits(np.array([1.0, 0.0]), np.zeros(2))
    assert merit_scores(nowhere, 0).tolist() == [0, 0]


def test_a_graph_grows_and_fades() -> None:
    graph = FeedbackGraph(["a", "b"], np.array([[0.0, 2.0], [0.0, 0.0]]))
    for number in range(40):
        graph.rate("b", ("c", number), 1.0)
    graph.fade(0.5)
    graph.rate("a", ("c", 3), 1.0)
    assert graph.nodes == ("a", "b", *(("c", number) for number in range(40)))
    edges = graph.edges
    assert (edges[0, 1], edges[1, 2], edges[0, 5], edges.sum()) == (1.0, 0.5, 1.0, 22.0)
    edges[:] = 7.0
    assert graph.edges.sum() == 22.0, "a copy"
    assert graph.scores("a")["b"] == graph.scores("a")[("c", 3)] * 0.5 / (0.5 + 0.5 * 0.85 / 40)


def test_walks_give_scores_near_the_exact_ones() -> None:
    graph = attacked("star", 5)
    exact, walked = graph.scores("me"), graph.scores("me", walks=50_000, rng=np.random.default_rng(0))
    assert exact.keys() == walked.keys() == set(graph.nodes) - {"me"}
    assert max(abs(exact[node] - walked[node]) for node in exact) < 0.01


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda g: g.rate("a", "b", -1.0), "`feedback` should be finite and >= 0. Found -1"),
        (lambda g: g.rate("a", "b", float("nan")), "`feedback` should be finite"),
        (lambda g: g.rate("a", "a", 1.0), "Nobody rates itself"),
        (lambda g: g.fade(1.5), "0 <= factor <= 1"),
        (lambda g: g.scores("mee"), "Found 'mee'. Did you mean 'me'"),
        (lambda g: g.scores("me", walks=5), "Random walks need a generator"),
        (lambda g: g.scores("me", decay=2.0), "0 <= decay <= 1"),
        (lambda g: g.scores("me", threshold=-1.0), "0 <= threshold <= 1"),
        (lambda g: FeedbackGraph(["a"], np.ones((2, 2))), r"`edges` should be \[1, 1\]"),
        (lambda g: FeedbackGraph().scores("x"), "Found 'x'"),
    ],
)
def test_mistakes_are_told(work: object, message: str) -> None:
    assert callable(work)
    with pytest.raises(ParameterError, match=message):
        work(attacked("star", 1))
