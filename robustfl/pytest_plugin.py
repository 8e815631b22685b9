"""The plugin of pytest: tests of resilience with a marker, a fixture, and a committed baseline for each test.

.. code-block:: python

    @pytest.mark.resilience("resilience.yaml", seeds=5, min_score=0.5)
    def test_house_rule(resilience):
        resilience.check(ClippedTrim)

The scenario is a file beside the test, or a name of the catalogue. The rule (a class that is told f, an instance, or a
text such as ``"nnm >> krum"``) takes the place of its defenses. The first run writes the baseline
(``--resilience-save``), a file beside the test that belongs under version control; every further one fails when the
rule has become weaker than there, by the gate of `robustfl compare`.

Trials that the same code has played are not played again. They are in the cache of pytest (``--cache-clear``).

This module is loaded in every run of pytest where robustfl is installed. It therefore imports nothing but pytest: what
plays is imported when a test asks.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robustfl.testing.resilience import Played, Request

FAIL_ON = ("regression", "changed", "inconclusive")
SETTINGS = ("scenario", "seeds", "min_score", "delta", "set")
"""What the marker and `check` take."""

_ROW = "resilience"
"""The name under which the numbers of a test travel from the process that ran it to the one that shows the table."""

_LONGEST = 120  # characters of a file's name; some file systems allow 255 bytes


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; all begin with ``--resilience``."""
    group = parser.getgroup("resilience", "tests of resilience (robustfl)")
    group.addoption("--resilience-save", action="store_true", help="write the baselines of the selected tests")
    group.addoption("--resilience-save-missing", action="store_true", help="write baselines where there is none")
    group.addoption(
        "--resilience-compare",
        metavar="PATH",
        help="compare with another folder of baselines, or with a run: its folder or its summary.json",
    )
    group.addoption(
        "--resilience-compare-fail",
        choices=FAIL_ON,
        default=FAIL_ON[0],
        help="what fails: a regression, also results that are not equal bit for bit, or also open verdicts",
    )
    group.addoption("--resilience-fresh", action="store_true", help="play every trial, whatever is in the cache")
    group.addoption("--resilience-seeds", type=int, metavar="N", help="the number of seeds of every test")
    group.addoption("--resilience-skip", action="store_true", help="skip tests of resilience")
    group.addoption("--resilience-only", action="store_true", help="run tests of resilience alone")
    group.addoption(
        "--resilience-audit", action="store_true", help="list the weakened rules that each test would not notice"
    )
    parser.addini("resilience_dir", "the folder of baselines beside each test file", default="resilience")
    parser.addini("resilience_delta", "the largest drop of utility that does not matter", default="0.02")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    marker = "resilience(scenario, seeds=None, min_score=None, delta=0.02, set=()): a test of an aggregation rule"
    config.addinivalue_line("markers", f"{marker} under attack, with the fixture of the same name")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests of resilience, or select them alone."""
    if config.getoption("--resilience-skip"):
        for item in filter(_is_one, items):
            item.add_marker(pytest.mark.skip(reason="--resilience-skip"))
    if config.getoption("--resilience-only"):
        others = [item for item in items if not _is_one(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _is_one(item)]


def _is_one(item: pytest.Item) -> bool:
    return "resilience" in getattr(item, "fixturenames", ())


class Resilience:
    """What the fixture gives to a test."""

    def __init__(self, node: Any) -> None:
        self.node, self.config = node, node.config
        self.asked = False

    def check(self, rule: Any, **settings: Any) -> Played:
        """Play a rule against the scenario, and fail if it is weaker than in the baseline of this test.

        `settings` are those of the marker (`scenario`, `seeds`, `min_score`, `delta`, `set`), and go before them.
        """
        __tracebackhide__ = True
        if self.asked:
            raise self._failure("A test of resilience has one baseline, and so one check. Parametrise it.")
        self.asked = True
        from robustfl.errors import RobustflError

        try:
            return self._checked(self._request(rule, settings))
        except RobustflError as error:
            raise self._failure(str(error)) from None

    def _checked(self, request: Request) -> Played:
        __tracebackhide__ = True
        from robustfl.testing.resilience import Memory, audited, judged, load_baseline, play, save_baseline
        from robustfl.testing.resilience.judging import Finding, flawed

        option = self.config.getoption
        cache = getattr(self.config, "cache", None)  # absent with `-p no:cacheprovider`
        folder = None if cache is None else Path(cache.mkdir("resilience"))
        memory = Memory(folder, fresh=option("--resilience-fresh"))
        played = play(request, memory)
        own = self.node.path.parent / self.config.getini("resilience_dir")
        named = Path(self.node.path.stem) / f"{file_name(self.node.nodeid.partition('::')[2])}.json"
        compared = option("--resilience-compare")
        finding, baseline = flawed(request, played), None
        if finding is None and self._saves(own / named):
            save_baseline(own / named, self.node.nodeid, request, played)
            finding, baseline = Finding(verdict="SAVED"), played.summary
        elif finding is None:
            place = own if compared is None else Path(compared)
            if not place.is_file() and not (place / named).is_file() and not (place / "summary.json").is_file():
                finding = Finding(verdict="NEW", message=f"There is no baseline {self._shown(place / named)}.")
            else:
                baseline, _ = load_baseline(place, named)
                finding = judged(request, played, baseline, option("--resilience-compare-fail"))
        row = self._row(played, finding.verdict, finding.worst, finding.changed)
        if option("--resilience-audit") and baseline is not None and not finding.message:
            count, survivors = audited(request, played, baseline, memory)
            row |= {"mutants": count, "survivors": [[one.what, one.score] for one in survivors]}
        self.node.user_properties.append((_ROW, row))
        if finding.message:
            raise self._failure(f"{finding.message}\n{self._advice(finding.verdict)}".rstrip())
        return played

    def _request(self, rule: Any, settings: dict[str, Any]) -> Request:
        from robustfl.testing.resilience import Request

        marker = self.node.get_closest_marker("resilience")
        marked = {} if marker is None else {**dict(zip(SETTINGS, marker.args, strict=False)), **marker.kwargs}
        given = {**marked, **settings}
        unknown = sorted(set(given) - set(SETTINGS))
        if unknown or (marker is not None and len(marker.args) > len(SETTINGS)):
            raise self._failure(
                f"A test of resilience takes {', '.join(SETTINGS)}. Found {', '.join(unknown) or marker.args}."
            )
        if not isinstance(given.get("scenario"), str):
            raise self._failure('Name the scenario: @pytest.mark.resilience("resilience.yaml").')
        beside = self.node.path.parent / given["scenario"]
        given["scenario"] = str(beside) if beside.is_file() else given["scenario"]
        given["set"] = tuple(given["set"]) if isinstance(given.get("set"), list) else given.get("set", ())
        given.setdefault("delta", float(self.config.getini("resilience_delta")))
        seeds = self.config.getoption("--resilience-seeds")
        return Request(rule=rule, **{**given, **({} if seeds is None else {"seeds": seeds})})

    def _saves(self, file: Path) -> bool:
        option = self.config.getoption
        return bool(option("--resilience-save") or (option("--resilience-save-missing") and not file.exists()))

    def _row(self, played: Played, verdict: str, worst: str, changed: int) -> dict[str, Any]:
        counts = {"played": played.played, "remembered": played.remembered}
        return {
            "test": self.node.nodeid,
            "verdict": verdict,
            "R": played.score,
            "worst": worst,
            "changed": changed,
        } | counts

    def _advice(self, verdict: str) -> str:
        again = f"pytest {shlex.quote(self.node.nodeid)}"
        if verdict in ("NEW", "OTHER"):
            return f"Write it:\n  {again} --resilience-save"
        if verdict in ("ERROR", "BELOW"):
            return ""
        return f"See it again:\n  {again} --resilience-fresh\nAccept it, if it is meant:\n  {again} --resilience-save"

    def _shown(self, path: Path) -> str:
        root = self.config.rootpath
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    @staticmethod
    def _failure(message: str) -> BaseException:
        return pytest.fail.Exception(message, pytrace=False)


@pytest.fixture
def resilience(request: pytest.FixtureRequest) -> Resilience:
    """`resilience.check(rule)` plays a rule against the scenario of the marker, and compares with the baseline."""
    return Resilience(request.node)


def file_name(test: str) -> str:
    """A name for the file of a test that every file system can hold; different tests have different ones.

    >>> file_name("TestRule::test_it[nnm]")
    'TestRule.test_it[nnm]'
    >>> file_name("test_it[NNM >> Krum]")
    'test_it[NNM_Krum]-f8bf23e5'
    """
    plain = re.sub(r"[^\w.\[\]=,-]+", "_", test.replace("::", "."), flags=re.ASCII)
    if plain == test.replace("::", ".") and len(plain) <= _LONGEST:
        return plain
    return f"{plain[:_LONGEST]}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show a line for each test of resilience, whichever process ran it."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in getattr(report, "user_properties", ())
        if name == _ROW
    ]
    if not rows:
        return
    terminalreporter.section("resilience")
    for row in sorted(rows, key=lambda row: row["test"]):
        for line in _lines(row):
            terminalreporter.write_line(line)


def _lines(row: dict[str, Any]) -> Sequence[str]:
    trials = f"trials {row['played']:>3} played, {row['remembered']:>3} remembered"
    told = [f"{row['verdict']:<12} R {_number(row['R'])}  {trials}"]
    told += [row["worst"]] if row["worst"] else []
    told += [f"CHANGED bits in {row['changed']} cells"] if row["changed"] else []
    lines = ["  ".join([*told, row["test"]])]
    if "mutants" in row:
        noticed = row["mutants"] - len(row["survivors"])
        lines.append(f"  audit: notices {noticed} of {row['mutants']} weakened rules")
        lines += [f"  this test would not notice: {what} (R {_number(score)})" for what, score in row["survivors"]]
    return lines


def _number(value: float | None) -> str:
    return " none" if value is None else f"{value:.3f}"
