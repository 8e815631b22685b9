"""Measures that no section covers stand in a table of their own; a new one needs no place but its declaration."""

from __future__ import annotations

import csv
import dataclasses
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from robustfl.evaluation.results.measures import known_measures
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import read_records
from robustfl.reports import HTML, Markdown, sections
from robustfl.reports.sections.content import Content, Run, World
from robustfl.reports.sections.further import FURTHER
from tests.conftest import ROOT
from tests.reports.synthetic import run
from tests.reports.tables import flat, tables, words

TITLE = "Further measures"
COVERED = frozenset(name for section in sections.SECTIONS for name in section.measures)
SIZE = {"worlds": ("w",), "defenses": 2, "attacks": 3, "f_grid": (0, 3), "seeds": (0, 1)}


def told(more: Any, **size: Any) -> RunResults:
    """A run whose records hold `more(record)` beside accuracy."""
    results = run(**{**SIZE, **size})
    records = ({**r, "metrics": {**r["metrics"], "more": more(r)}} if r["metrics"] else r for r in results.records)
    return dataclasses.replace(results, records=tuple(records))


def further(results: RunResults) -> Content | None:
    (world, *_) = Run(results=results, covered=COVERED).worlds
    assert FURTHER.of_world is not None
    return FURTHER.of_world(world)


def aged(record: Any) -> dict[str, Any]:
    """2 steps without an attack, more under one, another step for the second seed."""
    calm = record["labels"]["attack"] == "none"
    return {"staleness": (2 if calm else 4) + record["seed"], "worst_class": 0.5, "fairness": None if calm else 0.25}


def test_a_row_holds_the_means_without_an_attack_and_under_the_worst() -> None:
    content = further(told(aged))
    assert content is not None
    (table,) = tables(content)
    headings = [(column.heading, column.beneath) for column in table.columns]
    assert headings == [
        ("Defense", ""),
        ("Fairness ↑", ""),
        ("Attacked", "calm fairness"),
        ("Staleness", ""),
        ("Attacked", "calm staleness"),
        ("Under", ""),
    ]
    rows = [words(table, row) for row in table.rows]
    assert [row["defense"] for row in rows] == ["Krum", "Mean"]
    for row in rows:
        assert (row["calm staleness"], row["struck staleness"]) == ("2.50", "4.50 attacked")
        assert (row["calm fairness"], row["struck fairness"]) == ("–", "0.25 attacked")
        assert row["under"].endswith(", f = 3")


def test_what_a_measure_says_stands_below() -> None:
    markdown = Markdown().render(told(aged))
    assert "| Defense | Fairness ↑ | Attacked | Staleness | Attacked | Under |" in markdown
    assert "- **Staleness**: mean age of the models that honest messages come from (in steps)." in markdown
    assert "1 is fair (larger values are better)." in markdown
    assert "2.50<small>4.50 attacked</small>" in HTML().render(told(aged))


def test_what_occurs_in_other_trials_alone_is_named() -> None:
    content = further(told(lambda r: {"late_rows": 3} if r["f"] == 0 else {}))
    assert content is not None
    assert tables(content) == []
    assert "Late rows" in str(flat(content.blocks)[0])
    assert "Measured in other trials of this world alone: Late rows." in Markdown().render(
        told(lambda r: {"late_rows": 3} if r["f"] == 0 else {})
    )


def test_without_malicious_clients_there_is_one_mean() -> None:
    content = further(told(aged, f_grid=(0,)))
    assert content is not None
    (table,) = tables(content)
    assert [column.heading for column in table.columns] == ["Defense", "Staleness"]


def test_a_defense_that_cannot_be_used_with_so_many_is_shown_with_fewer() -> None:
    content = further(told(aged, f_grid=(0, 3, 7)))
    assert content is not None
    (table,) = tables(content)
    under = {row.cells["defense"]: words(table, row)["under"] for row in table.rows}
    assert under["Krum"].endswith("f = 3")
    assert under["Mean"].endswith("f = 7")


