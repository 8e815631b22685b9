"""What cannot be played is said before the first trial, and only once; what can be played is played."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from robustfl.console import RunProgress
from robustfl.errors import ParameterError, RobustflError, ScenarioError
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.preflight import require_playable, unplayable
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment

SUITE: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 4, "rounds": 2},
    "adversary": {"f": [0]},
    "defenses": ["mean"],
    "seeds": 2,
}

OWN = '''
from dataclasses import dataclass

import torch
from robustfl.federation.data.partitions import Partition
from robustfl.federation.models.architectures import Model
from robustfl.threats.evasion import Evasion


@dataclass(frozen=True, kw_only=True)
class Loses(Partition):
    """Forgets a sample."""

    def _deal(self, samples, clients, rng):
        return [range(1, 9), range(9, 1347), *([[]] * (clients - 2))]


@dataclass(frozen=True, kw_only=True)
class Wide(Model):
    """Has a layer whose values nobody gives."""

    def _network(self, input_shape, classes):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LayerNorm(64), torch.nn.Linear(64, classes))


@dataclass(frozen=True, kw_only=True)
class Mine(Wide):
    """Gives all layers their values, without a word on gradients."""

    def _initialise(self, network, generator):
        for parameter in network.parameters():
            parameter.uniform_(0.1, 0.2, generator=generator)


@dataclass(frozen=True, kw_only=True)
class Breaks(Mine):
    """Its initialiser fails."""

    def _initialise(self, network, generator):
        raise KeyError("norm")


@dataclass(frozen=True, kw_only=True)
class Far(Evasion):
    """Leaves the ball."""

    epsilon: float = 0.1

    def perturb(self, victim):
        return victim.features + 5
'''


def reasons(folder: Path, **values: Any) -> dict[str, RobustflError]:
    (folder / "own.py").write_text(OWN)
    (folder / "s.yaml").write_text(json.dumps(SUITE | values))
    return unplayable(Plan(read_experiment(str(folder / "s.yaml"))), folder)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"federation": {"clients": 5000, "rounds": 2}}, "IID: `clients` should satisfy 1 <= clients <= samples"),
        ({"task": SUITE["task"] | {"partition": "own.py:Loses"}}, "Loses should deal each of 1347 samples once"),
        ({"task": SUITE["task"] | {"partition": "by_client"}}, "ByClient: the data should say whose sample"),
        ({"task": SUITE["task"] | {"model": "own.py:Wide"}}, "Found LayerNorm.* method of its own, `_initialise"),
        ({"task": SUITE["task"] | {"model": "own.py:Breaks"}}, "Breaks should build and initialise .* KeyError: .norm"),
        ({"evasion": ["own.py:Far"]}, "Far"),
    ],
    ids=["clients", "partition", "owners", "layers", "initialiser", "evasion"],
)
def test_a_world_that_cannot_be_played_is_known_before_any_trial(
    values: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    found = reasons(tmp_path, **values)
    (error,) = found.values()
    with pytest.raises(RobustflError, match=reason):
        raise error
    plan = Plan(read_experiment(str(tmp_path / "s.yaml")))
    with pytest.raises(type(error), match=reason):
        require_playable(plan, found)
    with pytest.raises(type(error), match=reason):
        run_experiment(plan.experiment, RunOptions(out=tmp_path / "out", workers=0, checks=NO_CHECKS))
    assert not (tmp_path / "out" / "records.jsonl").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"task": SUITE["task"] | {"model": "own.py:Mine"}},
        {"evasion": ["fgsm", "zeroth_order"]},
        {"privacy": {"attacks": ["idlg", "loss_threshold"]}},
        {"defenses": [["client_momentum", "mean"]], "faults": ["dropout"]},
    ],
    ids=["initialiser", "evasion", "privacy", "parts"],
)
def test_what_can_be_played_passes(values: dict[str, Any], tmp_path: Path) -> None:
    assert reasons(tmp_path, **values) == {}


def test_of_several_worlds_each_has_its_reason_unless_all_have_the_same(tmp_path: Path) -> None:
    federation = {"clients": [5000, 6000], "rounds": 2}
    found = reasons(tmp_path, federation=federation)
    plan = Plan(read_experiment(str(tmp_path / "s.yaml")))
    with pytest.raises(ScenarioError, match=r"None of the 2 worlds .*clients=5000, .*clients=6000, "):
        require_playable(plan, found)
    first, second = found
    require_playable(plan, {first: found[first]})
    same = ParameterError("a")
    with pytest.raises(ParameterError, match=r"^a$"):
        require_playable(plan, {first: same, second: ParameterError("a")})


def test_notes_on_the_data_are_told_before_the_run_and_kept(tmp_path: Path) -> None:
    rows = [f"{number % 7},{'ab'[number % 2]},{number % 2}" for number in range(480)]
    (tmp_path / "t.csv").write_text("\n".join(["x,Label,attempted", *rows]))
    data = {"csv": {"path": "t.csv", "label_column": "Label"}}
    (tmp_path / "s.yaml").write_text(json.dumps(SUITE | {"task": SUITE["task"] | {"data": data}, "seeds": 1}))
    text = io.StringIO()
    options = RunOptions(out=tmp_path / "out", workers=0, checks=NO_CHECKS)
    summary = run_experiment(
        read_experiment(str(tmp_path / "s.yaml")), options, RunProgress(Console(file=text, width=200))
    )
    assert text.getvalue().splitlines()[0].startswith("data: Column `attempted` alone tells the label")
    (kept,) = summary["histograms"].values()
    assert [note.split(" (")[0] for note in kept["notes"]] == ["Column `attempted` alone tells the label"]
