"""Simulations of the score's statistics: intervals cover, ranks keep their level, and both find what is there.

The true means are known here, and the utilities of a suite are drawn again and again, with seeds that attacks share to
a chosen degree. The formulas are written a second time for all drawn suites at once, and a test ties them to the ones
that the score uses. Everything is drawn from fixed streams.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from robustfl.evaluation.results.store import content
from robustfl.evaluation.score.curve import BOUNDS
from robustfl.evaluation.score.ranking import Standing, standings
from robustfl.evaluation.statistics import area, cross_fitted, mean_interval, minimum_interval, paired_test

Floats = NDArray[np.float64]

PUBLISHED = Path(__file__).parents[3] / "reports" / "published"


@lru_cache(maxsize=1)
def profiles() -> list[tuple[Floats, Floats]]:
    """The means [A] and the spreads over seeds [A] of the attacks at every twelfth attacked point that is published."""
    found = []
    for folder in sorted(path.parent for path in PUBLISHED.glob("*/summary.json.xz")):
        for world in load_stored_scores(folder)["worlds"]:
            for defense in world["defenses"]:
                for point in defense["curve"]:
                    u = np.array([cell["u"] for cell in point["attacks"].values() if cell["U"] is not None])
                    found += [(u.mean(axis=1), u.std(axis=1, ddof=1))] if point["f"] and u.size else []
    return found[::12]


def load_stored_scores(folder: Path) -> Any:
    return json.loads(content(folder / "summary.json"))["scores"]


def drawn(means: Floats, spreads: Floats, seeds: int, suites: int, shared: float, stream: int) -> Floats:
    """Utilities [suites, attacks, seeds] of attacks whose noise has the correlation `shared`, bounded per seed."""
    rng = np.random.default_rng(stream)
    own = rng.normal(size=(suites, means.size, seeds)) * np.sqrt(1 - shared)
    common = rng.normal(size=(suites, 1, seeds)) * np.sqrt(shared)
    return (means[:, None] + spreads[:, None] * (own + common)).clip(*BOUNDS)


def intervals(u: Floats, confidence: float = 0.95) -> Floats:
    """The ends [2, suites] of the interval of every suite's minimum, within [0, 1]."""
    seeds = u.shape[2]
    means, errors = u.mean(axis=2), u.std(axis=2, ddof=1) / np.sqrt(seeds)
    single = special.stdtrit(seeds - 1, (1 + confidence) / 2)
    lows, highs = means - single * errors, means + single * errors
    contenders = (lows <= highs.min(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
    among = special.stdtrit(seeds - 1, 1 - (1 - confidence) / 2 / contenders)
    return np.stack([lows.min(axis=1), (means + among * errors).min(axis=1)]).clip(0, 1)


def coverage(ends: Floats, truth: float) -> float:
    return float(((ends[0] <= truth + 1e-12) & (truth - 1e-12 <= ends[1])).mean())


def fitted_of(u: Floats) -> tuple[Floats, Floats]:
    """The values [suites, seeds] at the worst attack, and the cross-fitted ones."""
    worst = np.take_along_axis(u, u.mean(axis=2).argmin(axis=1)[:, None, None], axis=1)[:, 0]
    fitted = np.empty_like(worst)
    for half in (0, 1):
        means, spreads = u[:, :, 1 - half :: 2].mean(axis=2), u[:, :, 1 - half :: 2].std(axis=2)
        sure = np.where(means <= 0.0, means + spreads, np.where(means.min(axis=1, keepdims=True) <= 0.0, np.inf, means))
        chosen = sure.argmin(axis=1)[:, None]
        missing = np.maximum(-np.take_along_axis(means, chosen, axis=1), 0.0)
        fitted[:, half::2] = np.take_along_axis(u, chosen[:, :, None], axis=1)[:, 0, half::2] + missing
    return worst, fitted


def test_the_formulas_of_the_simulation_are_those_of_the_score() -> None:
    u = drawn(np.linspace(-0.1, 0.6, 15), np.full(15, 0.1), 4, 20, 0.3, 0)
    ends, (worst, fitted) = intervals(u), fitted_of(u)
    for number, table in enumerate(u):
        low, high = minimum_interval(table) or (2.0, 2.0)
        assert (max(low, 0), min(high, 1)) == pytest.approx(tuple(ends[:, number]))
        assert cross_fitted(table, floor=0.0) == pytest.approx(fitted[number])
        assert worst[number].mean() == pytest.approx(table.mean(axis=1).min())
    other = drawn(np.full(5, 0.4), np.full(5, 0.1), 4, 20, 0.3, 1)
    leads, p = _one_sided((worst - fitted_of(other)[1])[:, None])
    for number in range(20):
        mean, two_sided = paired_test(worst[number], fitted_of(other)[1][number])
        assert leads[number] == pytest.approx(mean)
        assert p[number] == pytest.approx(two_sided / 2 if mean > 0 else 1 - two_sided / 2)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("shared", [0.0, 0.5, 0.95])
@pytest.mark.parametrize(
    ("means", "spreads"),
    [
        pytest.param([0.4] + [0.7] * 31, [0.05] * 32, id="one clear worst attack"),
        pytest.param([0.5] * 32, [0.05] * 32, id="32 equal attacks"),
        pytest.param([0.5] * 32, [0.15] * 4 + [0.02] * 28, id="32 equal attacks, four of them noisy"),
        pytest.param([0.5, 0.5], [0.08] * 2, id="two equal attacks"),
        pytest.param(np.linspace(0.5, 0.8, 32).tolist(), [0.1] * 32, id="a ladder"),
        pytest.param([0.0] * 16 + [0.3] * 16, [0.05] * 32, id="at the lower end"),
        pytest.param([0.97] * 8, [0.04] * 8, id="at the upper end"),
    ],
)
def test_intervals_of_the_worst_case_cover_it(
    seeds: int, shared: float, means: list[float], spreads: list[float]
) -> None:
    u = drawn(np.array(means), np.array(spreads), seeds, 1500, shared, 7)
    assert coverage(intervals(u), min(means)) >= 0.93


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("shared", [0.15, 0.6])
def test_intervals_cover_where_attacks_are_as_in_published_suites(seeds: int, shared: float) -> None:
    assert len(profiles()) >= 15
    found, widths = [], []
    for number, (means, spreads) in enumerate(profiles()):
        ends = intervals(drawn(means, spreads, seeds, 500, shared, number))
        found.append(coverage(ends, float(np.clip(means.min(), 0, 1))))
        widths.append(float((ends[1] - ends[0]).mean()))
    assert np.mean(found) >= 0.95
    assert min(found) >= 0.91  # of five hundred suites each: 0.93 less two standard errors
    assert np.mean(widths) <= {3: 0.4, 5: 0.23, 10: 0.14}[seeds]  # and they are not so wide as to say nothing


def test_the_percentile_bootstrap_would_not_cover() -> None:
    """Resampling the seeds misses the choice of the attack: the reason for the construction of the interval."""
    u = drawn(np.full(32, 0.5), np.full(32, 0.05), 3, 300, 0.0, 1)
    draws = np.stack(np.meshgrid(*[range(3)] * 3), axis=-1).reshape(-1, 3)
    minima = u[:, :, draws].mean(axis=3).min(axis=1)
    ends = np.quantile(minima, [0.025, 0.975], axis=1)
    assert coverage(ends, 0.5) < 0.2
    assert coverage(intervals(u), 0.5) >= 0.93


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.93), (10, 0.93)])
def test_training_that_fails_on_some_seeds_is_covered_where_it_was_seen(seeds: int, least: float) -> None:
    """Utilities that are a mixture of 0.9 and 0, under eight attacks: only some of them show the failure."""
    rng = np.random.default_rng(3)
    u = np.where(rng.random((2000, 8, seeds)) < 0.8, 0.9, 0.0) + rng.normal(0, 0.01, (2000, 8, seeds))
    assert coverage(intervals(u.clip(*BOUNDS)), 0.72) >= least


