"""Decisions per layer are those of the rule on each layer alone, whatever form updates have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from robustfl import registry
from robustfl.aggregation import Aggregator, ColumnBlocks
from robustfl.defenses import (
    NNM,
    Bulyan,
    CenteredClipping,
    ClientMomentum,
    Clipping,
    DPFedAvg,
    FLTrust,
    GradientNoise,
    Krum,
    Mean,
    Median,
    MultiKrum,
    PerLayer,
    TrimmedMean,
)
from robustfl.errors import ParameterError, StateError, UpdatesError
from robustfl.federation.models.architectures import MLP
from tests.federation.worlds import population, simulation

SHAPES = {"conv.weight": (3, 2), "fc.weight": (5, 4), "conv.bias": (3,), "fc.bias": (5,), "scale": (1,)}
LAYERS = {"conv": ("conv.weight", "conv.bias"), "fc": ("fc.weight", "fc.bias"), "scale": ("scale",)}
N, F = 9, 2

RULES: dict[str, Callable[[], Aggregator]] = {
    "mean": Mean,
    "krum": lambda: Krum(f=F),
    "multi-krum": lambda: MultiKrum(f=F),
    "trimmed mean": lambda: TrimmedMean(f=F),
    "nnm, krum": lambda: NNM(f=F) >> Krum(f=F),
    "clipping, median": lambda: Clipping() >> Median(),
    "bulyan": lambda: Bulyan(f=1),
    "centered clipping": CenteredClipping,
    "momentum, krum": lambda: ClientMomentum() >> Krum(f=F),
}
each_rule = pytest.mark.parametrize("name", RULES)


def clients(seed: int = 0) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Nine clients; the first attacks one layer, the second another one."""
    rng = np.random.default_rng(seed)
    updates = [{name: rng.normal(size=shape) for name, shape in SHAPES.items()} for _ in range(N)]
    updates[0]["conv.weight"] += 100.0
    updates[1]["fc.bias"] -= 100.0
    return updates


