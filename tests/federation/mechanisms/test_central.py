"""Noise at the server, in whole trainings: what is released, what is counted, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation import Mechanism
from robustfl.attacks import Dropout, DuplicateClient, OutOfOrder, SignFlip, WhiteBox
from robustfl.defenses import NNM, RFFL, CenteredClipping, ClientMomentum, DPFedAvg, Mean, Median, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.evaluation.specs import DefenseTemplate, canonical
from robustfl.federation.mechanisms.central import CentralNoise
from robustfl.federation.mechanisms.clipping import clipped
from robustfl.isolation import isolated
from tests.federation.mechanisms.audited import POISSON
from tests.federation.worlds import Kept, simulation, weights


def private(**given: Any) -> DPFedAvg:
    return DPFedAvg(**{"clip": 0.3, "delta": 1e-3, "noise_multiplier": 2.0, **given})


def part(sim: Any) -> CentralNoise:
    (found,) = [transform for transform in sim.transforms if isinstance(transform, CentralNoise)]
    return found


def test_a_release_is_the_clipped_sum_over_the_expected_cohort_with_noise_after_it() -> None:
    """By hand, from what clients have computed and the stream of the noise."""
    kept = Kept()
    sim = simulation(private() >> Mean(), observers=[kept], clients=6, rounds=4, **POISSON)
    twin = np.random.default_rng(0)
    part(sim).restart(np.random.default_rng(0))
    sim.run()
    assert len({len(round.honest) for round in kept.rounds}) > 1, "cohorts have random sizes"
    for round in kept.rounds:
        assert round.computed is not None
        total = clipped(round.computed, 0.3).sum(dim=0)
        expected = (total + 2.0 * 0.3 * torch.as_tensor(twin.standard_normal(len(total)))) / (0.5 * 6)
        torch.testing.assert_close(round.receivers[0].aggregate, expected.float())


def test_malicious_messages_are_clipped_at_the_server_and_attackers_ask_about_clipped_ones() -> None:
    kept = Kept()
    sim = simulation(private() >> TrimmedMean(f=1), attack=SignFlip(scale=1e6), f=1, observers=[kept], rounds=2)
    sim.run()
    for receiver in kept.server:
        assert float(receiver.arrived.norm(dim=1).max()) <= 0.3 + 1e-6
    asked: list[float] = []
    search = simulation(private(noise_multiplier=0.0) >> Mean(), attack=WhiteBox(), f=1, rounds=2)
    heard = part(search).heard

    def watched(messages: Any, round: Any) -> Any:
        found = heard(messages, round)
        asked.append(float(found.norm(dim=1).max()))
        return found

    part(search).heard = watched  # type: ignore[method-assign]
    search.run()
    assert asked
    assert max(asked) <= 0.3 + 1e-6


def test_two_runs_are_equal_and_noise_follows_the_seed_alone() -> None:
    one, same = (simulation(private() >> Mean(), seed=1).run().loss for _ in range(2))
    assert one == same
    plain, silent = Mean(), private(clip=1e3, noise_multiplier=0.0) >> Mean()
    torch.testing.assert_close(_trained(plain), _trained(silent), atol=1e-6, rtol=1e-5)


def _trained(rule: Any) -> torch.Tensor:
    sim = simulation(rule)
    sim.run()
    return weights(sim)


def test_an_empty_cohort_releases_noise_and_counts() -> None:
    kept = Kept()
    sim = simulation(private() >> Mean(), observers=[kept], clients=3, rounds=12, **{**POISSON, "participation": 0.2})
    trace = sim.run()
    empty = [round.receivers[0] for round in kept.rounds if not len(round.honest)]
    assert empty
    assert all(receiver.aggregate is not None and receiver.aggregate.abs().sum() > 0 for receiver in empty)
    assert trace.held_rounds == 0
    assert trace.account is not None
    (event,) = trace.account["events"]
    assert (event["rounds"], event["kind"], event["rate"]) == ([1, 12], "poisson", 0.2)
    plain = simulation(Mean(), clients=3, rounds=12, **{**POISSON, "participation": 0.2}).run()
    assert plain.held_rounds == len(empty), "without a mechanism such a round comes to nothing"


@pytest.mark.parametrize("name", ["lost", "twice", "late"])
def test_faults_leave_the_number_of_rows_alone(name: str) -> None:
    fault = {"lost": Dropout(probability=0.5), "twice": DuplicateClient(share=0.5), "late": OutOfOrder()}[name]
    kept = Kept()
    trace = simulation(private() >> TrimmedMean(f=1), faults=[fault], observers=[kept], rounds=4).run()
    for receiver in kept.server:
        assert receiver.ids.tolist() == list(range(6)), "lost messages are zeros, and copies are not used"
    assert trace.account is not None
    assert len(trace.account["events"]) == 1
    assert "privacy_voids" not in trace.more


def test_late_messages_void_the_price_of_sampling() -> None:
    trace = simulation(private() >> Mean(), faults=[OutOfOrder()], rounds=8, **POISSON).run()
    assert trace.more["privacy_voids"][0].startswith("LATE_MESSAGES")
    assert "epsilon" not in trace.more
    assert trace.account is not None
    assert trace.account["epsilon"]["participant"]["pld"] is None


def test_asynchronous_rounds_get_no_credit_for_sampling() -> None:
    trace = simulation(private() >> Mean(), server={"mode": "asynchronous", "buffer": 2}, rounds=3).run()
    assert trace.account is not None
    assert trace.account["relation"] == "replace_one"
    assert trace.account["events"][0]["kind"] == "full"


def test_an_isolated_rule_meets_the_same_rounds() -> None:
    defense = private(quantile=0.5) >> CenteredClipping(radius=0.1)
    expected = _trained(defense)
    with isolated(defense) as elsewhere:
        torch.testing.assert_close(_trained(elsewhere), expected, atol=0, rtol=0)


def test_a_center_is_the_last_release() -> None:
    """The bound of centered clipping holds only if what it remembers carries noise."""
    kept, defense = Kept(), private() >> CenteredClipping(radius=0.1)
    simulation(defense, observers=[kept], rounds=2).run()
    aggregate = kept.rounds[-1].receivers[0].aggregate
    assert aggregate is not None
    np.testing.assert_array_equal(defense.state_dict()["center"], aggregate.numpy())


REFUSED: list[tuple[Any, str]] = [
    (lambda: private() >> Median(), "dp_fed_avg: No bound is known .* Median: .*tie-breaker.* Take a rule .*local_dp"),
    (lambda: private() >> (ClientMomentum() >> Mean()), "No bound is known"),
    (lambda: private() >> RFFL(), "protects updates that become one model"),
    (lambda: ClientMomentum() >> (private() >> Mean()), "A mechanism is the first stage"),
    (lambda: private() >> (private() >> Mean()), "one mechanism"),
    (lambda: private(target_epsilon=2.0), "either `noise_multiplier` or `target_epsilon`"),
    (lambda: private(noise_multiplier=None), "either `noise_multiplier` or `target_epsilon`"),
    (lambda: private(noise_multiplier=-1.0), "`noise_multiplier` should be finite and >= 0"),
    (lambda: private(clip=float("inf")), "`clip` should be finite"),
    (lambda: private(delta=1.0), "delta < 1"),
    (lambda: simulation(private() >> TrimmedMean(f=1), **POISSON), "secret under Poisson sampling"),
    (lambda: simulation(private() >> TrimmedMean(f=3)), "No bound is known"),
    (lambda: simulation(private(max_epsilon=0.01) >> Mean()), "should pay for one round"),
    (lambda: simulation(private(noise_multiplier=0.0, max_epsilon=1.0) >> Mean()), "`max_epsilon` needs noise"),
    (lambda: simulation(private(quantile=0.5, count_noise=1.0) >> Mean()), "noise_multiplier < 2 count_noise"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_makes_no_sense_is_refused_before_anything_runs(number: int) -> None:
    build, message = REFUSED[number]
    with pytest.raises(ParameterError, match=message):
        build()


def test_without_a_claim_every_rule_runs_and_no_epsilon_is_told() -> None:
    trace = simulation(private(claim="none") >> Median()).run()
    assert [text.split(":")[0] for text in trace.more["privacy_voids"]] == ["NO_CLAIM", "NO_SENSITIVITY"]
    assert "epsilon" not in trace.more


def test_specifications_and_python_build_the_same_pipeline() -> None:
    written = [{"dp_fed_avg": {"clip": 0.3, "target_epsilon": 2, "delta": 1e-3}}, "nnm", {"trimmed_mean": {}}]
    template = DefenseTemplate.read(written)
    built = template.build(1)
    mechanism: Mechanism = DPFedAvg(clip=0.3, target_epsilon=2.0, delta=1e-3)
    assert built == mechanism >> NNM(f=1) >> TrimmedMean(f=1) == mechanism >> (NNM(f=1) >> TrimmedMean(f=1))
    assert DefenseTemplate.read(json.loads(json.dumps(canonical(built)))).build(1) == built
    assert template.label == "DPFedAvg(clip=0.3, delta=0.001, target_epsilon=2) > NNM > TrimmedMean"
    with pytest.raises(Exception, match="is not a complete defense"):
        DefenseTemplate.read("dp_fed_avg(clip=1.0, delta=0.1, noise_multiplier=1.0)")
