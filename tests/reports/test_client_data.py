"""What was done to the values of the files stands in the reports, beside who holds which data."""

from __future__ import annotations

from typing import Any

import pytest

from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML, Markdown
from tests.reports.synthetic import run


@pytest.fixture
def results() -> RunResults:
    return run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0, 1))


@pytest.mark.parametrize("report", [HTML(), Markdown()], ids=str)
def test_notes_about_the_data_are_told(results: RunResults, report: Any) -> None:
    assert "When the files were read" not in report.render(results)
    results.summary["histograms"]["w"]["notes"] = ["Column `rate`: 3 cells were taken for missing: '<Inf>' (3)."]
    text = report.render(results)
    assert text.count("When the files were read") == 1
    assert "3 cells were taken for missing" in text
    assert "<Inf>" not in text.replace("`<Inf>`", "")
