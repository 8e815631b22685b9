"""Rounds that go otherwise than a defense expects: from records to remarks, in runs where it happens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from robustfl.evaluation import RunOptions, run_experiment
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.evidence import RoundShare, exceeded_rounds, held_rounds, round_shares


def test_rounds_are_gathered_from_the_records_cell_by_cell() -> None:
    def cell(attack: str, trial: str | None, f: int = 1) -> Any:
        return SimpleNamespace(
            world="w", defense="A", attack=attack, f=f, trial=None if trial is None else SimpleNamespace(id=trial)
        )

    cells = [cell("nan", "a"), cell("nan", "b"), cell("nan", "lost"), cell("flip", "c"), cell("flip", None)]
    records: Any = {
        "a": {"metrics": {"held_rounds": 2, "more": {}}},
        "b": {"metrics": {"held_rounds": 0, "more": {"exceeded_rounds": 4}}},
        "c": {"metrics": None},
    }
    held = round_shares(cells, records, {"w": 10}, held_rounds)
    assert held == {("w", "A"): (RoundShare(attack="nan", f=1, share=0.1),)}
    exceeded = round_shares(cells, records, {"w": 10}, exceeded_rounds)
    assert exceeded == {("w", "A"): (RoundShare(attack="nan", f=1, share=0.2),)}
    assert round_shares(cells[3:], records, {"w": 10}, held_rounds) == {}


def stopped(out: Path, **adversary: Any) -> dict[str, Any]:
    """The remarks on a trimmed mean and a plain one, in a federation of five clients, of which two send NaN."""
    suite = {
        "name": "stopped",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 5, "rounds": 3},
        "adversary": {"f": [2], **adversary},
        "defenses": ["trimmed_mean", "mean"],
        "attacks": ["non_finite", "sign_flip"],
        "seeds": 1,
    }
    summary: Any = run_experiment(Experiment(suite), RunOptions(out=out, workers=0, checks=NO_CHECKS))
    return {flag["code"]: flag for flag in summary["scores"]["flags"] if flag["code"] in ("EXCEEDED", "HELD")}


def test_an_attacker_that_stops_a_tight_rule_is_reported(tmp_path: Path) -> None:
    (flag,) = stopped(tmp_path).values()
    assert (flag["code"], flag["defense"], flag["attack"], flag["f"]) == ("HELD", "TrimmedMean", "NonFinite", 2)
    assert "in up to 100% of the rounds: under NonFinite (f = 2)." in flag["message"]


def test_a_rule_that_is_told_too_few_is_reported(tmp_path: Path) -> None:
    (flag,) = stopped(tmp_path, declared=1).values()
    assert (flag["code"], flag["defense"], flag["attack"], flag["f"]) == ("EXCEEDED", "TrimmedMean", "NonFinite", 2)
    assert "in up to 100% of the rounds: under NonFinite (f = 2)." in flag["message"]