@pytest.mark.parametrize(
    "more",
    [{}, dict.fromkeys(sorted(COVERED), None), {"worst_class": 0.5, "client_spread": 0.1, "detection_auc": 0.9}],
    ids=["nothing", "undefined", "covered"],
)
def test_a_run_without_such_measures_keeps_its_report(more: dict[str, Any]) -> None:
    results, plain = told(lambda record: more), told(lambda record: {})
    assert further(results) is None
    for form in (HTML(), Markdown()):
        assert TITLE not in form.render(results)
    others = [part.key for part in sections.document(plain).parts]
    assert [part.key for part in sections.document(results).parts] == others


@pytest.mark.slow
def test_the_published_run_has_no_further_measures() -> None:
    results = RunResults.load(ROOT / "reports" / "published" / "leaderboard_digits_v1")
    assert TITLE not in Markdown().render(results)


def test_sections_cover_declared_measures_alone() -> None:
    assert known_measures().keys() >= COVERED
    assert {"worst_class", "client_spread", "detection_auc", "attack_success", "honest_unheard"} <= COVERED


def test_a_section_that_covers_a_measure_takes_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(world: World) -> None:
        return None

    assert TITLE in Markdown().render(told(aged))
    own = sections.Section(key="own", of_world=nothing, measures=("staleness", "fairness"))
    monkeypatch.setattr(sections, "SECTIONS", (own, *sections.SECTIONS))
    assert TITLE not in Markdown().render(told(aged))


OBSERVER = '''
from typing import ClassVar

from robustfl.federation.observers.contract import Observer
from robustfl.measures import Measure


class Pulse(Observer):
    """Counts rounds."""

    measures: ClassVar = (Measure("pulse_beats", "rounds that were heard", unit="rounds", better="higher"),)
    heard = 0

    def hear(self, round):
        self.heard += 1

    def report(self, trace):
        self.tell(trace, pulse_beats=self.heard)
'''
PLAYED = """
import sys
from pathlib import Path

import robustfl.federation.observers as room
room.__path__.append(sys.argv[1])
from robustfl.federation import assembly
from robustfl.federation.observers.pulse import Pulse
usual = assembly.observers_for
assembly.observers_for = lambda *args, **options: [*usual(*args, **options), Pulse()]

from robustfl.evaluation import RunOptions, run_experiment
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.reports import HTML, Markdown, Spreadsheets

out = Path(sys.argv[2])
suite = {
    "name": "pulse", "task": {"data": "digits", "model": "softmax", "partition": "iid"}, "seeds": 1,
    "federation": {"clients": 5, "rounds": 3}, "adversary": {"f": [0, 1]}, "defenses": ["mean"],
    "attacks": ["sign_flip"],
}
run_experiment(Experiment(suite), RunOptions(out=out, workers=0, checks=NO_CHECKS))
for form in (HTML(), Markdown(), Spreadsheets()):
    for name, text in form.files(RunResults.load(out)).items():
        (out / name).write_text(text, encoding="utf-8")
"""


def test_a_new_observer_needs_no_place_but_its_declaration(tmp_path: Path) -> None:
    room, out = tmp_path / "room", tmp_path / "out"
    room.mkdir()
    (room / "pulse.py").write_text(OBSERVER)
    played = subprocess.run(
        [sys.executable, "-c", PLAYED, str(room), str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert played.returncode == 0, played.stderr
    records = read_records(out / "records.jsonl")
    assert records
    assert all(record["metrics"]["more"]["pulse_beats"] == 3 for record in records)
    rows = list(csv.DictReader(io.StringIO((out / "scores.csv").read_text())))
    assert rows
    assert {row["pulse_beats"] for row in rows} == {"3.0"}
    markdown, page = ((out / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    assert "| Pulse beats ↑ | Attacked |" in markdown
    assert "| 3.00 | 3.00 | SignFlip, f = 1 |" in markdown
    assert "- **Pulse beats**: rounds that were heard (in rounds; larger values are better)." in markdown
    assert "Pulse beats ↑" in page
    assert "3.00<small>3.00 attacked</small>" in page
