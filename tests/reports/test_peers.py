"""Networks of peers in reports: what letters cost, and what is told where no fixed network exists."""

from __future__ import annotations

import dataclasses
from typing import Any

from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML
from robustfl.reports.sections.content import Run
from robustfl.reports.sections.peer_figures import against_bytes
from robustfl.reports.sections.peer_readings import Place, yardstick
from tests.reports.synthetic import run

EDGES = [0, 1, 1, 2]


def told(topology: dict[str, Any], **more: Any) -> RunResults:
    """A run among three peers in a chain, with more measures."""
    results = run(worlds=("w",), defenses=2, attacks=3, f_grid=(0, 3), seeds=(0, 1), clients=3)
    known = {
        "alone_mean": 0.4,
        "alone_worst": 0.3,
        "mean_peer": 0.8,
        "worst_peer": 0.6,
        "edge_bytes": 100.0,
        "mu2": 3.0,
        "network_edges": EDGES,
        "network_directed": False,
        "malicious_peers": [],
        "main_classes": [0, 1, 2],
        "peer_accuracy": [0.8, 0.6, 0.9],
        **more,
    }
    records = tuple(
        {
            **record,
            "scenario": {"federation": {"topology": topology}},
            "metrics": {**record["metrics"], "more": known},
        }
        for record in results.records
        if record["metrics"]
    )
    return dataclasses.replace(results, records=records)


def read(results: RunResults) -> Any:
    (world,) = Run(results=results, covered=frozenset()).worlds
    return yardstick(world)


def test_bytes_are_those_that_were_counted_whatever_is_known_of_the_network() -> None:
    chain = read(told({"name": "edges"}))
    assert (chain.bytes, chain.mu2, chain.sampled) == (2 * 7240, 3.0, False)
    large = read(told({"name": "regular"}, network_edges=None))
    assert (large.bytes, large.mu2) == (2 * 7240, 3.0)


def test_where_peers_meet_in_samples_no_network_is_drawn_and_a_sentence_says_why() -> None:
    samples = told({"name": "sampled", "size": 2})
    found = read(samples)
    assert (found.bytes, found.mu2, found.sampled) == (2 * 7240, None, True)
    page, chain = HTML().render(samples), HTML().render(told({"name": "edges"}))
    assert 'class="network"' in chain
    assert "drawn anew in each round" not in chain
    assert 'class="network"' not in page
    assert "Here peers meet in samples that are drawn anew in each round" in page


def test_the_guide_speaks_of_peers_where_there_is_no_server() -> None:
    page = HTML().render(told({"name": "edges"}))
    assert "mix what they get, without a server" in page
    assert "The server combines" not in page
    assert "The server combines all updates" in HTML().render(run(worlds=("w",), defenses=2, attacks=3))


def test_bytes_are_drawn_where_they_differ() -> None:
    points = [Place(name=name, bytes=bytes, mean=0.9, worst=0.8) for name, bytes in (("a", 10.0), ("b", 20.0))]
    figure = against_bytes(points, 0.5)
    assert figure is not None
    assert "Dotted: what peers reach alone" in figure.caption
    apart = against_bytes(points, None)  # in worlds in which peers reach different things alone
    assert apart is not None
    assert "Dotted" not in apart.caption
    assert against_bytes([points[0], dataclasses.replace(points[0], name="c")], 0.5) is None
    assert against_bytes([], None) is None
