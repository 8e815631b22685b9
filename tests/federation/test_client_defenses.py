"""Defenses that clients carry out, in simulations: who obeys, in which order, with which randomness, what is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from robustfl.aggregation import Aggregator
from robustfl.attacks import SignFlip
from robustfl.defenses import (
    FRL,
    FLTrust,
    GradientNoise,
    GradientPruning,
    GradientQuantisation,
    Mean,
    Median,
    Mixup,
    Soteria,
)
from robustfl.errors import ParameterError
from robustfl.federation import assemble
from robustfl.federation.assembly import refusal
from robustfl.federation.channels.names import channel_named
from robustfl.federation.clients.training import trainer_for
from robustfl.federation.models.architectures import CNN, MLP, Model, Precode, Softmax
from robustfl.federation.task import Population
from robustfl.isolation import isolated
from tests.federation.worlds import SMALL_MLP, Kept, computed, gradient, population, rules, simulation, trusted

ALL = GradientNoise(ratio=0.1) >> GradientPruning(share=0.5) >> Mixup() >> Soteria(share=0.5) >> Mean()
CODED = Precode(hidden=(5,), code=3)


def kept(defense: Aggregator, **values: Any) -> Kept:
    watch = Kept()
    simulation(defense, observers=[watch], **values).run()
    return watch


@pytest.mark.parametrize("stage", [GradientPruning(share=0.5), GradientQuantisation(bits=2)], ids=repr)
def test_honest_clients_send_what_the_stage_makes_of_their_momentum_and_malicious_ones_do_not(stage: Any) -> None:
    values: dict[str, Any] = {"f": 2, "attack": SignFlip(), "client_momentum": 0.9, "rounds": 3, "model": SMALL_MLP}
    for round in kept(stage >> Mean(), **values).rounds:
        assert round.computed is not None
        shapes = population(SMALL_MLP).shapes
        raw = round.computed[-len(round.honest) :]
        torch.testing.assert_close(round.sent, stage.message(raw, shapes, []))
        assert round.seen is not None
        assert torch.equal(round.seen, round.sent), "an observer of the network sees what is sent"
        server = round.receivers[0]
        bad = server.arrived[torch.as_tensor(np.isin(server.ids, server.malicious))]
        assert not torch.equal(bad, stage.message(bad, shapes, []))


def test_stages_of_messages_act_in_their_order() -> None:
    first, then = GradientPruning(share=0.5), GradientQuantisation(bits=1)
    shapes = population().shapes
    for round in kept(first >> then >> Mean(), rounds=2).rounds:
        assert round.computed is not None
        expected = then.message(first.message(round.computed, shapes, []), shapes, [])
        torch.testing.assert_close(round.sent, expected)


def test_noise_is_new_for_each_client_and_round_and_the_same_when_it_is_asked_again() -> None:
    rounds = kept(GradientNoise(ratio=1.0) >> Mean(), rounds=2).rounds
    noises = []
    for round in rounds:
        assert round.computed is not None
        noises += list((round.sent - round.computed) / round.computed.norm(dim=1, keepdim=True))
    across = torch.nn.functional.cosine_similarity(torch.stack(noises)[:, None], torch.stack(noises)[None], dim=2)
    assert float((across - torch.eye(len(noises))).abs().max()) < 0.6, "51 values: 1/sqrt(51) is 0.14"
    sim = simulation(GradientNoise(ratio=1.0) >> Mean())
    round = computed(sim)
    assert round.computed is not None
    again = sim.transforms[0].sent(round.computed, round.honest, round)
    assert torch.equal(again, round.sent)
    fewer = sim.transforms[0].sent(round.computed[2:3], round.honest[2:3], round)
    torch.testing.assert_close(fewer[0], round.sent[2])


@pytest.mark.parametrize("model", [SMALL_MLP, CNN(channels=(3, 4)), CODED], ids=repr)
@pytest.mark.parametrize("algorithm", [{}, {"algorithm": "fedavg", "local_steps": 2}], ids=["fedsgd", "fedavg"])
def test_one_client_after_the_other_is_the_same_as_all_at_once(model: Model, algorithm: dict[str, Any]) -> None:
    losses = [simulation(ALL, model=model, client_mode=mode, **algorithm).run().loss for mode in ("vmap", "loop")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_batches_and_randomness_do_not_depend_on_the_defense() -> None:
    lessons = [computed(simulation(rule, model=CODED)).lesson for rule in (Mean(), Mixup() >> Median())]
    assert lessons[0] is not None
    assert lessons[1] is not None
    assert torch.equal(lessons[0].features, lessons[1].features), "samples stay as they are"
    assert lessons[0].draws is not None
    assert lessons[1].draws is not None
    assert (lessons[0].draws.shape[-1], lessons[1].draws.shape[-1]) == (3, 5)
    assert not torch.equal(lessons[0].draws[0], lessons[0].draws[1])


def test_mixup_learns_from_the_mixtures_that_it_draws() -> None:
    round = computed(simulation(Mixup() >> Mean(), model=SMALL_MLP))
    lesson, world = round.lesson, population(SMALL_MLP)
    assert lesson is not None
    assert lesson.draws is not None
    for x, y, drawn, sent in zip(lesson.features, lesson.labels, lesson.draws, round.sent, strict=True):
        partner, share = drawn[0, :, 0].long(), float(drawn[0, 0, 1])
        mixed = share * x[0] + (1 - share) * x[0][partner]
        halves = gradient(world, world.initial, mixed, y[0]), gradient(world, world.initial, mixed, y[0][partner])
        torch.testing.assert_close(sent, share * halves[0] + (1 - share) * halves[1], atol=1e-6, rtol=1e-4)


def test_a_batch_of_one_sample_is_not_mixed() -> None:
    plain, mixed = (computed(simulation(rule, batch_size=1)).sent for rule in (Mean(), Mixup() >> Mean()))
    torch.testing.assert_close(plain, mixed)


def called(layer: Any, place: int, named: dict[str, Tensor], given: Tensor) -> Tensor:
    """What the layer at a place of a sequence makes of its input, with the parameters of the whole network."""
    made: Tensor = functional_call(layer, {n: named[f"{place}.{n}"] for n, _ in layer.named_parameters()}, (given,))
    return made


def masks(world: Population, x: Tensor, f: Tensor, slopes: Tensor, share: float) -> Tensor:
    """Where the representation keeps its values, from a definition that shares no code: one value after the other."""
    kept_values = torch.ones_like(f)
    for sample in range(len(x)):
        scores = [float(slopes[sample, j].norm() / (f[sample, j].abs() + 0.1)) for j in range(f.shape[1])]
        for j in sorted(range(len(scores)), key=lambda j: (scores[j], j))[: int(share * len(scores))]:
            kept_values[sample, j] = 0
    return kept_values


@pytest.mark.parametrize("model", [CNN(channels=(3, 4)), MLP(hidden=(5,)), Softmax()], ids=repr)
def test_soteria_changes_the_gradient_of_one_matrix_by_the_formula(model: Model) -> None:
    share, world = 0.5, population(model)
    x, y = world.features[:3], world.labels[:3]
    loss = Soteria(share=share).network(world.module)
    named = {name: view.clone().requires_grad_() for name, view in world.views(world.initial).items()}
    value = cross_entropy(functional_call(loss, named, (x,)), y)
    plain = cross_entropy(functional_call(world.module, named, (x,)), y)
    torch.testing.assert_close(value, plain)
    found = dict(zip(named, torch.autograd.grad(value, list(named.values())), strict=True))
    expected = dict(zip(named, torch.autograd.grad(plain, list(named.values())), strict=True))
    layers = list(world.module)  # type: ignore[call-overload]
    first = next(place for place, layer in enumerate(layers) if isinstance(layer, torch.nn.Linear))
    leaf = x.clone().requires_grad_()
    f = leaf
    for layer in layers[:first]:
        f = called(layer, layers.index(layer), named, f)
    columns = [torch.autograd.grad(f[:, j].sum(), leaf, retain_graph=True)[0].flatten(1) for j in range(f.shape[1])]
    mask = masks(world, x, f.detach(), torch.stack(columns, dim=1), share)
    out = called(layers[first], first, named, f.detach()).detach().requires_grad_()
    rest = out
    for layer in layers[first + 1 :]:
        rest = called(layer, layers.index(layer), named, rest)
    (delta,) = torch.autograd.grad(cross_entropy(rest, y), out)
    expected[f"{first}.weight"] = delta.T @ (f.detach() * mask)
    assert not torch.allclose(found[f"{first}.weight"], delta.T @ f.detach(), atol=1e-6)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4)


def test_a_single_sample_loses_whole_columns() -> None:
    world = population(CNN(channels=(3, 4)))
    loss = Soteria(share=0.5)
    sent = computed(simulation(loss >> Mean(), model=CNN(channels=(3, 4)), batch_size=1)).sent[0]
    matrix = world.views(sent)[loss.protected(world.shapes)]
    assert int((matrix == 0).all(dim=0).sum()) >= matrix.shape[1] // 2


def test_the_code_hides_the_true_batch_from_matching_but_not_from_the_ratios_of_rows() -> None:
    round, world = computed(simulation(model=CODED, batch_size=1)), population(CODED)
    assert round.lesson is not None
    train = trainer_for(world, rules(batch_size=1))
    honest = train(world.initial, round.lesson.features, round.lesson.labels)
    for sent, known, x in zip(round.sent, honest, round.lesson.features, strict=True):
        assert 1 - float(torch.nn.functional.cosine_similarity(sent, known, dim=0)) > 1e-4, "the gradient of the truth"
        rows, steps = world.views(sent)["body.1.weight"], world.views(sent)["body.1.bias"]
        found = (steps @ rows) / steps.square().sum()
        torch.testing.assert_close(found, x.flatten(), atol=1e-3, rtol=1e-3)
        assert all(name.startswith(("body.", *Precode.shielded)) for name in world.shapes)


def test_a_coded_model_has_the_objective_that_it_declares_and_answers_without_noise() -> None:
    world = population(CODED)
    x, y, network = world.features[:4], world.labels[:4], world.module
    named, draws = world.views(world.initial), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    hidden = torch.relu(x.flatten(1) @ named["body.1.weight"].T + named["body.1.bias"])
    mean, spread = (hidden @ named["encoder.weight"].T + named["encoder.bias"]).chunk(2, dim=1)
    code = mean + torch.exp(spread / 2) * draws
    decoded = code @ named["decoder.weight"].T + named["decoder.bias"]
    logits = decoded @ named["head.weight"].T + named["head.bias"]
    normal = torch.distributions.Normal(0.0, 1.0)
    apart = torch.distributions.kl_divergence(torch.distributions.Normal(mean, torch.exp(spread / 2)), normal)
    expected = cross_entropy(logits, y) + 1e-3 * apart.sum(dim=1).mean()
    torch.testing.assert_close(network.objective(named, x, y, draws), expected)  # type: ignore[operator]
    assert torch.equal(network(x), network(x))
    torch.testing.assert_close(network(x), network(x, torch.zeros(4, 3)))


def test_the_layers_before_the_code_start_as_they_do_without_it() -> None:
    coded, plain = population(CODED), population(SMALL_MLP)
    assert torch.equal(coded.views(coded.initial)["body.1.weight"], plain.views(plain.initial)["1.weight"])


def test_the_servers_own_update_is_neither_mixed_nor_noised() -> None:
    plain, defended = (trusted(simulation(rule)) for rule in (FLTrust(), GradientNoise() >> Mixup() >> FLTrust()))
    assert plain is not None
    assert defended is not None
    assert torch.equal(plain, defended)


def test_clients_carry_out_their_part_also_when_the_server_is_a_process_of_its_own() -> None:
    here = simulation(ALL, model=SMALL_MLP, rounds=2).run()
    made, settings = population(SMALL_MLP), rules(rounds=2)
    with isolated(ALL) as rule:
        assert rule.client_side == ALL.client_side
        there = assemble(made, settings, rule, seed=0).run()
    assert here.loss == there.loss
    with isolated(Mean()) as rule:
        assert rule.client_side == ()


def test_what_does_not_fit_is_refused() -> None:
    made, settings = population(), rules()
    with pytest.raises(ParameterError, match="a trainer of your own does not know it"):
        assemble(made, settings, ALL, trainer=trainer_for(made, settings))
    with pytest.raises(ParameterError, match="this network has none"):
        Soteria().network(torch.nn.Sequential(torch.nn.Flatten()))
    answer = refusal(ALL, settings, channel=channel_named("rankings"))
    assert "clients of the channel 'rankings' send something else" in str(answer)
    with pytest.raises(ParameterError, match="ranking"):
        GradientNoise() >> FRL()
