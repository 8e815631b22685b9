"""Plain functions as defenses and attacks: directly, in scenarios, and in tests of resilience."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.adapters import AttackFromFunction, FromFunction
from robustfl.defenses import NNM, TrimmedMean
from robustfl.errors import AttackError, InfeasibleError, KnowledgeError, ParameterError, RobustflError, ScenarioError
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.specs import canonical
from robustfl.evaluation.suite.given import given_defense
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.functions import function_named, name_of
from robustfl.testing import check_aggregator
from robustfl.testing.resilience import Memory, Request, play
from robustfl.threats import Knowledge
from tests.adapters.house_rules import Trimmed, curious, house, in_torch, middle, opposite
from tests.conftest import ROOT, environment


def rows(n: int = 7, d: int = 5) -> Any:
    return np.random.default_rng(0).normal(size=(n, d))


def test_a_function_gets_what_every_defense_gets() -> None:
    x = rows()
    x[0] = np.nan
    rule = FromFunction(house, f=2)
    np.testing.assert_allclose(rule(x), TrimmedMean(f=2)(x))
    answer: Any = rule([{"w": torch.as_tensor(row)} for row in x])
    np.testing.assert_allclose(answer["w"].numpy(), TrimmedMean(f=2)(x))
    assert answer["w"].dtype == torch.float64
    np.testing.assert_allclose((NNM(f=2) >> rule)(x), (NNM(f=2) >> TrimmedMean(f=2))(x))
    np.testing.assert_allclose(FromFunction(in_torch, accepts="torch")(x[1:6]), np.median(x[1:6], axis=0))
    with pytest.raises(InfeasibleError, match="needs n >= 2f \\+ 1 rows"):
        FromFunction(house, f=3)(x)
    with pytest.raises(InfeasibleError, match="needs n >= 4f \\+ 3 rows"):
        FromFunction(house, f=2, requires=(4, 3))(x)


def test_a_function_that_keeps_its_promises_passes_the_kit() -> None:
    assert check_aggregator(FromFunction(house, f=1), max_examples=5).conforms


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (np.mean, "returned shape"),
        (lambda rows: rows, "returned shape"),
        (lambda rows: "x", "returned str, which is no row of numbers"),
        (lambda rows: None, "returned NoneType, which is no row of numbers"),
        (lambda rows: rows[0] * np.nan, "not finite"),
        (lambda rows: rows[0] + 1j, "which is no row of numbers"),
    ],
    ids=["scalar", "matrix", "text", "nothing", "nan", "complex"],
)
def test_what_is_no_row_is_an_error(function: Any, found: str) -> None:
    with pytest.raises(RobustflError, match=found):
        FromFunction(function)(rows())


@pytest.mark.parametrize("wrong", [7, Trimmed, "no.such:thing", "numpy", "numpy:ndarray"], ids=str)
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    for kind in (FromFunction, AttackFromFunction):
        with pytest.raises(ParameterError, match="function"):
            kind(wrong)


def test_functions_have_the_same_name_in_every_process() -> None:
    here = [name_of(function) for function in (house, partial(house, f=2), Trimmed(1), Trimmed(2))]
    assert here[:2] == ["tests.adapters.house_rules:house", "tests.adapters.house_rules:house(f=2)"]
    assert here[2] != here[3]
    assert name_of(Trimmed(1).aggregate) == f"{here[2]}.aggregate"
    assert given_defense(Trimmed(1).aggregate).label == "Trimmed.aggregate"
    np.testing.assert_allclose(FromFunction(Trimmed(1).aggregate)(rows()), TrimmedMean(f=1)(rows()))
    assert function_named(here[0]) is house
    code = """
from functools import partial
from tests.adapters.house_rules import Trimmed, house
from robustfl.functions import name_of
print([name_of(function) for function in (house, partial(house, f=2), Trimmed(1), Trimmed(2))])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert told.stdout.strip() == str(here), told.stderr
    rule = FromFunction(house, f=1)
    assert pickle.loads(pickle.dumps(rule)) == rule == FromFunction("tests.adapters.house_rules:house", f=1)
    assert json.loads(json.dumps(canonical(rule)))["function"] == here[0]


