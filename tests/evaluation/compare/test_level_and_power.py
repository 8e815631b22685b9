"""How often the gate errs, by simulation: false alarms where nothing changed, and drops that it has to find.

The noise of paired differences has a standard deviation of about 0.02 between two trainings that differ by chance alone
(a defense that holds, 120 rounds on digits with learning rate 0.3), and of 0.1 where an attack leaves training
unstable. In the published records of 40 rounds the standard deviation over seeds has medians of 0.02 to 0.09 over the
cells of a world, and its logarithm varies between cells by 0.7.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from robustfl.evaluation.compare.paired import weigh_together
from robustfl.evaluation.compare.pairing import CellPair, SharedRuns
from robustfl.evaluation.compare.regression import Judgement, judge_shared
from robustfl.evaluation.moderation import MOST, NOTHING, common_spread

Table = NDArray[np.float64]  # [cells, seeds]
FAMILIES = 200
CELLS_A_DEFENSE = 8


def judged(differences: Table, *, looks: int = 1, look: int = 1) -> Judgement:
    """The verdicts on a family of cells, eight for each defense, from runs that need not agree in every bit."""
    seeds = differences.shape[1]
    cells = [
        CellPair(
            world="W",
            defense=f"defense {number // CELLS_A_DEFENSE}",
            attack=f"attack {number % CELLS_A_DEFENSE}",
            f=1,
            seeds=tuple(range(seeds)),
            before=(0.0,) * seeds,
            after=tuple(row),
            changed=True,
        )
        for number, row in enumerate(differences.tolist())
    ]
    shared = SharedRuns(worlds=(), cells=tuple(cells), remarks=())
    return judge_shared(shared, delta=0.02, alpha=0.05, looks=looks, look=look, reproducible=False)


def spreads(rng: np.random.Generator, cells: int, middle: float, apart: float) -> Table:
    """The standard deviation of each cell, [cells, 1]: a median and the spread of its logarithm."""
    return np.asarray(middle * np.exp(apart * rng.normal(size=(cells, 1))))


def unlike(rng: np.random.Generator, cells: int, seeds: int) -> Table:
    """Cells as unlike in their noise as the published ones."""
    return spreads(rng, cells, 0.05, 0.7) * rng.normal(size=(cells, seeds))


def two_kinds(rng: np.random.Generator, cells: int, seeds: int) -> Table:
    """A third of the cells is unstable, the others hardly vary; accuracies are counts of 450 test samples."""
    scale = np.where(rng.random((cells, 1)) < 1 / 3, 0.1, 0.004)
    return np.asarray(np.round(scale * rng.normal(size=(cells, seeds)) * 360) / 360)


def chaotic(rng: np.random.Generator, cells: int, seeds: int) -> Table:
    """Most trainings come out equal, and some far apart: as between runs that differ in the last bit of a number."""
    apart = rng.random((cells, seeds)) < rng.beta(0.5, 0.5, size=(cells, 1))
    return np.asarray(np.where(apart, 0.15, 0.001) * rng.normal(size=(cells, seeds)))


def by_defense(rng: np.random.Generator, cells: int, seeds: int) -> Table:
    """The cells of a defense share nine tenths of their variance."""
    shared = np.repeat(rng.normal(size=(-(-cells // CELLS_A_DEFENSE), seeds)), CELLS_A_DEFENSE, axis=0)[:cells]
    noise = np.sqrt(0.9) * shared + np.sqrt(0.1) * rng.normal(size=(cells, seeds))
    return np.asarray(spreads(rng, cells, 0.05, 0.3) * noise)


def by_seed(rng: np.random.Generator, cells: int, seeds: int) -> Table:
    """All cells share half of their variance."""
    noise = np.sqrt(0.5) * rng.normal(size=(1, seeds)) + np.sqrt(0.5) * rng.normal(size=(cells, seeds))
    return np.asarray(0.05 * noise)


@pytest.mark.parametrize(
    ("noise", "cells", "seeds"),
    [
        (unlike, 200, 5),
        (unlike, 30, 10),
        (two_kinds, 60, 5),
        (chaotic, 100, 5),
        (by_defense, 100, 3),
        (by_seed, 50, 3),
    ],
)
def test_where_nothing_changed_at_most_one_family_in_twenty_blocks(
    noise: Callable[..., Table], cells: int, seeds: int
) -> None:
    rng = np.random.default_rng([cells, seeds])
    found = [judged(noise(rng, cells, seeds)).blocks for _ in range(FAMILIES)]
    assert sum(found) <= 0.05 * FAMILIES


@pytest.mark.parametrize("noise", [unlike, by_defense])
def test_three_looks_keep_the_level_too(noise: Callable[..., Table]) -> None:
    rng = np.random.default_rng(3)
    blocked = 0
    for _ in range(FAMILIES):
        every = noise(rng, 50, 15)
        blocked += any(judged(every[:, : 5 * look], looks=3, look=look).blocks for look in (1, 2, 3))
    assert blocked <= 0.05 * FAMILIES


@pytest.mark.parametrize("looks", [1, 3])
def test_a_drop_in_one_of_200_cells_is_found_with_five_seeds(looks: int) -> None:
    rng = np.random.default_rng(looks)
    found = 0
    for _ in range(100):
        differences = spreads(rng, 200, 0.02, 0.3) * rng.normal(size=(200, 5))
        differences[77] -= 0.1
        judgement = judged(differences, looks=looks)
        found += judgement.cells[77].blocks
        assert judgement.cells[77].verdict in ("REGRESSION", "INCONCLUSIVE")
    assert found >= 90


@pytest.mark.parametrize("cells", [30, 200])
def test_a_drop_in_all_cells_of_a_defense_is_found_also_in_the_noise_of_the_published_records(cells: int) -> None:
    rng = np.random.default_rng(cells)
    found = by_the_mean = 0
    for _ in range(100):
        differences = unlike(rng, cells, 5)
        differences[:CELLS_A_DEFENSE] -= 0.1
        judgement = judged(differences)
        found += judgement.blocks
        by_the_mean += judgement.defenses[0].blocks
        assert judgement.defenses[0].cells == CELLS_A_DEFENSE
    assert found >= 90
    assert by_the_mean >= 75


def test_runs_that_agree_have_no_noise_whatever_others_do() -> None:
    differences = unlike(np.random.default_rng(0), 40, 5)
    differences[:CELLS_A_DEFENSE] = 0
    for cell in judged(differences).cells[:CELLS_A_DEFENSE]:
        assert (cell.verdict, cell.change, cell.lower, cell.upper, cell.p) == ("PASS", 0.0, 0.0, 0.0, 1.0)


# The common spread


def test_alike_tests_share_their_variance_and_unlike_ones_keep_their_own() -> None:
    rng = np.random.default_rng(1)
    alike = common_spread(0.05 * rng.normal(size=(400, 5)))
    assert alike.freedom == MOST
    assert alike.variance == pytest.approx(0.05**2, rel=0.1)
    assert common_spread(spreads(rng, 400, 0.05, 1.5) * rng.normal(size=(400, 5))).freedom < 1


def test_the_spread_of_an_inverse_chi_square_law_is_found() -> None:
    """The law under which Smyth's estimate is exact: of 6 degrees of freedom half are used."""
    rng = np.random.default_rng(2)
    variances = 0.03**2 * 6 / rng.chisquare(6, size=(4000, 1))
    found = common_spread(np.sqrt(variances) * rng.normal(size=(4000, 5)))
    assert found.freedom == pytest.approx(3, rel=0.15)
    assert found.variance == pytest.approx(0.03**2, rel=0.1)


@pytest.mark.parametrize("differences", [np.zeros((50, 5)), np.ones((9, 5)) * np.arange(5), np.ones((50, 2))])
def test_nothing_is_learnt_from_too_little(differences: Table) -> None:
    assert common_spread(differences) == NOTHING


def test_without_a_common_spread_the_test_is_students() -> None:
    from scipy import stats

    rows = np.random.default_rng(4).normal(size=(5, 6))
    for row, evidence in zip(rows, weigh_together(rows, delta=0.02, alpha=0.05), strict=True):
        assert evidence.p == pytest.approx(stats.ttest_1samp(row, 0, alternative="less").pvalue, rel=1e-9)
    assert weigh_together(np.zeros((0, 5)), delta=0.02, alpha=0.05) == []
