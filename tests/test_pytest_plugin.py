"""The plugin of pytest in a small repository of a third party, each run of its tests in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from robustfl.pytest_plugin import file_name
from tests.conftest import ROOT, environment
from tests.testing.house import SUITE

HOUSE = SUITE.replace(", non_finite", "")

RULE = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from acme.helpers import kept
from robustfl.aggregation import GramAggregator
from robustfl.components import ByzantineCount


@dataclass(frozen=True, kw_only=True)
class Nearest(GramAggregator):
    """The mean of the n - f rows that are nearest to the others."""

    requires: ClassVar[tuple[int, int]] = (2, 1)
    f: ByzantineCount

    def weights(self, gram):
        count = kept(gram.n, self.f)
        scores = np.sort(gram.squared_distances, axis=1)[:, :count].sum(axis=1)
        chosen = np.argsort(scores, kind="stable")[:count]
        return np.where(np.isin(np.arange(gram.n), chosen), 1.0, 0.0) / count


class Raising(Nearest):
    """It always fails."""

    def weights(self, gram):
        raise ValueError("oops")
'''

TESTS = """
import pytest

from acme.rules import Nearest, Raising


@pytest.mark.resilience("house.yaml")
def test_house_rule(resilience):
    resilience.check(Nearest)


@pytest.mark.resilience("house.yaml", set=("attacks=[non_finite]",))
def test_blind(resilience):
    resilience.check(Nearest)


@pytest.mark.resilience("house.yaml", seeds=1)
def test_raises(resilience):
    resilience.check(Raising)


@pytest.mark.resilience("house.yaml", seeds=1, min_score=2)
def test_weak(resilience):
    resilience.check(Nearest)


@pytest.mark.resilience("house.yaml", seeds=1)
@pytest.mark.parametrize("rule", ["nnm >> krum", "krumm"])
def test_texts(resilience, rule):
    resilience.check(rule)


def test_plain():
    pass