def expected(make: Callable[[], Aggregator], rounds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The answers of one rule per layer that never hears of the other layers."""
    rules = {layer: make() for layer in LAYERS}
    return [
        {
            name: value
            for layer, names in LAYERS.items()
            for name, value in rules[layer]([{name: update[name] for name in names} for update in updates]).items()
        }
        for updates in rounds
    ]


@each_rule
def test_each_layer_is_decided_by_itself_and_remembered_by_itself(name: str) -> None:
    rounds = [clients(seed) for seed in range(3)]
    rule = PerLayer() >> RULES[name]()
    for updates, wanted in zip(rounds, expected(RULES[name], rounds), strict=True):
        answer = rule.aggregate(updates)
        assert list(answer.value) == list(SHAPES)
        for leaf, value in answer.value.items():
            np.testing.assert_allclose(value, wanted[leaf], rtol=1e-9, atol=1e-12)
        assert list(answer.info["layers"]) == list(LAYERS)
        assert answer.weights is None


@pytest.mark.parametrize("form", ["tensors", "lists", "vectors"])
def test_the_form_of_updates_changes_nothing(form: str) -> None:
    updates, rule = clients(), PerLayer() >> Krum(f=F)
    if form == "tensors":
        given: Any = [{name: torch.tensor(value) for name, value in update.items()} for update in updates]
        (wanted,) = expected(lambda: Krum(f=F), [updates])
        assert all(np.allclose(value.numpy(), wanted[name]) for name, value in rule(given).items())
    elif form == "lists":
        answer = rule.aggregate([list(update.values()) for update in updates])
        assert list(answer.info["layers"]) == ["0", "1", "2", "3", "4"]
        for leaf, value in zip(SHAPES, answer.value, strict=True):
            np.testing.assert_array_equal(value, Krum(f=F)([update[leaf] for update in updates]))
    else:
        rule.shaped({name: int(np.prod(shape)) for name, shape in SHAPES.items()})
        matrix = np.stack([np.concatenate([value.ravel() for value in update.values()]) for update in updates])
        (wanted,) = expected(lambda: Krum(f=F), [updates])
        for given in (matrix, torch.tensor(matrix)):
            flat = np.asarray(rule(given))
            np.testing.assert_allclose(flat, np.concatenate([wanted[name].ravel() for name in SHAPES]))


def test_a_client_is_refused_in_the_layer_that_it_attacks_and_heard_in_the_others() -> None:
    layers = (PerLayer() >> MultiKrum(f=F, k=7)).aggregate(clients()).info["layers"]
    assert layers["conv"]["weights"][0] == 0 < layers["conv"]["weights"][1]
    assert layers["fc"]["weights"][1] == 0 < layers["fc"]["weights"][0]


def test_hostile_rows_are_refused_in_all_layers_and_weights_are_those_of_the_callers_rows() -> None:
    updates = clients()
    updates[2]["scale"][:] = np.nan
    updates[4]["fc.bias"][0] = np.inf
    answer = (PerLayer() >> MultiKrum(f=1)).aggregate(updates)
    assert answer.info["reasons"] == {2: "not finite", 4: "not finite"}
    assert all(layer["weights"][[2, 4]].tolist() == [0.0, 0.0] for layer in answer.info["layers"].values())
    kept = [update for row, update in enumerate(updates) if row not in (2, 4)]
    (wanted,) = expected(lambda: MultiKrum(f=1), [kept])
    assert all(np.allclose(value, wanted[name]) for name, value in answer.value.items())


def test_patterns_make_layers() -> None:
    rule = PerLayer(groups=("*.bias", "fc*")) >> Median()
    assert list(rule.aggregate(clients()).info["layers"]) == ["conv", "fc*", "*.bias", "scale"]


def test_statistics_and_counters_stand_beside_all_layers() -> None:
    updates = [
        {**update, "bn.running_var": np.full(2, 100.0 * row), "bn.steps": np.array(row)}
        for row, update in enumerate(clients())
    ]
    answer = (PerLayer() >> Krum(f=F)).aggregate(updates)
    assert answer.info["beside"] == {"bn.running_var": "median", "bn.steps": "median"}
    assert answer.value["bn.running_var"].tolist() == [400.0, 400.0]
    assert int(answer.value["bn.steps"]) == 4


def test_a_rule_that_compares_with_a_trusted_update_gets_its_layers() -> None:
    updates = clients()
    trusted = {name: np.ones(shape) for name, shape in SHAPES.items()}
    answer = (PerLayer() >> FLTrust()).aggregate(updates, trusted=trusted)
    for names in LAYERS.values():
        part = FLTrust()([{name: u[name] for name in names} for u in updates], trusted={n: trusted[n] for n in names})
        assert all(np.allclose(answer.value[name], part[name]) for name in names)


def test_mixtures_of_whole_updates_may_come_before_the_layers() -> None:
    updates = clients()
    rule: Any = NNM(f=F) >> PerLayer() >> Clipping() >> Krum(f=F)
    assert repr(rule) == repr(registry.build("defense", "nnm >> per_layer >> clipping >> krum", f=F))
    assert repr(registry.build("defense", repr(rule))) == repr(rule)
    mixed = NNM(f=F)(updates)
    (wanted,) = expected(lambda: Clipping() >> Krum(f=F), [mixed])
    assert all(np.allclose(value, wanted[name]) for name, value in rule(updates).items())


def test_the_state_can_be_saved_looked_at_and_forgotten() -> None:
    rounds = [clients(seed) for seed in range(3)]
    make = lambda: PerLayer() >> CenteredClipping()  # noqa: E731
    rule, twin = make(), make()
    for updates in rounds[:2]:
        rule(updates)
    before = rule.state_dict()
    assert set(before["layers"]) == set(LAYERS)
    preview = rule.preview(rounds[2]).value
    twin.load_state_dict(before)
    later = twin(rounds[2])
    assert all(np.array_equal(value, later[name]) for name, value in preview.items())
    assert all(np.array_equal(value, preview[name]) for name, value in rule(rounds[2]).items())
    rule.reset()
    assert rule.state_dict() == {"layers": {}}
    fresh = make()(rounds[0])
    assert all(np.array_equal(value, fresh[name]) for name, value in rule(rounds[0]).items())
    with pytest.raises(StateError, match="no state"):
        rule.load_state_dict({"layers": {"conv": {"nothing": 1}}})
    with pytest.raises(StateError, match="for each layer, by name"):
        rule.load_state_dict({"layers": 3})


def test_the_state_is_made_of_tensors_where_updates_are() -> None:
    rule = PerLayer() >> CenteredClipping()
    rule([{name: torch.tensor(value) for name, value in update.items()} for update in clients()])
    assert all(torch.is_tensor(own["center"]) for own in rule.state_dict()["layers"].values())


def test_vectors_without_names_are_one_layer_with_the_weights_of_the_rule() -> None:
    x = np.random.default_rng(0).normal(size=(N, 30))
    answer, wanted = (PerLayer() >> MultiKrum(f=F)).aggregate(x), MultiKrum(f=F).aggregate(x)
    np.testing.assert_array_equal(answer.value, wanted.value)
    np.testing.assert_array_equal(answer.weights, wanted.weights)
    assert list(answer.info["layers"]) == ["all"]


def test_layers_of_streams_cannot_be_told_apart() -> None:
    x = np.random.default_rng(0).normal(size=(N, 30))
    rule = PerLayer() >> Median()
    assert rule(ColumnBlocks([x], shape=x.shape, dtype="float64")).tolist() == Median()(x).tolist()
    rule.shaped({"a.weight": 10, "b.weight": 20})
    with pytest.raises(UpdatesError, match="come in blocks of columns"):
        rule(ColumnBlocks(lambda: iter([x]), shape=x.shape, dtype="float64"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PerLayer() >> (PerLayer() >> Mean()), "from updates to one update"),
        (lambda: PerLayer() >> registry.build("defense", "frl"), "should be Aggregator|from updates to one update"),
        (lambda: PerLayer() >> (GradientNoise() >> Mean()), "concerns whole updates"),
        (
            lambda: PerLayer() >> (DPFedAvg(clip=1.0, delta=1e-3, noise_multiplier=1.0) >> Mean()),
            "concerns whole updates",
        ),
        (
            lambda: DPFedAvg(clip=1.0, delta=1e-3, noise_multiplier=1.0) >> (PerLayer() >> TrimmedMean(f=F)),
            "No bound is known",
        ),
    ],
    ids=["itself", "votes", "client side", "mechanism behind", "mechanism before"],
)
def test_what_cannot_stand_there_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()


def test_a_simulation_knows_the_layers_of_its_model() -> None:
    world, rule = population(MLP(hidden=(5,))), PerLayer() >> Krum(f=1)
    heard: list[dict[str, Any]] = []
    layers = {name.rpartition(".")[0] for name in world.shapes}
    sim = simulation(rule, world=world, rounds=2)
    kept = rule.__class__._aggregate

    def listening(self: Any, rows: Any) -> Any:
        outcome = kept(self, rows)
        heard.append(dict(outcome.layers))
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule.__class__, "_aggregate", listening)
        sim.run()
    assert heard
    assert all(set(layer) == layers and len(layer) > 1 for layer in heard)
