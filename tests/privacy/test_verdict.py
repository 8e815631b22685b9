"""The whole audit: what its verdicts are, and how often they err."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from robustfl.errors import ParameterError
from robustfl.privacy import Claim, FixedCohort, Poisson, Release, Verdict, audit, calibration, one_run, traces
from robustfl.privacy.canaries import gaussian_claim
from tests.privacy.mechanisms import BROKEN, EXPECTED, build, claim, mean, realised

TESTS = 8


def refuted(made: Any, *, epsilon: float, canaries: int, seed: int, presence: Any = "always", **release: Any) -> bool:
    sigma = gaussian_claim(epsilon, 1e-3, 10)
    subject = claim(made, sigma, canaries, **release)
    seen = traces(subject, np.random.default_rng(seed), canaries=canaries, rounds=10, presence=presence)
    return one_run(subject, seen, delta=1e-3, tests=TESTS, bounds=False).refuted


@pytest.mark.parametrize("epsilon", [pytest.param(1.0, marks=pytest.mark.slow), 4.0])
def test_a_right_mechanism_is_not_refuted_by_more_than_chance(epsilon: float) -> None:
    """Twenty seeds and two presences at α = 0.05 altogether: two false alarms are the most."""
    alarms = sum(
        refuted(build(), epsilon=epsilon, canaries=300, seed=seed, presence=presence)
        for seed in range(20)
        for presence in ("always", "once")
    )
    assert alarms <= 2


@pytest.mark.parametrize("epsilon", [1.0, 4.0])
def test_one_run_finds_what_has_no_noise_or_the_same_each_time(epsilon: float) -> None:
    for seed in range(3):
        assert refuted(build(loudness=0.0), epsilon=epsilon, canaries=300, seed=seed)
        assert refuted(build(seed=5), epsilon=epsilon, canaries=300, seed=seed, presence="once")
    assert refuted(build(loudness=0.1), epsilon=epsilon, canaries=300, seed=0)


def test_one_run_finds_records_that_are_not_clipped() -> None:
    unclipped = build(lambda records: records.sum(axis=0) / EXPECTED)
    assert all(refuted(unclipped, epsilon=1.0, canaries=300, seed=seed) for seed in range(3))


def test_what_statistics_cannot_find_calibration_and_replay_do() -> None:
    half = build(loudness=0.5)
    assert not any(refuted(half, epsilon=4.0, canaries=100, seed=seed) for seed in range(3))
    for seed in range(6):
        subject = claim(half, gaussian_claim(4.0, 1e-3, 10), 300)
        seen = traces(subject, np.random.default_rng(seed), canaries=100, rounds=10)
        (finding,) = calibration(subject, seen)
        assert finding.ratio == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("name", ["no noise", "noise divided again", "half the noise"])
def test_calibration_finds_noise_that_is_too_small(name: str) -> None:
    subject = claim(BROKEN[name][0], 2.0, 300)
    assert calibration(subject, traces(subject, np.random.default_rng(1), canaries=100, rounds=10))


@pytest.mark.slow
def test_calibration_does_not_accuse_a_right_mechanism() -> None:
    subject = claim(build(), 2.0, 300)
    alarms = sum(
        bool(calibration(subject, traces(subject, np.random.default_rng(seed), canaries=100, rounds=3)))
        for seed in range(100)
    )
    assert alarms <= 4  # one expected


@pytest.mark.parametrize("sampling", [Poisson(rate=0.3), FixedCohort(size=30, population=320)])
def test_sampled_mechanisms_are_audited_against_their_own_curve(sampling: Any) -> None:
    right = claim(build(), 2.0, 300, sampling=sampling)
    runs = []
    for seed in range(8):
        for subject in (right, right.without_noise()):
            seen = traces(subject, np.random.default_rng(seed), canaries=300, rounds=10)
            runs.append(one_run(subject, seen, delta=1e-3, bounds=False))
    assert not any(run.refuted for run in runs[::2])
    if isinstance(sampling, Poisson):
        assert all(run.refuted for run in runs[1::2])


def test_the_verdicts() -> None:
    rng = np.random.default_rng(0)
    sigma = gaussian_claim(2.0, 1e-3, 5)
    passed = audit(claim(build(), sigma, 200), rng, delta=1e-3, rounds=5)
    assert passed.verdict is Verdict.PASS
    assert passed.refutable > 2.0
    assert f"{passed.refutable:.3g}" in passed.text
    broken = audit(claim(BROKEN["no clip"][0], sigma, 200), rng, delta=1e-3, rounds=5)
    assert broken.verdict is Verdict.BROKEN
    assert "times as far as declared" in broken.text
    few = audit(claim(build(), gaussian_claim(8.0, 1e-3, 5), 200), rng, delta=1e-3, rounds=5, canaries=20)
    assert few.verdict is Verdict.VACUOUS
    assert "Use more canaries" in few.text
    assert audit(None, rng, delta=1e-3).verdict is Verdict.VOID
    for one in (passed, broken, few):
        assert json.loads(json.dumps(one.report(), allow_nan=False))["verdict"] == one.verdict


def test_a_mechanism_that_behaves_in_small_cohorts_fails_by_its_traces() -> None:
    """The noise is there when few records take part, as they do in replay, and gone when many do."""

    def made(noise: float) -> Any:
        quiet, loud = build()(0.0), build()(noise)
        return lambda records, rng: (loud if len(records) <= 10 else quiet)(records, rng)

    subject = claim(made, gaussian_claim(2.0, 1e-3, 5), 200)
    found = audit(subject, np.random.default_rng(0), delta=1e-3, rounds=5)
    assert found.verdict is Verdict.BROKEN  # by calibration
    assert any(run.refuted for run in found.runs)


def test_a_leak_along_the_records_alone_fails() -> None:
    """The release has all its noise, but the records are ten times louder: only guessing finds that without replay."""
    subject = claim(build(lambda records: 10 * mean(records)), gaussian_claim(2.0, 1e-3, 10), 300)
    seen = traces(subject, np.random.default_rng(0), canaries=300, rounds=10)
    assert calibration(subject, seen) == []
    run = one_run(subject, seen, delta=1e-3, tests=TESTS)
    assert run.refuted
    assert run.f_dp > run.claimed == pytest.approx(2.0)
    assert run.steinke <= run.f_dp


@pytest.mark.slow
def test_twelve_bugs_and_twenty_seeds() -> None:
    verdicts = Counter(
        audit(claim(build(), 3.0, 300), np.random.default_rng(seed), delta=1e-3, canaries=60).verdict
        for seed in range(20)
    )
    assert verdicts[Verdict.PASS] >= 18
    for name, (made, _) in BROKEN.items():
        found = audit(claim(made, 3.0, 300), np.random.default_rng(7), delta=1e-3, canaries=60)
        assert found.verdict is Verdict.BROKEN, name


def test_tiny_data_sets_leak_no_more_than_claimed() -> None:
    """Three records and a public denominator: the ratio is at most 1; a denominator that counts them breaks it."""
    others = np.eye(3, 200)
    right = claim(build(), gaussian_claim(4.0, 1e-3, 10), 200)
    for seed in range(20):
        seen = traces(right, np.random.default_rng(seed), canaries=200, rounds=10, others=others)
        assert not one_run(right, seen, delta=1e-3, tests=TESTS, bounds=False).refuted
    counted = audit(claim(build(realised), 2.0, 200), np.random.default_rng(0), delta=1e-3, rounds=3, canaries=50)
    assert counted.verdict is Verdict.BROKEN


def test_more_canaries_than_dimensions_are_refused() -> None:
    with pytest.raises(ParameterError, match="canaries <= dimension"):
        traces(claim(build(), dimension=10), np.random.default_rng(0), canaries=11, rounds=1)


def test_a_mechanism_may_be_any_callable() -> None:
    class Mean:
        def __init__(self, noise: float) -> None:
            self.noise = noise

        def __call__(self, records: Any, rng: np.random.Generator) -> Any:
            return mean(records) + self.noise / EXPECTED * rng.standard_normal(records.shape[1])

    subject = Claim(
        mechanism=Mean(3.0),
        noiseless=Mean(0.0),
        release=Release(noise_multiplier=3.0),
        dimension=100,
        scale=1 / EXPECTED,
    )
    assert audit(subject, np.random.default_rng(0), delta=1e-3, rounds=2).verdict in (Verdict.PASS, Verdict.VACUOUS)
