"""Fang's attacks: intervals beyond the honest values, and what Krum still selects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustfl.attacks import FangKrum, FangTrimmedMean
from robustfl.defenses import Krum
from tests.attacks.rounds import facts, played
from tests.attacks.table import Matrix, updates
from tests.federation.worlds import simulation

# -- on trimmed means and medians

X2: Matrix = np.array([[2.0, -1.0], [1.0, -3.0], [3.0, -2.0]])


def test_fang_draws_beyond_the_wrong_extreme_for_each_client_and_value() -> None:
    rows = FangTrimmedMean()(X2, f=400)
    assert rows[:, 0].min() == pytest.approx(0.5, abs=0.01)
    assert rows[:, 0].max() == pytest.approx(1.0, abs=0.01)
    assert rows[:, 1].min() == pytest.approx(-1.0, abs=0.01)
    assert rows[:, 1].max() == pytest.approx(-0.5, abs=0.01)
    np.testing.assert_allclose(rows.mean(axis=0), [0.75, -0.75], atol=0.03)
    assert len(np.unique(rows)) > 790
    assert abs(np.corrcoef(rows.T)[0, 1]) < 0.2


@settings(max_examples=50, deadline=None)
@given(
    honest=arrays(np.float64, (4, 6), elements=st.floats(-10, 10).map(lambda x: round(x, 3))), b=st.floats(1.1, 10.0)
)
def test_fang_ends_of_the_intervals(honest: Matrix, b: float) -> None:
    """The four cases one by one; a deviation with the wrong sign gets its own side, not zero or the sum of both."""
    far = FangTrimmedMean(b=b, deterministic=True)(honest, f=2)
    drawn = FangTrimmedMean(b=b)(honest, f=3)
    mean = torch.as_tensor(honest).mean(dim=0).numpy()
    for j, column in enumerate(honest.T):
        low, high = column.min(), column.max()
        if mean[j] > 0:
            near, end = low, low / b if low > 0 else b * low
        elif mean[j] < 0:
            near, end = high, b * high if high > 0 else high / b
        else:
            near, end = 0.0, 0.0
        np.testing.assert_allclose(far[:, j], end, rtol=1e-12)
        assert ((drawn[:, j] >= min(near, end) - 1e-12) & (drawn[:, j] <= max(near, end) + 1e-12)).all()
        if mean[j] > 0:
            assert end <= low
        if mean[j] < 0:
            assert end >= high


def test_fang_with_own_updates_alone() -> None:
    own = updates(4, 3, seed=2)
    mean, std = own.mean(axis=0), own.std(axis=0)
    side = -np.sign(mean)
    distance = (FangTrimmedMean(estimate="own")(updates(5, 3), f=4, own=own) - mean) / (side * std)
    assert (distance >= 3).all()
    assert (distance <= 4).all()
    assert len(np.unique(distance)) == 12
    far = FangTrimmedMean(estimate="own", deterministic=True)
    np.testing.assert_allclose(far(updates(5, 3), f=4, own=own), np.tile(mean + 4 * side * std, (4, 1)))
    alone = far(updates(5, 3), f=1, own=own[:1])
    np.testing.assert_allclose(alone, own[:1] - 4 * own[:1])  # sigma is |mu|


# -- on Krum


def first_factor(honest: Matrix, f: int) -> float:
    h, d = honest.shape
    apart = np.sqrt(((honest[:, None] - honest) ** 2).sum(axis=2))
    nearest = np.sort(apart, axis=1)[:, 1 : 1 + max(h - f - 2, 0)].sum(axis=1)
    denominator = max(h - f - 1, 1) * np.sqrt(d)
    return float(nearest.min() / denominator + np.linalg.norm(honest, axis=1).max() / np.sqrt(d))


def selects_malicious(rows: Matrix, honest: Matrix, f: int) -> bool:
    """Krum by its definition, one row at a time."""
    everybody = np.vstack([rows, honest])
    scores = []
    for i, row in enumerate(everybody):
        squares = np.sort([((row - other) ** 2).sum() for k, other in enumerate(everybody) if k != i])
        scores.append(squares[: len(everybody) - f - 2].sum())
    return int(np.argmin(scores)) < len(rows)


@settings(max_examples=60, deadline=None)
@given(f=st.integers(1, 4), more=st.integers(0, 4), d=st.integers(1, 8), seed=st.integers(0, 1000))
def test_fang_halves_until_krum_selects_it_and_no_further(f: int, more: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    honest = rng.normal(0.3, 1.0, size=(f + 3 + more, d))
    (rows,), memory = played(FangKrum(), facts(honest, f))
    factor = float(np.abs(rows[0]).max())
    np.testing.assert_allclose(rows[0], -factor * np.sign(honest.mean(axis=0)), rtol=1e-9)
    halvings = np.log2(first_factor(honest, f) / factor)
    assert halvings == pytest.approx(round(halvings), abs=1e-6)
    assert memory["failed"] == (not selects_malicious(rows, honest, f))
    if memory["failed"]:
        assert round(halvings) == 17
    else:
        selected = Krum(f=f)(np.vstack([rows, honest]))
        assert (rows == selected).all(axis=1).any()
        assert halvings == 0 or not selects_malicious(2 * rows, honest, f)


def test_fang_supporters_stay_within_epsilon_of_the_crafted_update() -> None:
    honest = updates(9, 40)
    rows = FangKrum(epsilon=0.05)(honest, f=4)
    apart = np.linalg.norm(rows[1:] - rows[0], axis=1) / np.linalg.norm(rows[0])
    assert (apart <= 0.05 + 1e-9).all()
    assert (apart > 0.03).all()  # nearly all of a ball in 40 dimensions lies close to its surface
    assert len(np.unique(rows, axis=0)) == 4
    copies = FangKrum(epsilon=0.0)(honest, f=4)
    assert (copies == copies[0]).all()


def test_fang_gives_up_where_krum_sees_through_it() -> None:
    honest = np.full((9, 4), 5.0) + 1e-3 * updates(9, 4)
    (rows, _), memory = played(FangKrum(), facts(honest, 1), facts(honest, 1, 1))
    assert memory["failed"]
    assert np.abs(rows).max() < 1e-4
    _, memory = played(FangKrum(), facts(honest, 1), facts(honest - 5.0, 5, 1))
    assert not memory["failed"]


def test_fang_plays_against_the_declared_number_of_byzantine_rows() -> None:
    honest = np.random.default_rng(4).normal(1.0, 1.5, size=(9, 10))
    (strict,), _ = played(FangKrum(epsilon=0.0), facts(honest, 3, declared_f=1))
    (told,), _ = played(FangKrum(epsilon=0.0), facts(honest, 3, declared_f=3))
    (untold,), _ = played(FangKrum(epsilon=0.0), facts(honest, 3, declared_f=0))
    np.testing.assert_array_equal(told, untold)
    assert np.abs(strict).max() < np.abs(told).max()


def test_fang_without_honest_updates_simulates_krum_on_its_own() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(0.5, 2.0, size=(6, 10))
    rows = FangKrum(estimate="own", epsilon=0.0)(updates(9, 10), f=6, own=own)
    np.testing.assert_array_equal(np.sign(rows[0]), -np.sign(own.mean(axis=0)))
    winners = [j for j in range(1, 6) if selects_malicious(rows[:j], own, j)]
    assert winners  # with some number of supporters Krum would have selected it
    cluster = 4.0 + 1e-3 * rng.normal(size=(6, 10))
    _, memory = played(FangKrum(estimate="own"), facts(updates(9, 10), 6, own=cluster))
    assert memory["failed"] is (not any(selects_malicious(-1e-9 * np.ones((j, 10)), cluster, j) for j in range(1, 6)))


def test_fang_takes_krum_over_in_a_federation() -> None:
    values: dict[str, Any] = {"clients": 9, "f": 3, "rounds": 10, "batch_size": 2}
    seen = simulation(Krum(f=3), attack=FangKrum(), **values).run()
    assert seen.malicious_share is not None
    assert seen.malicious_share > 0.5
