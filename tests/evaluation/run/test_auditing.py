"""`robustfl audit`: which defenses of a suite are audited, told how many malicious rows, and what is said of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustfl.evaluation.run.auditing import audits
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.federation.mechanisms.choosing import PROTECTORS
from tests.federation.mechanisms.audited import HalfTheNoise

DP = {"clip": 0.3, "delta": 1e-3, "target_epsilon": 2}
SUITE = {
    "name": "mechanisms",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 40, "rounds": 2},
    "adversary": {"f": [0, 8, 19]},
    "defenses": ["mean", [{"dp_fed_avg": DP}, "trimmed_mean"]],
    "attacks": ["sign_flip"],
}


def test_a_rule_is_told_the_largest_f_that_it_bears() -> None:
    (found,) = audits(Experiment(SUITE))
    assert found.world == "Digits, Softmax, IID"
    assert found.defense == "DPFedAvg(clip=0.3, delta=0.001, target_epsilon=2) > TrimmedMean"
    assert found.verdict in ("PASS", "VACUOUS")
    assert not found.refuted


def test_a_broken_mechanism_ends_the_command_with_exit_code_1(
    inside: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTECTORS, "server", HalfTheNoise)
    (tmp_path / "suite.yaml").write_text(json.dumps(SUITE), encoding="utf-8")
    done = inside("audit", "suite.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "BROKEN  The noise" in done.stdout


def test_the_command_tells_verdicts_and_why_there_is_none(inside: Callable[..., Any], tmp_path: Path) -> None:
    noisy = {"clip": 0.3, "delta": 1e-3, "noise_multiplier": 1}
    suite = {**SUITE, "defenses": [[{"local_dp": noisy}, "mean"], [{"dp_fed_avg": {**DP, "claim": "none"}}, "median"]]}
    (tmp_path / "suite.yaml").write_text(json.dumps(suite), encoding="utf-8")
    done = inside("audit", "suite.yaml", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    local, central = json.loads(done.stdout)
    assert (local["verdict"], central["verdict"]) == ("NOT AUDITED", "VOID")
    assert "before anything is released by a server" in local["text"]
    text = inside("audit", "suite.yaml", cwd=tmp_path).stdout
    assert "NOT AUDITED" in text
    nothing = inside("audit", "suite.yaml", "--set", "defenses=[mean]", cwd=tmp_path)
    assert nothing.stdout == "No defense of this suite begins with a privacy mechanism.\n"
