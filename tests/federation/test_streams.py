"""Random streams are equal for equal seeds and purposes, and independent otherwise."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robustfl.federation.streams import stream, stream_seed


@given(seed=st.integers(), purpose=st.text(max_size=20))
def test_equal_inputs_give_equal_streams(seed: int, purpose: str) -> None:
    assert stream(seed, purpose).random() == stream(seed, purpose).random()
    assert 0 <= stream_seed(seed, purpose) < 2**63


def test_seeds_and_purposes_do_not_collide() -> None:
    purposes = ("partition", "weights", "identities", "sampling", "batches", "attack", "faults", "", "1", "1:1")
    seeds = {stream_seed(seed, purpose) for seed in range(1_000) for purpose in purposes}
    assert len(seeds) == 10_000


def test_the_streams_of_one_seed_are_uncorrelated() -> None:
    draws = np.array([stream(5, purpose).standard_normal(10_000) for purpose in ("sampling", "batches", "attack")])
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 0.04


def test_streams_stay_what_they_are() -> None:
    """Another derivation would make every stored record a different experiment."""
    digest = hashlib.sha256(b"batches:7").digest()[:8]
    assert stream_seed(7, "batches") == int.from_bytes(digest, "big") // 2


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    stream(0, "batches").random(100)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index] # noqa: NPY002
