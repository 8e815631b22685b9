"""The curvature of the loss, the step that it allows, and what training on all data at once reaches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from robustfl.defenses import Mean
from robustfl.federation import assemble
from robustfl.federation.channels.server_step import ServerStep
from robustfl.federation.curvature import (
    MOST_PRODUCTS,
    hessian,
    largest_eigenvalue,
    largest_gain,
    stable_curvature,
)
from robustfl.federation.observers.central import Central
from robustfl.federation.observers.stability import Stability
from robustfl.federation.settings import Federation
from tests.federation.worlds import SMALL_MLP, population, rules, simulation


@given(st.integers(1, 12), st.integers(0, 10**6))
@example(size=8, seed=362879)  # its first vector is almost an eigenvector of another eigenvalue
def test_the_largest_eigenvalue_of_small_matrices_is_exact(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(size, size))
    matrix = torch.tensor(half + half.T)
    value, vector = largest_eigenvalue(lambda v: matrix @ v, torch.tensor(rng.normal(size=size)))
    largest = float(np.linalg.eigvalsh(matrix.numpy())[-1])
    assert value == pytest.approx(largest, rel=1e-6, abs=1e-9)
    assert value <= largest + 1e-9
    assert float(vector.norm()) == pytest.approx(1.0, rel=1e-6)


def test_a_large_negative_eigenvalue_is_not_taken_for_the_largest() -> None:
    diagonal = torch.linspace(-50, 3, 400)
    value, _ = largest_eigenvalue(lambda v: diagonal * v, torch.ones(400))
    assert value == pytest.approx(3, rel=0.15)
    assert MOST_PRODUCTS == 20


def test_products_with_the_hessian_are_those_of_the_whole_matrix() -> None:
    made = population(SMALL_MLP)
    x, y = made.features[:20], made.labels[:20]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(made.module, made.views(flat), (x,))
        return torch.nn.functional.cross_entropy(logits, y)

    whole = torch.autograd.functional.hessian(loss, made.initial)
    product = hessian(made, made.initial, x, y)
    vector = torch.randn(made.d, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(product(vector), whole @ vector, atol=1e-5)
    value, _ = largest_eigenvalue(product, vector)
    assert value == pytest.approx(float(torch.linalg.eigvalsh(whole)[-1]), rel=0.02)


# -- the bound


def grows(settings: Federation, curvature: float, rounds: int = 3000) -> bool:
    """Whether a federation moves away from the minimum of ``curvature x^2 / 2``, played with plain numbers."""
    server, x, m, v = settings.server, 1.0, 0.0, 0.0
    for _ in range(rounds):
        local = x
        for _step in range(settings.local_steps):
            local -= settings.local_learning_rate * curvature * local
        summed = (x - local) / settings.local_learning_rate
        gradient = summed / settings.local_steps if settings.message == "gradient" else x - local
        m = settings.client_momentum * m + (1 - settings.client_momentum) * gradient
        v = server.momentum * v + m
        x -= server.learning_rate * v
        if abs(x) > 1e12:
            return True
    return abs(x) > 1e-3


CASES: tuple[dict[str, Any], ...] = (
    {},
    {"client_momentum": 0.9},
    {"server": {"learning_rate": 0.3, "momentum": 0.8}},
    {"client_momentum": 0.5, "server": {"learning_rate": 0.7, "momentum": 0.6}},
    {"algorithm": "fedavg", "local_steps": 1, "local_learning_rate": 0.2},
    {"algorithm": "fedavg", "local_steps": 4, "local_learning_rate": 0.2, "server": {"learning_rate": 1.0}},
    {"algorithm": "fedavg", "local_steps": 5, "local_learning_rate": 0.2, "server": {"learning_rate": 1.5}},
    {"algorithm": "fedavg", "local_steps": 4, "local_learning_rate": 0.1, "server": {"learning_rate": 3.0}},
    {"algorithm": "fedavg", "local_steps": 3, "local_learning_rate": 0.1, "message": "gradient"},
)


@pytest.mark.parametrize("values", CASES, ids=repr)
def test_the_bound_divides_steps_that_grow_from_those_that_do_not(values: dict[str, Any]) -> None:
    settings = rules(**values)
    bound = stable_curvature(settings)
    assert bound is not None
    assert not grows(settings, 0.97 * bound)
    assert grows(settings, 1.03 * bound)


def test_the_bounds_that_are_known() -> None:
    assert largest_gain(0.0, 0.0) == pytest.approx(2)
    assert largest_gain(0.9, 0.0) == pytest.approx(38)
    assert largest_gain(0.0, 0.9) == pytest.approx(3.8)
    assert stable_curvature(rules(server={"learning_rate": 0.8})) == pytest.approx(2.5)
    assert stable_curvature(rules(server={"optimizer": "adam"})) is None
    assert stable_curvature(rules(server={"mode": "asynchronous"})) is None


# -- the observers


def test_a_reference_trial_says_how_stable_its_step_is() -> None:
    settings: dict[str, Any] = {"model": SMALL_MLP, "rounds": 24, "batch_size": 16}
    slow = simulation(**settings).run()
    assert "sharpness" not in slow.more
    more = {}
    for rate in (0.3, 6.0):
        sim = simulation(**settings, server={"learning_rate": rate})
        sim.observers += [Stability(sim.setup)]
        more[rate] = sim.run().more
        assert list(more[rate]["sharpness_by_round"]) == ["3", "6", "9", "12", "15", "18", "21", "24"]
        values = list(more[rate]["sharpness_by_round"].values())
        assert more[rate]["sharpness"] == pytest.approx(np.median(values))
        assert more[rate]["instability"] == pytest.approx(more[rate]["sharpness"] * rate / 2)
    assert more[0.3]["instability"] < 1 < more[6.0]["instability"]


def test_only_reference_trials_pay_for_it() -> None:
    world = population()
    kinds = {
        reference: {type(o) for o in assemble(world, rules(), Mean(), reference=reference).observers}
        for reference in (False, True)
    }
    assert kinds[True] - kinds[False] == {Stability, Central}
    hard = rules(adversarial_training={"epsilon": 0.1})
    assert Central not in {type(o) for o in assemble(world, hard, Mean(), reference=True).observers}


def test_training_on_all_data_at_once_does_not_depend_on_a_step_that_is_too_small() -> None:
    sim = simulation(model=SMALL_MLP, rounds=40, server={"learning_rate": 1e-4})
    sim.observers += [Central(sim.setup)]
    more = sim.run().more
    assert more["balanced_accuracy"] < 0.6
    assert more["central_balanced_accuracy"] > 0.9
    assert 0 <= more["central_macro_f1"] <= 1
    assert more["central_plain_accuracy"] > 0.9


def test_its_first_training_is_that_of_one_client_with_all_data() -> None:
    """With batches so large that they are the same for everybody up to chance, and the step of the federation."""
    values: dict[str, Any] = {"algorithm": "fedavg", "local_steps": 3, "local_learning_rate": 0.2, "rounds": 6}
    sim = simulation(model=SMALL_MLP, batch_size=200, server={"learning_rate": 1.0}, **values)
    sim.run()
    central = Central(sim.setup)
    step = ServerStep(sim.setup.settings.server, sim.setup.settings.message)
    model = central._trained(step, 3, -0.2)
    federated = sim.topology.served()[0]
    moved = (federated - sim.setup.population.initial).norm()
    assert float((model - federated).norm() / moved) < 0.1


def test_a_process_that_measures_curvature_loads_no_compiler_and_no_algebra() -> None:
    code = """
import sys
from robustfl.federation.curvature import hessian, largest_eigenvalue
from tests.federation.worlds import population
world = population()
product = hessian(world, world.initial, world.features[:64], world.labels[:64])
value, direction = largest_eigenvalue(product, world.initial.new_ones(world.d))
print(value > 0, [name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert shown.split("\n")[0] == "True []"
