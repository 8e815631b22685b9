"""Channels of defenses and of pipelines: every one has its rounds, and a pipeline speaks that of its rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation import Aggregator
from robustfl.aggregation.votes.contract import RankAggregator
from robustfl.attacks import Clones, LabelFlip, SignFlip, Whitewash
from robustfl.defenses import FRL, NNA, NNM, RFFL, Bucketing, Clipping, Mean
from robustfl.errors import ParameterError, StateError
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.federation import Simulation
from robustfl.federation.channels.dense import Dense, Rewarded
from robustfl.federation.channels.names import channel_named
from robustfl.federation.channels.predictions import Predictions
from robustfl.federation.channels.rankings import Rankings
from robustfl.federation.topologies.distilled import Distilled
from robustfl.federation.topologies.ownership import CommonModel
from robustfl.federation.topologies.rewards import Rewards
from tests.federation.worlds import CLIENTS, SMALL_MLP, computed, simulation, topology

DEFENSES = [cls for cls in registry.find("defense").values() if issubclass(cls, Aggregator | RankAggregator)]


def rewarded(defense: Any, **values: Any) -> Simulation:
    return simulation(defense, model=SMALL_MLP, message="delta", server={"learning_rate": 1.0}, rounds=4, **values)


@pytest.mark.parametrize("cls", DEFENSES, ids=lambda cls: cls.__name__)
def test_every_registered_defense_speaks_a_channel_that_has_rounds(cls: type[Any]) -> None:
    channels = {"dense": Dense, "rankings": Rankings, "rewards": Rewarded, "predictions": Predictions}
    owners = {"dense": CommonModel, "rankings": CommonModel, "rewards": Rewards, "predictions": Distilled}
    channel, ownership = channels[cls.channel], owners[cls.channel]
    distils = {"algorithm": "fedavg", "distillation": {}} if channel is Predictions else {}
    given = {"radius": 1.0, "threshold": 2, "f": 0}
    rule = cls(**{p.name: given[p.name] for p in cls.declared_parameters() if p.required})
    sim = simulation(rule, **distils)
    assert channel_named(rule.channel) is type(sim.channel) is channel
    assert type(topology(sim).ownership) is ownership


def test_a_pipeline_speaks_the_channel_of_its_rule() -> None:
    assert (Clipping() >> Mean()).channel == "dense"
    assert (Clipping() >> Clipping(radius=1.0) >> RFFL()).channel == "rewards"
    assert DefenseTemplate.read(["clipping", "rffl"]).channel == "rewards"
    assert type(simulation(Clipping() >> RFFL()).channel) is Rewarded


def test_clipping_stands_before_rewards() -> None:
    """Sizes reach the rule, clients cut their own steps to what the pipeline kept of them, and rewards are given."""
    sim = rewarded(Clipping(radius=0.02) >> RFFL(clip=1e9, grace=2), attack=SignFlip(), f=1)
    round = sim.play(0)
    assert round.lesson is not None
    assert round.computed is not None
    answer, ids = round.receivers[0].answer, round.lesson.ids.tolist()
    assert answer is not None
    sizes = np.array([len(part) for part in sim.setup.population.parts])
    norms = round.computed.norm(dim=1)
    expected = (0.02 / norms).clamp(max=1.0)
    kept = answer.info["kept"]
    honest = [client for client in range(CLIENTS) if client not in sim.setup.malicious]
    for client in honest:
        assert kept[client] == pytest.approx(float(expected[ids.index(client)]), rel=1e-5)
    expected_weights = [sizes[client] / sizes.sum() * kept[client] for client in answer.info["ids"]]
    np.testing.assert_allclose(np.asarray(answer.weights), expected_weights, rtol=1e-5)
    trace = rewarded(Clipping() >> RFFL(grace=2), attack=SignFlip(), f=2).run()
    assert sorted(trace.more["excluded"]) == trace.malicious
    assert "fairness" in trace.more


@pytest.mark.parametrize("before", [NNM(f=1), Bucketing(size=2)], ids=repr)
def test_what_mixes_rows_cannot_stand_before_rewards(before: Any) -> None:
    with pytest.raises(StateError, match="was given mixtures"):
        rewarded(before >> RFFL()).run()


def test_identities_that_do_not_fit_a_rule_do_not_fit_its_pipelines() -> None:
    with pytest.raises(ParameterError, match=r"cannot meet Clipping.*speak the channel 'rewards'"):
        rewarded(Clipping() >> RFFL(), attack=Clones() >> LabelFlip(), f=1)


def test_votes_know_identities_by_their_names() -> None:
    attack = Whitewash(count=2, outside=True, lifetime=1) >> LabelFlip()
    sim = simulation(FRL(), model=SMALL_MLP, algorithm="fedavg", local_steps=2, attack=attack, f=1)
    assert computed(sim, 3).own is not None
    answer = sim.play(3).receivers[0].answer
    assert answer is not None
    members = len(sim.setup.members)
    assert set(answer.info["ids"]) == {*range(CLIENTS), *(m + 3 * members for m in (CLIENTS, CLIENTS + 1))}


def test_a_rule_for_peers_is_refused_where_there_is_a_server() -> None:
    with pytest.raises(ParameterError, match="NNA mixes the models of peers"):
        simulation(NNA())