def test_what_no_seed_has_shown_cannot_be_covered() -> None:
    """With three seeds, one attack and a failure on one seed of five, half of the suites see no failure at all."""
    rng = np.random.default_rng(4)
    u = np.where(rng.random((2000, 1, 3)) < 0.8, 0.9, 0.0) + rng.normal(0, 0.01, (2000, 1, 3))
    unseen = (u > 0.5).all(axis=(1, 2))
    ends = intervals(u)
    assert unseen.mean() == pytest.approx(0.8**3, abs=0.04)
    assert coverage(ends[:, unseen], 0.72) == 0.0
    assert coverage(ends[:, ~unseen], 0.72) > 0.9


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_interval_of_the_area_covers_it(seeds: int, shared: float) -> None:
    """Three shares of malicious clients in one world, whose seeds are the same, with 12 equal attacks at each."""
    heights, fractions = (0.8, 0.6, 0.3), (0.1, 0.2, 0.4)
    rng = np.random.default_rng(5)
    common = rng.normal(size=(1500, 1, seeds)) * np.sqrt(shared)
    ends = []
    for height in heights:
        noise = common + rng.normal(size=(1500, 12, seeds)) * np.sqrt(1 - shared)
        ends.append(intervals(height + 0.06 * noise))
    low, high = (area(fractions, [pair[side] for pair in ends]) for side in (0, 1))
    assert coverage(np.stack([low, high]), float(area(fractions, heights))) >= 0.93


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("equal", [1, 12])
def test_the_interval_of_the_mean_over_worlds_covers_it(seeds: int, equal: int) -> None:
    heights = np.array([0.1, 0.4, 0.5, 0.6, 0.8, 0.9])
    worlds = [
        drawn(np.full(equal, height), np.full(equal, 0.08), seeds, 1000, 0.3, number)
        for number, height in enumerate(heights)
    ]
    estimates = np.stack([u.mean(axis=2).min(axis=1) for u in worlds]).clip(0, 1)
    largest = np.stack([fitted_of(u)[1].mean(axis=1) for u in worlds]).clip(estimates, 1)
    ends = np.stack([intervals(u) for u in worlds])
    found = np.array(
        [mean_interval(estimates[:, n], [(e[0, n], e[1, n]) for e in ends], largest[:, n]) for n in range(1000)]
    )
    assert coverage(found.T, float(heights.mean())) >= 0.93
    assert (found[:, 1] - found[:, 0]).mean() < 0.8 * (ends[:, 1] - ends[:, 0]).mean()


