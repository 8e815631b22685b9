"""The attack tailored to the rule, and the extremes that no attack can exceed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.attacks import AGRTailored, FangTrimmedMean, MinMax, MinSum
from robustfl.attacks.updates.agr_tailored import Deviation, farthest, stand_ins
from robustfl.defenses import CGE, Bulyan, GeometricMedian, Krum, Mean, Median, MultiKrum, TrimmedMean
from robustfl.threats import Knowledge, UpdateAttack, View
from robustfl.threats.updates.probing import Probe
from tests.attacks.rounds import facts
from tests.attacks.table import UPDATE, Matrix, Row, crafted, updates, walk


def deviation(rule: Any, attack: UpdateAttack, honest: Matrix, f: int) -> float:
    """How far the attack moves the rule's answer from the honest mean."""
    rows = np.vstack([attack(honest, f=f, aggregate=rule), honest])
    return float(np.linalg.norm(rule(rows) - honest.mean(axis=0)))


def weight(rule: Any, rows: Matrix, honest: Matrix) -> float:
    """What the malicious rows weigh in the answer."""
    return float(rule.aggregate(np.vstack([rows, honest])).weights[: len(rows)].sum())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("direction", ["unit", "sign", "std"])
def test_krum_selects_the_tailored_row_and_none_that_lies_farther(seed: int, direction: Any) -> None:
    """Also where an honest row that Krum could select would deviate more."""
    honest, rule = updates(12, 10, seed), Krum(f=3)
    rows = AGRTailored(direction=direction)(honest, f=3, aggregate=rule)
    mean = honest.mean(axis=0)
    assert weight(rule, rows, honest) == 1.0
    assert weight(rule, mean + 1.001 * (rows - mean), honest) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_it_is_no_weaker_than_what_does_not_know_the_rule(seed: int) -> None:
    honest = updates(14, 10, seed)
    for rule in (Krum(f=3), MultiKrum(f=3), TrimmedMean(f=3), Median(), GeometricMedian(), Mean()):
        tailored = deviation(rule, AGRTailored(), honest, 3)
        for attack in (MinMax(), MinSum()):
            assert tailored >= deviation(rule, attack, honest, 3) * (1 - 1e-3)


def test_rules_that_throw_rows_out_are_told_from_those_that_do_not() -> None:
    """Bulyan's last choices count few neighbours, so that identical rows get in from anywhere, and are trimmed."""
    honest, told = updates(15, 10), []
    for rule in (
        Krum(f=3),
        MultiKrum(f=3),
        CGE(f=3),
        Bulyan(f=3),
        Mean(),
        Median(),
        TrimmedMean(f=3),
        GeometricMedian(),
    ):
        given = facts(honest, 3, aggregate=rule, rotation_equivariant=rule.rotation_equivariant)
        view = View(given, AGRTailored().required_knowledge(), "test", {})
        probe, radius = Probe(view, {"mean": view.mean(), "step": -view.std()}), float(view.std().norm())
        told += [rule.name] if Deviation(view, probe, radius).throws_out else []
    assert told == ["krum", "multi_krum", "cge"]


def test_the_defense_is_asked_a_bounded_number_of_times() -> None:
    for rule in (Krum(f=3), Median()):
        asked = []

        def aggregate(rows: Any, rule: Any = rule, asked: list[int] = asked) -> Any:
            asked.append(1)
            return rule(rows)

        AGRTailored(candidates=10)(updates(12), f=3, aggregate=aggregate)
        assert len(asked) <= 2 * (1 + 10 + 2 * 17)


def test_own_updates_alone_will_do() -> None:
    honest, own = updates(12, 300, 1), updates(12, 300, 1)[:4]
    attack, rule = AGRTailored(estimate="own"), Krum(f=4)
    blind, seeing = attack(honest, f=4, own=own, aggregate=rule), AGRTailored()(honest, f=4, aggregate=rule)
    np.testing.assert_array_equal(blind, attack(updates(12, 300, 2), f=4, own=own, aggregate=rule))
    lengths = [np.linalg.norm(rows[0] - known.mean(axis=0)) for rows, known in ((blind, own), (seeing, honest))]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.2)
    assert np.isfinite(attack(honest, f=1, own=own[:1], aggregate=Mean())).all()


def test_stand_ins_look_like_the_own_updates() -> None:
    own = torch.as_tensor(updates(4, 20))
    view = View(facts(np.zeros((4000, 20)), 4), Knowledge.NOTHING, "test", {})
    rows = stand_ins(view, own, own.mean(dim=0))
    assert torch.allclose(rows.mean(dim=0), own.mean(dim=0), atol=0.06)
    assert torch.allclose(rows.std(dim=0), own.std(dim=0), rtol=0.06)
    assert (stand_ins(view, own[:1], own[0]) == own[0]).all()


