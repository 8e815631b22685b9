"""Scoring stored records again: the same numbers from the same rules, and a refusal where the suite is another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robustfl.errors import DataError
from robustfl.evaluation.results.publishing import publish
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.run.rescoring import rescore, rescored
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.remark import make_remark
from tests.evaluation.run.tiny import SUITE as TINY

SUITE = {**TINY, "seeds": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_experiment(Experiment(SUITE), RunOptions(out=folder, workers=0, command="robustfl run tiny"), Quiet())
    return folder


def test_the_same_rules_give_the_same_summary(run: Path) -> None:
    results = RunResults.load(run)
    assert json.loads(json.dumps(rescored(results, Experiment(SUITE)))) == results.summary


def test_other_rules_give_other_scores_of_the_same_trials(run: Path) -> None:
    results = RunResults.load(run)
    strict = rescored(results, Experiment({**SUITE, "score": {"threshold": 0.9}}))
    assert strict["scores"]["settings"]["threshold"] == 0.9
    assert strict["trials"] == results.summary["trials"]
    assert strict["time"] == results.summary["time"]


def test_what_is_published_is_packed_again(run: Path, tmp_path: Path) -> None:
    publish(run, tmp_path)
    before = (tmp_path / "summary.json.xz").read_bytes()
    rescore(tmp_path, Experiment(SUITE))
    assert (tmp_path / "summary.json.xz").read_bytes() == before
    assert not (tmp_path / "summary.json").exists()
    rescore(tmp_path, Experiment({**SUITE, "score": {"threshold": 0.9}}))
    assert RunResults.load(tmp_path).summary["scores"]["settings"]["threshold"] == 0.9


def test_a_suite_that_was_not_run_is_refused(run: Path) -> None:
    other = Experiment({**SUITE, "attacks": ["sign_flip", "ipm"]})
    with pytest.raises(DataError, match=r"lack 6 of the 18 trials of the suite 'tiny'. Name the scenario that was run"):
        rescored(RunResults.load(run), other)


def test_remarks_that_rest_on_trials_after_the_suite_are_not_lost(run: Path) -> None:
    results = RunResults.load(run)
    remark = make_remark("NOT_REPEATED", "error", "It was not the same.", world="w", defense="Mean")
    flagged: Any = {**results.summary, "scores": {**results.summary["scores"], "flags": [remark]}}
    told = RunResults(summary=flagged, records=results.records)
    with pytest.raises(DataError, match=r"would be lost \(NOT_REPEATED\).*checks.jsonl"):
        rescored(told, Experiment(SUITE))
    other: Any = {**results.records[0], "metrics": {**results.records[0]["metrics"], "tail_accuracy": 0.0}}
    again = rescored(told, Experiment(SUITE), after=[other])
    assert "NOT_REPEATED" in {flag["code"] for flag in again["scores"]["flags"]}
