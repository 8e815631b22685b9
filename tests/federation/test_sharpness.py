"""Sharpness-aware steps of clients and of peers, compared with plain torch, and what they cannot be combined with."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from robustfl.attacks import BadNets, GradientAscent, InvertingGradients, LossThreshold
from robustfl.defenses import DPSGD, FRL, FLTrust, LocalDP, Mean, Mixup
from robustfl.errors import ParameterError
from robustfl.evaluation.run.executors import one_thread
from robustfl.federation import Federation, Population, assemble
from robustfl.federation.assembly import refusal
from robustfl.federation.clients import fully_connected
from robustfl.federation.clients.fully_connected import summed_gradients, widths_of
from robustfl.federation.clients.sharpness import raised, stretches
from robustfl.federation.clients.training import (
    FullyConnectedTrainer,
    LoopedTrainer,
    TracedTrainer,
    VmappedTrainer,
    trainer_for,
)
from robustfl.federation.curvature import stable_curvature
from robustfl.federation.models.architectures import CNN, MLP, Model, Softmax
from robustfl.federation.spying.plan import Spying
from tests.federation.peers.networks import dense_weights, network, played
from tests.federation.test_training import MODELS, batches
from tests.federation.worlds import SMALL_MLP, Kept, computed, population, rules, simulation, trusted
from tests.federation.worlds import batches as drawn_batches

RADIUS, RATE = 0.3, 0.2


def slope(module: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
    module.zero_grad()
    cross_entropy(module(x), y).backward()  # type: ignore[no-untyped-call]
    return parameters_to_vector(p.grad for p in module.parameters() if p.grad is not None)


def by_hand(
    made: Population, weights: Tensor, x: Tensor, y: Tensor, rate: float = RATE, radius: float = RADIUS
) -> Tensor:
    """The way that one client goes, divided by its rate: a module of its own, moved to and fro, in double precision."""
    module = copy.deepcopy(made.module).double().requires_grad_(True)
    here = weights.double()
    for features, labels in zip(x.double(), y, strict=True):
        vector_to_parameters(here.clone(), module.parameters())
        first = slope(module, features, labels)
        vector_to_parameters(here + radius * first / (first.norm() + 1e-12), module.parameters())
        here = here - rate * slope(module, features, labels)
    return (weights.double() - here) / rate


# -- one step


def test_the_place_of_the_second_gradient_is_so_far_uphill() -> None:
    models, slopes = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0, 0], [1e-30, 0]])
    found = raised(models, slopes, 0.05)
    torch.testing.assert_close(found, torch.tensor([[1.03, 2.04], [1, 2], [1, 2]]))
    torch.testing.assert_close(raised(models[0], slopes[0], 0.05), found[0])
    assert torch.equal(raised(models[0], slopes, 0.05), found), "one model for several gradients"


def test_gradients_of_zero_can_be_differentiated_and_hostile_ones_stay_with_their_client() -> None:
    slopes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [math.nan, 1.0]], requires_grad=True)
    found = raised(torch.zeros(3, 2), slopes, 0.5)
    assert found[:2].isfinite().all()
    assert found[2].isnan().all()
    (bent,) = torch.autograd.grad(found[:2].sum(), slopes)
    assert bent[:2].isfinite().all()


@pytest.mark.parametrize("d", [1, 7, 64, 650, 1635, 10_007])
def test_the_length_of_a_gradient_is_summed_without_the_others(d: int) -> None:
    slopes = torch.randn((33, d), generator=torch.Generator().manual_seed(d))
    with one_thread():
        whole = stretches(slopes, RADIUS)
        torch.testing.assert_close(
            slopes.double().norm(dim=1, keepdim=True) * whole, torch.full((33, 1), RADIUS).double()
        )
        for rows in (slice(0, 1), slice(32, 33), slice(5, 7), slice(1, 18), slice(0, 32)):
            assert torch.equal(stretches(slopes[rows].clone(), RADIUS), whole[rows])


def test_a_parabola_by_hand() -> None:
    """For the loss ``a w^2 / 2`` a step goes to ``w - rate a (w + radius sign w)``."""
    a, w, rate, radius = 2.0, 0.7, 0.1, 0.05
    place = raised(torch.tensor([w]), torch.tensor([a * w]), radius)
    assert float(w - rate * a * place) == pytest.approx(w - rate * a * (w + radius))


# -- trainers


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("own", [False, True], ids=["one model", "own models"])
def test_every_trainer_is_the_training_of_one_client_after_the_other(model: Model, steps: int, own: bool) -> None:
    made = population(model)
    x, y = batches(made, k=4, steps=steps, size=5)
    models = made.initial + torch.randn((4, made.d), generator=torch.Generator().manual_seed(2)) / 10
    begun = models if own else made.initial
    expected = torch.stack([by_hand(made, w, *one) for w, *one in zip(begun.expand(4, -1), x, y, strict=True)])
    plain = torch.stack([by_hand(made, w, *one, radius=0.0) for w, *one in zip(begun.expand(4, -1), x, y, strict=True)])
    lengths = expected.norm(dim=1)
    assert float(((expected - plain).norm(dim=1) / lengths).min()) > 1e-2, "the radius matters"
    widths = widths_of(made.module)
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        given = begun.to(dtype), x.to(dtype), y
        found = [VmappedTrainer(made, RATE, radius=RADIUS)(*given), LoopedTrainer(made, RATE, radius=RADIUS)(*given)]
        found += [] if widths is None else [summed_gradients(*given, RATE, widths, RADIUS)]
        found += [TracedTrainer(made, RATE, RADIUS)(given[0].clone().requires_grad_(), *given[1:]).detach()]
        for one in found:
            assert one.dtype == dtype
            assert float(((one.double() - expected).norm(dim=1) / lengths).max()) < bound
    assert torch.equal(begun, models if own else population(model).initial)


@pytest.mark.parametrize("mode", ["auto", "vmap", "loop"])
@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP, CNN(channels=(3,))], ids=repr)
def test_a_radius_of_zero_is_plain_training_to_the_last_bit(model: Model, mode: str) -> None:
    made = population(model)
    x, y = batches(made, k=4, steps=3, size=5)
    plain = trainer_for(made, rules(client_mode=mode))(made.initial, x, y)
    assert torch.equal(trainer_for(made, rules(client_mode=mode, sharpness_radius=0.0))(made.initial, x, y), plain)
    assert not torch.equal(trainer_for(made, rules(client_mode=mode, sharpness_radius=0.1))(made.initial, x, y), plain)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("own", [False, True], ids=["one model", "own models"])
def test_the_bits_of_a_client_depend_on_no_other_client(steps: int, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = population(MLP(hidden=(24,)), side=8)
    widths = widths_of(made.module)
    assert widths is not None
    x, y = batches(made, k=15, steps=steps, size=16)
    models = made.initial + torch.randn((15, made.d), generator=torch.Generator().manual_seed(2)) / 10
    begun = models if own else made.initial
    with one_thread():
        whole = summed_gradients(begun, x, y, RATE, widths, RADIUS)
        generator = torch.Generator().manual_seed(3)
        for number in range(1, 16):
            monkeypatch.setattr(fully_connected, "CHUNK", number * made.d // 2)
            some = torch.randperm(15, generator=generator)[:number]
            part = summed_gradients(begun[some] if own else begun, x[some], y[some], RATE, widths, RADIUS)
            assert torch.equal(part, whole[some]), number


@pytest.mark.parametrize("model", [Softmax(), SMALL_MLP, CNN(channels=(3,))], ids=repr)
def test_what_attackers_differentiate_is_the_derivative_of_the_training(model: Model) -> None:
    made = population(model)
    x, y = batches(made, k=2, steps=2, size=5)
    train = TracedTrainer(made, RATE, RADIUS)
    models = made.initial.repeat(2, 1)
    along = torch.randn(models.shape, generator=torch.Generator().manual_seed(0))
    along /= along.norm(dim=1, keepdim=True)

    def value(w: Tensor) -> Tensor:
        return torch.stack(
            [(by_hand(made, one, *two) * three).sum() for one, *two, three in zip(w, x, y, along, strict=True)]
        )

    leaf = models.clone().requires_grad_()
    (found,) = torch.autograd.grad((train(leaf, x, y) * along).sum(), leaf)
    step = 1e-5
    expected = (value(models.double() + step * along) - value(models.double() - step * along)) / (2 * step)
    torch.testing.assert_close((found * along).sum(dim=1).double(), expected, rtol=2e-3, atol=2e-4)
    assert float(expected.abs().min()) > 1e-3


def test_random_objectives_are_differentiated_twice_with_the_same_numbers() -> None:
    kept = {}
    for mode in ("vmap", "loop"):
        sim = simulation(Mixup() >> Mean(), model=SMALL_MLP, client_mode=mode, sharpness_radius=RADIUS)
        kept[mode] = computed(sim).sent
    plain = computed(simulation(Mixup() >> Mean(), model=SMALL_MLP, client_mode="vmap")).sent
    torch.testing.assert_close(kept["vmap"], kept["loop"], rtol=1e-4, atol=1e-6)
    assert float((kept["vmap"] - plain).abs().max()) > 1e-3


# -- federations


@pytest.mark.parametrize("values", [{}, {"algorithm": "fedavg", "local_steps": 3, "local_learning_rate": RATE}])
def test_clients_of_a_server_send_what_they_learn(values: dict[str, Any]) -> None:
    sim = simulation(model=SMALL_MLP, sharpness_radius=RADIUS, **values)
    made, settings, steps = sim.setup.population, sim.setup.settings, values.get("local_steps", 1)
    expected = [by_hand(made, made.initial, *own) for own in drawn_batches(made, 1, steps, settings.batch_size)[0]]
    scale = -RATE if values else 1.0
    torch.testing.assert_close(computed(sim).sent.double(), scale * torch.stack(expected), rtol=0, atol=2e-6)


def test_the_server_learns_from_its_own_samples_as_clients_do() -> None:
    sharp, plain = (simulation(FLTrust(), server={"trusted_samples": 30}, sharpness_radius=r) for r in (RADIUS, 0.0))
    one, other = trusted(sharp), trusted(plain)
    assert one is not None
    assert other is not None
    assert not torch.equal(one, other)


@pytest.mark.parametrize("mixings", [1, 3])
def test_peers_make_sharpness_aware_steps_and_mix_several_times(mixings: int) -> None:
    """DFedSAM, and DFedSAM-MGS where letters are sent several times in a round."""
    values: dict[str, Any] = {"algorithm": "fedavg", "local_steps": 2, "peers": {"gossip_steps": mixings}}
    sim = network(sharpness_radius=RADIUS, rounds=2, **values)
    made, mix = sim.setup.population, torch.matrix_power(dense_weights(sim).double(), mixings)
    models = made.initial.double().repeat(8, 1)
    for drawn, after in zip(drawn_batches(made, 2, 2, 4), played(sim).models, strict=True):
        half = [w - RATE * by_hand(made, w, *own) for w, own in zip(models, drawn, strict=True)]
        models = mix @ torch.stack(half)
        torch.testing.assert_close(after.double(), models, rtol=0, atol=2e-6)


def test_peers_train_in_chunks_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from robustfl.federation.channels import models

    def models_after() -> Tensor:
        with one_thread():
            return played(network(algorithm="fedavg", local_steps=2, sharpness_radius=RADIUS)).models[-1]

    whole = models_after()
    monkeypatch.setattr(models, "FEWEST", 3)
    monkeypatch.setattr(models, "NUMBERS", 1)
    assert torch.equal(models_after(), whole)


def test_malicious_clients_who_train_in_their_own_way_make_plain_steps() -> None:
    def sent(attack: Any, radius: float) -> tuple[Tensor, Tensor]:
        kept = Kept()
        sim = simulation(attack=attack, f=2, rounds=1, observers=[kept], sharpness_radius=radius)
        sim.run()
        (server,) = kept.server
        bad = torch.as_tensor(sim.setup.members.malicious[server.ids])
        return server.rows[bad], server.rows[~bad]

    (bad, honest), (plain_bad, plain_honest) = sent(GradientAscent(), RADIUS), sent(GradientAscent(), 0.0)
    assert torch.equal(bad, plain_bad)
    assert not torch.equal(honest, plain_honest)
    poison = BadNets(target=1, size=2)
    assert not torch.equal(sent(poison, RADIUS)[0], sent(poison, 0.0)[0]), "who only has other samples trains as others"


def test_no_bound_of_the_step_is_known() -> None:
    assert stable_curvature(rules()) is not None
    assert stable_curvature(rules(sharpness_radius=0.05)) is None


# -- what is refused


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"adversarial_training": {"epsilon": 0.1}}, "both look for the worst nearby"),
        ({"distillation": {}, "algorithm": "fedavg"}, "its steps towards an answer would be plain"),
        ({"virtual_data": {}}, "the server would learn from samples in plain steps"),
    ],
)
def test_other_ways_to_learn_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Federation.model_validate({**values, "sharpness_radius": 0.1})
    Federation.model_validate(values)


def test_rankings_are_refused() -> None:
    reason = refusal(FRL(), rules(sharpness_radius=0.1))
    assert reason is not None
    assert "sharpness-aware steps are for weights" in reason
    assert refusal(FRL(), rules()) is None


def test_noise_in_every_step_is_refused_and_noise_on_messages_is_not() -> None:
    with pytest.raises(ParameterError, match="one would not be noised"):
        simulation(DPSGD(clip=1.0, noise_multiplier=1.0, delta=1e-2) >> Mean(), sharpness_radius=0.1)
    sim = simulation(LocalDP(clip=1.0, noise_multiplier=1.0, delta=1e-2) >> Mean(), sharpness_radius=0.1)
    assert computed(sim).sent.isfinite().all()


def test_spies_that_imitate_gradients_are_refused_and_those_after_members_are_not() -> None:
    settings = rules(sharpness_radius=0.1, batch_size=1)

    def watched(attack: Any) -> Any:
        spying = Spying(observer="server", attacks=(attack,), rounds=("first",), federations=4)
        return assemble(population(), settings, Mean(), spying=spying)

    with pytest.raises(ParameterError, match="imitates gradients that clients compute at the model"):
        watched(InvertingGradients(iterations=2))
    assert watched(LossThreshold()).run().accuracy


def test_the_fast_trainer_is_the_usual_one() -> None:
    made = population(SMALL_MLP)
    assert isinstance(trainer_for(made, rules(sharpness_radius=0.1)), FullyConnectedTrainer)