@pytest.mark.parametrize(
    ("harm", "best"),
    [
        (lambda x: x if x < 3.7 else 0.0, 3.7),  # a rule that selects
        (lambda x: x if x < 3.7 else 1.9, 3.7),  # and one that does without the attackers
        (lambda x: -((x - 2.2) ** 2), 2.2),
        (lambda x: -((x - 1.8) ** 2), 1.8),
        (lambda x: min(x, 2.0), 2.0),  # a rule that trims: level from there on
        (lambda x: x, 8.0),
        (lambda x: -math.inf if x < 1.3 else -x, 1.3),
    ],
)
def test_the_search_finds_edges_and_peaks(harm: Callable[[float], float], best: float) -> None:
    assert farthest(harm, [0.0, 1.0, 2.0, 4.0, 8.0], 1e-5) == pytest.approx(best, abs=1e-3)


def test_the_search_compares_with_the_best_and_not_with_the_last() -> None:
    """Two peaks: the published search stops at the first one, where the next value is smaller than the one before."""
    values = {0.0: 0.0, 1.0: 3.0, 2.0: 1.0, 4.0: 5.0, 8.0: 2.0}
    assert farthest(lambda x: values.get(x, -1.0), list(values), 0.1) == 4.0


def test_nothing_succeeds_against_a_rule_that_never_listens() -> None:
    honest = updates()
    rows = AGRTailored()(honest, f=2, aggregate=lambda rows: rows[-1])
    assert np.abs(rows - honest.mean(axis=0)).max() < 1e-3


# -- what no attack can exceed


def reachable(honest: Matrix, f: int) -> tuple[Matrix, Matrix]:
    """The extremes to which f rows move the trimmed mean with b = f, by column."""
    columns = np.sort(honest, axis=0)
    return columns[: len(honest) - f].mean(axis=0), columns[f:].mean(axis=0)


def median_extremes(honest: Matrix, f: int) -> tuple[Matrix, Matrix]:
    """The same for the median: all f values below all honest ones, or above."""
    below, above = np.full((f, honest.shape[1]), -np.inf), np.full((f, honest.shape[1]), np.inf)
    ends = [np.sort(np.vstack([honest, far]), axis=0) for far in (below, above)]
    n = len(honest) + f
    low, high = ((rows[(n - 1) // 2] + rows[n // 2]) / 2 for rows in ends)
    return low, high


def test_extremes_of_one_to_eight() -> None:
    honest = np.arange(1.0, 9.0)[:, None]
    assert [float(end[0]) for end in reachable(honest, 2)] == [3.5, 5.5]
    assert [float(end[0]) for end in median_extremes(honest, 2)] == [3.5, 5.5]
    for rule in (TrimmedMean(f=2), Median()):
        assert float(rule(np.vstack([[[-50.0]] * 2, honest]))[0]) == 3.5
        assert float(rule(np.vstack([[[50.0]] * 2, honest]))[0]) == 5.5


@walk(UPDATE)
@pytest.mark.parametrize("f", [1, 3])
def test_no_attack_moves_trimmed_means_or_medians_beyond_the_extremes(row: Row, f: int) -> None:
    honest = updates(9)
    rows = np.vstack([crafted(row.attack, honest, updates(f, seed=1)), honest])
    for rule, (low, high) in (
        (TrimmedMean(f=f), reachable(honest, f)),
        (Median(), median_extremes(honest, f)),
    ):
        result = rule(rows)
        assert (result >= low - 1e-9).all()
        assert (result <= high + 1e-9).all()


def test_farther_than_the_extremes_adds_nothing() -> None:
    honest = np.array([[1.0, 0.0], [1.2, 0.2], [0.8, -0.2], [1.1, 0.1], [0.9, -0.1]])
    mean = honest.mean(axis=0)
    for tau in (0.0, 0.1, 1.0, 3.0, 10.0):
        answer = TrimmedMean(f=2)(np.vstack([[-tau * mean] * 2, honest]))
        assert np.linalg.norm(answer - mean) == pytest.approx(0.1)


@pytest.mark.parametrize("attack", [FangTrimmedMean(), AGRTailored(direction="unit"), AGRTailored(direction="sign")])
def test_some_attacks_reach_the_extremes(attack: UpdateAttack) -> None:
    honest = updates(9)
    up = honest.mean(axis=0) > 0
    for rule, (low, high) in (
        (TrimmedMean(f=3), reachable(honest, 3)),
        (Median(), median_extremes(honest, 3)),
    ):
        rows = np.vstack([attack(honest, f=3, aggregate=rule), honest])
        np.testing.assert_allclose(rule(rows), np.where(up, low, high), atol=1e-12)