@pytest.mark.parametrize("kind", ["lambda", "inner", "lock"])
def test_functions_without_a_name_can_be_called_but_not_played(kind: str) -> None:
    import threading

    class Locked(Trimmed):
        def __init__(self) -> None:
            super().__init__(1)
            self.lock = threading.Lock()

    def inner(rows: Any) -> Any:
        return middle(rows)

    function: Any = {"lambda": lambda x: middle(x), "inner": inner, "lock": Locked()}[kind]
    assert FromFunction(function)(rows()).shape == (5,)
    with pytest.raises(ParameterError, match="Define a function at the top of a module"):
        given_defense(function)


def test_a_change_of_the_module_or_of_what_it_imports_is_another_fingerprint(tmp_path: Path) -> None:
    package = tmp_path / "acme"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("house_rules", "house_helper"):
        text = (ROOT / "tests" / "adapters" / f"{name}.py").read_text().replace("tests.adapters", "acme")
        (package / f"{name}.py").write_text(text)
    code = """
from acme.house_rules import house, opposite, Trimmed
from robustfl.adapters import AttackFromFunction, FromFunction
from robustfl.evaluation.suite.sources import Sources
sources = Sources()
for part in (FromFunction(house, f=1), FromFunction(Trimmed(1)), AttackFromFunction(opposite)):
    print(sources.part(part))
"""

    def fingerprints() -> list[str]:
        shutil.rmtree(package / "__pycache__", ignore_errors=True)
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment(tmp_path), cwd=tmp_path
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.split()

    first = fingerprints()
    assert fingerprints() == first
    (package / "house_helper.py").write_text("def lowest(f):\n    return 0\n")
    assert all(one != other for one, other in zip(first, fingerprints(), strict=True))


def test_an_attack_gets_what_it_asks_for_and_declares_it() -> None:
    honest, own = rows(), rows(2) + 1
    attack = AttackFromFunction(opposite)
    assert attack.required_knowledge() == Knowledge.PEERS
    np.testing.assert_allclose(attack(honest, f=2), np.tile(-10 * honest.mean(axis=0), (2, 1)))
    asking = AttackFromFunction(curious)
    assert asking.required_knowledge() == Knowledge.PEERS | Knowledge.OWN | Knowledge.DEFENSE
    first, again = (asking(honest, f=2, own=own, aggregate=TrimmedMean(f=2), rng=3) for _ in range(2))
    assert first.shape == (2, 5)
    np.testing.assert_array_equal(first, again)
    with pytest.raises((KnowledgeError, AttackError)):
        asking(honest, f=2, own=own)


def no_name(rows: Any) -> Any:
    return rows


def one_more(honest: Any, strength: float) -> Any:
    return honest


def test_attacks_that_are_none_are_refused_by_name() -> None:
    with pytest.raises(ParameterError, match="no_name has rows"):
        AttackFromFunction(no_name)
    with pytest.raises(ParameterError, match="one_more has strength"):
        AttackFromFunction(one_more)
    with pytest.raises(AttackError, match=r"should craft updates of shape \(2, 5\)"):
        AttackFromFunction(lambda honest: honest[:, :2])(rows(), f=2)
    with pytest.raises(AttackError, match="made no updates"):
        AttackFromFunction(lambda honest: "x")(rows(), f=2)


def test_functions_meet_in_a_scenario(tmp_path: Path) -> None:
    changes = ("seeds=1", "federation.rounds=4")
    experiment = read_experiment("smoke", changes, defenses=[given_defense(house)], attacks=[opposite, "ipm"])
    plan = Plan(experiment)
    assert {trial.defense for trial in plan.trials} >= {"house"}
    assert {trial.attack for trial in plan.trials} >= {"opposite"}
    with pytest.raises(ScenarioError, match="Define a function at the top of a module"):
        read_experiment("smoke", changes, attacks=[lambda honest: honest.mean(axis=0)])
    options = RunOptions(out=tmp_path, workers=0, ledgers="none", checks=NO_CHECKS)
    summary = run_experiment(experiment, options)
    assert summary["trials"]["failed"] == 0
    assert [defense["defense"] for defense in summary["scores"]["worlds"][0]["defenses"]] == ["house"]


def test_a_test_of_resilience_takes_a_function(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    request = Request(scenario="smoke", rule=middle, seeds=1, set=("federation.rounds=4",))
    played = play(request, memory)
    assert (played.failed, played.remembered) == ((), 0)
    assert play(request, memory).remembered == played.played
