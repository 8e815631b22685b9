"""Roll-outs without autograd: the same values and slopes to the last bit, where all derivatives are written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from robustfl.federation.models.architectures import CNN, MLP, Model, Softmax
from robustfl.threats import View
from robustfl.threats.updates.planning import rollout as rolling
from robustfl.threats.updates.planning.replay import ReplayedUpdate
from robustfl.threats.updates.planning.rollout import Rollout
from robustfl.threats.updates.planning.surrogates import Shifted, Votes, WrittenSurrogate
from tests.threats.test_planning import planned, spied

MOMENTA: list[dict[str, Any]] = [
    {},
    {"client_momentum": 0.9},
    {"server": {"momentum": 0.9, "learning_rate": 0.1}},
    {"algorithm": "fedavg", "local_steps": 1, "client_momentum": 0.5, "server": {"momentum": 0.5}},
]
NAMES = ["plain", "clients", "server", "both, with differences"]


def by_autograd(rolled: Rollout) -> Rollout:
    """The same roll-out with an update that looks the same, but offers nothing."""
    update = rolled.training.update
    return replace(rolled, training=replace(rolled.training, update=lambda *given: update(*given)))


def surrogates(view: View) -> list[WrittenSurrogate]:
    spread = view.honest.std(dim=0, correction=0).clamp(min=1e-6)
    return [Shifted(share=0.9, reach=0.3), Votes(step=0.05, spread=spread, honest=4, malicious=1)]


def plans(rolled: Rollout, k: int) -> Tensor:
    shape = (k, rolled.rounds, rolled.model.numel())
    return torch.randn(shape, generator=torch.Generator().manual_seed(k))


def require_same_bits(rolled: Rollout, k: int) -> Tensor:
    """Compare both ways, and return the slopes."""
    usual, directions = by_autograd(rolled), plans(rolled, k)
    assert rolled._unrolled(k) is not None
    assert usual._unrolled(k) is None
    values, slopes = rolled.slopes(directions)
    pairs = zip((values, slopes), usual.slopes(directions), strict=True)
    for found, expected in (*pairs, (rolled.values(directions), usual.values(directions))):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    return slopes


@pytest.mark.parametrize("model", [Softmax(), MLP(hidden=(16,)), MLP(hidden=(24, 8))], ids=repr)
@pytest.mark.parametrize("settings", MOMENTA, ids=NAMES)
@pytest.mark.parametrize("number", [0, 2])
def test_values_and_slopes_have_the_bits_of_autograd(settings: dict[str, Any], model: Model, number: int) -> None:
    view = spied(model, **settings)[0][number]
    for defense in surrogates(view):
        for counted, k in (((-1,), 1), ((-1, -2, 2), 3), ((1,), 1)):
            slopes = require_same_bits(planned(view, counted=counted, defense=defense), k)
            assert bool((slopes != 0).any())


@pytest.mark.parametrize("scale", [1e20, float("inf")])
def test_trainings_that_diverge_have_the_bits_of_autograd(scale: float) -> None:
    view = spied(MLP(hidden=(16,)), client_momentum=0.9)[0][1]
    for defense in surrogates(view):
        rolled = planned(view, counted=(-1, 2), defense=defense)
        slopes = require_same_bits(replace(rolled, model=scale * rolled.model), 1)
        assert not bool(slopes.isfinite().all())


@pytest.mark.parametrize("settings", MOMENTA, ids=NAMES)
def test_stretches_do_not_change_the_bits(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    view = spied(**settings)[0][0]
    for defense in surrogates(view):
        rolled = planned(view, counted=(-1, 2), defense=defense)
        whole = rolled.slopes(plans(rolled, 2))
        with monkeypatch.context() as patch:
            patch.setattr(rolling, "KEPT_NUMBERS", 0)
            short = replace(rolled)
            assert torch.equal(require_same_bits(short, 2), whole[1])
            unrolled = short._unrolled(2)
            assert unrolled is not None
            assert unrolled.stretch == 2


def test_what_follows_the_last_model_that_counts_has_no_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "KEPT_NUMBERS", 0)
    rolled = planned(spied()[0][0], counted=(1,))
    rolled = replace(rolled, model=float("inf") * rolled.model)
    slopes = rolled.slopes(plans(rolled, 1))[1]
    assert not bool(slopes[:, :2].isfinite().all())
    assert not bool(slopes[:, 2:].any()), "although they are multiplied with what is not finite"


def test_an_aim_that_depends_on_no_model_has_no_slope() -> None:
    rolled = planned(spied()[0][0], reach=0.3, aim=lambda logits: torch.ones(len(logits)))
    values, slopes = rolled.slopes(plans(rolled, 2))
    assert values.tolist() == [1.0, 1.0]
    assert not bool(slopes.any())


def otherwise(**changes: Any) -> Callable[[Rollout], Rollout]:
    return lambda rolled: replace(rolled, training=replace(rolled.training, **changes))


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"server": {"optimizer": "adam"}}, None),
        ({"algorithm": "fedavg", "local_steps": 3}, None),
        ({"sharpness_radius": 0.3}, None),
        ({"model": CNN(channels=(2,))}, None),
        ({}, otherwise(pooled=False)),
        ({}, lambda rolled: otherwise(step=lambda *given: rolled.training.step(*given))(rolled)),
        ({}, lambda rolled: replace(rolled, defense=lambda sent, directions: sent + directions)),
    ],
    ids=["adam", "local steps", "sharpness", "another network", "clients apart", "a step of others", "a surrogate"],
)
def test_everything_else_is_left_to_autograd(
    settings: dict[str, Any], change: Callable[[Rollout], Rollout] | None
) -> None:
    rolled = planned(spied(**settings)[0][1], reach=0.3)
    rolled = rolled if change is None else change(rolled)
    assert rolled._unrolled(1) is None
    assert bool(rolled.slopes(plans(rolled, 1))[1].any())


class Counting(TorchDispatchMode):
    """Adds up the sizes of the tensors that are made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if "empty" in str(func):
            self.numbers += made.numel()
        return made


def test_a_place_keeps_no_more_than_a_round_of_autograd_so_that_stretches_keep_their_promise() -> None:
    rolled = planned(spied(MLP(hidden=(24, 8)))[0][0])
    update, lessons = rolled.training.update, rolled.lessons
    assert isinstance(update, ReplayedUpdate)

    def kept(plans: int, places: int) -> int:
        with Counting() as counting:
            update.replay(lessons.features.flatten(0, 1), lessons.labels.flatten(), plans, places)
        return counting.numbers

    widths, samples = (24, 8, 3), lessons.labels.numel()
    a_place = rolled.model.numel() + samples * (2 * sum(widths) - widths[0])
    assert kept(1, 20) - kept(1, 10) == 10 * a_place <= 10 * rolled._kept_by_a_round
    assert kept(3, 20) - kept(3, 10) == 30 * a_place


def test_room_is_made_once_for_a_plan_and_for_one_number_of_plans_at_a_time() -> None:
    rolled = planned(spied()[0][0])
    assert rolled._unrolled(3) is rolled._unrolled(3) is not None
    first = rolled._unrolled(1)
    assert list(rolled._made) == [1]
    assert rolled._unrolled(1) is first
