"""The table of scores: complete, in full precision, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from robustfl.reports.sections.heat_map import COLUMNS
from robustfl.reports.spreadsheets import safe
from tests.reports.hostile import hostile
from tests.reports.synthetic import full, run
from tests.reports.tables import spreadsheet

FULL = full()
TEXT = spreadsheet(FULL)
ROWS = list(csv.DictReader(io.StringIO(TEXT)))


def test_there_is_a_row_a_cell_and_nothing_else() -> None:
    found = [(row["world"], row["defense"], int(row["f"]), row["attack"]) for row in ROWS]
    expected = [
        (world["world"], own["defense"], point["f"], attack)
        for world in FULL.summary["scores"]["worlds"]
        for own in world["defenses"]
        for point in own["curve"]
        for attack in point["attacks"]
    ]
    assert found == expected


def test_numbers_come_back_exactly() -> None:
    cells = [
        (cell["U"], point["W"], own["R_unt"])
        for world in FULL.summary["scores"]["worlds"]
        for own in world["defenses"]
        for point in own["curve"]
        for cell in point["attacks"].values()
    ]
    found = [
        tuple(float(row[key]) if row[key] else None for key in ("utility", "worst_case", "resilience")) for row in ROWS
    ]
    assert found == cells


def test_what_is_unknown_is_empty_and_says_why() -> None:
    failed = [row for row in ROWS if "failed" in row["status"]]
    assert [row["attack"] for row in failed] == ["Mimic"]
    assert failed[0]["utility"] == failed[0]["accuracy"] == failed[0]["worst_case"] == ""
    invalid = [row for row in ROWS if row["invalid"]]
    assert {row["defense"] for row in invalid} == {"NNM > Krum", "Krum"}
    assert all(row["utility"] == "" and float(row["worst_case"]) == 0 for row in invalid)


def test_each_point_has_one_worst_attack() -> None:
    worst = [(row["world"], row["defense"], row["f"]) for row in ROWS if row["is_worst"] == "1"]
    assert len(worst) == len(set(worst)) > 0


def test_a_point_without_attacks_keeps_its_row() -> None:
    results = run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3))
    for own in results.summary["scores"]["worlds"][0]["defenses"]:
        own["curve"][1].update(attacks={}, invalid="too few clients", W=0.0, W_ci=None)
    rows = list(csv.DictReader(io.StringIO(spreadsheet(results))))
    assert [(row["attack"], row["invalid"]) for row in rows] == [("none", ""), ("", "too few clients")] * 2


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_formulas_are_marked_as_text(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert safe(f"a{text}") == f"a{text}"


def test_hostile_labels_stay_in_their_cells() -> None:
    text = '",\n=cmd()\r\n;'
    rows = list(csv.DictReader(io.StringIO(spreadsheet(hostile(text)), newline="")))
    assert {tuple(row) for row in rows} == {COLUMNS}
    assert all(row["world"] == "w" + text for row in rows)


def test_equal_results_give_equal_bytes() -> None:
    assert spreadsheet(run()) == TEXT