"""

Run = Callable[..., "tuple[int, str]"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a rule, a helper that it imports, and tests of resilience."""
    files = {
        "src/acme/__init__.py": "",
        "src/acme/helpers.py": "def kept(n, f):\n    return n - f\n",
        "src/acme/rules.py": RULE,
        "tests/house.yaml": HOUSE,
        "tests/test_rules.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--strict-markers'\n",
        # The entry point of the plugin, as installing robustfl makes it.
        "site/installed-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n",
        "site/installed-1.0.dist-info/entry_points.txt": "[pytest11]\nrobustfl = robustfl.pytest_plugin\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(dedent(text).lstrip())
    return tmp_path


@pytest.fixture
def run(repository: Path) -> Run:
    """`run("-k", "house")`: the exit code and the output of pytest in the repository."""

    def finished(*options: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:benchmark", "-p", "no:hypothesispytest", *options],
            cwd=repository,
            env=environment(repository / "site", repository / "src"),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    return finished


def rows(output: str) -> dict[str, str]:
    """The lines of the table of resilience, by the names of the tests."""
    table = output.partition("= resilience =")[2].splitlines()
    return {line.rpartition("::")[2]: " ".join(line.split()) for line in table if "::" in line and " R " in line}


@pytest.mark.slow
def test_the_life_of_a_test(repository: Path, run: Run) -> None:
    code, output = run()
    told = rows(output)
    assert code == 1
    assert "1 passed" in output
    assert "6 failed" in output
    assert "There is no baseline tests/resilience/test_rules/test_house_rule.json." in output
    assert "pytest tests/test_rules.py::test_house_rule --resilience-save" in output
    assert "trials raised; the first: ValueError: oops" in output
    assert "BELOW: the resilience is" in output
    assert "There is no defense named 'krumm'" in output
    assert "robustfl/testing" not in output.replace(str(ROOT), "").partition("short test summary")[0]
    assert [told[name].split()[0] for name in ("test_house_rule", "test_raises", "test_weak")] == [
        "NEW",
        "ERROR",
        "BELOW",
    ]
    assert "trials 12 played, 0 remembered" in told["test_house_rule"]

    code, output = run("-k", "house or blind", "--resilience-save-missing", "--resilience-audit")
    assert code == 0, output
    assert "trials 0 played, 12 remembered" in rows(output)["test_house_rule"]
    audits = output.partition("= resilience =")[2].split("audit: ")
    assert "notices 0 of 3" in audits[1]
    assert "this test would not notice: told f - 1 (R " in audits[1]
    assert audits[2].startswith("notices 3 of 3 weakened rules")
    baseline = repository / "tests/resilience/test_rules/test_house_rule.json"
    assert json.loads(baseline.read_text())["test"] == "tests/test_rules.py::test_house_rule"
    before = baseline.read_bytes()

    helper = repository / "src/acme/helpers.py"
    helper.write_text("def kept(n, f):\n    return n - max(f - 1, 0)  # told one less\n")
    code, output = run("-k", "house or blind or plain", "--resilience-only")
    told = rows(output)
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert "REGRESSION: 1 of 2 cells" in output
    assert "IPM(epsilon=10)   2   -" in output
    assert "IPM(epsilon=10), f=2: -" in told["test_house_rule"]
    assert "trials 8 played, 4 remembered" in told["test_house_rule"]  # the baseline knows no helper
    assert told["test_blind"].startswith("PASS")
    assert baseline.read_bytes() == before

    helper.write_text("def kept(n, f):\n    return n - f\n")
    code, output = run("-k", "house", "--resilience-compare-fail=changed")
    assert code == 0, output
    assert rows(output)["test_house_rule"].startswith("PASS")
    assert "trials 0 played, 12 remembered" in rows(output)["test_house_rule"]


def test_tests_of_resilience_can_be_left_out(run: Run) -> None:
    code, output = run("--resilience-skip")
    assert code == 0
    assert "1 passed, 6 skipped" in output
    assert "= resilience =" not in output


@pytest.mark.slow
def test_two_processes_show_the_same_table(run: Run) -> None:
    """What each has played is in one table, and is not played again."""
    assert run("-k", "house", "--resilience-save")[0] == 0
    alone, spread = run("-k", "house"), run("-k", "house", "-n", "2")
    assert (alone[0], spread[0]) == (0, 0)
    assert rows(alone[1]) == rows(spread[1])
    assert len(rows(alone[1])) == 1


@pytest.mark.nightly
def test_several_processes_show_the_same_table(repository: Path, run: Run) -> None:
    chosen = ("-k", "house or blind or nnm")
    assert run(*chosen, "--resilience-save")[0] == 0
    alone, spread = run(*chosen), run(*chosen, "-n", "2")
    assert (alone[0], spread[0]) == (0, 0)
    assert len(rows(alone[1])) == 3
    assert rows(alone[1]) == rows(spread[1])
    fresh = run(*chosen, "-n", "2", "--resilience-fresh", "--resilience-seeds", "2")
    assert fresh[0] == 0
    assert "0 remembered" in rows(fresh[1])["test_house_rule"]
    elsewhere = run(*chosen, "--resilience-compare", str(repository / "nowhere"))
    assert elsewhere[0] == 1
    assert "There is no baseline nowhere/test_rules/test_house_rule.json" in elsewhere[1]
    without = run("-k", "house", "-p", "no:cacheprovider")
    assert without[0] == 0
    assert "trials 12 played, 0 remembered" in rows(without[1])["test_house_rule"]


def test_the_plugin_imports_nothing_but_pytest() -> None:
    code = """
        import sys, pytest, hashlib, shlex
        before = set(sys.modules)
        import robustfl.pytest_plugin
        print(sorted(set(sys.modules) - before))
        """
    command = [sys.executable, "-c", dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "['robustfl', 'robustfl.moved', 'robustfl.pytest_plugin']"


def test_installing_robustfl_installs_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"robustfl": "robustfl.pytest_plugin"}


def test_every_test_has_a_file_of_its_own() -> None:
    tests = ["test_a", "TestA::test_a", "TestA.test_a", "test_a[x/y]", "test_a[x y]", "test_a[é]", "x" * 500, "x" * 501]
    names = {file_name(test) for test in tests}
    assert len(names) == len(tests) - 1  # a class cannot have a dot in its name
    assert all(len(name) < 140 and "/" not in name and name.isascii() for name in names)
