"""The adversaries that reputations are meant to find: what they send, value by value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.attacks import FreeRider, RandomRescaling, SignRandomising, ValueInverting
from robustfl.errors import ParameterError
from robustfl.threats import Adversary, Facts, Knowledge
from tests.attacks.table import Matrix, updates

HONEST = updates(5, 4000)
OWN = updates(3, 4000, seed=1)


def cosine(a: Matrix, b: Matrix) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_a_free_rider_needs_to_know_nothing_and_sends_uniform_noise() -> None:
    assert FreeRider().required_knowledge() == Knowledge.NOTHING

    def own() -> torch.Tensor:
        raise AssertionError("a free rider trains nothing")

    facts = Facts(
        round=0, f=3, declared_f=3, honest=torch.as_tensor(HONEST), honest_ids=(), own=own, rng=np.random.default_rng(0)
    )
    rows = Adversary(FreeRider(scale=2.0)).craft(facts).numpy()
    assert np.abs(rows).max() <= 2.0
    assert rows.std() == pytest.approx(2.0 / np.sqrt(3), rel=0.02)
    assert abs(rows.mean()) < 0.05
    assert np.abs(np.corrcoef(rows) - np.eye(3)).max() < 0.1


def test_random_signs_leave_magnitudes_and_no_direction() -> None:
    rows = SignRandomising()(HONEST, f=3, own=OWN, rng=2)
    np.testing.assert_array_equal(np.abs(rows), np.abs(OWN))
    flipped = (rows != OWN).mean(axis=1)
    assert np.abs(flipped - 0.5).max() < 0.05
    assert max(abs(cosine(row, own)) for row, own in zip(rows, OWN, strict=True)) < 0.1


def test_inverting_replaces_half_of_the_entries_by_their_reciprocals() -> None:
    rows = ValueInverting()(HONEST, f=3, own=OWN, rng=2)
    inverted = rows != OWN
    assert inverted.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(rows[inverted], 1.0 / OWN[inverted], rtol=1e-6)
    assert max(abs(cosine(row, own)) for row, own in zip(rows, OWN, strict=True)) < 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_inverting_what_is_zero_or_next_to_it_stays_finite(dtype: torch.dtype) -> None:
    own = torch.tensor([[0.0, -0.0, 1e-10, -1e-10, 1e-30, -1e-30, 4.0]], dtype=dtype)
    rows = ValueInverting(probability=1.0)(torch.zeros(2, 7, dtype=dtype), f=1, own=own)
    assert rows.dtype == dtype
    assert bool(rows.isfinite().all())
    largest = min(1e10, torch.finfo(dtype).max)
    assert float(rows[0, 0]) == pytest.approx(largest, rel=1e-2)
    assert float(rows[0, 6]) == pytest.approx(0.25, rel=1e-2)
    assert bool((rows[own < 0] < 0).all())


@settings(max_examples=20, deadline=None)
@given(spread=st.floats(0.1, 100), scale=st.floats(0.1, 100), seed=st.integers(0, 1000))
def test_rescaling_draws_a_factor_for_every_entry(spread: float, scale: float, seed: int) -> None:
    rows = RandomRescaling(spread=spread, scale=scale)(HONEST, f=3, own=OWN, rng=seed)
    factors = rows / OWN
    assert np.abs(factors).max() <= spread * scale * (1 + 1e-12)
    assert np.abs(factors).max() > 0.99 * spread * scale
    assert factors.std() == pytest.approx(spread * scale / np.sqrt(3), rel=0.05)
    assert max(abs(cosine(row, own)) for row, own in zip(rows, OWN, strict=True)) < 0.1


@pytest.mark.parametrize("attack", [SignRandomising(), ValueInverting(), RandomRescaling()], ids=repr)
def test_the_others_know_their_own_updates_and_no_more(
    attack: SignRandomising | ValueInverting | RandomRescaling,
) -> None:
    assert attack.required_knowledge() == Knowledge.OWN
    shifted = attack(HONEST + 5.0, f=3, own=OWN, rng=1)
    np.testing.assert_array_equal(attack(HONEST, f=3, own=OWN, rng=1), shifted)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (FreeRider, {"scale": 0.0}),
        (ValueInverting, {"probability": 0.0}),
        (ValueInverting, {"probability": 1.1}),
        (ValueInverting, {"floor": 0.0}),
        (RandomRescaling, {"spread": -1.0}),
        (RandomRescaling, {"scale": 0.0}),
    ],
)
def test_parameters_out_of_range(kind: type, values: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(values))):
        kind(**values)
