"""What another distribution registers is found, listed, run and reported like the project's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HALF = '''
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.aggregation import CoordinateWise


@dataclass(frozen=True, kw_only=True)
class ShrunkMedian(CoordinateWise):
    """The coordinate-wise median, made smaller."""

    requires: ClassVar[tuple[int, int]] = (2, 1)

    factor: Annotated[float, Ge(0), Le(1), Doc("what the median is multiplied by")] = 0.5

    def columns(self, block, ops):
        return self.factor * ops.median(block)
'''
SUITE = {
    "name": "theirs",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 2},
    "adversary": {"f": [1]},
    "defenses": ["mean", {"shrunk_median": {"factor": 0.9}}],
    "attacks": ["sign_flip"],
    "seeds": 1,
}


@pytest.mark.slow
def test_a_third_party_aggregator_runs_and_is_reported(
    command: Callable[..., Any], plugin: Callable[..., Path], tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "cwd": tmp_path,
        "plugins": (plugin("theirs", HALF, {"robustfl.defenses": ["ShrunkMedian"]}),),
    }
    listed = json.loads(command("list", "defenses", "--json", **options).stdout)
    assert listed["defense"]["shrunk_median"] == "The coordinate-wise median, made smaller."
    described = json.loads(command("describe", "ShrunkMedian", "--json", **options).stdout)
    assert described["class"] == "theirs.ShrunkMedian"
    assert described["parameters"][0]["limits"] == ["factor >= 0", "factor <= 1"]

    (tmp_path / "suite.yaml").write_text(json.dumps(SUITE))
    done = command("run", "suite.yaml", "--out", "out", "--workers", "1", **options)
    assert done.returncode == 0, done.stderr
    assert "ShrunkMedian(factor=0.9)" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {row["defense"] for row in summary["scores"]["ranking"]} == {"Mean", "ShrunkMedian(factor=0.9)"}
    card = summary["components"]["defenses"]["ShrunkMedian(factor=0.9)"]
    assert card["summary"] == "The coordinate-wise median, made smaller."
    assert card["sensitivity"].startswith("none known (shrunk_median: ")
    mean = summary["components"]["defenses"]["Mean"]
    assert mean["sensitivity"] == "2 clip/n for rows clipped to a length"
    assert mean["sensitivity"] in (tmp_path / "out" / "report.html").read_text()
    assert summary["trials"] == {"total": 4, "ok": 4, "diverged": 0, "failed": 0, "invalid": 0, "not_applicable": 0}
    for report in ("report.html", "report.md", "scores.csv"):
        assert "ShrunkMedian(factor=0.9)" in (tmp_path / "out" / report).read_text(), report


def test_a_broken_plug_in_warns_and_takes_nothing_down(
    command: Callable[..., Any], plugin: Callable[..., Path], tmp_path: Path
) -> None:
    broken = plugin("broken", "import no_such_library\n", {"robustfl.defenses": ["Any"], "robustfl.reports": ["Any"]})
    working = plugin("theirs", HALF, {"robustfl.defenses": ["ShrunkMedian"]})
    options: dict[str, Any] = {"cwd": tmp_path, "plugins": (broken, working)}
    listed = command("list", "defenses", "--json", **options)
    assert listed.returncode == 0
    assert {"krum", "shrunk_median"} <= set(json.loads(listed.stdout)["defense"])
    assert "broken:Any cannot be loaded (ModuleNotFoundError: No module named 'no_such_library')" in listed.stderr
    doctor = command("doctor", "--json", **options)
    assert doctor.returncode == 1
    (check,) = (check for check in json.loads(doctor.stdout) if check["check"] == "plug-ins")
    assert check["status"] == "bad"
    assert "robustfl.defenses: broken:Any" in check["detail"]
    assert "robustfl.reports: broken:Any" in check["detail"]


def test_scenarios_of_another_distribution_join_the_catalogue(
    command: Callable[..., Any], plugin: Callable[..., Path], tmp_path: Path
) -> None:
    site = plugin("theirs", "", {"robustfl.scenarios": []})
    package = site / "their_scenarios"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "theirs.yaml").write_text("description: A suite of theirs\nextends: smoke\nseeds: 1\n")
    entry_points = site / "theirs-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text("[robustfl.scenarios]\ntheirs = their_scenarios\n")
    listed = json.loads(command("list", "scenarios", "--json", cwd=tmp_path, plugins=(site,)).stdout)
    assert listed["scenario"]["theirs"] == "A suite of theirs"
    assert "smoke" in listed["scenario"]
