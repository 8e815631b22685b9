"""Dropout and batch normalisation: for many clients at once, repeatable, and otherwise what torch's layers compute."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustfl.defenses import DPSGD, FRL, Mean
from robustfl.errors import ParameterError
from robustfl.evaluation.run.checking import Checks
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.federation import Population
from robustfl.federation.clients.distillation import Distiller
from robustfl.federation.clients.objective import ClientObjective
from robustfl.federation.clients.training import LoopedTrainer, TracedTrainer, VmappedTrainer, objective_of, predict
from robustfl.federation.models.architectures import Model
from robustfl.federation.models.modes import TwoModes
from robustfl.federation.task import REFERENCE
from robustfl.threats.privacy.network import Network
from tests.federation.test_training import batches
from tests.federation.worlds import population, rules, simulation

Kind = Literal["dense", "channels", "dropped", "dropped channels", "both"]


@dataclass(frozen=True, kw_only=True)
class Moody(Model):
    """Layers that behave otherwise in training."""

    kind: Kind = "both"

    def _network(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        flat = [nn.Flatten(), nn.Linear(int(np.prod(input_shape)), 6)]
        convolved = [nn.Conv2d(1, 4, 3, padding=1)]
        size = 4 * input_shape[1] * input_shape[2]
        layers: dict[str, list[nn.Module]] = {
            "dense": [*flat, nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, classes)],
            "channels": [*convolved, nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(size, classes)],
            "dropped": [*flat, nn.Dropout(0.4), nn.Linear(6, classes)],
            "dropped channels": [*convolved, nn.Dropout2d(0.4), nn.Flatten(), nn.Linear(size, classes)],
            "both": [*flat, nn.BatchNorm1d(6, affine=False), nn.Dropout(0.4), nn.Linear(6, classes), nn.Dropout(0.1)],
        }
        return nn.Sequential(*layers[self.kind])


def network_of(made: Population) -> TwoModes:
    assert isinstance(made.module, TwoModes)
    return made.module


@pytest.mark.parametrize("kind", ["dense", "channels"])
def test_training_is_that_of_torch_and_judging_that_of_its_statistics(kind: Kind) -> None:
    made = population(Moody(kind=kind))
    theirs: Any = Moody(kind=kind)._network(made.dataset.input_shape, made.classes).double()
    generator = torch.Generator().manual_seed(0)
    weights = made.initial.double() + torch.randn(made.d, dtype=torch.float64, generator=generator) / 20
    own = dict(zip(dict(theirs.named_parameters()), made.views(weights).values(), strict=True))
    theirs.load_state_dict(own, strict=False)
    x, y = made.features[:20].double(), made.labels[:20]
    cross_entropy(theirs(x), y).backward()  # in training: the statistics of the batch
    expected = torch.cat([parameter.grad.flatten() for parameter in theirs.parameters()])
    found = VmappedTrainer(made, 0.1)(weights, x[None, None], y[None, None])[0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    reference = network_of(made).reference
    assert reference is not None
    reference = network_of(made).reference = reference.double()
    norm = next(layer for layer in theirs if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d))
    assert float(norm.weight.grad.abs().min()) > 0
    norm.momentum = 1.0  # the running statistics become those of the last batch
    theirs(reference)
    number = reference[:, 0].numel() if kind == "channels" else len(reference)
    norm.running_var *= (number - 1) / number
    theirs.eval()
    torch.testing.assert_close(predict(made, weights, x), theirs(x), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(predict(made, weights, x[:1]), theirs(x)[:1], rtol=1e-9, atol=1e-11)


def test_attackers_imagine_the_training_that_clients_do() -> None:
    made = population(Moody(kind="dense"))
    x, y = batches(made, k=3, steps=2, size=5)
    model, x = made.initial.double().requires_grad_(), x.double()
    traced = TracedTrainer(made, 0.1)(model, x, y)
    torch.testing.assert_close(traced.detach(), VmappedTrainer(made, 0.1)(model.detach(), x, y))
    along = torch.randn(made.d, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(traced.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (slope,) = torch.autograd.grad((traced * weights).sum(), model)
    near = [(TracedTrainer(made, 0.1)(model.detach() + step * along, x, y) * weights).sum() for step in (1e-6, -1e-6)]
    torch.testing.assert_close(slope @ along, (near[0] - near[1]) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["dropped", "dropped channels", "both"])
def test_what_is_dropped_comes_from_each_client_s_own_numbers(kind: Kind) -> None:
    made = population(Moody(kind=kind))
    x, y = batches(made, k=3, steps=2, size=5)
    drawing = ClientObjective(made, (), 7)
    draws = drawing.draws(4, np.arange(3), 2, 5)
    assert draws is not None
    assert draws.shape == (3, 2, 5, {"dropped": 6, "dropped channels": 4, "both": 6 + made.classes}[kind])
    together, apart = (
        trainer(made, 0.1)(made.initial, x, y, None, draws) for trainer in (VmappedTrainer, LoopedTrainer)
    )
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-6)
    later, other = drawing.draws(4, np.array([2, 0]), 2, 5), drawing.draws(5, np.arange(3), 2, 5)
    assert later is not None
    assert other is not None
    assert torch.equal(later, draws[[2, 0]])
    assert not torch.equal(other, draws)
    whole = VmappedTrainer(made, 0.1)(made.initial, x, y)
    assert not torch.allclose(together, whole, rtol=1e-2)
    assert torch.equal(predict(made, made.initial, x[0, 0]), predict(made, made.initial, x[0, 0]))


def test_as_many_values_are_dropped_as_were_asked_for_and_the_others_grow() -> None:
    made = population(Moody(kind="dropped"))
    heard: list[Tensor] = []
    layer = network_of(made).network.get_submodule("2")
    layer.register_forward_hook(lambda module, given, answered: heard.append(answered / given[0]))
    draws = torch.as_tensor(network_of(made).drawn(np.random.default_rng(0), 4000), dtype=torch.float32)
    features = made.features[torch.zeros(4000, dtype=torch.long)]
    objective_of(made)(made.views(made.initial), features, made.labels[:1].expand(4000), draws)
    share = heard[0].eq(0).double().mean()
    assert abs(float(share) - 0.4) < 4 * (0.24 / heard[0].numel()) ** 0.5
    assert sorted({round(value, 5) for value in heard[0].unique().tolist()}) == [0.0, round(1 / 0.6, 5)]


def test_statistics_come_from_samples_of_the_population_itself() -> None:
    made = population(Moody(kind="dense"))
    reference = network_of(made).reference
    assert reference is not None
    assert len(reference) == min(REFERENCE, len(made.labels))
    chosen = np.zeros(len(made.labels), dtype=np.bool_)
    chosen[3:9] = True
    fewer = network_of(made.subset(chosen)).reference
    assert fewer is not None
    assert torch.equal(fewer, made.features[3:9])
    assert network_of(made).reference is reference


def test_spies_that_imitate_gradients_refuse_batch_normalisation() -> None:
    made = population(Moody(kind="dense"))
    spied = Network(made.module, made.dataset.input_shape, made.classes)
    with pytest.raises(ParameterError, match="without batch normalisation"):
        spied.gradients(made.initial[None], made.features[None, :2], made.labels[None, :2])


def test_mechanisms_and_masks_refuse_what_they_cannot_do() -> None:
    clipped = DPSGD(clip=1.0, delta=1e-3, noise_multiplier=1.0) >> Mean()
    with pytest.raises(ParameterError, match="no example has a gradient of its own"):
        simulation(clipped, model=Moody(kind="dense"))
    with pytest.raises(ParameterError, match="clients that rank draw none"):
        simulation(FRL(), model=Moody(kind="dropped"))
    with pytest.raises(ParameterError, match="judged and taught by the same samples"):
        Distiller(
            population(Moody(kind="dense")), rules(algorithm="fedavg", distillation={"steps": 2}), torch.zeros(3, 1)
        )


OWN = '''
from dataclasses import dataclass

from torch import nn

from robustfl.federation.models.architectures import Model


@dataclass(frozen=True, kw_only=True)
class Net(Model):
    """Batch normalisation and dropout."""

    def _network(self, input_shape, classes):
        norm = nn.Sequential(nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2))
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), norm, nn.Linear(12, classes))
'''


def played(folder: Path, out: str, *changes: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    suite = read_experiment(str(folder / "s.yaml"), changes)
    summary: Any = run_experiment(suite, RunOptions(out=folder / out, workers=0, checks=Checks(replays=0)))
    lines = (folder / out / "records.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], summary["trials"]


def test_a_suite_learns_with_such_a_model_and_can_be_repeated(tmp_path: Path) -> None:
    suite = {
        "task": {"data": "digits", "model": "net.py:Net", "partition": "iid"},
        "federation": {"clients": 5, "rounds": 30},
        "adversary": {"f": [0, 1]},
        "defenses": ["median"],
        "attacks": ["sign_flip"],
        "seeds": 1,
    }
    (tmp_path / "s.yaml").write_text(json.dumps(suite))
    (tmp_path / "net.py").write_text(OWN)
    first, trials = played(tmp_path, "out")
    assert trials["failed"] == 0
    undisturbed = next(record for record in first if record["labels"]["attack"] == "none")
    assert undisturbed["metrics"]["accuracy"][-1][1] > 0.8
    again, _ = played(tmp_path, "again")
    assert [record["metrics"] for record in again] == [record["metrics"] for record in first]
