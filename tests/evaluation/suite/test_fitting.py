"""Attacks that cannot fit the data are found before any trial is played."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.errors import ScenarioError
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment


def experiment(folder: Path, attack: Any, data: Any = "digits") -> Experiment:
    suite = {
        "task": {"data": data, "model": "softmax", "partition": "iid"},
        "federation": {"clients": 8, "rounds": 4},
        "adversary": {"f": [0, 2]},
        "defenses": ["mean", "median"],
        "attacks": [attack],
        "seeds": 1,
    }
    (folder / "s.yaml").write_text(json.dumps(suite))
    return read_experiment(str(folder / "s.yaml"))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"bad_nets": {"target": 70}}, "`target` should be a class of the data, 0 to 9. Found 70"),
        ([{"bad_nets": {"target": 70}}, "model_replacement"], "`target` should be a class of the data"),
        ([{"clones": {"count": 2}}, {"bad_nets": {"target": 10}}], "`target` should be a class of the data"),
        ({"bad_nets": {"mode": "source", "source": 10}}, "`source` should be a class"),
        ({"edge_case": {"source": 11}}, "`source` should be a class"),
        ({"bad_nets": {"size": 9}}, "size=9 with images of 8 x 8"),
        ({"dba": {"target": 10}}, "`target` should be a class"),
        ({"label_flip": {"mode": "targeted", "source": 1, "target": 10}}, "target=10 with 10 classes"),
    ],
    ids=str,
)
def test_a_plan_knows_data_that_need_no_file(tmp_path: Path, attack: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=rf"cannot be played on the data of Digits.*{message}"):
        Plan(experiment(tmp_path, attack))


def test_what_fits_is_planned(tmp_path: Path) -> None:
    assert Plan(experiment(tmp_path, {"bad_nets": {"target": 9, "size": 8}})).trials
    assert Plan(experiment(tmp_path, {"label_flip": {"mode": "reverse", "target": 99}})).trials


def test_a_run_asks_data_in_files_before_any_trial(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((40, 4, 4)), np.arange(40) % 3
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = {"npz": {"path": "d.npz"}}
    for attack, message in (({"bad_nets": {"target": 3}}, "0 to 2. Found 3"), ({"bad_nets": {"size": 5}}, "4 x 4")):
        suite = experiment(tmp_path, attack, data)
        assert Plan(suite).trials  # nobody has looked into the file
        with pytest.raises(ScenarioError, match=message):
            run_experiment(suite, RunOptions(out=tmp_path / "out", workers=0))
    assert not (tmp_path / "out" / "records.jsonl").exists()


@pytest.mark.parametrize("name", ["digits", "fashion_mnist", "cifar10"])
def test_data_say_of_themselves_what_they_hold(name: str) -> None:
    data = registry.build("data", name)
    assert data.layout is not None
    if name == "digits":
        loaded = data.load()
        assert data.layout == (loaded.input_shape, len(loaded.classes))
