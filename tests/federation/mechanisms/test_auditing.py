"""The mechanisms in their real rounds under audit: what is right passes, and every planted bug is found."""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.aggregation import Aggregator
from robustfl.defenses import NNM, CenteredClipping, DPFedAvg, Mean, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.privacy import replay
from robustfl.privacy.noise import examined
from robustfl.privacy.replaying import moved
from tests.federation.mechanisms.audited import BROKEN, POISSON, LyingMedian, claim

RIGHT: dict[str, tuple[Aggregator, dict[str, object]]] = {
    "mean, poisson": (Mean(), POISSON),
    "mean, all": (Mean(), {}),
    "mean, fixed": (Mean(), {"clients": 20, "participation": 0.5}),
    "trimmed mean": (TrimmedMean(f=2), {}),
    "centered clipping, radius below the clip": (CenteredClipping(radius=0.05), {}),
    "centered clipping, radius above the clip": (CenteredClipping(radius=0.5), {}),
    "nnm > trimmed mean": (NNM(f=2) >> TrimmedMean(f=2), {}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_mechanism_passes(name: str) -> None:
    rule, settings = RIGHT[name]
    assert replay(claim(rule, **settings), np.random.default_rng(0)) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_planted_bug_is_found(name: str) -> None:
    protector, code = BROKEN[name]
    audit = examined if "NOISE" in code else moved
    found = {finding.code for finding in audit(claim(protector=protector, **POISSON), np.random.default_rng(0))}
    assert code in found


def test_a_bound_that_is_too_small_is_found() -> None:
    found = moved(claim(LyingMedian()), np.random.default_rng(0))
    assert "SENSITIVITY" in {finding.code for finding in found}


def test_an_audit_takes_messages_of_one_gradient() -> None:
    with pytest.raises(ParameterError, match="use fedsgd with messages `gradient`"):
        claim(algorithm="fedavg", message="delta")


def test_adaptive_clipping_passes() -> None:
    adaptive = DPFedAvg(clip=0.3, delta=1e-3, noise_multiplier=2.0, quantile=0.5, count_noise=5.0)
    assert replay(claim(mechanism=adaptive, **POISSON), np.random.default_rng(0)) == []
