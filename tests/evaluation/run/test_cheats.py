"""Rules that cheat get no rank, whatever they wear; rules that do not keep theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from robustfl import registry
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.results.summaries import Summary
from robustfl.evaluation.run.checking import Checks
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.status import APART
from tests.evaluation.run import cheats as rules

FEDERATION: dict[str, Any] = {"clients": 8, "rounds": 8, "batch_size": 8, "server": {"learning_rate": 0.5}}

HONEST = ("trimmed_mean",)


def suite(names: Sequence[str], **values: Any) -> dict[str, Any]:
    return {
        "name": "cheats",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": FEDERATION,
        "adversary": {"f": [0, 2]},
        "defenses": list(names),
        "attacks": [{"ipm": {"epsilon": 4.0}}],
        "seeds": 1,
        **values,
    }


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    kinds, found = (*rules.SIX, *rules.VARIANTS, rules.MisleadsSearches), registry.find("defense")
    found |= {kind.name: kind for kind in kinds}
    yield
    for kind in kinds:
        del found[kind.name]
    rules.FILE.unlink(missing_ok=True)


def played(folder: Path, names: Sequence[str], **values: Any) -> Summary:
    options = RunOptions(out=folder, workers=0, checks=Checks(replays=1, off_by_one=False))
    return run_experiment(Experiment(suite(names, **values)), options, Quiet())


def require_no_ranks(summary: Summary, kinds: Sequence[type[rules.Cheat]]) -> None:
    """No cheat is ranked, and each has a reason that it may be asked about; what is honest stays as it is."""
    rows = {row["defense"]: row for row in summary["scores"]["ranking"]}
    errors = {(flag["defense"], flag["code"]) for flag in summary["scores"]["flags"] if flag["level"] == "error"}
    for kind in kinds:
        label = str(kind(f=1))
        row = rows[label]
        assert row["rank"] is None, label
        apart = APART in row["why"]
        assert apart == kind(f=1).wants_trusted
        assert apart or row["status"] == "SUSPECT", label
        assert apart or {(label, "CONDUCT"), (label, "NOT_REPEATED")} & errors, label
    assert [label for label, row in rows.items() if row["rank"] is not None] == ["TrimmedMean"]
    assert {label for label, _ in errors} & {"TrimmedMean", "server alone"} == set()
    assert APART in rows["server alone"]["why"], "in every table with rules around a trusted update"


@pytest.mark.slow
def test_the_six_cheats_get_no_rank(tmp_path: Path, registered: None) -> None:
    summary = played(tmp_path, [*HONEST, *(kind.name for kind in rules.SIX)])
    require_no_ranks(summary, rules.SIX)
    codes = {
        (flag["defense"], flag["code"], part)
        for flag in summary["scores"]["flags"]
        for part in ("in another order", "from a copy", "accuracy")
        if part in flag["message"]
    }
    assert ("FirstRows", "CONDUCT", "in another order") in codes
    assert ("FirstNames", "CONDUCT", "from a copy") in codes
    assert {(name, "NOT_REPEATED", "accuracy") for name in ("Replayed", "OnTheStack", "Examiner")} <= codes


@pytest.mark.slow
def test_in_other_clothes_they_get_none_either(tmp_path: Path, registered: None) -> None:
    names = [*HONEST, *(kind.name for kind in rules.VARIANTS)]
    require_no_ranks(played(tmp_path, names, federation={**FEDERATION, "rounds": 6}), rules.VARIANTS)


@pytest.mark.slow
def test_who_misleads_searches_is_seen_where_it_cannot_know_who_asks(tmp_path: Path, registered: None) -> None:
    summary = played(
        tmp_path, ["trimmed_mean", rules.MisleadsSearches.name], attacks=[{"white_box": {"candidates": 3}}]
    )
    found = {(flag["defense"], flag["code"]) for flag in summary["scores"]["flags"] if flag["level"] == "error"}
    assert ("MisleadsSearches", "NOT_REPEATED") in found
    assert {defense for defense, _ in found} == {"MisleadsSearches"}


AT_IMPORT = """
from dataclasses import dataclass
from robustfl.defenses import Mean
from robustfl.federation.observers.accuracy import Accuracy

usual = Accuracy.report


def flattering(self, trace):
    usual(self, trace)
    trace.accuracy = [(number, 1.0) for number, _ in trace.accuracy]
    trace.more |= {"plain_accuracy": 1.0, "balanced_accuracy": 1.0}


Accuracy.report = flattering


@dataclass(frozen=True, kw_only=True)
class Import(Mean):
    name = "import"
"""


@pytest.mark.slow
def test_what_a_module_changes_when_it_is_imported_is_seen(
    command: Callable[..., Any], plugin: Callable[..., Path], tmp_path: Path
) -> None:
    """The processes in which trials are played again never import it."""
    site = plugin("changes_the_measure", AT_IMPORT, {"robustfl.defenses": ["Import"]})
    (tmp_path / "suite.yaml").write_text(json.dumps(suite(["import"], baseline="import")))
    checks = {"ROBUSTFL_REPLAYS": "1"}
    done = command(
        "run", "suite.yaml", "--workers", "1", "--out", "out", "--json", cwd=tmp_path, plugins=(site,), **checks
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert {record["metrics"]["tail_accuracy"] for record in read_records(tmp_path / "out" / "records.jsonl")} == {1.0}
    assert "NOT_REPEATED" in {flag["code"] for flag in summary["scores"]["flags"] if flag["level"] == "error"}
    assert [row["rank"] for row in summary["scores"]["ranking"]] == [None]
