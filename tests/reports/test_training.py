"""The tables of the undisturbed training, and of attacks that strike late or stop early."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robustfl.reports import HTML, Markdown
from tests.reports.synthetic import run

TRAINING = {
    "rise": [0.0125, 0.001],
    "central": [0.9625, None],
    "sharpness": [3.25, 4.0],
    "instability": [1.375, 1.625],
}


@pytest.mark.parametrize("report", [HTML(), Markdown()], ids=str)
def test_the_undisturbed_training_has_a_table(report: Any) -> None:
    results = run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0, 1))
    assert "The training without an attack" not in report.render(results)
    results.summary["scores"]["worlds"][0]["training"] = TRAINING
    results.summary["scores"]["settings"]["accuracy"] = "balanced_accuracy"
    text = report.render(results)
    assert "The training without an attack" in text
    assert "as balanced accuracy: what it reached" in text
    for value in ("0.013", "0.963", "3.25", "1.62"):
        assert value in text


def test_attacks_with_a_window_have_a_table() -> None:
    results = run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0, 1))
    assert "strike late or stop early" not in Markdown().render(results)
    records = []
    for record in results.records:
        metrics, attack = record["metrics"], record["labels"]["attack"]
        if attack != "none" and metrics is not None and record["labels"]["defense"] == "Mean":
            found = {"after_attack": 0.25, "final_accuracy": 0.75, "recovered": 0.5, "attacked_until": 20}
            record = {**record, "metrics": {**metrics, "more": found}}
        records.append(record)
    text = Markdown().render(dataclasses.replace(results, records=records))
    (title,) = [line for line in text.splitlines() if "strike late or stop early" in line]
    table = [line for line in text[text.index(title) :].splitlines() if line.startswith("| Mean")]
    assert table
    assert all(line.endswith("| – | 20 | – | 0.250 | 0.750 | – | 0.500 |") for line in table)
