"""Replay and the examination of noise: every planted bug is found, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl.errors import ParameterError
from robustfl.privacy import Claim, FixedCohort, Release, replay
from robustfl.privacy.noise import examined
from tests.privacy.mechanisms import BROKEN, EXPECTED, build, claim, mean


@pytest.mark.parametrize("name", BROKEN)
def test_every_planted_bug_is_found(name: str) -> None:
    made, code = BROKEN[name]
    for seed in range(3):
        assert code in [finding.code for finding in replay(claim(made), np.random.default_rng(seed))]


def test_the_findings_say_how_bad_it_is() -> None:
    ratios = {
        name: {one.code: one.ratio for one in replay(claim(BROKEN[name][0]), np.random.default_rng(0))}
        for name in BROKEN
    }
    assert ratios["noise divided again"]["NOISE_TOO_SMALL"] == pytest.approx(0.01, rel=0.03)
    assert ratios["half the noise"]["NOISE_TOO_SMALL"] == pytest.approx(0.5, rel=0.03)
    assert ratios["noise ten percent low"]["NOISE_TOO_SMALL"] == pytest.approx(0.9, rel=0.03)
    assert ratios["each layer clipped"]["SENSITIVITY"] == pytest.approx(2**0.5, rel=1e-3)
    assert ratios["no clip"]["SENSITIVITY"] > 1e30
    assert ratios["the same noise every round"]["REPEATED_NOISE"] == pytest.approx(1.0)
    assert ratios["realised cohort"]["SENSITIVITY"] > 1.1


@pytest.mark.parametrize("noise_multiplier", [0.1, 1.0, 30.0])
def test_a_right_mechanism_is_never_accused(noise_multiplier: float) -> None:
    for seed in range(20):
        assert replay(claim(build(), noise_multiplier, dimension=400), np.random.default_rng(seed)) == []


def test_single_precision_is_no_finding() -> None:
    def made(noise: float) -> Any:
        inner = build()(noise)
        return lambda records, rng: inner(records.astype(np.float32), rng).astype(np.float32)

    for seed in range(5):
        assert replay(claim(made, 20.0), np.random.default_rng(seed)) == []


def test_a_claim_about_exchanged_records_asks_for_no_empty_cohort_and_allows_twice_the_distance() -> None:
    cohort = FixedCohort(size=10, population=100)
    halves = build(lambda records: mean(records) if len(records) else 1 / 0)
    assert replay(claim(halves, sampling=cohort), np.random.default_rng(0)) == []
    robust = claim(build(), joining=None, replacing=1.0)  # the mean moves 2 when a record is exchanged, not 1
    (finding,) = replay(robust, np.random.default_rng(0))
    assert (finding.code, round(finding.ratio, 3)) == ("SENSITIVITY", 2.0)


def noisy(noise: Any) -> Claim:
    """A mean with noise that is made by `noise(records, rng)` in units of what it should be."""
    return Claim(
        mechanism=lambda records, rng: mean(records) + noise(records, rng) / EXPECTED,
        noiseless=lambda records, rng: mean(records),
        release=Release(noise_multiplier=1.0),
        dimension=1000,
        scale=1 / EXPECTED,
    )


WRONG_NOISE: dict[str, tuple[Any, str]] = {
    "Laplace": (lambda x, rng: rng.laplace(scale=2**-0.5, size=x.shape[1]), "NOT_GAUSSIAN"),
    "uniform": (lambda x, rng: rng.uniform(-(3**0.5), 3**0.5, size=x.shape[1]), "NOT_GAUSSIAN"),
    "one number for all": (lambda x, rng: np.full(x.shape[1], rng.standard_normal()), "SHARED_NOISE"),
    "one layer without": (
        lambda x, rng: rng.standard_normal(x.shape[1]) * np.where(np.arange(x.shape[1]) < 50, 0.0, 1.1),
        "NOISE_TOO_SMALL",
    ),
    "cancels in the sum": (
        lambda x, rng: (lambda z: 1.01 * (z - z.mean()))(rng.standard_normal(x.shape[1])),
        "NOISE_TOO_SMALL",
    ),
    "louder for long records": (
        lambda x, rng: rng.standard_normal(x.shape[1]) * (1.0 + np.linalg.norm(x, axis=1).max(initial=0.0)),
        "NOISE_KNOWS_RECORDS",
    ),
    "seeded by the first record": (
        lambda x, rng: np.random.default_rng(abs(hash(x[:1].tobytes()))).standard_normal(x.shape[1]),
        "NOISE_KNOWS_RECORDS",
    ),
    "in the order of arrival": (
        lambda x, rng: rng.standard_normal(x.shape[1]) * (1.3 if x[0, 0] > x[-1, 0] else 1.0),
        "NOISE_KNOWS_ORDER",
    ),
}


@pytest.mark.parametrize("name", WRONG_NOISE)
def test_noise_that_is_not_what_it_should_be_is_found(name: str) -> None:
    noise, code = WRONG_NOISE[name]
    codes = [finding.code for seed in range(2) for finding in examined(noisy(noise), np.random.default_rng(seed))]
    assert code in codes


def test_noise_that_is_louder_than_claimed_is_no_contradiction() -> None:
    assert examined(claim(build(loudness=1.5)), np.random.default_rng(0)) == []


def test_mechanisms_that_raise_or_answer_in_another_shape_are_found() -> None:
    def picky(records: Any) -> Any:
        if not np.isfinite(records).all():
            raise ValueError("not finite")
        return mean(records)

    assert "RAISES" in [one.code for one in replay(claim(build(picky)), np.random.default_rng(0))]
    short = Claim(
        mechanism=lambda records, rng: np.zeros(3),
        noiseless=lambda records, rng: np.zeros(3),
        release=Release(noise_multiplier=1.0),
        dimension=4,
    )
    assert replay(short, np.random.default_rng(0))[0].code == "SHAPE"


def test_a_claim_without_noise_or_without_a_size_is_refused() -> None:
    with pytest.raises(ParameterError, match="claims nothing that could be audited"):
        claim(build(), 0.0)
    with pytest.raises(ParameterError, match="of one round"):
        claim(build(), rounds=2)
