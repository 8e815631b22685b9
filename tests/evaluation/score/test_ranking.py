"""Paired comparisons, Holm's correction and dominance ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.evaluation.score.ranking import Standing, rank, standings
from robustfl.evaluation.statistics import cross_fitted, minimum_interval

VALUES: dict[str, tuple[float, ...]] = {
    "A": (0.62, 0.58, 0.60, 0.64, 0.56),
    "B": (0.60, 0.57, 0.59, 0.61, 0.55),
    "C": (0.50, 0.49, 0.47, 0.52, 0.46),
}


def standing(
    values: tuple[float, ...],
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    last: float = 0.1,
    interval: tuple[float, float] | None = (0.0, 1.0),
    fitted: tuple[float, ...] | None = None,
) -> Standing:
    return Standing(
        seeds=seeds,
        area=float(np.mean(values)),
        interval=None if interval is None else list(interval),
        worst=np.array(values),
        fitted=np.array(values if fitted is None else fitted),
        last=last,
        last_interval=None,
        worst_attack="alie",
    )


def ranks(values: dict[str, tuple[float, ...]], margin: float = 0.01) -> list[int]:
    ranking = rank(values, margin=margin)
    return [ranking.rank(defense) for defense in values]


def test_the_worked_example_ranks_all_three() -> None:
    ranking = rank(VALUES)
    assert [(pair.a, pair.b, pair.significant) for pair in ranking.pairs] == [
        ("A", "B", True),
        ("A", "C", True),
        ("B", "C", True),
    ]
    assert [pair.mean for pair in ranking.pairs] == pytest.approx([0.016, 0.112, 0.096])
    assert ranks(VALUES) == [1, 2, 3]
    assert dict(ranking.beats) == {"A": ("B", "C"), "B": ("C",), "C": ()}
    assert ranking.beaten_by("C") == ("A", "B")


def test_a_wider_margin_ties_the_first_two() -> None:
    assert ranks(VALUES, margin=0.02) == [1, 1, 3]


def test_a_large_but_noisy_difference_is_a_tie() -> None:
    assert ranks({"A": (0.9, 0.1, 0.8, 0.2), "B": (0.2, 0.5, 0.1, 0.6)}) == [1, 1]


def test_ties_need_not_be_transitive() -> None:
    # B is level with both neighbours within the margin; A beats C.
    assert ranks({"A": (0.52, 0.52), "B": (0.51, 0.51), "C": (0.50, 0.50)}, margin=0.015) == [1, 1, 2]


def test_one_seed_goes_by_the_margin_and_says_so() -> None:
    ranking = rank({"A": (0.7,), "B": (0.695,), "C": (0.5,)})
    assert not ranking.tested
    assert [pair.p for pair in ranking.pairs] == [None, None, None]
    assert not any(pair.significant for pair in ranking.pairs)
    assert [ranking.rank(defense) for defense in "ABC"] == [1, 1, 3]


def test_whom_several_attacks_destroy_is_beaten_though_cross_fitting_picks_among_them_by_chance() -> None:
    # Both x and y bring B down to nothing; on each half, chance takes "z" for the worst, which is harmless elsewhere.
    attacks = {"x": (0.0, 0.001, 0.0, 0.001), "y": (0.0, 0.0, 0.001, 0.0), "z": (-0.01, 0.9, -0.01, 0.9)}
    fitted = cross_fitted(list(attacks.values()))
    assert fitted.mean() > 0.4
    _, ceiling = minimum_interval(list(attacks.values()), 0.9975) or (0.0, 1.0)
    assert ceiling < 0.02
    low = {"A": (0.50, 0.53, 0.51, 0.52), "B": (0.0, 0.0, 0.0, 0.0)}
    columns = {"A": low["A"], "B": tuple(fitted.tolist())}
    assert rank(low, columns).beats["A"] == ()
    assert rank(low, columns, {"A": 1.0, "B": ceiling}).beats["A"] == ("B",)
    assert rank(low, columns, {"A": 1.0, "B": 1.0}).beats["A"] == ()


def test_whom_an_attack_destroys_for_sure_is_beaten_though_others_destroy_it_with_more_noise() -> None:
    # Beside an attack that always ends in guessing, on each half one of two others is below it by chance.
    either, other = (-0.4, 0.3, 0.3, 0.2, -0.05, 0.3), (0.3, -0.4, 0.2, 0.3, 0.3, -0.05)
    attacks = {"sure": (0.0,) * 6, "either": either, "or": other}
    better = {"A": (0.15, 0.20, 0.17, 0.22, 0.18, 0.19), "B": (0.0,) * 6}
    for floor, beaten in ((-math.inf, ()), (0.0, ("B",))):
        fitted = tuple(cross_fitted(list(attacks.values()), floor).tolist())
        assert rank(better, {"A": better["A"], "B": fitted}).beats["A"] == beaten


def test_no_defense_and_one_defense() -> None:
    assert rank({}).pairs == ()
    assert rank({"A": (0.1, 0.2)}).rank("A") == 1


@given(st.integers(2, 6), st.integers(1, 7), st.integers(0, 10_000))
def test_ranks_do_not_depend_on_the_order_of_the_defenses(defenses: int, seeds: int, stream: int) -> None:
    table = np.random.default_rng(stream).uniform(size=(defenses, 1)) + np.random.default_rng(stream + 1).normal(
        scale=0.02, size=(defenses, seeds)
    )
    values = {f"D{i}": tuple(row) for i, row in enumerate(table.tolist())}
    forward = rank(values)
    backward = rank(dict(reversed(values.items())))
    for defense in values:
        assert forward.rank(defense) == backward.rank(defense)
        assert set(forward.beats[defense]) == set(backward.beats[defense])
        assert defense not in forward.beats[defense]


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_an_impossible_margin_is_refused(margin: float) -> None:
    with pytest.raises(ParameterError, match="margin >= 0"):
        rank(VALUES, margin=margin)


def test_columns_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"same seeds.*'B': 1"):
        rank({"A": (0.1, 0.2), "B": (0.1,)})
    with pytest.raises(ParameterError, match="same seeds"):
        rank({"A": (), "B": ()})
    with pytest.raises(ParameterError, match=r"finite.*'B'"):
        rank({"A": (0.1,), "B": (math.nan,)})


def test_standings_of_one_world_are_the_ranking_of_its_seeds() -> None:
    world = {name: standing(values) for name, values in VALUES.items()}
    rows, ranking = standings({"w": world}, ["C", "B", "A"], margin=0.01, alpha=0.05)
    assert [(row["rank"], row["defense"]) for row in rows] == [(1, "A"), (2, "B"), (3, "C")]
    assert rows[0]["R_mean"] == pytest.approx(0.6)
    assert rows[2]["beaten_by"] == ["B", "A"]
    assert rows[0]["R_ci"] == [0.0, 1.0]
    assert ranking.tested


def test_standings_average_worlds_and_show_the_hardest() -> None:
    easy = {"A": standing((0.8, 0.8), (0, 1), last=0.7, interval=(0.7, 0.84))}
    hard = {"A": standing((0.4, 0.6), (0, 1), last=0.2, interval=(0.3, 0.53))}
    (row,), _ = standings({"easy": easy, "hard": hard}, ["A"], margin=0.01, alpha=0.05)
    assert row["R_mean"] == pytest.approx(0.65)
    assert row["R_min"] == pytest.approx(0.5)
    assert row["W_at_max_f"] == 0.2
    assert row["world"] == "hard"
    # The squares of the distances add up: (.1, .2) below and (.04, .03) above, each halved.
    assert row["R_ci"] == pytest.approx([0.65 - math.hypot(0.1, 0.2) / 2, 0.65 + 0.05 / 2])


def test_a_world_without_an_interval_leaves_the_mean_without_one() -> None:
    worlds = {"v": {"A": standing((0.8, 0.8), (0, 1))}, "w": {"A": standing((0.4, 0.6), (0, 1), interval=None)}}
    (row,), _ = standings(worlds, ["A"], margin=0.01, alpha=0.05)
    assert row["R_ci"] is None


def test_rows_come_in_the_order_of_their_numbers_with_a_mark_for_ties() -> None:
    # B has a larger mean than C, but C is steadier: A beats C and cannot be told apart from B.
    world = {
        "A": standing((0.62, 0.58, 0.60, 0.64, 0.56)),
        "C": standing((0.55, 0.51, 0.53, 0.57, 0.49)),
        "B": standing((0.95, 0.15, 0.60, 0.20, 0.80)),
        "D": standing((0.99, 0.99, 0.99, 0.99, 0.99)),
    }
    rows, _ = standings({"w": world}, list(world), margin=0.01, alpha=0.05, ranked={"A", "B", "C"})
    assert [(row["defense"], row["rank"], row["tied"]) for row in rows] == [
        ("A", 1, False),
        ("B", 1, True),
        ("C", 2, False),
        ("D", None, False),
    ]


def test_one_seed_tells_nobody_apart_but_by_the_margin() -> None:
    world = {"A": standing((0.7,), (0,)), "B": standing((0.695,), (0,)), "C": standing((0.5,), (0,))}
    rows, ranking = standings({"w": world}, ["C", "B", "A"], margin=0.01, alpha=0.05)
    assert not ranking.tested
    assert [(row["defense"], row["tied"]) for row in rows] == [("A", False), ("B", True), ("C", False)]


def test_each_side_gets_the_estimate_that_speaks_against_it() -> None:
    low = {"A": (0.60, 0.62, 0.61, 0.63), "B": (0.50, 0.52, 0.51, 0.53)}
    assert ranks(low) == [1, 2]
    fitted = {"A": (0.60, 0.62, 0.61, 0.63), "B": (0.57, 0.64, 0.55, 0.66)}
    ranking = rank(low, fitted)
    (pair,) = ranking.pairs
    assert (pair.mean, pair.lead) == (pytest.approx(0.1), pytest.approx(0.01))
    assert ranking.beats == {"A": (), "B": ()}
    assert rank(low, {**low, "A": fitted["B"]}).beats == {"A": ("B",), "B": ()}  # what A may reach at most is not asked


def test_worlds_count_alike_however_many_seeds_they_have() -> None:
    first = {"A": standing((0.9, 0.5, 0.5), (7, 1, 2)), "B": standing((0.3, 0.4, 0.3), (7, 1, 2))}
    second = {"A": standing((0.5, 0.5), (2, 1)), "B": standing((0.4, 0.3), (2, 1))}
    _, ranking = standings({"v": first, "w": second}, ["A", "B"], margin=0.01, alpha=0.05)
    assert ranking.tested
    assert ranking.pairs[0].mean == pytest.approx((0.3 + 0.15) / 2)


def test_defenses_are_paired_on_the_seeds_that_all_have_in_a_world() -> None:
    first = {"A": standing((0.9, 0.5, 0.5), (7, 1, 2)), "B": standing((0.4, 0.4), (2, 1))}
    _, ranking = standings({"w": first}, ["A", "B"], margin=0.01, alpha=0.05)
    assert ranking.tested
    assert ranking.pairs[0].mean == pytest.approx(0.1)  # B has no seed 7


def test_worlds_without_two_common_seeds_are_compared_untested() -> None:
    first = {"A": standing((0.9, 0.9), (0, 1)), "B": standing((0.1, 0.1), (0, 1))}
    second = {"A": standing((0.9, 0.9), (2, 3)), "B": standing((0.1, 0.1), (3, 4))}
    rows, ranking = standings({"v": first, "w": second}, ["B", "A"], margin=0.01, alpha=0.05)
    assert not ranking.tested
    assert [(row["rank"], row["defense"]) for row in rows] == [(1, "A"), (2, "B")]


def test_many_worlds_tell_apart_what_few_seeds_in_one_cannot() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.05, size=(6, 2, 3))
    worlds = [
        {n: standing(tuple(m + noise[w, k]), (0, 1, 2)) for k, (n, m) in enumerate([("A", 0.7), ("B", 0.6)])}
        for w in range(6)
    ]
    assert standings(dict(enumerate(worlds[:1])), ["A", "B"], margin=0.01, alpha=0.01)[1].beats["A"] == ()
    assert standings(dict(enumerate(worlds)), ["A", "B"], margin=0.01, alpha=0.01)[1].beats["A"] == ("B",)


def test_an_incomplete_defense_comes_last_without_numbers() -> None:
    worlds = [{"A": standing((0.1, 0.1), (0, 1)), "B": None}, {"A": standing((0.1, 0.1), (0, 1)), "B": None}]
    rows, _ = standings(dict(enumerate(worlds)), ["B", "A"], margin=0.01, alpha=0.05)
    assert [(row["rank"], row["defense"], row["R_mean"]) for row in rows] == [
        (1, "A", pytest.approx(0.1)),
        (2, "B", None),
    ]
    assert rows[1]["beaten_by"] == []


def test_without_an_informative_world_nobody_has_numbers() -> None:
    rows, ranking = standings({}, ["A", "B"], margin=0.01, alpha=0.05)
    assert [row["R_mean"] for row in rows] == [None, None]
    assert ranking.pairs == ()
