"""Untargeted attacks that stay close to honest updates: published values, exact oracles, and what they must not do."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from robustfl.attacks import ALIE, ROP, FangKrum, FangTrimmedMean, Mimic, MinMax, MinSum
from robustfl.defenses import Median
from robustfl.errors import AttackError, KnowledgeError, ParameterError
from robustfl.threats import UpdateAttack, View
from robustfl.threats.updates import geometry
from robustfl.threats.updates.perturbations import Perturbation
from tests.attacks.rounds import facts, played
from tests.attacks.table import Matrix, updates
from tests.federation.worlds import simulation, weights

X3: Matrix = np.array([[1.0, 0.0], [3.0, 1.0], [2.0, -1.0]])
CLOUDS = st.builds(updates, h=st.integers(2, 9), d=st.integers(1, 6), seed=st.integers(0, 10_000))


# -- Min-Max and Min-Sum


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (MinMax(direction="unit"), [1.0, 0.0]),
        (MinMax(direction="sign"), [1.0, 0.0]),
        (MinMax(direction="std", ddof=1), [1.41886117, -0.58113883]),
        (MinMax(), [1.41886117, -0.58113883]),
        (MinSum(direction="unit"), [0.58578644, 0.0]),
        (MinSum(ddof=1), [1.0, -1.0]),
        (MinSum(direction="unit", bound="min"), [1.0, 0.0]),
        (MinSum(ddof=1, bound="min"), [1.29289322, -0.70710678]),
    ],
    ids=repr,
)
def test_values_on_three_rows(attack: Perturbation, expected: list[float]) -> None:
    np.testing.assert_allclose(attack(X3, f=2), [expected] * 2, atol=1e-8)


@pytest.mark.parametrize(
    ("attack", "direction", "factor"),
    [
        (MinMax(direction="unit"), [-1.0, 0.0], 1.0),
        (MinMax(direction="sign"), [-1.0, 0.0], 1.0),
        (MinMax(ddof=1), -X3.std(axis=0, ddof=1), 0.58113883),
        (MinMax(), -X3.std(axis=0), 0.71174680),
        (MinSum(direction="unit"), [-1.0, 0.0], 1.41421356),
        (MinSum(ddof=1), -X3.std(axis=0, ddof=1), 1.0),
        (MinSum(direction="unit", bound="min"), [-1.0, 0.0], 1.0),
        (MinSum(ddof=1, bound="min"), -X3.std(axis=0, ddof=1), 0.70710678),
    ],
)
def test_factors_on_three_rows(attack: Perturbation, direction: Any, factor: float) -> None:
    np.testing.assert_allclose(attack(X3, f=1)[0], X3.mean(axis=0) + factor * np.asarray(direction), atol=1e-8)


BUDGETED = [
    cls(direction=direction, **bound)  # type: ignore[arg-type]
    for direction in ("unit", "sign", "std")
    for cls, bound in ((MinMax, {}), (MinSum, {"bound": "max"}), (MinSum, {"bound": "min"}))
]


def spent(attack: Perturbation, v: Matrix, honest: Matrix) -> tuple[float, float]:
    """What the constraint of the attack measures of `v`, and its bound, straight from the definitions."""
    apart = ((honest[:, None] - honest) ** 2).sum(axis=2)
    near = ((v - honest) ** 2).sum(axis=1)
    if isinstance(attack, MinMax):
        return float(near.max()), float(apart.max())
    assert isinstance(attack, MinSum)
    sums = apart.sum(axis=1)
    return float(near.sum()), float(sums.max() if attack.bound == "max" else sums.min())


@pytest.mark.parametrize("attack", BUDGETED, ids=repr)
@settings(max_examples=25, deadline=None)
@given(honest=CLOUDS)
def test_the_budget_is_spent_to_the_last_bit_in_the_named_direction(attack: Perturbation, honest: Matrix) -> None:
    v = attack(honest, f=1)[0]
    used, bound = spent(attack, v, honest)
    assert used == pytest.approx(bound, rel=1e-9)
    mean = honest.mean(axis=0)
    wanted = {"unit": -mean, "sign": -np.sign(mean), "std": -honest.std(axis=0)}[attack.direction]
    step = v - mean
    assert step @ wanted == pytest.approx(np.linalg.norm(step) * np.linalg.norm(wanted), rel=1e-6)


@pytest.mark.parametrize("attack", BUDGETED, ids=repr)
@settings(max_examples=15, deadline=None)
@given(honest=CLOUDS, scale=st.sampled_from([1e-4, 1.0, 1e4]))
def test_closed_forms_are_what_bisection_finds(attack: Perturbation, honest: Matrix, scale: float) -> None:
    honest = scale * honest
    v, mean = attack(honest, f=1)[0], honest.mean(axis=0)
    low, high = 0.0, 4.0  # in lengths of the step that was found
    for _ in range(60):
        middle = (low + high) / 2
        used, bound = spent(attack, mean + middle * (v - mean), honest)
        low, high = (middle, high) if used <= bound else (low, middle)
    assert low == pytest.approx(1.0, abs=1e-9)


def test_published_bisections_stop_short() -> None:
    """From 10 in halving steps they find a little too little, and never more than 20."""

    def published(honest: Matrix, direction: Matrix) -> float:
        gamma, step, best = 10.0, 10.0, 0.0
        while abs(best - gamma) > 1e-5:
            used, bound = spent(MinMax(), honest.mean(axis=0) + gamma * direction, honest)
            best, gamma = (gamma, gamma + step / 2) if used <= bound else (best, gamma - step / 2)
            step /= 2
        return best

    unit = np.array([-1.0, 0.0])
    assert published(X3, unit) == pytest.approx(0.99998474, abs=1e-8)
    assert published(100 * X3, unit) < 20
    np.testing.assert_allclose(MinMax(direction="unit")(100 * X3, f=1), [[100.0, 0.0]], atol=1e-9)


@pytest.mark.parametrize("attack", BUDGETED, ids=repr)
def test_honest_clients_who_agree_leave_no_room(attack: Perturbation) -> None:
    honest = np.tile(updates(1), (4, 1))
    np.testing.assert_allclose(attack(honest, f=2), honest[:2], rtol=1e-12)


@pytest.mark.parametrize("attack", [MinMax(direction="unit"), MinSum(direction="unit"), MinMax(direction="sign")])
def test_where_the_mean_is_zero_a_random_direction_is_taken(attack: Perturbation) -> None:
    honest = np.vstack([X3, -X3])
    one, other = (attack(honest, f=1, rng=seed)[0] for seed in (0, 3))
    assert spent(attack, one, honest)[0] == pytest.approx(spent(attack, one, honest)[1], rel=1e-9)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("attack", [MinMax(), MinSum(), FangTrimmedMean(deterministic=True), FangKrum(epsilon=0.0)])
def test_own_updates_may_take_the_place_of_honest_ones(attack: Any) -> None:
    own = updates(4, seed=5)
    blind = type(attack)(**(attack.parameters() | {"estimate": "own"}))
    result = blind(updates(), f=4, own=own)
    np.testing.assert_array_equal(result, blind(updates(seed=9), f=4, own=own))
    if isinstance(attack, Perturbation):
        np.testing.assert_allclose(result, attack(own, f=4), atol=1e-12)
    view = View(facts(updates(), 4), blind.required_knowledge(), "blind", {})
    with pytest.raises(KnowledgeError):
        _ = view.honest


def test_translations_are_followed_along_the_standard_deviations_only() -> None:
    honest = updates()
    shifted = honest + np.arange(5.0)
    for attack in (ALIE(), MinMax(), MinSum()):
        np.testing.assert_allclose(attack(shifted, f=1) - np.arange(5.0), attack(honest, f=1), atol=1e-9)
    for attack in (MinMax(direction="unit"), MinMax(direction="sign"), MinSum(direction="unit")):
        assert np.abs(attack(shifted, f=1) - np.arange(5.0) - attack(honest, f=1)).max() > 1e-2


def test_products_are_summed_in_blocks_and_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.as_tensor(updates(4, 11)).float()
    monkeypatch.setattr(geometry, "COLUMNS", 3)
    exact = rows.double() @ rows.double().T
    assert torch.allclose(geometry.products(rows), exact, rtol=1e-14)


# -- relocated orthogonal perturbation


def after(previous: Any, message: str = "gradient") -> dict[str, Any]:
    """A history after which the previous aggregate was `previous`."""
    step = np.asarray(previous, dtype=float) * (1.0 if message == "delta" else -1.0)
    return {"history": [np.zeros_like(step), step], "message": message}


@pytest.mark.parametrize("message", ["gradient", "delta"])
def test_rop_on_the_worked_example(message: Any) -> None:
    v = ROP(z=1.0)(np.array([[0.8, 0.2, 0.0]]), f=2, **after([1.0, 0.0, 0.0], message))
    np.testing.assert_allclose(v, [[1.014277, -0.699560, -0.714431]] * 2, atol=1e-6)
    assert (v[0] - [1, 0, 0]) @ [0.98, 0.02, 0.0] == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(honest=CLOUDS, angle=st.floats(0, 360), inertia=st.floats(0, 1), relocate=st.floats(0, 1))
def test_rop_steps_at_its_angle_and_as_far_as_told(
    honest: Matrix, angle: float, inertia: float, relocate: float
) -> None:
    d = honest.shape[1]
    assume(d > 1)
    previous, mean = np.linspace(1.0, 2.0, d), honest.mean(axis=0)
    attack = ROP(angle=angle, inertia=inertia, relocate=relocate)
    step = attack(honest, f=1, **after(previous))[0] - relocate * previous - (1 - relocate) * mean
    course = inertia * previous + (1 - inertia) * mean
    length = np.median(np.linalg.norm(honest, axis=1))
    assert np.linalg.norm(step) == pytest.approx(length, rel=1e-9)
    cosine = step @ course / (length * np.linalg.norm(course))
    assert cosine == pytest.approx(math.cos(math.radians(angle)), abs=1e-9)


def test_rop_backwards_and_in_the_first_round() -> None:
    honest = np.array([[3.0, 0.0], [5.0, 0.0]])
    np.testing.assert_allclose(ROP(angle=180.0)(honest, f=1), [[-4.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(ROP()(honest, f=1), [[0.0, -4.0]], atol=1e-12)


def test_rop_finds_a_way_across_what_all_ones_do_not_cross() -> None:
    honest = np.full((3, 4), 2.0)
    v = ROP(z=1.0)(honest, f=1)[0]
    assert np.linalg.norm(v) == pytest.approx(1.0)
    assert v.sum() == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(ROP()(np.array([[2.0]]), f=1, **after([3.0])), [[3.0]])  # one dimension: no way
    np.testing.assert_allclose(ROP()(np.zeros((2, 4)), f=1, **after(np.ones(4))), [[1.0] * 4])  # nobody steps


# -- mimic


def test_mimic_follows_the_published_recursion() -> None:
    rounds = [updates(8, 4, seed) for seed in range(6)]
    start = torch.as_tensor(np.random.default_rng(0).standard_normal(4, dtype=np.float32)).double().numpy()
    for attack, choose in ((Mimic(warmup=4), np.argmax), (Mimic(warmup=4, side="least"), np.argmin)):
        copied, _ = played(attack, *(facts(honest, 2, t) for t, honest in enumerate(rounds)))
        z, target, center = start, 0, np.zeros(4)
        for t, honest in enumerate(rounds):
            if t < 4:
                mean = honest.mean(axis=0)
                center = mean if t == 0 else t / (1 + t) * center + mean / (1 + t)
                c = ((honest - center) @ z) @ (honest - center)
                c /= np.linalg.norm(c)
                z = c if t == 0 else t / (1 + t) * z + c / (1 + t)
                z /= np.linalg.norm(z)
                target = int(choose(honest @ z))
            np.testing.assert_array_equal(copied[t], honest[[target, target]])


def test_mimic_may_copy_one_and_the_same_client() -> None:
    honest = updates()
    np.testing.assert_array_equal(Mimic(client=3)(honest, f=2), honest[[3, 3]])
    honest[3, 0] = np.nan
    assert not Mimic(client=3)(honest, f=2).any()
    with pytest.raises(AttackError, match=r"the number of honest updates in this round\. Found 7"):
        Mimic(client=7)(honest, f=2)


# -- in a federation


@cache
def learned(attack: UpdateAttack | None) -> torch.Tensor:
    """The model after two rounds."""
    federation = simulation(Median(), attack=attack, f=2, rounds=2)
    trace = federation.run()
    assert trace.rejected_rows == 0
    assert not trace.diverged
    return weights(federation)


@pytest.mark.parametrize("attack", [FangKrum(), FangTrimmedMean(estimate="own"), MinMax(), MinSum(), ROP()], ids=repr)
def test_they_play_in_a_federation_and_move_what_comes_of_it(attack: UpdateAttack) -> None:
    assert float((learned(attack) - learned(None)).norm()) > 1e-3


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (lambda: MinMax(direction="mean"), "'unit', 'sign', 'std'"),  # type: ignore[arg-type]
        (lambda: MinSum(bound="mean"), "'max', 'min'"),  # type: ignore[arg-type]
        (lambda: MinMax(ddof=2), "ddof <= 1"),
        (lambda: FangTrimmedMean(b=1.0), "b > 1"),
        (lambda: FangKrum(epsilon=-0.1), "epsilon >= 0"),
        (lambda: ROP(z=0.0), "z > 0"),
        (lambda: ROP(inertia=1.5), "inertia <= 1"),
        (lambda: Mimic(client=-1), "client >= 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(build: Any, found: str) -> None:
    with pytest.raises(ParameterError, match=found):
        build()