def _one_sided(differences: Floats) -> tuple[Floats, Floats]:
    """The mean lead and the one-sided p-value of every suite from differences [suites, worlds, seeds]."""
    variances = differences.var(axis=2, ddof=1) / differences.shape[2]
    total = variances.sum(axis=1)
    freedom = total**2 / (variances**2).sum(axis=1) * (differences.shape[2] - 1)
    t = differences.mean(axis=2).sum(axis=1) / np.sqrt(total)
    return differences.mean(axis=(1, 2)), np.asarray(special.stdtr(freedom, -t))


def separated(
    profiles: list[list[float]], worlds: int, seeds: int, shared: float, suites: int, margin: float = 0.01
) -> float:
    """The share of the suites in which some defense is ranked below another; each has the attacks of its profile."""
    rng = np.random.default_rng(11)
    values = np.empty((len(profiles), suites, worlds, seeds))
    fitted = np.empty_like(values)
    for world in range(worlds):
        common = rng.normal(size=(suites, 1, seeds)) * np.sqrt(shared)
        for number, means in enumerate(profiles):
            own = rng.normal(size=(suites, len(means), seeds)) * np.sqrt(1 - shared)
            values[number, :, world], fitted[number, :, world] = fitted_of(
                np.array(means)[:, None] + 0.08 * (own + common)
            )
    p = []
    for a in range(len(profiles)):
        for b in range(a):
            found = [_one_sided(values[i] - fitted[j]) for i, j in ((a, b), (b, a))]
            p.append(np.min([np.where(lead > margin, 2 * one, 1.0) for lead, one in found], axis=0))
    # Holm's correction rejects something exactly where Bonferroni's does.
    return float((np.array(p).min(axis=0) <= 0.05 / len(p)).mean())


