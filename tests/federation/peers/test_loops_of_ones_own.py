"""A loop of one's own over state dicts does what the simulation does: `mix_one` gives the models of its first round."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Occasion, for_peers
from robustfl.attacks import Dissensus, Echo, NonFinite
from robustfl.defenses import IOS, NNA, UBAR, Balance, CSPlus, Gossip, Krum, LocalFoolsGold, SybilWall, TrimmedMean
from robustfl.federation.graphs import Complete, Regular
from tests.federation.peers.networks import network, peers, played

RULES = {
    "gossip": Gossip(),
    "nna": NNA(),
    "ios": IOS(),
    "cs_plus": CSPlus(),
    "balance": Balance(),
    "ubar": UBAR(),
    "trimmed_mean": TrimmedMean(f=1),
    "krum": Krum(f=1),
    "fools_gold": LocalFoolsGold(history="differences"),
    "sybilwall": SybilWall(),
}
ATTACKS: dict[str, dict[str, Any]] = {
    "alone": {},
    "echo": {"attack": Echo(), "f": 2},
    "dissensus": {"attack": Dissensus(), "f": 2},
    "nan": {"attack": NonFinite(), "f": 2},
}


def model_of(row: torch.Tensor) -> dict[str, torch.Tensor]:
    """A model's numbers as a state dict of two arrays."""
    return {"weight": row[:-3].clone().reshape(1, -1), "bias": row[-3:].clone()}


def unchanged(letter: dict[str, torch.Tensor] | None, before: dict[str, torch.Tensor] | None) -> bool:
    if letter is None or before is None:
        return letter is before
    return all(torch.equal(letter[name].nan_to_num(), before[name].nan_to_num()) for name in before)


def mixed_by_hand(rule: Any, letters: Letters, hoods: Hoods, occasion: Occasion) -> list[torch.Tensor]:
    """The models of all peers, each from a call of its own: letters come in by name, and models go out."""
    models = []
    for line in range(hoods.n):
        inbox, weights = {}, {}
        for slot in range(1, hoods.m):
            if (sender := int(hoods.senders[line, slot])) >= 0:
                row = int(hoods.index[line, slot])
                inbox[sender] = model_of(torch.as_tensor(letters.rows[row])) if row >= 0 else None
                weights[sender] = hoods.weights[line, slot]
        own, before = model_of(torch.as_tensor(letters.rows[hoods.index[line, 0]])), copy.deepcopy(inbox)
        model, _ = rule.mix_one(own, inbox, b=int(hoods.bounds[line]), weights=weights, occasion=occasion)
        assert all(unchanged(inbox[name], before[name]) for name in before)
        models.append(torch.cat([model["weight"].reshape(-1), model["bias"]]))
    return models


def by(name: int, occasion: Occasion) -> Occasion:
    """The occasion for a peer that is alone: it calls itself 0, and the simulation knows its samples by its name."""
    losses = occasion.losses
    assert losses is not None
    return replace(occasion, losses=lambda _, models: losses(name, models))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("rule", RULES)
def test_a_loop_over_state_dicts_gives_the_models_of_the_first_round_bit_for_bit(rule: str, attack: str) -> None:
    graph = Complete() if attack == "dissensus" else Regular(degree=4)
    RULES[rule].reset()
    sim = network(RULES[rule], rounds=1, topology=graph, **ATTACKS[attack])
    topology, asked = peers(sim), list[torch.Tensor]()
    mix = topology.asked

    def noted(letters: Letters, hoods: Hoods, occasion: Occasion) -> Any:
        for line, name in enumerate(hoods.ids.tolist()):
            asked.extend(mixed_by_hand(for_peers(RULES[rule]), letters, hoods.of([line]), by(name, occasion)))
        return mix(letters, hoods, occasion)

    topology.asked = noted
    kept = played(sim)
    honest = kept.rounds[0].honest
    assert len(asked) == len(honest)
    np.testing.assert_array_equal(torch.stack(asked), kept.models[0][torch.as_tensor(honest)])
