"""The table of test-time attacks: means over seeds, the worst training under attack, and nothing where nothing is."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from robustfl.errors import StoreError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML, Markdown
from robustfl.reports.sections.evasion import accuracy_table
from tests.reports.synthetic import run
from tests.reports.tables import words

TITLE = "Test-time attacks"


def measured(clean: float, **robust: float) -> dict[str, Any]:
    """What a record says; the attack names stand for labels."""
    shares = dict(robust)
    worst = min(shares.values()) - 0.1
    return {
        "clean_accuracy": clean,
        "robust_accuracy": shares,
        "worst_robust_accuracy": worst,
        "robust_gap": clean - worst,
    }


def record(more: Any) -> dict[str, Any]:
    return {"status": "ok", "metrics": {"more": more}}


def point(f: int, **trials: list[str | None]) -> dict[str, Any]:
    return {"f": f, "attacks": {attack: {"trials": own} for attack, own in trials.items()}}


DEFENSES = [
    {"defense": "A", "curve": [point(0, none=["a0", "a1"]), point(2, none=["a0", "a1"], ipm=["a2"], alie=["a3"])]},
    {"defense": "B", "curve": [point(0, none=["b0", "gone"]), point(2, none=["b0", None], ipm=["b1", ""])]},
]
RECORDS = {
    "a0": record(measured(0.9, fgsm=0.7, pgd=0.6)),
    "a1": record(measured(0.8, fgsm=0.5, pgd=0.4)),
    "a2": record(measured(0.85, fgsm=0.5, pgd=0.4)),
    "a3": record(measured(0.75, fgsm=0.4, pgd=0.3)),
    "b0": record({}),
    "b1": {"status": "failed", "metrics": None},
}


def test_means_over_seeds_and_the_worst_training_under_attack() -> None:
    table = accuracy_table(DEFENSES, RECORDS)
    assert table is not None
    assert [column.heading for column in table.columns if column.label] == ["fgsm", "pgd"]
    first, second = (words(table, row) for row in table.rows)
    assert first == {
        "defense": "A",
        "clean": "0.850",
        "label fgsm": "0.600",
        "label pgd": "0.500",
        "all": "0.400",
        "poisoned_clean": "0.750",
        "poisoned_all": "0.200",
        "poisoned_by": "alie, f = 2",
    }
    assert [second[key] for key in ("label fgsm", "label pgd", "clean", "poisoned_by")] == ["–", "–", "–", ""]


def test_a_model_that_diverged_keeps_nothing() -> None:
    diverged = {"status": "diverged", "metrics": {"more": {}}}
    table = accuracy_table(DEFENSES, {**RECORDS, "a1": diverged, "a2": diverged})
    assert table is not None
    row = words(table, table.rows[0])
    assert [row[key] for key in ("clean", "label fgsm", "label pgd", "all")] == ["0.450", "0.350", "0.300", "0.250"]
    assert (row["poisoned_clean"], row["poisoned_all"], row["poisoned_by"]) == ("0.000", "0.000", "ipm, f = 2")
    assert accuracy_table(DEFENSES, {"a0": diverged}) is None


def test_a_run_without_such_measurements_has_no_table() -> None:
    assert accuracy_table(DEFENSES, {"a0": record({}), "b0": record({"fairness": 1.0})}) is None
    assert accuracy_table([], {}) is None
    assert TITLE not in Markdown().render(run())
    assert TITLE not in HTML().render(run())


def attacked(label: str = "PGD(epsilon=0.1)") -> RunResults:
    """The synthetic run, with an attack on test samples in every record that has metrics."""
    results = run(worlds=("w",), defenses=3, attacks=3, f_grid=(0, 3), seeds=(0, 1))
    more = measured(0.913, **{label: 0.517})
    records = tuple(
        {**r, "metrics": {**r["metrics"], "more": more}} if r["metrics"] is not None else r for r in results.records
    )
    return dataclasses.replace(results, records=records)


def test_both_reports_show_it() -> None:
    markdown, page = Markdown().render(attacked()), HTML().render(attacked())
    for text in (markdown, page):
        assert TITLE in text
        assert {"0.913", "0.517", "0.417"} <= set(re.findall(r"0\.\d{3}", text))
    (row,) = [line for line in markdown.split(f"### {TITLE}")[1].splitlines() if line.startswith("| Mean |")]
    assert row.startswith("| Mean | 0.913 | 0.517 | 0.417 | 0.913 | 0.417 | ")
    assert row.endswith("f = 3 |")


def test_labels_cannot_break_out() -> None:
    label = "<script>alert(1)</script>|{{ 7*7 }}"
    page, markdown = HTML().render(attacked(label)), Markdown().render(attacked(label))
    assert "<script>alert" not in page
    assert "<script>alert" not in markdown
    assert "\\|{{ 7\\*7 }}" in markdown


@pytest.mark.parametrize(
    "more",
    [
        {"robust_accuracy": 0.5},
        {"robust_accuracy": {"x": "0.5"}},
        {"clean_accuracy": [1]},
        {"robust_accuracy": {"x": float("nan")}},
    ],
    ids=str,
)
def test_measurements_of_another_shape_are_refused(more: dict[str, Any]) -> None:
    results = run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0,))
    first = results.records[0]
    with pytest.raises(StoreError, match=r"record 1\.metrics\.more\.(robust|clean)_accuracy"):
        dataclasses.replace(results, records=({**first, "metrics": {**first["metrics"], "more": more}},))
