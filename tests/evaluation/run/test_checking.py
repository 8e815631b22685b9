"""Trials that are played once a suite is over: again, with the defense elsewhere, and with a wrong f."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from robustfl.cli import app
from robustfl.errors import ScenarioError
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.results.summaries import Summary
from robustfl.evaluation.run.checking import FILE, NO_CHECKS, Checks, to_misdeclare, to_replay
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.status import APART

SUITE: dict[str, Any] = {
    "name": "checked",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 7, "rounds": 6, "batch_size": 8, "server": {"learning_rate": 0.5}},
    "adversary": {"f": [0, 2]},
    "defenses": ["median", "trimmed_mean"],
    "attacks": [{"ipm": {"epsilon": 6.0}}, {"gaussian": {"scale": 0.1}}],
    "seeds": 2,
}


class Heard:
    """Counts the trials that are run."""

    def __init__(self) -> None:
        self.ran: list[Any] = []

    def tell(self, line: str) -> None: ...

    def start(self, total: int, done: int) -> None: ...

    def advance(self, record: Any) -> None:
        self.ran.append(record)


def play(folder: Path, checks: Checks, isolate: bool = False, **values: Any) -> tuple[Summary, list[Any]]:
    heard = Heard()
    options = RunOptions(out=folder, workers=0, checks=checks, place=Resources(isolate=isolate))
    return run_experiment(Experiment({**SUITE, **values}), options, heard), heard.ran


def codes(summary: Summary) -> set[tuple[str | None, str]]:
    return {(flag["defense"], flag["code"]) for flag in summary["scores"]["flags"]}


def test_wrong_numbers_are_told_once_and_only_to_those_that_are_told(tmp_path: Path) -> None:
    checks, one = Checks(replays=0), {"seeds": 1}
    summary, first = play(tmp_path, checks, **one)
    told = [record for record in first if "told f=" in record["labels"]["defense"]]
    assert {record["labels"]["defense"] for record in told} == {"TrimmedMean told f=1", "TrimmedMean told f=3"}
    assert len(told) == 2
    assert {record["f"] for record in told} == {2}
    assert len({record["labels"]["attack"] for record in told}) == 1, "the worst attack alone"
    assert {record["scenario"]["defense"]["f"] for record in told} == {1, 3}
    again, second = play(tmp_path, checks, **one)
    assert second == []
    assert again["scores"] == summary["scores"]
    assert len(read_records(tmp_path / FILE)) == len(told)
    assert not [record for record in read_records(tmp_path / "records.jsonl") if "told" in record["labels"]["defense"]]
    assert ("TrimmedMean", "F_EXACT") in codes(summary), "with f=1 two attackers get through"
    assert ("Median", "F_EXACT") not in codes(summary)


def test_nobody_is_told_a_wrong_number_where_the_suite_declares_one_or_the_precondition_forbids_it() -> None:
    def cases(**values: Any) -> list[int]:
        plan = Plan(Experiment({**SUITE, **values}))
        (world,) = plan.experiment.worlds
        found = plan.misdeclared(world, plan.experiment.suite.defenses[-1], str(plan.experiment.suite.played[0]), 2)
        return [case.told for case in found]

    assert cases() == [1, 3]
    assert cases(federation={**SUITE["federation"], "clients": 6}) == [1]
    assert cases(adversary={"f": [2], "declared": 2}) == []
    assert cases(defenses=[{"trimmed_mean": {"f": 2}}]) == []
    assert cases(defenses=["median"]) == []


def test_trials_are_chosen_for_each_defense_with_and_without_an_attack(tmp_path: Path) -> None:
    play(tmp_path, NO_CHECKS)
    assert not (tmp_path / FILE).exists()
    plan = Plan(Experiment(SUITE))
    records = {record["trial"]: record for record in read_records(tmp_path / "records.jsonl")}
    chosen = to_replay(plan.cells, records, 1)
    assert sorted((trial.defense, trial.attack == "none") for trial in chosen) == [
        (defense, alone) for defense in ("Median", "TrimmedMean") for alone in (False, True)
    ]
    assert [trial.id for trial in to_replay(plan.cells, records, 1)] == [trial.id for trial in chosen]
    assert {trial.id for trial in chosen} < {trial.id for trial in to_replay(plan.cells, records, 3)}
    assert to_replay(plan.cells, records, 0) == to_replay(plan.cells, {}, 3) == []
    assert to_misdeclare(Played(plan=plan, records={})) == []


def test_honest_defenses_have_the_same_results_elsewhere_and_nothing_is_played_twice(tmp_path: Path) -> None:
    values: dict[str, Any] = {"defenses": ["trimmed_mean"], "attacks": ["sign_flip"]}
    checks = Checks(off_by_one=False)
    summary, ran = play(tmp_path, checks, **values)
    again = [record for record in ran if record.get("isolated")]
    assert len(again) == 2
    assert {"NOT_REPEATED", "CONDUCT"} & {code for _, code in codes(summary)} == set()
    assert play(tmp_path, checks, **values)[1] == []
    records = {record["trial"]: record for record in read_records(tmp_path / "records.jsonl")}
    for record in again:
        assert record["metrics"] == records[record["trial"]]["metrics"]


def test_peers_cannot_be_isolated_and_nothing_is_played(tmp_path: Path) -> None:
    network = {"clients": 6, "rounds": 2, "topology": "complete", "message": "delta"}
    with pytest.raises(ScenarioError, match="Rules of peers mix the models of all peers"):
        play(tmp_path, NO_CHECKS, isolate=True, federation=network, defenses=["gossip"])
    assert not (tmp_path / "records.jsonl").exists()


def test_isolated_runs_do_not_take_over_what_others_have_stored(tmp_path: Path) -> None:
    values: dict[str, Any] = {"defenses": ["median"], "attacks": ["sign_flip"], "seeds": 1, "adversary": {"f": [1]}}
    _, first = play(tmp_path, NO_CHECKS, **values)
    _, second = play(tmp_path, NO_CHECKS, isolate=True, **values)
    assert [record["isolated"] for record in second] == [True] * len(first)
    assert [record["metrics"] for record in second] == [record["metrics"] for record in first]
    assert play(tmp_path, NO_CHECKS, **values)[1] == [], "what was found in isolation holds anywhere"


def test_the_command_has_these_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {**SUITE, "defenses": ["trimmed_mean"], "seeds": 1}
    Path("tiny.yaml").write_text(json.dumps(values))
    run = ["run", "tiny.yaml", "--workers", "0", "--out"]
    done = CliRunner().invoke(app, [*run, "isolated", "--isolate", "--replays", "0", "--no-off-by-one"])
    assert done.exit_code == 0, done.output
    assert not Path("isolated", FILE).exists()
    assert {record["isolated"] for record in read_records(Path("isolated/records.jsonl"))} == {True}


@pytest.mark.parametrize(
    ("defenses", "rows"),
    [(["median"], 1), (["fltrust"], 2), (["nnm >> fltrust", "median"], 3), (["fltrust", "server_alone"], 2)],
)
def test_the_server_alone_stands_beside_rules_around_a_trusted_update(defenses: list[str], rows: int) -> None:
    labels = [template.label for template in Experiment({**SUITE, "defenses": defenses}).suite.defenses]
    assert len(labels) == rows
    assert ("server alone" in labels) == any("fltrust" in name for name in defenses)


def test_rules_around_a_trusted_update_are_listed_apart(tmp_path: Path) -> None:
    summary, _ = play(tmp_path, NO_CHECKS, defenses=["fltrust", "median"], attacks=["sign_flip"], seeds=1)
    rows = {row["defense"]: row for row in summary["scores"]["ranking"]}
    assert rows["Median"]["rank"] == 1
    for label in ("FLTrust", "server alone"):
        assert rows[label]["rank"] is None
        assert rows[label]["R_mean"] is not None
        assert APART in rows[label]["why"]
