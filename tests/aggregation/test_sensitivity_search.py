"""No search finds neighbours whose answers are further apart than a rule says, and where it says nothing there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl.aggregation import Aggregator
from robustfl.defenses import (
    ARC,
    CAF,
    CGE,
    FLAME,
    MDA,
    NNM,
    SMEA,
    Bucketing,
    Bulyan,
    CenteredClipping,
    Clipping,
    DnC,
    FLTrust,
    FoolsGold,
    GeometricMedian,
    Krum,
    Meamed,
    Mean,
    Median,
    MoNNA,
    MultiKrum,
    NormBound,
    Phocas,
    ServerAlone,
    SignGuard,
    TrimmedMean,
)
from tests.aggregation.sensitivity_search import SLACK, Neighbours, Search

N, CLIP = 11, 1.0
ANYWHERE = {"trusted": np.array([0.3, 0.2])}
MIDDLE = {"trusted": np.zeros(2)}  # as far from one cluster as from the other: ties
CENTER = {"center": np.array([0.4, 0.1])}

BOUNDED: list[tuple[str, Aggregator, int, dict[str, Any], float]] = [
    # what, rule, n, further facts, share of the bound that the search reaches
    ("mean", Mean(), 11, {}, 0.99),
    ("norm bound", NormBound(radius=0.5), 11, {}, 0.99),
    ("trimmed mean", TrimmedMean(f=2), 11, {}, 0.99),
    ("trimmed mean, even n", TrimmedMean(f=3), 8, {}, 0.0),
    ("centered clipping", CenteredClipping(radius=0.3), 11, {}, 0.99),
    ("centered clipping, 3 steps", CenteredClipping(radius=0.3, iterations=3), 11, {}, 0.99),
    ("centered clipping, 10 steps", CenteredClipping(radius=0.3, iterations=10), 11, {}, 0.99),
    ("centered clipping around a release", CenteredClipping(radius=0.3, iterations=3), 11, CENTER, 0.9),
    ("cge", CGE(f=2), 11, {}, 0.99),
    ("cge of rows of one length", Clipping(radius=0.5) >> CGE(f=2), 11, {}, 0.99),
    ("monna", MoNNA(f=2), 11, ANYWHERE, 0.99),
    ("monna with ties", MoNNA(f=2), 11, MIDDLE, 0.99),
    ("nnm >> mean", NNM(f=2) >> Mean(), 11, {}, 0.65),
    ("nnm >> mean, largest f", NNM(f=5) >> Mean(), 11, {}, 0.99),
    ("nnm >> mean, equally far rows", NNM(f=5) >> Mean(), 11, {"d": 12}, 0.0),
    ("nnm >> trimmed mean", NNM(f=2) >> TrimmedMean(f=2), 11, {}, 0.45),
    ("bucketing >> mean", Bucketing(size=3) >> Mean(), 12, {}, 0.99),
    ("bucketing >> mean, one row alone", Bucketing(size=2) >> Mean(), 11, {}, 0.49),
    ("bucketing >> trimmed mean", Bucketing(size=2) >> TrimmedMean(f=1), 10, {}, 0.0),
    ("clipping >> trimmed mean", Clipping(radius=0.5) >> TrimmedMean(f=2), 11, {}, 0.99),
    ("arc >> mean", ARC(f=2) >> Mean(), 11, {}, 0.99),
    ("arc >> trimmed mean", ARC(f=2) >> TrimmedMean(f=2), 11, {}, 0.45),
    ("arc >> cge", ARC(f=2) >> CGE(f=2), 11, {}, 0.0),
    ("server alone", ServerAlone(), 11, ANYWHERE, 0.0),
]


@pytest.mark.parametrize("absent", [False, True], ids=["replaced", "absent"])
@pytest.mark.parametrize(("rule", "n", "facts", "share"), [pytest.param(*case[1:], id=case[0]) for case in BOUNDED])
def test_no_neighbours_are_further_apart_than_the_bound(
    rule: Aggregator, n: int, facts: dict[str, Any], share: float, absent: bool
) -> None:
    bound = rule.sensitivity(n, CLIP, relation="add_or_remove" if absent else "replace_one")
    assert bound is not None
    search = Search(rule=rule, n=n, clip=CLIP, absent=absent, **facts)
    found = search.farthest(np.random.default_rng(7), starts=15, climbs=1, steps=40)
    assert found <= bound * (1 + SLACK)
    if not absent:
        assert found >= share * bound


@pytest.mark.parametrize("clip", [1e-3, 40.0])
def test_the_bound_holds_for_every_clip_and_for_single_precision(clip: float) -> None:
    for rule in (NormBound(radius=0.5), CenteredClipping(radius=0.3), TrimmedMean(f=1), CGE(f=1), NNM(f=1) >> Mean()):
        bound = rule.sensitivity(5, clip)
        assert bound is not None
        search = Search(rule=rule, n=5, clip=clip, dtype=np.float32)
        assert search.farthest(np.random.default_rng(1), starts=5, climbs=1, steps=10) <= bound * (1 + 1e-6)


TIES: list[Aggregator] = [
    Median(),
    GeometricMedian(),
    Krum(f=2),
    FLAME(),
    ARC(f=2) >> Median(),
]


@pytest.mark.parametrize("rule", TIES, ids=str)
def test_one_row_between_two_clusters_moves_the_whole_answer(rule: Aggregator) -> None:
    assert rule.sensitivity(N, CLIP) is None
    rows = np.array([[CLIP, 0.0]] * 6 + [[-CLIP, 0.0]] * 5)
    pair = Neighbours(rows=rows, other=rows[-1])
    assert Search(rule=rule, n=N).distance(pair) == pytest.approx(2 * CLIP, rel=1e-3)


UNBOUNDED: list[tuple[Aggregator, float]] = [
    (Bulyan(f=2), 1.99),
    (FoolsGold(), 1.99),
    (MultiKrum(f=2), 1.42),
    (SignGuard(), 1.0),
    (Meamed(f=2), 0.66),
    (Phocas(f=2), 0.66),
    (MDA(f=2), 0.66),
    (SMEA(f=2), 0.66),
    (DnC(f=2), 0.66),
    (CAF(f=2), 0.41),
    (NNM(f=2) >> Median(), 0.66),
    (NNM(f=2) >> Krum(f=2), 0.66),
    (Clipping() >> Mean(), 0.54),
]


@pytest.mark.parametrize(("rule", "reached"), UNBOUNDED, ids=str)
def test_rules_without_a_bound_move_several_times_as_far_as_the_mean(rule: Aggregator, reached: float) -> None:
    assert rule.sensitivity(N, CLIP) is None
    found = Search(rule=rule, n=N).farthest(np.random.default_rng(0), starts=5, climbs=1, steps=25)
    assert found >= reached
    assert found > 2 * (2 * CLIP / N)


def test_the_only_trusted_row_is_the_whole_answer_of_fltrust() -> None:
    rows = np.array([[1e-3, 1.0]] + [[-1.0, 0.0]] * (N - 1))
    pair = Neighbours(rows=rows, other=np.array([1e-3, -1.0]))
    assert FLTrust().sensitivity(N, CLIP) is None
    assert Search(rule=FLTrust(), n=N, trusted=np.array([1.0, 0.0])).distance(pair) > 1.86
