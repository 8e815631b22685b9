"""Noise at the clients: their messages, sums of shares, and steps; each client has an account of its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.attacks import SignFlip
from robustfl.defenses import DPSGD, Krum, LocalDP, Mean, Median, SecureSumDP
from robustfl.errors import ParameterError
from robustfl.federation.mechanisms.local import LocalNoise, SharedNoise
from robustfl.federation.mechanisms.steps import NoisedWork
from robustfl.federation.round import Round
from robustfl.privacy import Claim, Poisson, Release, audit, epsilon, replay
from tests.federation.worlds import Kept, gradient, simulation

NOISE = {"clip": 0.3, "delta": 1e-3, "noise_multiplier": 2.0}


def part(sim: Any, kind: Any) -> Any:
    (found,) = [transform for transform in sim.transforms if isinstance(transform, kind)]
    return found


def played(defense: Any, **given: Any) -> tuple[Any, list[Round]]:
    kept = Kept()
    return simulation(defense, observers=[kept], **given).run(), kept.rounds


def silent_round(number: int) -> Round:
    nobody = np.empty(0, dtype=np.int64)
    return Round(number=number, malicious=nobody, honest=nobody)


def test_a_message_is_clipped_and_noised_before_anybody_sees_it() -> None:
    trace, rounds = played(LocalDP(**NOISE) >> Median(), rounds=3)
    noise = torch.cat([round.sent - round.computed.clamp(-1, 1) for round in rounds if round.computed is not None])
    assert float(noise.std()) == pytest.approx(0.6, rel=0.1)
    assert len({float(row.sum()) for round in rounds for row in round.sent}) == 18, "each message has noise of its own"
    assert trace.more["epsilon_server"] == pytest.approx(
        epsilon([Release(noise_multiplier=2.0, rounds=3)], 1e-3, "replace_one")
    )
    assert "privacy_notes" not in trace.more, "the median compares no distances"
    assert simulation(LocalDP(**NOISE) >> Median(), rounds=3).run().loss == trace.loss


def test_geometry_that_noise_beats_is_noted() -> None:
    loud = played(LocalDP(**NOISE) >> Krum(f=1), rounds=1)[0].more
    quiet = played(LocalDP(**{**NOISE, "noise_multiplier": 0.1}) >> Krum(f=1), rounds=1)[0].more
    assert loud["noise_ratio"] == pytest.approx(2.0 * math.sqrt(51))
    assert [note.split(":")[0] for note in loud["privacy_notes"]] == ["NOISE_BEATS_GEOMETRY"]
    assert "privacy_notes" not in quiet


def test_a_client_pays_for_the_rounds_in_which_it_took_part() -> None:
    trace, rounds = played(LocalDP(**NOISE) >> Mean(), rounds=9, participation=0.5)
    turns = np.bincount(np.concatenate([round.honest for round in rounds]), minlength=6)
    prices = [epsilon([Release(noise_multiplier=2.0, rounds=int(n))], 1e-3, "replace_one") for n in sorted(turns)]
    assert trace.more["epsilon_server"] == pytest.approx(prices[-1])
    assert trace.more["epsilon_median"] == pytest.approx((prices[2] + prices[3]) / 2)


class Half(LocalNoise):
    def noises(self, messages: Tensor, ids: Any, number: int) -> Tensor:
        return 0.5 * super().noises(messages, ids, number)


class Unclipped(LocalNoise):
    def sent(self, messages: Tensor, ids: Any, round: Round) -> Tensor:
        return messages + self.noise_multiplier * self.protection.clip * self.noises(messages, ids, round.number)


@pytest.mark.parametrize(("kind", "code"), [(LocalNoise, ""), (Half, "NOISE_TOO_SMALL"), (Unclipped, "SENSITIVITY")])
def test_a_message_is_what_it_claims_to_be(kind: Any, code: str) -> None:
    """The release is what one client sends, of which the last record is the message; the others are not in it."""
    sims = [simulation(LocalDP(**{**NOISE, "noise_multiplier": s}) >> Mean()) for s in (2.0, 0.0)]
    loud, quiet = (
        kind(part(sim, LocalNoise).protection, sim.setup, sim.channel.defense, s)
        for sim, s in zip(sims, (2.0, 0.0), strict=True)
    )

    def of(protector: LocalNoise) -> Any:
        def mechanism(records: Any, rng: np.random.Generator) -> Any:
            there = silent_round(int(rng.integers(2**40)))
            return protector.sent(torch.as_tensor(records[-1:]), np.zeros(1, dtype=np.int64), there)[0].numpy()

        return mechanism

    claim = Claim(
        mechanism=of(loud),
        noiseless=of(quiet),
        release=Release(noise_multiplier=2.0),
        dimension=1500,
        clip=0.3,
        relation="replace_one",
    )
    found = [finding.code for finding in replay(claim, np.random.default_rng(0)) if finding.code != "NOISE_KNOWS_ORDER"]
    assert found == ([code] if code else []) or (code == "SENSITIVITY" and code in found)


def test_shares_add_up_to_the_noise_that_a_round_is_priced_with() -> None:
    defense = SecureSumDP(**NOISE, honest=0.5) >> Mean()
    trace, rounds = played(defense, rounds=4, attack=SignFlip(), f=1)
    assert trace.account is not None
    (event,) = trace.account["events"]
    assert event["sigma"] == pytest.approx(2.0 * math.sqrt(5 / 3)), "five honest ones, and three are enough"
    sim = simulation(defense)
    noise = part(sim, SharedNoise).sent(torch.zeros(5, 20_000), np.arange(5), silent_round(0)).sum(dim=0)
    assert float(noise.std()) == pytest.approx(event["sigma"] * 0.3, rel=0.02)
    assert all(round.seen is not None and len(round.seen) == 1 for round in rounds), "the network shows sums"
    assert set(trace.more["epsilon"]) == {"participant", "public", "sum"}
    with pytest.raises(ParameterError, match="Median needs every row, and the server sees only their sum"):
        SecureSumDP(**NOISE) >> Median()


def test_a_step_is_the_sum_of_clipped_gradients_of_examples_over_a_number_that_is_known() -> None:
    """By hand, one example after the other."""
    sim = simulation(DPSGD(**NOISE) >> Mean(), batch_size=5)
    work, round = sim.channel.work, sim.topology.sample(0)
    assert isinstance(work, NoisedWork)
    lesson = work.lesson(0, round.honest, dirty=False)
    assert lesson.taking is not None
    found, noise = (
        work.gradients(sim.setup.population.initial, lesson),
        work._noises(lesson, sim.setup.population.initial),
    )
    for row in range(6):
        taking = lesson.taking[row, 0].nonzero()[:, 0].tolist()
        total = 2.0 * 0.3 * noise[row, 0]
        for place in taking:
            x, y = lesson.features[row, 0, place], lesson.labels[row, 0, place]
            g = gradient(sim.setup.population, sim.setup.population.initial, x[None], y[None])
            total = total + g * min(1.0, 0.3 / float(g.norm()))
        torch.testing.assert_close(found[row], total / 5, atol=1e-6, rtol=1e-4)
    assert len(set(lesson.taking[:, 0].sum(dim=1).tolist())) > 1, "batches have random sizes"


def test_steps_without_noise_and_with_everybody_are_plain_steps() -> None:
    defense = DPSGD(clip=1e6, delta=1e-3, noise_multiplier=0.0) >> Mean()
    noised, batch = simulation(defense, batch_size=1000), simulation(Mean(), batch_size=1000)
    work, population = noised.channel.work, noised.setup.population
    found = work.gradients(population.initial, work.lesson(0, np.arange(6), dirty=False))
    for client, own in enumerate(population.parts):
        index = torch.as_tensor(own)
        expected = gradient(population, population.initial, population.features[index], population.labels[index])
        torch.testing.assert_close(found[client], expected, atol=1e-5, rtol=1e-4)
    assert batch.channel.work.lesson(0, np.arange(6), dirty=False).taking is None


def tiny(noise: float) -> Any:
    """What a client with three examples, of which two are a batch, makes of the gradients of those that take part."""
    sim = simulation(DPSGD(**{**NOISE, "noise_multiplier": noise}) >> Mean(), batch_size=2)
    work = sim.channel.work
    assert isinstance(work, NoisedWork)

    def mechanism(records: Any, rng: np.random.Generator) -> Any:
        noise = torch.as_tensor(rng.standard_normal((1, records.shape[1])))
        return (work.released(work.clipped(torch.as_tensor(records)[None]).sum(dim=1), noise) / 2)[0].numpy()

    return mechanism


TINY = Claim(
    mechanism=tiny(2.0),
    noiseless=tiny(0.0),
    release=Release(noise_multiplier=2.0, sampling=Poisson(rate=2 / 3)),
    dimension=600,
    clip=0.3,
    scale=1 / 2,
)


def test_an_absent_example_of_a_tiny_client_changes_no_denominator() -> None:
    assert replay(TINY, np.random.default_rng(0)) == []


@pytest.mark.slow
def test_audits_of_a_tiny_client_do_not_refute_its_claim() -> None:
    """At a level of 5 %, of 20 right audits more than three fail with a probability of 1.6 %."""
    seeds = [np.random.default_rng(seed) for seed in range(20)]
    verdicts = [audit(TINY, rng, rounds=10, canaries=100, delta=1e-3) for rng in seeds]
    assert sum(verdict.verdict in ("FAIL", "BROKEN") for verdict in verdicts) <= 3


def test_epsilon_counts_rounds_for_clients_and_steps_for_examples() -> None:
    """Which number does one give: that of rounds, or that of local steps?"""
    once, twice = {}, {}
    for steps, found in ((1, once), (2, twice)):
        for defense in (LocalDP(**NOISE) >> Mean(), DPSGD(**NOISE) >> Mean()):
            trace = simulation(defense, algorithm="fedavg", local_steps=steps, rounds=4).run()
            assert trace.account is not None
            found[trace.account["unit"]] = (trace.more["epsilon_server"], trace.account["events"][0]["steps"])
    assert once["client"] == twice["client"]
    assert once["example"][1] * 2 == twice["example"][1]
    sampling = Poisson(rate=4 / 15)
    assert twice["example"][0] == pytest.approx(
        epsilon([Release(noise_multiplier=2.0, sampling=sampling, rounds=8)], 1e-3)
    )
