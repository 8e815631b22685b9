"""The privacy axis: what counts as a leak, P of the worst attack, and what is reported of accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.exhibited import exhibited
from robustfl.evaluation.run.exhibits import Exhibits
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.score.privacy import leak, privacy_axis
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.leaks import ERRORS
from robustfl.reports import HTML, Markdown
from tests.reports.tables import spreadsheet

PROTECTED = [{"dp_fed_avg": {"clip": 0.3, "target_epsilon": 2, "delta": 0.001}}, "mean"]
WEAKLY = [{"dp_fed_avg": {"clip": 0.3, "target_epsilon": 8, "delta": 0.001}}, "mean"]
SUITE: dict[str, Any] = {
    "name": "watched",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 2, "batch_size": 1},
    "adversary": {"f": [0, 1]},
    "defenses": ["mean", PROTECTED, WEAKLY],
    "attacks": ["sign_flip"],
    "privacy": {"observer": "server", "attacks": ["analytic"], "rounds": ["first"], "targets": 2},
    "seeds": 3,
}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, None),
        ({"identified": 1.0}, None),  # a share without a control
        ({"reconstructed": 0.6, "label_accuracy": 1.0, "label_chance": 0.3}, ("samples", 0.6)),
        ({"reconstructed": 0.4, "label_accuracy": 1.0, "label_chance": 0.3}, ("labels", 0.5)),
        ({"label_accuracy": 0.2, "label_chance": 0.3}, ("labels", 0.0)),
        ({"label_accuracy": 1.0, "label_chance": 1.0}, ("labels", 0.0)),  # one class alone tells nothing
        ({"mia_tpr_1": 0.01, "mia_tpr_5": 0.05}, ("members", 0.0)),
        ({"mia_tpr_1": 0.109, "mia_tpr_5": 0.1}, ("members", 0.1)),
        ({"mia_tpr_1": 0.02, "mia_tpr_5": 0.24}, ("members", 0.2)),
    ],
    ids=str,
)
def test_what_leaks_most(values: dict[str, float], found: tuple[str, float] | None) -> None:
    assert leak(values) == (found if found is None else (found[0], pytest.approx(found[1])))


def planned(**changes: Any) -> Plan:
    return Plan(Experiment({**SUITE, **changes}))


def record(more: dict[str, Any], account: dict[str, Any] | None = None) -> Any:
    return {
        "status": "ok",
        "metrics": {"tail_accuracy": 0.8, "more": {"privacy_unfit": [], **more}},
        "account": account,
    }


def axis(plan: Plan, told: dict[tuple[str, int], Any], attacks: list[str]) -> dict[str, Any]:
    """The axis of each defense, when the trials of a defense and seed have these records."""
    records: dict[str, Record] = {}
    for cell in plan.cells:
        if cell.trial is not None and cell.attack == "none" and (cell.defense, cell.seed) in told:
            records[cell.trial.id] = told[cell.defense, cell.seed]
    (world,) = privacy_axis(plan.cells, records, attacks, "server", accuracy="plain_accuracy", confidence=0.95)
    return {own["defense"]: own for own in world["defenses"]}


def recovered(**shares: float) -> dict[str, Any]:
    """Measures of the attacks A and B."""
    return {"reconstructed_by": dict(shares), "identified_by": dict(shares)}


def test_p_is_that_of_the_attack_that_finds_out_most_over_the_seeds() -> None:
    told = {
        ("Mean", seed): record(recovered(A=a, B=b)) for seed, (a, b) in enumerate([(0.2, 0.5), (0.9, 0.5), (0.1, 0.5)])
    }
    own = axis(planned(), told, ["A", "B"])["Mean"]
    assert (own["worst_attack"], own["P"]) == ("B", 0.5)
    assert [found["attack"] for found in own["attacks"]] == ["A", "B"]
    assert own["attacks"][0]["kept_per_seed"] == [0.8, pytest.approx(0.1), 0.9]
    assert own["P_ci"][0] < 0.5, "A may be the worse one: its seeds fall apart"
    assert own["epsilon"] == {}
    assert own["accuracy"] == pytest.approx(0.8)


def test_rounds_of_an_attack_are_no_attacks_of_their_own() -> None:
    told = {("Mean", seed): record(recovered(**{"A": 0.2, "A, round 0": 0.4})) for seed in range(3)}
    assert axis(planned(), told, ["A"])["Mean"]["P"] == pytest.approx(0.8)


def test_p_is_unknown_while_a_trial_is_missing() -> None:
    told = {("Mean", seed): record(recovered(A=0.2)) for seed in range(2)}
    own = axis(planned(), told, ["A"])["Mean"]
    assert (own["P"], own["P_ci"], own["worst_attack"]) == (None, None, None)
    assert own["attacks"][0]["kept_per_seed"] == [0.8, 0.8, None]


def test_an_attack_that_does_not_apply_is_no_attack_without_a_leak() -> None:
    told = {("Mean", seed): record({"privacy_unfit": ["A: no layer"]}) for seed in range(3)}
    own = axis(planned(), told, ["A"])["Mean"]
    assert (own["P"], own["attacks"], own["unfit"]) == (None, [], ["A: no layer"])


def test_the_largest_loss_of_all_seeds_counts_and_voids_are_told_once() -> None:
    account = {"delta": 1e-3, "unit": "client", "relation": "replace", "voids": [], "curve": {}}
    void = {**account, "voids": [{"code": "DIVERGED", "round": 3, "text": "why"}]}
    told = {
        ("Mean", 0): record({"epsilon": {"public": 1.0}}, account),
        ("Mean", 1): record({"epsilon": {"public": 3.0}}, account),
        ("Mean", 2): record({}, void),
    }
    own = axis(planned(), told, [])["Mean"]
    assert own["epsilon"] == {"public": 3.0}
    assert own["voids"] == ["DIVERGED: why"]
    assert (own["delta"], own["unit"], own["relation"], own["protected"]) == (1e-3, "client", "replace", False)


def test_a_suite_without_spies_and_mechanisms_has_no_privacy_axis() -> None:
    plan = planned(privacy=None, defenses=["mean"])
    records: dict[str, Record] = {
        cell.trial.id: {**record({}), "metrics": {"tail_accuracy": 0.8, "more": {}}}
        for cell in plan.cells
        if cell.trial
    }
    assert privacy_axis(plan.cells, records, [], None, accuracy="plain_accuracy", confidence=0.95) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    run_experiment(Experiment(SUITE), RunOptions(out=folder, workers=0, checks=NO_CHECKS), Quiet())
    return folder


def test_noise_at_the_server_promises_nothing_to_those_who_fear_the_server(folder: Path) -> None:
    results = RunResults.load(folder)
    (world,) = results.summary["privacy"]
    plain, strong, weak = world["defenses"]
    assert plain["P"] == strong["P"] == weak["P"] == 0.0, "the server sees single samples, whatever it adds later"
    assert plain["epsilon"] == {}
    assert strong["epsilon"]["public"] == pytest.approx(2, abs=0.01)
    assert weak["epsilon"]["public"] == pytest.approx(8, abs=0.01)
    assert not strong["protected"]
    for form in (Markdown(), HTML()):
        text = form.render(results)
        assert "No ε covers the report" in text
        assert "nothing against the observer server" in text
    assert "Accuracy over ε, and the largest leak" in HTML().render(results)


def test_the_sheet_has_a_row_for_each_attack(folder: Path) -> None:
    text = spreadsheet(RunResults.load(folder), "privacy.csv")
    head, *rows = text.splitlines()
    assert head.startswith("world,defense,privacy,")
    assert len(rows) == 3
    assert np.mean(["Analytic" in row for row in rows]) == 1
    assert any("public=2" in row or "public=1.99" in row for row in rows)


def test_rounds_are_told_apart_where_several_were_watched() -> None:
    shares = {"A": 0.3, "A, round 0": 0.4, "A, round 10": 0.2, "A, round 9": 0.3}
    told = {("Mean", seed): record(recovered(**shares)) for seed in range(3)}
    (found,) = axis(planned(), told, ["A"])["Mean"]["attacks"]
    assert list(found["by_round"]) == ["0", "9", "10"]
    assert found["by_round"]["10"]["reconstructed"] == pytest.approx(0.2)
    one = {("Mean", seed): record(recovered(**{"A": 0.4, "A, round 0": 0.4})) for seed in range(3)}
    assert axis(planned(), one, ["A"])["Mean"]["attacks"][0]["by_round"] == {}


def test_pictures_show_the_worst_pair_beside_the_best(folder: Path) -> None:
    results = RunResults.load(folder)
    shown = {found["defense"]: found for found in results.summary["exhibits"]}
    assert len(shown) == 3
    pairs = shown["Mean"]["pairs"]
    assert [pair["psnr"] for pair in pairs] == sorted((pair["psnr"] for pair in pairs), reverse=True)
    assert pairs[0]["original"] == pairs[0]["found"], "a batch of one is a quotient of gradients"
    assert len(pairs[0]["original"]) == 2 * 8 * 8
    page = HTML().render(results)
    assert "Mean: best, 100 dB" in page
    assert "Mean: worst, 100 dB" in page


def test_pictures_are_left_out_where_their_folder_is_gone(folder: Path, tmp_path: Path) -> None:
    plan = Plan(Experiment(SUITE))
    records = {found["trial"]: found for found in RunResults.load(folder).records}
    played = Played(plan=plan, records=records, root=None)
    assert len(exhibited(played, Exhibits(folder))) == 3
    assert exhibited(played, Exhibits(tmp_path)) == []


def test_a_bound_stands_beside_what_was_measured_of_members(tmp_path: Path) -> None:
    """On trials that were really played: the account of the mechanism bounds the attack of the observer it names."""
    local = [{"local_dp": {"clip": 0.3, "noise_multiplier": 20, "delta": 0.001}}, "mean"]
    spies = {"observer": "server", "attacks": ["loss_threshold"], "rounds": ["last"], "targets": 5, "federations": 5}
    suite = {**SUITE, "defenses": ["mean", local], "attacks": [], "adversary": {"f": [0]}, "privacy": spies, "seeds": 1}
    run_experiment(Experiment(suite), RunOptions(out=tmp_path, workers=0, checks=NO_CHECKS), Quiet())
    results = RunResults.load(tmp_path)
    (world,) = results.summary["privacy"]
    plain, noised = world["defenses"]
    assert noised["protected"]
    assert noised["epsilon"]["server"] < 1
    assert plain["attacks"][0]["bounds"] == {}
    (found,) = noised["attacks"]
    bound = found["bounds"]["mia_tpr_1"]
    assert 0.01 < bound < 0.02, "hardly more than false alarms"
    error = results.records[-1]["metrics"]["more"]["mia_tpr_1_error"]
    assert found["measured"]["mia_tpr_1"] <= bound + ERRORS * error
    assert all(flag["code"] != "PRIVACY_BOUND_BROKEN" for flag in results.summary["scores"]["flags"])
