"""A measure is declared once, and everything that has to know of it reads the declaration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from robustfl.cli import app
from robustfl.errors import ScenarioError, StoreError
from robustfl.evaluation import RunOptions, read_experiment, run_experiment
from robustfl.evaluation.results.measures import known_measures, numbers
from robustfl.evaluation.results.schema import RECORD
from robustfl.evaluation.results.shapes import require_shape
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.reports.sections.heat_map import COLUMNS
from tests.conftest import ROOT

VALUES: dict[str, tuple[Any, Any]] = {
    "number": (0.5, "high"),
    "list": ([0.5, None], 0.5),
    "by name": ({"FGSM": 0.5}, [0.5]),
    "text": ("BadNets", 1),
    "texts": (["draws"], "draws"),
    "flag": (True, 1),
}
"""For every form a value of it, and one that is not."""

SUITE: dict[str, Any] = {
    "name": "measured",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 6, "rounds": 3},
    "adversary": {"f": [0, 1]},
    "defenses": ["mean", "rffl"],
    "attacks": ["bad_nets", "label_flip(mode='targeted')"],
    "faults": ["straggler"],
    "evasion": ["fgsm"],
    "seeds": 1,
}


def test_every_measure_says_what_it_is() -> None:
    for name, measure in known_measures().items():
        assert measure.name == name
        assert measure.doc
        assert not measure.doc.endswith(".")
        assert measure.form in VALUES


def test_records_hold_declared_measures_alone(tmp_path: Path) -> None:
    run_experiment(Experiment(SUITE), RunOptions(out=tmp_path, workers=0, checks=NO_CHECKS))
    asynchronous = {**SUITE, "federation": {**SUITE["federation"], "server": {"mode": "asynchronous"}}}
    asynchronous |= {"defenses": ["mean"], "attacks": [], "faults": []}
    run_experiment(Experiment(asynchronous), RunOptions(out=tmp_path / "asynchronous", workers=0, checks=NO_CHECKS))
    places = (tmp_path, tmp_path / "asynchronous", ROOT / "reports" / "published" / "leaderboard_digits_v1")
    records = [record for place in places for record in read_records(place / "records.jsonl")]
    found: set[str] = set()
    for record in records:
        assert record["status"] != "failed", record["error"]
        require_shape(record, RECORD, "record")
        found |= record["metrics"]["more"].keys()
    assert found <= known_measures().keys()
    assert len(found) > 25


@pytest.mark.parametrize("name", known_measures())
def test_the_shape_of_records_follows_the_form_of_a_measure(name: str) -> None:
    (trial,) = read_trials()
    right, wrong = VALUES[known_measures()[name].form]
    for value in (right, None):
        require_shape({**trial, "metrics": {"more": {name: value}}}, RECORD, "record")
    with pytest.raises(StoreError, match=rf"record\.metrics\.more\.{name}"):
        require_shape({**trial, "metrics": {"more": {name: wrong}}}, RECORD, "record")


def read_trials() -> list[dict[str, Any]]:
    labels = {"world": "w", "defense": "d", "attack": "none"}
    return [{"schema": 1, "trial": "t", "status": "ok", "labels": labels, "seed": 0, "f": 0}]


def test_every_number_is_a_column() -> None:
    assert COLUMNS[-len(numbers()) :] == numbers()
    assert {"worst_class", "detection_auc", "attack_success", "staleness", "fairness"} <= set(numbers())
    assert not {"class_accuracy", "aims", "conduct", "aim"} & set(numbers())


@pytest.mark.parametrize("name", known_measures())
def test_a_measure_can_be_described(name: str) -> None:
    shown = CliRunner().invoke(app, ["describe", name])
    assert shown.exit_code == 0
    assert f"In claims: more(DEFENSE, {name}" in shown.stdout
    facts = json.loads(CliRunner().invoke(app, ["describe", name, "--json"]).stdout)
    assert (facts["kind"], facts["doc"]) == ("measure", known_measures()[name].doc)


def test_claims_may_read_every_measure() -> None:
    claims = [
        {"text": "t", "source": "s", "measure": f"more(mean, {name})", "expect": "> 0"} for name in known_measures()
    ]
    experiment = Experiment({**SUITE, "claims": claims})
    assert len(experiment.suite.claims) == len(claims)
    assert Plan(experiment).cells


def test_measures_are_listed() -> None:
    shown = CliRunner().invoke(app, ["list", "measures", "--json"])
    assert json.loads(shown.stdout) == {"measure": {name: one.doc for name, one in known_measures().items()}}
    assert "measure" in json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)


def test_an_unknown_measure_is_refused_before_anything_runs(tmp_path: Path) -> None:
    claims = [{"text": "t", "source": "s", "measure": "more(mean, worst_clas)", "expect": "> 0"}]
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "claims": claims}))
    with pytest.raises(ScenarioError, match=r"There is no measure 'worst_clas'\. Did you mean 'worst_class'"):
        read_experiment(str(tmp_path / "suite.yaml"))
