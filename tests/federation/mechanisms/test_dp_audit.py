"""The audit of mechanisms in their real rounds: every planted bug, no false alarm, and its limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from robustfl.aggregation import Aggregator, Mechanism
from robustfl.defenses import DPFedAvg, LocalDP, Mean, Median
from robustfl.errors import ParameterError
from robustfl.federation.mechanisms.auditing import audit_of
from robustfl.privacy import Audit, Verdict
from tests.federation.mechanisms.audited import BROKEN, POISSON, LyingMedian
from tests.federation.worlds import population, rules

PRIVATE = DPFedAvg(clip=0.3, delta=1e-3, target_epsilon=2.0)


def audited(
    rule: Aggregator | None = None, *, seed: int = 0, first: Mechanism = PRIVATE, protector: Any = None, **settings: Any
) -> Audit:
    given: dict[str, Any] = {"clients": 60, "rounds": 4, **settings}
    data = population(clients=given["clients"], side=20)
    return audit_of(first >> (rule or Mean()), data, rules(**given), np.random.default_rng(seed), protector=protector)


@pytest.mark.parametrize(
    ("settings", "seeds"),
    [
        pytest.param({}, 4, id="everybody, a few seeds", marks=pytest.mark.slow),
        pytest.param({}, 20, id="everybody", marks=pytest.mark.nightly),
        pytest.param(POISSON, 20, id="poisson", marks=pytest.mark.nightly),
        pytest.param({"participation": 0.5}, 20, id="fixed", marks=pytest.mark.nightly),
    ],
)
def test_twenty_seeds_of_a_right_mechanism_raise_no_alarm_beyond_chance(settings: dict[str, Any], seeds: int) -> None:
    """Replay never errs. Calibration does once in a hundred audits, and guesses once in twenty at most."""
    found = [audited(seed=seed, **settings) for seed in range(seeds)]
    codes = Counter(finding.code for one in found for finding in one.findings)
    assert set(codes) <= {"NOISE_TOO_SMALL"}
    assert sum(one.verdict in (Verdict.BROKEN, Verdict.FAIL) for one in found) <= seeds // 10


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_every_planted_bug_makes_a_broken_claim(name: str) -> None:
    protector, code = BROKEN[name]
    found = audited(protector=protector, **POISSON)
    assert found.verdict is Verdict.BROKEN
    assert code in {finding.code for finding in found.findings}


@pytest.mark.slow
def test_a_median_with_the_noise_of_a_mean_is_broken() -> None:
    found = audited(LyingMedian())
    assert found.verdict is Verdict.BROKEN
    assert "SENSITIVITY" in {finding.code for finding in found.findings}


def test_local_steps_and_momentum_play_no_part_and_what_could_have_been_refuted_is_told() -> None:
    found = audited(algorithm="fedavg", message="delta", local_steps=3, client_momentum=0.9)
    assert found.verdict is Verdict.PASS, found.text
    assert found.refutable > 2.0
    assert f"could have refuted ε up to {found.refutable:.3g}" in found.text


def test_a_claim_that_few_canaries_cannot_refute_is_vacuous() -> None:
    found = audited(first=DPFedAvg(clip=0.3, delta=1e-3, target_epsilon=20.0), clients=12)
    assert found.verdict is Verdict.VACUOUS
    assert "Without any noise this audit does not refute" in found.text


def test_nothing_is_audited_where_nothing_is_claimed() -> None:
    nothing = DPFedAvg(clip=0.3, delta=1e-3, target_epsilon=2.0, claim="none")
    assert audited(Median(), first=nothing).verdict is Verdict.VOID


def test_what_cannot_be_audited_is_said() -> None:
    with pytest.raises(ParameterError, match="at least 12 clients in a round"):
        audited(clients=20, participation=0.5)
    with pytest.raises(ParameterError, match="a server that waits"):
        audited(server={"mode": "asynchronous"})
    with pytest.raises(ParameterError, match="before anything is released by a server"):
        audited(first=LocalDP(clip=0.3, delta=1e-3, noise_multiplier=1.0))
