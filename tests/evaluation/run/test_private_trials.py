"""Trials of defenses that begin with a mechanism: what their records hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from robustfl.errors import ScenarioError
from robustfl.evaluation.results.schema import RECORD
from robustfl.evaluation.results.shapes import require_shape
from robustfl.evaluation.run import play
from robustfl.evaluation.run.play import Resources, run_trial
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Scenario, Suite
from robustfl.evaluation.suite.trial import Trial

SCENARIO: dict[str, Any] = {
    "task": {"data": "digits", "model": {"mlp": {"hidden": [8]}}, "partition": "iid"},
    "federation": {"clients": 10, "rounds": 4, "participation": 0.5},
    "defense": [{"dp_fed_avg": {"clip": 0.3, "target_epsilon": 6, "delta": 1e-2}}, {"trimmed_mean": {"f": 1}}],
}


def record_of(isolate: bool = False, **changes: Any) -> dict[str, Any]:
    trial = Trial(Scenario.model_validate({**SCENARIO, **changes}), 0, "w", "d", "a")
    record = run_trial(trial, Resources(isolate=isolate), "fingerprint")
    assert record["error"] is None, record["error"]
    return dict(record)


@pytest.fixture(autouse=True)
def nobody_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opacus takes seconds to import, and has tests of its own."""
    monkeypatch.setattr(play, "_second_opinions", lambda: False)


def test_a_record_holds_the_account_and_its_measures() -> None:
    record = record_of()
    require_shape(json.loads(json.dumps(record, allow_nan=False)), RECORD, "record")
    account, more = record["account"], record["metrics"]["more"]
    assert account["epsilon"]["participant"]["pld"] == more["epsilon_participant"] == pytest.approx(6.0, abs=0.01)
    assert account["epsilon"]["server"] == {
        "pld": None,
        "rdp": None,
        "prv": None,
        "why": "This observer sees the values before the noise.",
    }
    assert (account["tuning"], account["voids"]) == ("not accounted", [])
    assert len(account["curve"]["public"]) == 6
    assert record_of(defense="mean")["account"] is None


def test_an_isolated_mechanism_has_the_same_record() -> None:
    here, elsewhere = record_of(), record_of(isolate=True)
    assert here["metrics"] == elsewhere["metrics"]
    assert here["account"] == elsewhere["account"]


def test_the_baseline_of_a_world_has_no_mechanism() -> None:
    values = {**SCENARIO, "name": "x", "adversary": {"f": [0]}, "defenses": [SCENARIO["defense"]]}
    del values["defense"]
    assert Suite.model_validate(values).baseline == "mean"
    with pytest.raises(ValueError, match="the baseline has no mechanism"):
        Suite.model_validate({**values, "baseline": "dp_fed_avg(clip=1, delta=0.1, noise_multiplier=1) >> mean"})


def test_fixed_cohorts_are_in_the_catalogue() -> None:
    suite = read_experiment("dp_fixed_cohorts", ())
    assert {world.federation.participation_sampling for world in suite.worlds} == {"poisson", "fixed"}
    assert len(suite.suite.claims) == 3
    with pytest.raises(ScenarioError):
        read_experiment("dp_fixed_cohorts", ("federation.malicious_per_round=fixed",))
