"""The tables of the targeted axis and of the fault axis."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

import pytest

from robustfl.evaluation.results.reporting import RunResults
from tests.reports.synthetic import run
from tests.reports.tables import spreadsheet
from tests.reports.test_targeted import cell, defense

BORNE: dict[str, Any] = {
    "U": 0.75,
    "u": [0.7, 0.8],
    "ci": [0.1, 1.0],
    "recovery": 4.0,
    "recovered": 1.0,
    "lost_rows": 3.5,
    "held_rounds": 0.0,
    "honest_ignored": None,
    "accuracy": [0.8, 0.85],
    "trials": ["a", "b"],
    "status": ["ok", "not applicable"],
}


def results(**parts: Any) -> RunResults:
    plain = run(defenses=1, attacks=2, f_grid=(0, 1), seeds=(0,))
    return dataclasses.replace(plain, summary={**plain.summary, **parts})


def table(file: str, found: RunResults) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(spreadsheet(found, file), newline="")))


@pytest.mark.parametrize("file", ["targeted.csv", "faults.csv"])
def test_without_what_they_show_there_is_no_file(file: str) -> None:
    assert spreadsheet(results(), file) == ""


def test_every_attack_with_an_aim_has_a_row() -> None:
    lasting = cell("=late", kept=0.05, durability=12.4, outlasts=True, kept_per_seed=[0.1, 0.0])
    refused = defense("B", invalid="n >= 2f + 3", T_ci=None)
    first, second, third = table(
        "targeted.csv", results(targeted=[{"world": "w", "defenses": [defense("A", cell(), lasting), refused]}])
    )
    assert (first["attack"], first["success"], first["natural"], first["kept"]) == ("mark", "0.9", "0.1", "0.1")
    assert (first["targeted"], first["targeted_low"], first["worst_attack"]) == ("0.05", "0.05", "'=late")
    assert (second["attack"], second["durability"], second["outlasts"]) == ("'=late", "12.4", "1")
    assert (first["durability"], first["kept_per_seed"], second["kept_per_seed"]) == ("", "", "0.1 0.0")
    assert (third["defense"], third["invalid"], third["attack"]) == ("B", "n >= 2f + 3", "")


def test_every_fault_has_a_row() -> None:
    borne = {"defense": "A", "told": 3, "F": 0.75, "worst": "Crash", "invalid": None, "faults": {"Crash": BORNE}}
    refused = {"defense": "B", "told": 3, "F": 0.0, "worst": None, "invalid": "n > 2f", "faults": {}}
    first, second = table("faults.csv", results(faults=[{"world": "w", "defenses": [borne, refused]}]))
    assert (first["fault"], first["faults"], first["utility"], first["utility_low"]) == ("Crash", "0.75", "0.75", "0.1")
    assert (first["utility_per_seed"], first["status"]) == ("0.7 0.8", "ok not_applicable")
    assert (first["lost_rows"], first["honest_ignored"]) == ("3.5", "")
    assert (second["defense"], second["invalid"], second["fault"]) == ("B", "n > 2f", "")
