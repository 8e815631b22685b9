"""Models that bring their own initialiser: any layer that can be trained, and a clear word on those that cannot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robustfl.errors import ParameterError
from robustfl.evaluation.run.checking import Checks
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.federation.clients.trainable import require_trainable
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.models.architectures import Model
from robustfl.federation.settings import Federation
from robustfl.federation.task import Task


class Attentive(nn.Module):
    """Attention over the rows of an image, which are its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 10)
        self.norm = nn.LayerNorm(8)
        self.register_buffer("place", torch.zeros(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.norm(x[:, 0] + self.place)
        weights = (self.query(rows) @ self.key(rows).transpose(1, 2)).softmax(dim=-1)
        logits: Tensor = self.head((weights @ rows).mean(dim=1))
        return logits


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5)


class Whitening(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


class Counting(nn.Module):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return x


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.gru(x.reshape(-1, 8, 8))[0]
        return answers.flatten(1)


class Summed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(x.sum(dim=0))
        return x + dropped


@dataclass(frozen=True, kw_only=True)
class Mine(Model):
    """A network of mine."""

    kind: Literal[
        "attention", "batch_norm", "dropout", "gru", "late_dropout", "narrow", "noise", "overflowing", "raising",
        "state", "whitening",
    ] = "attention"  # fmt: skip

    def _network(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        head = nn.Linear(64, 9 if self.kind == "narrow" else classes)
        layers: dict[str, list[nn.Module]] = {
            "batch_norm": [nn.BatchNorm1d(64)],
            "dropout": [nn.Dropout(0.5)],
            "gru": [Recurrent()],
            "late_dropout": [Summed()],
            "noise": [Noise()],
            "state": [Counting()],
            "whitening": [Whitening()],
            "raising": [nn.Conv2d(3, 3, 3)],
        }
        return (
            Attentive() if self.kind == "attention" else nn.Sequential(nn.Flatten(), *layers.get(self.kind, []), head)
        )

    def _initialise(self, network: nn.Module, generator: torch.Generator) -> None:
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                if tensor.is_floating_point():
                    tensor.uniform_(0.1, 0.5, generator=generator)
            if self.kind == "overflowing":
                for parameter in network.parameters():
                    parameter.fill_(1e38)


def asked(kind: str, mode: str) -> None:
    task = Task(data=Digits(), model=Mine(kind=kind), partition=IID())  # type: ignore[arg-type]
    require_trainable(task, Digits().load(), Federation(clients=4, rounds=1, client_mode=mode))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["vmap", "loop", "auto"])
@pytest.mark.parametrize("kind", ["attention", "batch_norm", "dropout"])
def test_attention_norms_and_dropout_can_be_trained(kind: str, mode: str) -> None:
    asked(kind, mode)


def test_recurrence_of_torch_can_be_trained_client_by_client() -> None:
    asked("gru", "loop")


@pytest.mark.parametrize(
    ("kind", "mode", "message"),
    [
        ("state", "loop", "keep no state. Its buffer `1.calls` changes"),
        ("whitening", "loop", "answer each sample by itself"),
        ("noise", "loop", "draw no random numbers"),
        ("noise", "vmap", "randomness|random numbers"),
        ("gru", "vmap", "client_mode: loop"),
        ("late_dropout", "loop", r"A dropout should be handed tensors \[batch, ...\]. Found \[64\]|first"),
        ("narrow", "loop", r"logits \[4, 10\]\. Found \[4, 9\]|and be trainable"),
        ("raising", "loop", r"samples \[batch, 1, 8, 8\] to logits \[batch, classes\], and be trainable. RuntimeError"),
        ("overflowing", "loop", "finite gradients"),
    ],
)
def test_what_cannot_be_trained_is_said_before_the_run(kind: str, mode: str, message: str) -> None:
    with pytest.raises(ParameterError, match=f"Mine should.*({message})"):
        asked(kind, mode)


@dataclass(frozen=True, kw_only=True)
class Ordinary(Model):
    """Layers that `Model` initialises, with another number of outputs than asked for."""

    inputs: int = 64
    outputs: int = 10

    def _network(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(self.inputs, self.outputs))


@dataclass(frozen=True, kw_only=True)
class Unseeded(Ordinary):
    """Draws its initial values from the global generator."""

    def _initialise(self, network: nn.Module, generator: torch.Generator) -> None:
        for tensor in network.parameters():
            nn.init.uniform_(tensor, -0.1, 0.1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Ordinary(outputs=3),
            r"Ordinary should map .* to logits \[(batch, classes\].*|.* Found \[4, 3\])",
        ),
        (Ordinary(inputs=63), r"Ordinary should .* be trainable\. RuntimeError: .*63x10"),
        (Unseeded(), r"Unseeded should draw its initial values from the generator"),
    ],
)
def test_a_model_of_common_layers_is_asked_as_well(model: Model, message: str) -> None:
    for mode in ("vmap", "loop"):
        with pytest.raises(ParameterError, match=message):
            require_trainable(
                Task(data=Digits(), model=model, partition=IID()),
                Digits().load(),
                Federation(clients=4, rounds=1, client_mode=mode),
            )


@dataclass(frozen=True, kw_only=True)
class Forgetful(Mine):
    """Leaves its buffer without a value."""

    def _initialise(self, network: nn.Module, generator: torch.Generator) -> None:
        with torch.no_grad():
            for tensor in network.parameters():
                tensor.uniform_(generator=generator)


def test_a_number_without_a_value_is_noticed() -> None:
    with pytest.raises(ParameterError, match=r"Forgetful: `_initialise` .* `place` has none"):
        Forgetful().build((1, 8, 8), 10, torch.Generator().manual_seed(0))


OWN = '''
from dataclasses import dataclass

import torch
from torch import nn

from robustfl.federation.models.architectures import Model


@dataclass(frozen=True, kw_only=True)
class Net(Model):
    """Layer norm and a linear layer."""

    def _network(self, input_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.LayerNorm(64), *LAYERS, nn.Linear(64, classes))

    def _initialise(self, network, generator):
        for name, tensor in network.named_parameters():
            nn.init.normal_(tensor, std=0.1, generator=generator)
'''


def test_a_model_of_a_file_runs_or_is_refused_before_the_run(tmp_path: Path) -> None:
    suite = {
        "task": {"data": "digits", "model": "good.py:Net", "partition": "iid"},
        "federation": {"clients": 3, "rounds": 2},
        "adversary": {"f": [0]},
        "defenses": ["mean"],
        "seeds": 1,
    }
    (tmp_path / "s.yaml").write_text(json.dumps(suite))
    (tmp_path / "good.py").write_text(OWN + "\n\nLAYERS = []\n")
    (tmp_path / "bad.py").write_text(OWN + "\n\nLAYERS = [nn.AlphaDropout()]\n")
    options = RunOptions(out=tmp_path / "out", workers=0, checks=Checks(replays=0))
    summary = run_experiment(read_experiment(str(tmp_path / "s.yaml")), options)
    assert (summary["trials"]["ok"], summary["trials"]["failed"]) == (1, 0)
    bad = read_experiment(str(tmp_path / "s.yaml"), ("task.model=bad.py:Net",))
    with pytest.raises(ParameterError, match="Net should"):
        run_experiment(bad, RunOptions(out=tmp_path / "other", workers=0))
    assert not (tmp_path / "other" / "records.jsonl").exists()
