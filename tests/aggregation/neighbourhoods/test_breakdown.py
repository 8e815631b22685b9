"""Averaging in two worlds that hardly hear each other: which rules end together, which apart, and which nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixer
from robustfl.defenses import GTS, NNA, CSHe, CSPlus, Gossip
from robustfl.federation.graphs import TwoWorlds
from robustfl.graphs.spectrum import connectivity, fiedler

GRAPH = TwoWorlds(q=8).draw(26, np.random.default_rng(0))
"""Everybody hears 12 peers of the own half and 8 of the other one."""

ROUNDS, AMPLITUDES = 40, np.geomspace(0.1, 10.0, 10)


def ended(rule: Mixer, b: int, echo: bool = False) -> float:
    """The mean squared distance from the mean of the first models; infinite beyond 1e15.

    Every peer also hears `b` malicious ones. They push it towards its own side of the weakest cut, as far as takes it
    farthest from what honest neighbours alone would make of it; or they echo it.
    """
    rng, h = np.random.default_rng(0), GRAPH.n
    models = rng.standard_normal((h, 5))
    models[:, 0] += np.where(np.arange(h) < h // 2, 5.0, -5.0)
    goal, near, side = models.mean(axis=0), GRAPH.adjacency().astype(float), fiedler(GRAPH)
    k = int(GRAPH.degree[0])
    rows = [[peer, *GRAPH.neighbours(peer), *[h + peer] * b] for peer in range(h)]
    ids = [[peer, *GRAPH.neighbours(peer), *range(100, 100 + b)] for peer in range(h)]
    hoods = Hoods(rows, np.full((h, 1 + k + b), 1 / (1 + k + b)), np.full(h, b), ids)
    for _ in range(ROUNDS):
        letters = models.copy()
        if not echo:
            clean = models + (near @ models - k * models) / (1 + k + b)
            push = np.outer(side, side @ models)
            push /= np.linalg.norm(push, axis=1, keepdims=True)
            push *= (np.linalg.norm(models[:, None] - models, axis=2) * near).max(axis=1)[:, None]
            most = np.full(h, -1.0)
            for amplitude in AMPLITUDES:
                tried = models + amplitude * push
                found = rule.preview(Letters(np.vstack([models, tried])), hoods).models
                harm = np.linalg.norm(found - clean, axis=1)
                letters[harm > most], most = tried[harm > most], np.maximum(harm, most)
        models = rule.mix(Letters(np.vstack([models, letters])), hoods).models
        if np.abs(models).max() > 1e15:
            return np.inf
    return float(((models - goal) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("rule", [GTS(), NNA(), CSPlus(), CSHe()], ids=str)
@pytest.mark.parametrize("b", [1, 3])
def test_all_stay_together_while_4b_is_below_the_connectivity(rule: Mixer, b: int) -> None:
    assert connectivity(GRAPH) == pytest.approx(16.0)
    assert ended(rule, b) < 0.1


def test_averages_do_not_with_a_single_one() -> None:
    assert ended(Gossip(), 1) > 1e6


@pytest.mark.parametrize("rule", [GTS(), NNA()], ids=str)
def test_nearest_neighbours_are_driven_apart_beyond_a_quarter_of_it(rule: Mixer) -> None:
    assert ended(rule, 5) > 1e3
    assert ended(rule, 8) > 1e9


@pytest.mark.parametrize("rule", [CSPlus(), CSHe()], ids=str)
def test_clipped_differences_stay_bounded_up_to_a_half_of_it(rule: Mixer) -> None:
    """The variance of the first models is 30."""
    assert ended(rule, 5) < 15.0
    assert ended(rule, 8) < 60.0


def test_clipping_pays_for_its_bound_also_where_nobody_lies() -> None:
    assert ended(CSPlus(), 4, echo=True) > 5.0
    assert max(ended(rule, 4, echo=True) for rule in (GTS(), NNA())) < 0.1
