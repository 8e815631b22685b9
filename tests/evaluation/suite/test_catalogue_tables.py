"""The suites on flow records and on sequences, at a size at which they say that they work and nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.reading import read_experiment

FEW = ('attacks=["alie"]', "federation.rounds=2", "federation.evaluate_every=2", "adversary.f=[0, 1]", "seeds=1")


@pytest.mark.parametrize(
    ("name", "data", "defenses"),
    [
        ("flows", "{flows: {rows: 600}}", {"Mean", "TrimmedMean", "NNM > TrimmedMean"}),
        ("sequences", "{sessions: {samples: 300}}", {"Mean", "TrimmedMean", "PerLayer > NNM > TrimmedMean"}),
    ],
    ids=["flows", "sequences"],
)
def test_the_suite_is_played_with_a_client_for_each_owner(
    name: str, data: str, defenses: set[str], tmp_path: Path
) -> None:
    last = "[per_layer, nnm, trimmed_mean]" if name == "sequences" else "[nnm, trimmed_mean]"
    chosen = f"defenses=[mean, trimmed_mean, {last}]"
    experiment = read_experiment(name, (*FEW, f"task.data={data}", chosen, "claims=[]"))
    summary = run_experiment(experiment, RunOptions(out=tmp_path, workers=0, checks=NO_CHECKS))
    assert summary["trials"] == {"total": 8, "ok": 8, "diverged": 0, "failed": 0, "invalid": 0, "not_applicable": 0}
    (world,) = summary["scores"]["worlds"]
    assert {defense["defense"] for defense in world["defenses"]} == defenses
    (held,) = summary["histograms"].values()
    assert len(held["counts"]) == world["clients"] == 12
    assert all(sum(row) > 0 for row in held["counts"])
    assert not [note for note in held["notes"] if "alone tells" in note]


@pytest.mark.parametrize("name", ["flows", "sequences"])
def test_the_claims_of_the_suite_are_about_what_it_plays(name: str) -> None:
    experiment = read_experiment(name)
    assert [claim.expect for claim in experiment.suite.claims] == ["< 0.5", "> 0"]
    assert {str(attack) for attack in experiment.suite.played} >= {"ALIE(z=1.5)", "NonFinite"}
