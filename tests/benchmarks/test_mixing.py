"""How fast all peers mix, as ratios to a copy of their models, to one call a peer, and to their local training.

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_mixing.py --benchmark-enable

Every ratio is one of processor times that took turns in one run, so a slow machine does not change it much; a busy one
does, where other programs use up the caches. `MIXING_PEERS` and `MIXING_PARAMETERS` choose another size than 200 peers
with 1e5 parameters.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from robustfl.aggregation import Aggregator
from robustfl.aggregation.kernels.threads import limit_threads
from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixer, PerNeighbourhood
from robustfl.defenses import (
    CAF,
    GTS,
    IOS,
    MDA,
    NNA,
    NNM,
    SMEA,
    Balance,
    Bridge,
    ClippedGossip,
    CSHe,
    CSPlus,
    GeometricMedian,
    Gossip,
    Krum,
    Meamed,
    Mean,
    Median,
    MoNNA,
    MultiKrum,
    TrimmedMean,
)
from robustfl.federation import Task
from robustfl.federation.channels.models import Models
from robustfl.federation.data.partitions import IID
from robustfl.federation.graphs import Ring
from robustfl.federation.models.architectures import MLP
from tests.benchmarks.memory import peak
from tests.benchmarks.test_round import Noise
from tests.benchmarks.timing import Turns
from tests.federation.peers.networks import network as simulated
from tests.federation.peers.networks import peers as peers_of

DEGREE, F = 8, 2
ROUNDS = 7

TIERS: dict[str, tuple[Mixer, float]] = {
    "linear": (Gossip(), 1.5),
    "star": (NNA(), 2.5),
    "Gram": (PerNeighbourhood(rule=Krum(f=F)), 6.0),
    "order": (Bridge(), 6.0),
}
"""A rule of each tier, and the largest number of copies of all models that it may cost."""

CALLS: dict[str, tuple[Mixer, Aggregator, float]] = {
    "mean": (Gossip(), Mean(), 5.0),
    "NNA": (NNA(), MoNNA(f=F), 5.0),
    "Krum": (PerNeighbourhood(rule=Krum(f=F)), Krum(f=F), 5.0),
    "multi-Krum": (PerNeighbourhood(rule=MultiKrum(f=F)), MultiKrum(f=F), 5.0),
    "geometric median": (PerNeighbourhood(rule=GeometricMedian()), GeometricMedian(), 5.0),
    "CAF": (PerNeighbourhood(rule=CAF(f=F)), CAF(f=F), 5.0),
    "NNM, multi-Krum": (PerNeighbourhood(rule=NNM(f=F) >> MultiKrum(f=F)), NNM(f=F) >> MultiKrum(f=F), 5.0),
    "NNM, trimmed mean": (PerNeighbourhood(rule=NNM(f=F) >> TrimmedMean(f=F)), NNM(f=F) >> TrimmedMean(f=F), 5.0),
    "NNM, median": (PerNeighbourhood(rule=NNM(f=F) >> Median()), NNM(f=F) >> Median(), 5.0),
    "SMEA": (PerNeighbourhood(rule=SMEA(f=F)), SMEA(f=F), 5.0),
    "MDA": (PerNeighbourhood(rule=MDA(f=F)), MDA(f=F), 5.0),
    "mean around the median": (PerNeighbourhood(rule=Meamed(f=F)), Meamed(f=F), 5.0),
    "median": (PerNeighbourhood(rule=Median()), Median(), 5.0),
    "trimmed mean": (Bridge(), TrimmedMean(f=F), 5.0),
}
"""A rule for all peers, the same rule called once a peer, and how many times faster the first has to be."""

BATCHED: dict[str, Mixer] = {
    "gossip": Gossip(),
    "clipped gossip": ClippedGossip(),
    "CS+": CSPlus(),
    "CS of He": CSHe(),
    "GTS": GTS(),
    "NNA": NNA(),
    "BALANCE": Balance(),
    "IOS": IOS(),
    "BRIDGE": Bridge(),
    "median": PerNeighbourhood(rule=Median()),
    "Krum": PerNeighbourhood(rule=Krum(f=F)),
    "multi-Krum": PerNeighbourhood(rule=MultiKrum(f=F)),
    "geometric median": PerNeighbourhood(rule=GeometricMedian()),
    "NNM, trimmed mean": PerNeighbourhood(rule=NNM(f=F) >> TrimmedMean(f=F)),
}
"""The rules that are computed for all peers at once."""

STEPS, BATCH, HIDDEN = 5, 16, 126
"""Local training in a round: an MLP of about 1e5 parameters."""

MOST_OF_TRAINING = 1.0
"""The largest share of the time of such training that mixing may take, for every batched rule."""

GROWTH = {"linear": 1.6, "star": 1.6, "Gram": 1.6, "order": 1.6}
"""How many times more than 16 times as much 800 peers may cost, compared with 50. The pairs that meet somewhere grow 26
times: among 50 peers, most pairs meet in several neighbourhoods."""

MANY = 1_000, 100_000
MOST_GIGABYTES = 1.2
"""What a process needs at most that mixes the models [peers, parameters] of so many, with all libraries, and kernels
out of the cache: the compiler takes another 0.02 to 0.03. The models themselves are 0.4, and so are the new ones."""

ENOUGH = 100, 1 << 15
"""Peers and parameters whose mixing needs, and so compiles, the same kernels as that of many."""


pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with limit_threads(1), threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


def network(n: int, d: int) -> tuple[Letters, Hoods]:
    """A random network of n peers that have eight neighbours each, with d parameters."""
    rng = np.random.default_rng(n)
    near = np.stack([np.delete(np.arange(n), peer)[rng.permutation(n - 1)[:DEGREE]] for peer in range(n)])
    index = np.concatenate([np.arange(n)[:, None], near], axis=1)
    hoods = Hoods(index, np.full(index.shape, 1 / (DEGREE + 1)), np.full(n, F))
    return Letters(rng.standard_normal((n, d), dtype=np.float32)), hoods


def size(benchmark: Any) -> tuple[int, int]:
    if benchmark.disabled:
        return 12, 100
    return int(os.environ.get("MIXING_PEERS", "200")), int(os.environ.get("MIXING_PARAMETERS", "100000"))


def called(rule: Aggregator, letters: Letters, hoods: Hoods) -> list[Any]:
    """The rule, called once a peer."""
    rows = letters.rows
    trusted = rows if rule.wants_trusted else [None] * hoods.n
    return [rule(rows[index], trusted=own) for index, own in zip(hoods.index, trusted, strict=False)]


def measured(benchmark: Any, mix: Any, always: dict[str, Any], seldom: dict[str, Any]) -> dict[str, float]:
    """How many times as long as each reference the mixing takes; empty when nothing is measured."""
    mix()
    turns = Turns(always, seldom, clock=time.process_time)
    benchmark.pedantic(mix, setup=turns, rounds=ROUNDS)
    if benchmark.disabled or benchmark.stats is None:
        return {}
    ratios = {name: benchmark.stats.stats.min / best for name, best in turns.best.items()}
    benchmark.extra_info.update(ratios)
    return ratios


@pytest.mark.parametrize("tier", TIERS)
def test_mixing_costs_few_copies_of_all_models(benchmark: Any, tier: str) -> None:
    rule, most = TIERS[tier]
    letters, hoods = network(*size(benchmark))
    out = np.empty_like(letters.rows)
    copy = {"copies": partial(np.copyto, np.empty_like(out), letters.rows)}
    ratios = measured(benchmark, lambda: rule.mix(letters, hoods, out=out), copy, {})
    if ratios:
        assert ratios["copies"] <= most


@pytest.mark.parametrize("name", CALLS)
def test_mixing_is_faster_than_one_call_a_peer(benchmark: Any, name: str) -> None:
    rule, single, least = CALLS[name]
    letters, hoods = network(*size(benchmark))
    out = np.empty_like(letters.rows)
    calls = {"calls": partial(called, single, letters, hoods)}
    models = rule.mix(letters, hoods, out=out).models
    np.testing.assert_allclose(models[:3], called(single, letters, hoods.of([0, 1, 2])), atol=1e-4)
    ratios = measured(benchmark, lambda: rule.mix(letters, hoods, out=out), {}, calls)
    if ratios:
        assert 1.0 / ratios["calls"] >= least


@pytest.fixture(scope="module")
def training() -> Any:
    """The local steps of all peers in one round, for a number of peers and of hidden units."""
    made: dict[tuple[int, int], Any] = {}

    def of(n: int, hidden: int) -> Any:
        if (n, hidden) not in made:
            world = Task(data=Noise(), model=MLP(hidden=(hidden,)), partition=IID()).prepare(clients=n, seed=0)
            values = {"clients": n, "batch_size": BATCH, "local_steps": STEPS, "algorithm": "fedavg"}
            channel = peers_of(simulated(world=world, topology=Ring(), **values)).channel
            assert isinstance(channel, Models)
            lesson = channel.work.lesson(0, np.arange(n), dirty=False)
            made[n, hidden] = partial(channel.train, world.initial.repeat(n, 1), lesson)
        return made[n, hidden]

    return of


@pytest.mark.parametrize("name", BATCHED)
def test_mixing_costs_less_than_five_local_steps(benchmark: Any, training: Any, name: str) -> None:
    rule, (n, d) = BATCHED[name], size(benchmark)
    letters, hoods = network(n, d)
    out = np.empty_like(letters.rows)
    steps = {"five steps": training(n, 2 if benchmark.disabled else max(2, round(HIDDEN * d / 100_000)))}
    ratios = measured(benchmark, lambda: rule.mix(letters, hoods, out=out), {}, steps)
    if ratios:
        assert ratios["five steps"] <= MOST_OF_TRAINING


@pytest.mark.parametrize("tier", TIERS)
def test_cost_grows_like_the_number_of_peers(benchmark: Any, tier: str) -> None:
    rule, _ = TIERS[tier]
    peers, d = size(benchmark)
    few, many = (12, 48) if benchmark.disabled else (peers // 4, peers * 4)
    small, large = network(few, d), network(many, d)
    targets = [np.empty_like(letters.rows) for letters, _ in (small, large)]
    rule.mix(*small, out=targets[0])
    few_peers = {"few peers": lambda: rule.mix(*small, out=targets[0])}
    ratios = measured(benchmark, lambda: rule.mix(*large, out=targets[1]), few_peers, {})
    if ratios:
        assert ratios["few peers"] <= GROWTH[tier] * many / few


def peak_of(tier: str) -> int:
    """The most memory of a process, in bytes, that mixes the models of very many peers once; runs in one of its own."""
    with limit_threads(1):
        TIERS[tier][0].mix(*network(*MANY))
    return peak()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process without its parent's")
@pytest.mark.parametrize("tier", TIERS)
def test_very_many_peers_mix_in_little_memory(benchmark: Any, tier: str) -> None:
    TIERS[tier][0].mix(*network(*ENOUGH))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = benchmark.pedantic(pool.apply, args=(peak_of, (tier,)), rounds=1)
    benchmark.extra_info["peak"] = found
    assert found < MOST_GIGABYTES * 1e9
