"""Suites whose defenses get different messages: what meets what, what does not count, and how it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robustfl import registry
from robustfl.attacks import IPM, Clones, LabelFlip
from robustfl.errors import RobustflError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.schema import SUMMARY
from robustfl.evaluation.results.shapes import require_shape
from robustfl.evaluation.results.store import Store
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.score.inputs import CellResult
from robustfl.evaluation.score.score import score, worst_case
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.evaluation.suite.plan import Cell, Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.evidence import Evidence, Threat
from tests.evaluation.outcomes import cell, codes, only, world

VALUES: dict[str, Any] = {
    "name": "mixed",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 1, "evaluate_every": 1},
    "adversary": {"f": [0, 1]},
    "defenses": ["mean", "frl"],
    "attacks": ["sign_flip", "label_flip", "reverse_ranking"],
    "seeds": 1,
}


def plan(**changes: Any) -> Plan:
    return Plan(Experiment({**VALUES, **changes}))


def met(found: Plan, defense: str) -> dict[str, Cell]:
    return {cell.attack: cell for cell in found.cells if cell.defense == defense and cell.f == 1}


@pytest.mark.parametrize("data", ["digits", {"csv": {"path": "flows.csv", "label_column": "kind"}}])
def test_attacks_on_images_are_not_tried_on_tables(data: Any) -> None:
    task = {**VALUES["task"], "data": data}
    found = plan(task=task, defenses=["mean"], attacks=["sign_flip", ["bad_nets", "model_replacement"], "dba"])
    cells = met(found, "Mean")
    images = data == "digits"
    assert cells["SignFlip"].trial is not None
    for attack in ("BadNets > ModelReplacement", "DBA"):
        assert (cells[attack].trial is not None) == images
        assert ("marks images" in cells[attack].unfit) != images
    quiet = next(trial for trial in found.trials if trial.attack == "none")
    assert len(quiet.scenario.aims) == (2 if images else 0)


# ------------------------------------------------------------------------------------------------- the plan


def test_attacks_meet_the_defenses_that_they_are_made_for() -> None:
    found = plan()
    dense, ranked = met(found, "Mean"), met(found, "FRL")
    assert {name for name, cell in dense.items() if cell.trial} == {"none", "SignFlip", "LabelFlip"}
    assert {name for name, cell in ranked.items() if cell.trial} == {"none", "LabelFlip", "ReverseRanking"}
    assert dense["ReverseRanking"].unfit == (
        "ReverseRanking makes other messages than Mean gets: those of the channel 'dense'."
    )
    assert "channel 'rankings'" in ranked["SignFlip"].unfit
    assert not any(cell.unfit for cell in found.cells if cell.trial)
    assert len(found.trials) == 2 + 4


def test_an_attack_that_does_not_fit_is_no_reason_against_a_defense() -> None:
    found = plan(adversary={"f": [1]}, defenses=["frl", "krum"], federation={"clients": 4, "rounds": 1})
    assert all(cell.invalid and not cell.trial for name, cell in met(found, "Krum").items() if name != "ReverseRanking")
    assert not met(found, "Krum")["ReverseRanking"].invalid
    assert met(found, "Krum")["ReverseRanking"].unfit


def test_a_majority_of_malicious_clients_is_beyond_a_vote() -> None:
    found = plan(adversary={"f": [3]})
    reasons = {cell.invalid for cell in found.cells if cell.defense == "FRL" and not cell.unfit}
    assert reasons == {"FRL needs n >= 2f + 1 rows. Found n=5, f=3."}


def test_templates_know_their_channel_and_pipelines_cannot_end_in_a_vote() -> None:
    assert DefenseTemplate.read({"frl": {"learning_rate": 0.4}}).channel == "rankings"
    assert DefenseTemplate.read(["nnm", "median"]).channel == "dense"
    with pytest.raises(RobustflError, match="cannot stand before FRL"):
        DefenseTemplate.read(["nnm", "frl"])
    with pytest.raises(RobustflError, match="not a complete defense"):
        DefenseTemplate.read("nnm")


# ------------------------------------------------------------------------------------------------- the score


def unfit(attack: str, f: int) -> list[CellResult]:
    return [
        replace(o, status="not applicable", accuracy=None, trial="", reason="made for others")
        for o in cell(attack, f, (0.0, 0.0, 0.0))
    ]


BASE = [*cell("none", 0, (1, 1, 1)), *cell("none", 2, (1, 1, 1)), *cell("hard", 2, (0.5, 0.6, 0.7))]


def test_what_does_not_apply_neither_counts_nor_leaves_a_gap() -> None:
    with_it, without = (only(score(outcomes, [world()])) for outcomes in ([*BASE, *unfit("other", 2)], BASE))
    point = with_it["curve"][1]
    assert point["W"] == pytest.approx(0.6)
    assert point["worst_attack"] == "hard"
    assert point["M"] == pytest.approx(0.6)
    assert point["incomplete"] == []
    assert point["attacks"]["other"] | {"accuracy": None} == {
        "u": [None] * 3,
        "U": None,
        "ci": None,
        "accuracy": None,
        "trials": [""] * 3,
        "status": ["not applicable"] * 3,
        "reasons": ["made for others"],
    }
    for key in ("R_unt", "R_unt_ci", "breakdown"):
        assert with_it[key] == without[key]
    assert worst_case([*BASE[3:], *unfit("other", 2)], world()) == pytest.approx(0.6)


def test_runs_that_are_missing_still_leave_one() -> None:
    outcomes = [*BASE, *unfit("other", 2), *cell("lost", 2, (0.1, 0.1, 0.1))[:2]]
    point = only(score(outcomes, [world()]))["curve"][1]
    assert point["incomplete"] == ["lost"]
    assert worst_case(outcomes[3:], world()) is None


def test_a_defense_that_nothing_attacks_is_flagged() -> None:
    quiet = [*BASE[:6], *unfit("other", 2), *unfit("another", 2)]
    result = score(quiet, [world()])
    (flag,) = [flag for flag in result["flags"] if flag["code"] == "NOT_ATTACKED"]
    assert flag["level"] == "error"
    assert flag["defense"] == "D"
    assert only(result)["curve"][1]["M"] is None
    assert "NOT_ATTACKED" not in codes(score([*BASE, *unfit("other", 2)], [world()]))
    assert "NOT_ATTACKED" not in codes(score(BASE[:3], [world()]))


def test_malicious_clients_without_an_attack_are_flagged() -> None:
    (flag,) = [flag for flag in score(BASE[:6], [world()])["flags"] if flag["code"] == "NOT_ATTACKED"]
    assert flag["level"] == "error"
    assert flag["message"].startswith("The suite has malicious clients and no attack, so nobody attacks D.")


def test_attacks_that_begin_after_the_last_round_prove_nothing() -> None:
    late = {"hard": Threat.of(IPM(start_round=20)), "other": Threat.of(Clones() >> LabelFlip(start_round=5))}
    outcomes = [*BASE, *cell("other", 2, (1, 1, 1))]

    def told(rounds: int) -> dict[str, Any]:
        evidence = Evidence(threats=late, rounds={world().label: rounds})
        return {flag["code"]: flag for flag in score(outcomes, [world()], evidence=evidence)["flags"]}

    assert not {"NEVER_ACTS", "NOT_ATTACKED"} & set(told(21))
    some, none = told(20), told(5)
    assert "NOT_ATTACKED" not in some
    assert (some["NEVER_ACTS"]["level"], some["NEVER_ACTS"]["attack"]) == ("warning", "hard")
    assert "The training has 20 rounds, and hard would begin after the last one." in some["NEVER_ACTS"]["message"]
    assert "has 5 rounds, and hard and other would begin" in none["NEVER_ACTS"]["message"]
    assert none["NOT_ATTACKED"]["message"].startswith("All attacks of the suite that can be played against D would")


# ------------------------------------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    out: Path = tmp_path_factory.mktemp("mixed")
    summary = run_experiment(Experiment(VALUES), RunOptions(out=out, workers=0, checks=NO_CHECKS), Quiet())
    with Store(out / "records.jsonl") as store:
        return RunResults(summary=summary, records=tuple(store.records.values()))


def test_a_run_leaves_out_what_does_not_apply(results: RunResults) -> None:
    require_shape(results.summary, SUMMARY, "summary")
    assert results.summary["trials"] == {
        "total": 6,
        "ok": 6,
        "diverged": 0,
        "failed": 0,
        "invalid": 0,
        "not_applicable": 2,
    }
    (report,) = results.summary["scores"]["worlds"]
    for defense in report["defenses"]:
        alien = "ReverseRanking" if defense["defense"] == "Mean" else "SignFlip"
        cells = defense["curve"][1]["attacks"]
        assert cells[alien]["status"] == ["not applicable"]
        assert cells[alien]["U"] is None
        assert defense["curve"][1]["incomplete"] == []
    sent = {record["labels"]["defense"]: record["bytes"]["up_per_client_round"] for record in results.records}
    assert sent == {"Mean": 650 * 4, "FRL": 640 * 10 / 8}
    assert not {"UNEQUAL_SUITES", "INCOMPLETE"} & {flag["code"] for flag in results.summary["scores"]["flags"]}


def test_reports_say_what_does_not_apply(results: RunResults) -> None:
    written = {name: registry.build("report", name).files(results) for name in ("html", "markdown", "csv")}
    pages = {name: "\n".join(files.values()) for name, files in written.items()}
    assert pages["html"].count(">n/a</td>") == 2
    assert "marked n/a and do not count" in pages["html"]
    assert "those made for other messages than its clients send do not count" in pages["markdown"]
    rows = [line for line in pages["csv"].splitlines() if "not_applicable" in line]
    assert len(rows) == 2
