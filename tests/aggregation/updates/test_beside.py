"""Leaves beside the geometry: no distance is about them, and each follows the rows that the geometry chose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.defenses import (
    CGE,
    MDA,
    NNM,
    SMEA,
    ClientMomentum,
    Clipping,
    Krum,
    Mean,
    Median,
    MultiKrum,
    SignGuard,
    TrimmedMean,
)
from robustfl.errors import UpdatesError

VARIANCES = (100.0, 250.0, 420.0, 550.0, 700.0, 400.0)
WEIGHTS = (0.01, -0.01, 0.0, 0.02, -0.02, 5.0)


def state(weight: float, variance: float, steps: int = 3) -> dict[str, Any]:
    return {
        "fc.weight": torch.full((10,), weight),
        "bn.running_var": torch.full((4,), variance),
        "bn.num_batches_tracked": torch.tensor(steps),
    }


def clients() -> list[dict[str, Any]]:
    """Five honest clients whose statistics differ, and the sixth, which attacks the weights."""
    return [state(*values) for values in zip(WEIGHTS, VARIANCES, range(6), strict=True)]


@pytest.mark.parametrize(
    "rule",
    [Krum(f=1), MultiKrum(f=1), NNM(f=1) >> TrimmedMean(f=1), MDA(f=1), SMEA(f=1), SignGuard(), CGE(f=1)],
    ids=str,
)
def test_statistics_change_nothing_about_the_weights(rule: Any) -> None:
    bare = [{"fc.weight": update["fc.weight"]} for update in clients()]
    answer = rule.aggregate(clients())
    assert torch.equal(answer.value["fc.weight"], rule(bare)["fc.weight"])
    assert float(answer.value["fc.weight"].abs().max()) < 0.1
    assert 100.0 <= float(answer.value["bn.running_var"][0]) <= 700.0
    assert list(answer.info["beside"]) == ["bn.running_var", "bn.num_batches_tracked"]


def test_a_chosen_row_brings_its_own_statistics() -> None:
    answer = Krum(f=1).aggregate(clients())
    row = int(answer.weights.argmax())
    assert float(answer.value["bn.running_var"][0]) == VARIANCES[row]
    assert int(answer.value["bn.num_batches_tracked"]) == row
    assert answer.info["beside"] == {
        "bn.running_var": "median, by the weights of the rows",
        "bn.num_batches_tracked": "median, by the weights of the rows",
    }


@pytest.mark.parametrize("radius", [1e-6, 1.0, 100.0])
def test_nothing_clips_a_variance(radius: float) -> None:
    pipeline = Clipping(radius=radius) >> Median()
    assert float(pipeline(clients())["bn.running_var"][0]) == 410.0
    made = Clipping(radius=radius)(clients())
    assert [float(update["bn.running_var"][0]) for update in made] == list(VARIANCES)
    assert [int(update["bn.num_batches_tracked"]) for update in made] == list(range(6))
    for _ in range(2):
        kept = ClientMomentum(beta=0.5)(clients())
        assert [float(update["bn.running_var"][0]) for update in kept] == list(VARIANCES)


def test_averaging_averages_statistics_too() -> None:
    answer = Mean().aggregate(clients())
    assert float(answer.value["bn.running_var"][0]) == pytest.approx(sum(VARIANCES) / 6)
    assert answer.info["beside"]["bn.running_var"].startswith("mean")


def test_an_attack_on_statistics_alone_needs_a_majority() -> None:
    updates = [
        state(weight, 1e30 if row == 3 else 1.0)
        for row, weight in enumerate((0.01, -0.01, 0.0, 0.0, 0.02, -0.02, 0.01))
    ]
    for rule in (MultiKrum(f=1), MDA(f=1), NNM(f=1) >> TrimmedMean(f=1)):
        assert float(rule(updates)["bn.running_var"][0]) == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_statistics_that_are_not_finite_refuse_their_row(value: float) -> None:
    answer = Median().aggregate([*clients()[:3], state(0.0, value)])
    assert answer.info["reasons"] == {3: "not finite (`bn.running_var`)"}
    with pytest.raises(UpdatesError, match=r"No update is finite.*`bn.running_var`"):
        Median()([state(0.0, value)] * 3)


# -------------------------------------------------------------------------------------------- what the caller names


def test_patterns_replace_the_default() -> None:
    pairs = zip(WEIGHTS, VARIANCES, strict=True)
    updates = [{"a.ema": np.array([variance]), "w": np.array([weight])} for weight, variance in pairs]
    assert float(Krum(f=1)(updates)["w"][0]) == 5.0  # the example: with it in the geometry, it decides
    for patterns in (["*.ema"], ["ema"], ["a.*"], ("a.e?a", "ema"), "ema"):
        answer = Krum(f=1).aggregate(updates, beside=patterns)
        assert abs(float(answer.value["w"][0])) < 0.1
        assert list(answer.info["beside"]) == ["a.ema"]
    geometric = Krum(f=1).aggregate(clients(), beside=())
    assert float(geometric.value["fc.weight"][0]) == 5.0
    assert list(geometric.info["beside"]) == ["bn.num_batches_tracked"]


def test_leaves_of_sequences_are_named_by_their_numbers() -> None:
    updates = [[np.array([weight]), np.array([variance])] for weight, variance in zip(WEIGHTS, VARIANCES, strict=True)]
    answer = Krum(f=1).aggregate(updates, beside=["1"])
    assert abs(float(answer.value[0][0])) < 0.1
    assert Clipping(radius=1.0)(updates, beside=["1"])[4][1].tolist() == [700.0]
    assert "beside" not in Krum(f=1).aggregate(updates).info


@pytest.mark.parametrize(
    ("updates", "patterns", "message"),
    [
        ([{"w": np.ones(2)}] * 3, ["emma"], "'emma' matches none; there are: `w`"),
        ([np.ones(2)] * 3, ["w"], "none, as updates are arrays"),
        (np.ones((3, 2)), ["w"], "none, as updates are arrays"),
        ([{"w": np.ones(2)}] * 3, ["*"], "leave something"),
        ([{"w": np.ones(2)}] * 3, [3], "3 matches none"),
    ],
)
def test_patterns_that_cannot_be_meant_are_an_error(updates: Any, patterns: Any, message: str) -> None:
    with pytest.raises(UpdatesError) as caught:
        Median()(updates, beside=patterns)
    assert message in str(caught.value)


def test_statistics_alone_are_ordinary_values() -> None:
    assert Median()([{"running_mean": np.array([float(row)])} for row in range(3)])["running_mean"].tolist() == [1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_statistics_keep_their_type_and_never_overflow(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    updates = [{"w": torch.ones(2), "running_var": torch.full((2, 1), largest, dtype=dtype)} for _ in range(5)]
    for rule in (Mean(), Median(), Krum(f=1)):
        value = rule(updates)["running_var"]
        assert (value.dtype, value.shape) == (dtype, (2, 1))
        assert value.double().flatten().tolist() == pytest.approx([largest] * 2)
