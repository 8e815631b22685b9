"""Rules of byzfl, byzpy and torchjd as defenses; `make functions-peers` builds an environment with them and runs this.

They are other people's code for rules that robustfl has too, so their answers have to be those of its own rules, and a
suite has to say the same of both.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustfl.adapters import FromFunction
from robustfl.aggregation import Aggregator
from robustfl.defenses import NNM, GeometricMedian, Krum, MultiKrum, TrimmedMean
from robustfl.errors import InfeasibleError
from robustfl.evaluation.results.records import metrics_of
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.given import given_defense
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.standard import load_standard
from robustfl.functions import name_of
from robustfl.testing import ConformanceError, check_aggregator
from tests.adapters import library_rules
from tests.conftest import environment

N = 7
OWN: dict[str, Callable[[int], Aggregator]] = {
    "byzfl_trimmed": lambda f: TrimmedMean(f=f),
    "byzfl_mixed_krum": lambda f: NNM(f=f) >> Krum(f=f, neighbours="n-f-1"),
    "byzpy_trimmed": lambda f: TrimmedMean(f=f),
    "byzpy_geometric_median": lambda f: GeometricMedian(),
    "torchjd_trimmed": lambda f: TrimmedMean(f=f),
    "torchjd_krum": lambda f: MultiKrum(f=f, k=N - f, squared=False),
}
"""The rule of robustfl that answers N rows as a function of `library_rules` does."""

TOLD = {name: None if name == "byzpy_geometric_median" else 2 for name in OWN}
"""What each is told as f."""


def function(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(library_rules, name)
    return found


@pytest.mark.parametrize("library", ["byzfl", "byzpy", "torchjd"])
def test_the_library_is_there(library: str) -> None:
    assert library_rules.MISSING[library] == ""


@pytest.mark.parametrize("name", OWN)
def test_the_answer_is_that_of_our_own_rule(name: str) -> None:
    draw = np.random.default_rng(0)
    rule = FromFunction(function(name), f=TOLD[name])
    for d in (1, 33, 1000):
        rows = draw.normal(size=(N, d)).astype(np.float32)
        rows[1] += 100
        np.testing.assert_allclose(rule(rows), OWN[name](2)(rows), rtol=0, atol=1e-4)
        spoiled = np.concatenate([rows, np.full((1, d), np.nan, np.float32)])
        assert rule.aggregate(spoiled).rejected.tolist() == [False] * N + [True]
        np.testing.assert_array_equal(rule(spoiled), rule(rows))


@pytest.mark.parametrize("name", ["byzfl_trimmed", "byzpy_trimmed", "torchjd_trimmed"])
def test_the_kit_finds_that_trimmed_means_are_what_they_say(name: str) -> None:
    rule = FromFunction(function(name), f=1)
    assert check_aggregator(rule, max_examples=5).conforms
    with pytest.raises(InfeasibleError, match=r"needs n >= 2f \+ 1 rows"):
        rule(np.ones((2, 3)))


def test_the_kit_finds_what_a_foreign_rule_does_not_hold() -> None:
    """byzpy smooths its geometric median by a constant, so it is none for small numbers."""
    with pytest.raises(ConformanceError, match=r"(?s)violated  scaling.*violated  breakdown"):
        check_aggregator(FromFunction(function("byzpy_geometric_median")), max_examples=5)


def test_rules_have_the_same_name_in_every_process() -> None:
    code = f"""
from robustfl.functions import name_of
from tests.adapters import library_rules
print([name_of(getattr(library_rules, name)) for name in {list(OWN)}])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert told.stdout.strip() == str([name_of(function(name)) for name in OWN]), told.stderr


SUITE = """\
name: libraries
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 7, rounds: 12, evaluate_every: 12}
adversary: {f: [0, 2]}
standard: standard-v2
seeds: 1
"""


def test_the_standard_attacks_do_to_them_what_they_do_to_our_own_rule(tmp_path: Path) -> None:
    """Three trimmed means of other libraries beside ours, and the plain mean, under the whole list."""
    (tmp_path / "suite.yaml").write_text(SUITE)
    names = ("byzfl_trimmed", "byzpy_trimmed", "torchjd_trimmed")
    rules = [given_defense(rule) for rule in ("mean", "trimmed_mean", *map(function, names))]
    suite = read_experiment(str(tmp_path / "suite.yaml"), defenses=rules)
    summary = run_experiment(suite, RunOptions(out=tmp_path / "out", workers=0, ledgers="none", checks=NO_CHECKS))
    assert summary["trials"]["failed"] == 0
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for record in read_records(tmp_path / "out" / "records.jsonl"):
        found[record["labels"]["defense"]][record["labels"]["attack"]] = metrics_of(record)["accuracy"][-1][1]
    assert found.keys() == {"Mean", "TrimmedMean", *names}
    ours, plain = found["TrimmedMean"], found["Mean"]
    for attack in load_standard("standard-v2").attacks:
        assert str(attack) in ours
        for name in names:
            # searches through a rule may see other last digits, and end elsewhere
            assert abs(found[name][str(attack)] - ours[str(attack)]) < 0.05, (name, attack)
    assert min(plain.values()) < min(ours.values()) < ours["none"] - 0.3
