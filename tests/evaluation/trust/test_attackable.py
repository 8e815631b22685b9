"""A suite whose attacks leave the model useful and reach their aim is no weak one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.evidence import Evidence, reached_aims
from tests.evaluation.trust.test_remarks import codes, flagged, mean, world


@pytest.mark.parametrize(
    ("reached", "weak"),
    [
        ({}, True),
        ({("w", "alie", 4): 0.9}, False),
        ({("w", "alie", 4): 0.3}, True),
        ({("w", "alie", 2): 0.9}, True),  # at another f
        ({("v", "alie", 4): 0.9}, True),  # in another world
        ({("w", "other", 4): 0.9}, True),  # not met at this f
    ],
)
def test_an_attack_that_reaches_its_aim_is_an_attack(reached: dict[Any, float], weak: bool) -> None:
    flags = flagged(world(mean(level=0.6)), evidence=Evidence(reached=reached))
    assert ("SCENARIO_NOT_ATTACKABLE" in codes(flags)) == weak


@dataclass(frozen=True)
class Played:
    id: str


@dataclass(frozen=True)
class Place:
    """A cell as far as it matters."""

    world: str
    defense: str
    attack: str
    f: int
    trial: Played | None


def test_how_far_attacks_got_is_read_off_the_records_of_the_plain_rule() -> None:
    places = [("Mean", "flip", "a"), ("Mean", "flip", "b"), ("Krum", "flip", "c"), ("Mean", "sign", "d")]
    cells: Any = [Place("w", defense, attack, 1, Played(trial)) for defense, attack, trial in places]
    cells += [Place("w", "Mean", "flip", 1, None), Place("w", "Mean", "late", 1, Played("missing"))]
    rates = {"a": {"attack_success": 0.6}, "b": {"attack_success": 1.0}, "c": {"attack_success": 0.0}, "d": {}}
    records: Any = {trial: {"metrics": {"more": more}} for trial, more in rates.items()} | {"e": {"metrics": None}}
    assert reached_aims(cells, records, "Mean") == {("w", "flip", 1): 0.8}


def test_a_run_takes_the_success_of_its_attacks_into_account(tmp_path: Any) -> None:
    flip = {"label_flip": {"mode": "targeted", "source": 1, "target": 7, "only_flipped": True}}
    values: dict[str, Any] = {
        "name": "aimed",
        "task": {"data": "digits", "model": "softmax", "partition": {"shards": {"per_client": 1}}},
        "federation": {"clients": 10, "rounds": 30, "batch_size": 16},
        "adversary": {"f": [1]},
        "defenses": ["mean"],
        "attacks": [[{"clones": {"count": 5, "outside": True, "shared": "data"}}, flip], {"ipm": {"epsilon": 0.1}}],
        "seeds": 1,
    }
    summary = run_experiment(Experiment(values), RunOptions(out=tmp_path, workers=0, checks=NO_CHECKS), Quiet())
    (report,) = summary["scores"]["worlds"]
    assert report["defenses"][0]["curve"][0]["W"] > 0.3
    assert "SCENARIO_NOT_ATTACKABLE" not in codes(summary["scores"]["flags"])
