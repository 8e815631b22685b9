"""Attacks that go the same way in every round: their directions, budgets, signs and models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.attacks import MPAF, ROP, ConstantDirection, Drift, PoisonedFL, SignStatistics
from robustfl.attacks.updates.poisoned_fl import agreeing_by_chance, consistent
from robustfl.defenses import GeometricMedian, Mean, NormBound
from robustfl.federation.channels.dense import Dense
from robustfl.threats import Adversary, Facts, Knowledge, View
from robustfl.threats.updates.constant_directions import Steady, steady_direction, steady_knowledge
from tests.attacks.rounds import facts, play
from tests.attacks.table import Matrix, updates
from tests.federation.worlds import simulation, weights

KINDS: tuple[Steady, ...] = ("ones", "minus_ones", "across", "base", "anti", "random")
MESSAGES = ("delta", "gradient")


def signed(message: str) -> float:
    return 1.0 if message == "delta" else -1.0


# -- directions


class Directions:
    """The directions of an attack with one memory, with models that a test moves."""

    def __init__(self, kind: Steady, message: str = "delta", d: int = 6) -> None:
        self.kind, self.message, self.memory = kind, message, {}  # type: tuple[Steady, str, dict[str, Any]]
        self.initial, self.drawn = torch.zeros(d, dtype=torch.float64), 0

    def __call__(self, weights: Any, seed: int = 0) -> Matrix:
        def fresh(rng: np.random.Generator) -> torch.Tensor:
            self.drawn += 1
            return torch.as_tensor(rng.normal(size=len(self.initial)))

        facts = Facts(
            round=0,
            f=1,
            declared_f=1,
            honest=torch.zeros((3, len(self.initial)), dtype=torch.float64),
            honest_ids=(0, 1, 2),
            own=lambda: torch.zeros(1),
            weights=torch.as_tensor(weights, dtype=torch.float64),
            initial_weights=self.initial,
            fresh=fresh,
            message=self.message,  # type: ignore[arg-type]
            rng=np.random.default_rng(seed),
        )
        direction = steady_direction(View(facts, steady_knowledge(self.kind), "a test", self.memory), self.kind)
        result: Matrix = direction.numpy()
        return result


@pytest.mark.parametrize("kind", KINDS)
def test_directions_have_length_one_and_move_the_model_alike_whatever_is_sent(kind: Steady) -> None:
    found = [Directions(kind, message)(np.arange(6.0)) for message in MESSAGES]
    assert np.linalg.norm(found[0]) == pytest.approx(1.0)
    np.testing.assert_allclose(found[0], -found[1])


def test_all_weights_grow_or_shrink() -> None:
    np.testing.assert_allclose(Directions("ones")(np.ones(6)), np.full(6, 6**-0.5))
    np.testing.assert_allclose(Directions("minus_ones")(np.ones(6)), np.full(6, -(6**-0.5)))


def test_random_signs_are_drawn_once_and_anew_for_the_next_run() -> None:
    directions = Directions("random", d=400)
    first = directions(np.zeros(400), seed=1)
    np.testing.assert_array_equal(directions(np.ones(400), seed=2), first)
    np.testing.assert_allclose(np.abs(first), 0.05)
    assert 150 < (first > 0).sum() < 250
    assert np.abs(Directions("random", d=400)(np.zeros(400), seed=2) - first).max() > 0


def test_models_to_go_to_stay_while_the_present_one_moves() -> None:
    base, anti = Directions("base"), Directions("anti")
    here, there = np.array([3.0, 0, 0, 0, 0, 0]), np.array([0.0, -2.0, 0, 0, 0, 0])
    np.testing.assert_allclose(anti(here), -here / 3)
    np.testing.assert_allclose(anti(there), -there / 2)
    target = np.random.default_rng(7).normal(size=6)
    for seed, model in ((7, here), (8, there)):
        way = target - model
        np.testing.assert_allclose(base(model, seed), way / np.linalg.norm(way))
    assert base.drawn == 1


def test_without_a_way_to_go_all_weights_grow() -> None:
    np.testing.assert_allclose(Directions("anti", "gradient")(np.zeros(6)), np.full(6, -(6**-0.5)))


# -- budgets


@settings(max_examples=30, deadline=None)
@given(h=st.integers(2, 10), d=st.integers(1, 8), seed=st.integers(0, 99), kind=st.sampled_from(["ones", "random"]))
def test_drift_goes_as_far_as_honest_updates_are_from_each_other(h: int, d: int, seed: int, kind: Any) -> None:
    honest = updates(h, d, seed)
    for attack in (Drift(steady=kind), SignStatistics(mode="min_max")):
        row = attack(honest, f=1, rng=seed)[0]
        span = np.linalg.norm(honest[:, None] - honest, axis=2).max()
        assert np.linalg.norm(row - honest, axis=1).max() == pytest.approx(span, rel=1e-9)


def test_drift_and_constant_direction_go_the_way_of_the_weights() -> None:
    honest = updates(9, 4)
    for message in MESSAGES:
        for attack in (Drift(), ConstantDirection()):
            row = attack(honest, f=1, message=message)[0]
            start = honest.mean(axis=0) if isinstance(attack, Drift) else 0.0
            shift = signed(message) * (row - start)
            np.testing.assert_allclose(shift, shift[0])
            assert shift[0] > 0
    length = np.median(np.linalg.norm(honest, axis=1))
    assert np.linalg.norm(ConstantDirection()(honest, f=1)) == pytest.approx(3 * length)


@pytest.mark.parametrize("algorithm", ["fedsgd", "fedavg"])
def test_drift_adds_up_over_the_rounds_where_each_is_within_the_noise(algorithm: str) -> None:
    values: dict[str, Any] = {"algorithm": algorithm, "rounds": 6, "clients": 10, "f": 3}
    attacked, honest = (simulation(GeometricMedian(), attack=attack, **values) for attack in (Drift(), None))
    shifts = []
    for number in range(6):
        attacked.play(number)
        honest.play(number)
        shifts.append(float((weights(attacked) - weights(honest)).mean()))
    assert (np.diff(shifts) > 0).all()
    assert shifts[-1] > 2 * shifts[0] > 0


# -- fake clients


@pytest.mark.parametrize("algorithm", ["fedsgd", "fedavg"])
def test_fake_clients_pull_the_model_to_their_base(algorithm: str) -> None:
    sim = simulation(Mean(), algorithm=algorithm, attack=MPAF(factor=1e4), f=2)
    sim.play(0)
    assert isinstance(sim.channel, Dense)
    assert sim.channel._adversary is not None
    memory = sim.channel._adversary.memory
    base = memory["base"]
    for number in range(1, 3):
        before = weights(sim).clone()
        sim.play(number)
        assert float(torch.cosine_similarity(weights(sim) - before, base - before, dim=0)) > 0.999
        assert torch.equal(memory["base"], base)
    assert float((base - sim.setup.population.initial).norm()) > 0.1


def test_only_the_direction_counts_where_lengths_are_bounded() -> None:
    honest, history = updates(8), [np.ones(5), np.zeros(5)]
    rows = [MPAF(base="initial", factor=factor)(honest, f=2, history=history) for factor in (1e3, 1e6)]
    answers = [NormBound(radius=1.0)(np.vstack([crafted, honest])) for crafted in rows]
    np.testing.assert_allclose(*answers)
    assert MPAF().required_knowledge() == Knowledge.HISTORY


def test_what_is_too_large_for_the_type_is_its_largest_number() -> None:
    rows = MPAF(base="initial")(np.zeros((4, 2), np.float16), f=1, history=[np.array([2.0, 0.0]), np.zeros(2)])
    assert rows.tolist() == [[-65504.0, 0.0]]


# -- PoisonedFL


def test_worked_example() -> None:
    step, sent = torch.tensor([0.2, 0.1, -0.4, 0.2]), torch.tensor([0.1, 0.1, -0.2, 0.0])
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    unit = consistent(step, sent, signs, 1.0) / 0.5
    np.testing.assert_allclose(unit, [0.018275, -0.461400, 0.036550, -0.886250], atol=1e-5)
    np.testing.assert_allclose(
        consistent(step, sent, signs, 8.0), [0.073100, -1.845601, 0.146201, -3.545002], atol=1e-5
    )


@pytest.mark.parametrize(("d", "count"), [(139_960, 70_415), (1_204_682, 603_618), (717_924, 359_948), (1, 1)])
def test_signs_that_agree_by_chance(d: int, count: int) -> None:
    assert agreeing_by_chance(d) == count


def models(adversary: Adversary, message: str, rounds: int, weight: float = 0.05, d: int = 8) -> list[list[Matrix]]:
    """Models and malicious rows of a server that adds `weight` of the malicious row to a small honest change."""
    found, sent, rng = [np.full(d, 0.01)], [], np.random.default_rng(3)
    for number in range(rounds):
        honest = rng.normal(size=(5, d))
        previous = found[-2] if number else None
        known = {"weights": found[-1], "previous_weights": previous, "message": message, "own": np.ones((2, d))}
        sent.append(play(adversary, honest, round=number, **known)[0])
        found.append(found[-1] + 0.1 * honest.mean(axis=0) + weight * signed(message) * sent[-1])
    return [found, sent]


def test_poisoned_updates_keep_their_signs_and_follow_the_model() -> None:
    adversary = Adversary(PoisonedFL())
    (weights, sent), (mirrored, reversed_) = (
        models(attack, message, 6)
        for attack, message in zip((adversary, Adversary(PoisonedFL())), MESSAGES, strict=True)
    )
    signs = np.sign(sent[0])
    np.testing.assert_allclose(np.abs(sent[0]), 1.0)  # the length of an own update, evenly
    for number in range(1, 6):
        assert (sent[number] * signs >= 0).all()
        step = weights[number] - weights[number - 1]
        assert np.linalg.norm(sent[number]) == pytest.approx(8 * np.linalg.norm(step))
        left = np.abs(step - sent[number - 1] * np.linalg.norm(step) / np.linalg.norm(sent[number - 1]))
        np.testing.assert_allclose(np.abs(sent[number]) / np.linalg.norm(sent[number]), left / np.linalg.norm(left))
    np.testing.assert_allclose(weights, mirrored)
    np.testing.assert_allclose(sent, [-row for row in reversed_])
    np.testing.assert_array_equal(adversary.memory["signs"], signs)


def scales(weight: float, attack: PoisonedFL, rounds: int = 20) -> list[float]:
    """The factor c after each round."""
    adversary, found = Adversary(attack), []
    weights = [np.zeros(400)]
    for number in range(rounds):
        previous = weights[-2] if number else None
        row = play(
            adversary,
            np.zeros((3, 400)),
            round=number,
            weights=weights[-1],
            previous_weights=previous,
            own=np.ones((2, 400)),
            message="delta",
        )[0]
        honest = np.random.default_rng(number).normal(size=400)
        weights.append(weights[-1] + honest + weight * row / np.linalg.norm(row) * np.linalg.norm(honest))
        found.append(adversary.memory["scale"])
    return found


def test_updates_get_shorter_every_period_in_which_the_model_did_not_follow() -> None:
    attack = PoisonedFL(period=5, least=3.0)
    found = scales(0.0, attack)
    assert found[:5] == [8.0] * 5
    assert found[5:10] == pytest.approx([5.6] * 5)
    assert found[10:] == pytest.approx([3.92] * 10), "0.7 times 3.92 is less than the least"
    assert scales(5.0, attack) == [8.0] * 20


def test_coordinates_that_stand_still_count_by_the_sign_of_the_model() -> None:
    for sign, expected in ((1.0, 8.0), (-1.0, 5.6)):
        adversary = Adversary(PoisonedFL(period=1))
        known: dict[str, Any] = {"own": np.ones((2, 50)), "message": "delta", "previous_weights": np.zeros(50)}
        play(adversary, np.zeros((3, 50)), weights=np.zeros(50), **known)
        weights = sign * adversary.memory["signs"].numpy()
        adversary.memory["anchor"] = 0, torch.as_tensor(weights)
        play(adversary, np.zeros((3, 50)), round=1, weights=weights, **known)
        assert adversary.memory["scale"] == pytest.approx(expected)


def test_a_round_in_which_the_model_was_held_is_followed_by_zeros() -> None:
    adversary = Adversary(PoisonedFL())
    known: dict[str, Any] = {"own": np.ones((2, 5)), "weights": np.ones(5), "previous_weights": np.ones(5)}
    play(adversary, updates(), **known)
    assert not play(adversary, updates(), round=1, **known).any()
    moved = play(adversary, updates(), round=2, **{**known, "previous_weights": np.zeros(5)})
    assert np.linalg.norm(moved[0]) == pytest.approx(8 * np.sqrt(5))


def test_across_is_ones_without_the_course_of_training() -> None:
    honest = np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])
    first, later = np.zeros(3), np.array([0.0, 1.0, 0.0])
    known = facts(honest, 1, 1, weights=later, previous_weights=first, initial_weights=first, message="delta")
    view = View(known, steady_knowledge("across"), "test", {})
    np.testing.assert_allclose(steady_direction(view, "across").numpy(), [0.5**0.5, 0.0, 0.5**0.5], atol=1e-12)
    start = facts(np.array([[0.0, 0.0, 2.0]]), 1, weights=first, initial_weights=first, message="delta")
    view = View(start, steady_knowledge("across"), "test", {})
    np.testing.assert_allclose(steady_direction(view, "across").numpy(), [0.5**0.5, 0.5**0.5, 0.0])


def test_across_is_the_step_of_relocated_orthogonal_perturbations_of_gradients() -> None:
    """ROP turns away from the message's own ones, which makes weights grow where gradients are sent."""
    honest = np.random.default_rng(0).normal(size=(5, 4))
    first, later = np.zeros(4), np.array([0.3, -0.2, 0.5, 0.1])
    known = facts(honest, 1, 1, weights=later, previous_weights=first, initial_weights=first, message="gradient")
    view = View(known, steady_knowledge("across"), "test", {})
    previous = view.previous_aggregate
    assert previous is not None
    step = ROP(z=1.0).vector(view) - previous
    np.testing.assert_allclose(steady_direction(view, "across").numpy(), step.numpy(), atol=1e-12)