DESTROYED, UPSIDE_DOWN = [0.0] * 16 + [0.5] * 16, [-0.11] * 4 + [0.5] * 28
EQUAL, LADDER, CLEAR, TWO = [0.5] * 32, np.linspace(0.5, 0.8, 32).tolist(), [0.5] + [0.8] * 31, [0.5, 0.5, 0.8]


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("worlds", "shared"), [(1, 0.5), (6, 0.0)])
@pytest.mark.parametrize(
    "profiles",
    [
        pytest.param([EQUAL] * 6, id="equal attacks"),
        pytest.param([LADDER] * 6, id="ladders"),
        pytest.param([CLEAR] * 6, id="one clear worst attack each"),
        pytest.param([CLEAR, EQUAL], id="clear against equal"),
        pytest.param([CLEAR, LADDER, TWO, EQUAL], id="one of each"),
        pytest.param([DESTROYED] * 6, id="destroyed by half of the attacks"),
        pytest.param([DESTROYED, UPSIDE_DOWN] * 3, id="some worse than guessing, which is no worse"),
    ],
)
def test_equal_defenses_are_separated_in_at_most_a_twentieth_of_suites(
    seeds: int, worlds: int, shared: float, profiles: list[list[float]]
) -> None:
    assert separated(profiles, worlds, seeds, shared, suites=800) <= 0.05 + 0.015  # two standard errors of the share


@pytest.mark.parametrize(("seeds", "worlds", "least"), [(5, 1, 0.45), (10, 1, 0.85), (3, 6, 0.9), (5, 6, 0.97)])
def test_a_better_defense_is_found(seeds: int, worlds: int, least: float) -> None:
    better = [0.6 if value == 0.5 else value for value in CLEAR]
    assert separated([CLEAR, better], worlds, seeds, 0.5, suites=600) >= least


@lru_cache(maxsize=1)
def _suite() -> dict[str, dict[str, Standing | None]]:
    """Two equal defenses, one with a clear worst attack and one with 32 equal attacks, in forty worlds."""
    found: dict[str, dict[str, Standing | None]] = {}
    for number in range(40):
        own: dict[str, Standing | None] = {}
        for name, means in (("clear", CLEAR), ("equal", EQUAL)):
            (table,) = drawn(np.array(means), np.full(len(means), 0.08), 5, 1, 0.3, 100 + number)
            worst, fitted = (found[0] for found in fitted_of(table[None]))
            own[name] = Standing(
                seeds=(0, 1, 2, 3, 4),
                area=float(worst.mean()),
                interval=[0.0, 1.0],
                worst=worst,
                fitted=fitted,
                last=float(worst.mean()),
                last_interval=None,
                worst_attack="x",
            )
        found[f"w{number}"] = own
    return found


def test_ranks_are_not_fooled_by_the_choice_of_the_worst_of_many_equal_attacks() -> None:
    rows, _ = standings(_suite(), ["clear", "equal"], margin=0.01, alpha=0.05)
    assert rows[0]["defense"] == "clear"  # the smallest of 32 noisy means is the lower number
    assert (rows[0]["R_mean"] or 0) - (rows[1]["R_mean"] or 0) > 0.04
    assert [row["rank"] for row in rows] == [1, 1]
    assert rows[1]["tied"]
    naive = {
        label: {n: s and Standing(**{**vars(s), "fitted": s.worst}) for n, s in w.items()}
        for label, w in _suite().items()
    }
    assert standings(naive, ["clear", "equal"], margin=0.01, alpha=0.05)[1].beats["clear"] == ("equal",)
