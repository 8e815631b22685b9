"""What attacks on membership find on digits, beside what was measured independently of this code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from robustfl.attacks import RMIA, LiRA, LossThreshold, UpdateAlignment
from robustfl.defenses import Mean
from robustfl.federation import Federation, Task, assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import MLP
from robustfl.federation.spying.plan import Spying
from robustfl.threats import Capability, PrivacyAttack, PrivacyView
from robustfl.threats.privacy.findings import Memberships


@dataclass(frozen=True, kw_only=True)
class Density(PrivacyAttack):
    """The offline attack as it is often written by mistake: how improbable is the confidence, on either side?"""

    observers: ClassVar[tuple[str, ...]] = ("server",)
    knowledge: ClassVar[Capability] = LiRA.knowledge
    judges_members: ClassVar[bool] = True

    def infer(self, view: PrivacyView) -> Memberships:
        z = view.shadows.candidates.one_sided(view.confidences(view.candidates))
        return Memberships(scores=torch.as_tensor(z**2 / 2 + np.log(2 * np.pi) / 2))


@dataclass(frozen=True, kw_only=True)
class Coins(Density):
    """Scores without any signal."""

    def infer(self, view: PrivacyView) -> Memberships:
        return Memberships(scores=torch.as_tensor(view.rng.standard_normal(len(view.candidates[1]))), one_scale=True)


@pytest.mark.slow
def test_attacks_on_digits_find_what_was_found_before() -> None:
    """17 federations of ten clients; the test accuracy is about .94, that on members .98."""
    population = Task(data=Digits(), model=MLP(hidden=(24,)), partition=IID()).prepare(clients=10, seed=0)
    settings = Federation.model_validate(
        {
            "clients": 10,
            "rounds": 60,
            "algorithm": "fedavg",
            "local_steps": 3,
            "local_learning_rate": 0.5,
            "batch_size": 64,
            "server": {"learning_rate": 1.0},
            "evaluate_every": 60,
        }
    )
    attacks = (
        LossThreshold(),
        LiRA(),
        LiRA(mode="online"),
        LiRA(pooled=False),
        RMIA(),
        UpdateAlignment(),
        UpdateAlignment(centred=True),
        Density(),
        Coins(),
    )
    rounds = (0, 1, 2, 3, 5, 8, 12, 20, 30, 45, 59)
    spying = Spying(observer="server", attacks=attacks, targets=10, rounds=rounds)
    told = assemble(population, settings, Mean(), spying=spying, seed=0).run().more
    assert told["mia_targets"] == 17

    rate, whole = told["mia_tpr_1_by"], told["mia_auc_by"]
    assert 0.005 <= rate["LossThreshold"] <= 0.015
    for strong in ("LiRA(mode=offline)", "LiRA(mode=online)", "RMIA"):
        assert 0.035 <= rate[strong] <= 0.06
    for offline in ("LiRA(mode=offline)", "RMIA"):
        assert 0.58 <= whole[offline] <= 0.63
    assert 0.56 <= whole["LiRA(mode=online)"] <= 0.63  # without the other half of its pair, see Rotation
    assert rate["LiRA(mode=offline)"] >= 2 * rate["LossThreshold"]
    assert rate["LiRA(mode=offline)"] > 1.2 * rate["LiRA(mode=offline, pooled=False)"]
    assert rate["LiRA(mode=offline)"] > 1.4 * rate["Density"]
    assert whole["LiRA(mode=offline)"] - 0.5 > 1.5 * (whole["Density"] - 0.5)
    for aligned in ("UpdateAlignment", "UpdateAlignment(centred=True)"):
        assert 0.015 <= rate[aligned] <= 0.035
        assert 0.6 <= whole[aligned] <= 0.66

    assert 0.001 < told["mia_tpr_1_error_by"]["LiRA(mode=offline)"] < 0.006
    assert 0.004 < told["mia_tpr_01_by"]["LiRA(mode=offline)"] < 0.025
    assert set(told["mia_tpr_01_by"]) == {"LiRA(mode=offline)", "LiRA(mode=offline, pooled=False)", "Coins"}
    for name, chance in (("mia_tpr_1", 0.01), ("mia_tpr_5", 0.05), ("mia_tpr_01", 0.001), ("mia_auc", 0.5)):
        assert abs(told[f"{name}_by"]["Coins"] - chance) < 4 * told[f"{name}_error_by"]["Coins"] + 1e-3
    assert max(rate, key=lambda attack: rate[attack]) != "Coins"
    assert told["mia_tpr_1"] == max(rate.values())
