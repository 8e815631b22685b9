"""The claims in every report: the same words, the same numbers, and nothing where a suite makes none."""

from __future__ import annotations

import copy
import csv
import io
import re
from typing import Any

import pytest

from robustfl.errors import StoreError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML, Markdown, Spreadsheets
from robustfl.reports.markup import escaped
from robustfl.wording import decimals
from tests.reports.hostile import SCRIPT
from tests.reports.synthetic import run
from tests.reports.tables import spreadsheet

SMALL = run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0, 1))
CONFIRMED = {
    "text": "Mixing helps.",
    "source": "Somebody, Mixing, 2023",
    "measure": "R(nnm >> krum) - R(krum)",
    "expect": "> 0",
    "value": 0.12133662,
    "per_seed": [0.0895873, 0.153086],
    "ci": [0.07810152, 0.16457172],
    "difference": 0.12133662,
    "verdict": "confirmed",
    "reason": "",
    "parts": {"R(nnm >> krum)": 0.745, "R(krum)": 0.624},
}
REFUTED = {**CONFIRMED, "text": "It is free.", "verdict": "not confirmed", "expect": "< 0.05", "difference": -0.0713}
EXACT = {**CONFIRMED, "measure": "bytes_up(krum)", "value": 7240.0, "ci": [7240.0] * 2, "per_seed": [], "parts": {}}
NOTHING = {
    **CONFIRMED,
    "verdict": "not measured",
    "reason": "Krum was not played",
    "value": None,
    "ci": None,
    "difference": None,
    "per_seed": [],
    "parts": {"R(krum)": None},
}


def claiming(*claims: dict[str, Any]) -> RunResults:
    return RunResults(summary={**SMALL.summary, "claims": copy.deepcopy(list(claims))}, records=SMALL.records)


ALL = claiming(CONFIRMED, REFUTED, EXACT, NOTHING)
FORMS = (HTML(), Markdown(), Spreadsheets())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_without_claims_a_report_is_what_it_was(form: Any) -> None:
    assert form.files(claiming()) == form.files(SMALL)
    assert not any("Claims" in text for text in form.files(SMALL).values())
    assert not form.files(SMALL).get("claims.csv")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_equal_results_give_equal_bytes(form: Any) -> None:
    assert form.files(copy.deepcopy(ALL)) == form.files(ALL)


def section(page: str) -> str:
    """The text of the claims on the web page."""
    (found,) = re.findall(r'<section id="claims">(.*?)</section>', page, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))


def test_the_page_shows_each_claim_with_its_verdict() -> None:
    page = HTML().render(ALL)
    text = section(page)
    assert "2 confirmed, 1 not confirmed and 1 not measured" in text
    assert "Mixing helps. Somebody, Mixing, 2023 R(nnm &gt;&gt; krum) - R(krum) expected &gt; 0; measured 0.121" in text
    assert "measured 0.121 (0.078 to 0.165), 0.121 inside" in text
    assert "expected &lt; 0.05; measured 0.121 (0.078 to 0.165), 0.0713 outside" in text
    assert "bytes_up(krum) expected &gt; 0; measured 7240, 0.121 inside" in text
    assert "expected &gt; 0; no value Krum was not played" in text
    assert "R(nnm &gt;&gt; krum) = 0.745; R(krum) = 0.624" in text
    assert page.count('<li class="error"><span class="kind">not confirmed') == 1
    assert '<a href="#claims">Claims</a>' in page


def test_markdown_has_a_row_a_claim() -> None:
    page = Markdown().render(ALL)
    introduction, table, *_ = page.partition("## Claims\n\n")[2].split("\n\n")
    assert "2 confirmed, 1 not confirmed and 1 not measured" in introduction
    rows = table.splitlines()
    assert len(rows) == 2 + 4
    assert rows[2] == (
        "| Mixing helps. (Somebody, Mixing, 2023) | R(nnm >> krum) - R(krum) | \\> 0 | 0.121 | 0.078 to 0.165 "
        "| 0.121 inside | confirmed |"
    )
    assert rows[5].endswith("| – | – | – | not measured: Krum was not played |")


def test_the_table_has_numbers_in_full_precision() -> None:
    rows = list(csv.DictReader(io.StringIO(spreadsheet(ALL, "claims.csv"))))
    assert list(rows[0])[:5] == ["claim", "source", "measure", "expected", "measured"]
    assert len(rows) == 4
    assert [row["verdict"] for row in rows] == ["confirmed", "not confirmed", "confirmed", "not measured"]
    first, last = rows[0], rows[-1]
    numbers = ("measured", "measured_low", "measured_high", "difference")
    assert [float(first[key]) for key in numbers] == [0.12133662, 0.07810152, 0.16457172, 0.12133662]
    assert [float(value) for value in first["per_seed"].split()] == CONFIRMED["per_seed"]
    assert (first["claim"], first["source"], first["expected"]) == ("Mixing helps.", "Somebody, Mixing, 2023", "> 0")
    assert [last[key] for key in (*numbers, "per_seed")] == [""] * 5
    assert last["reason"] == "Krum was not played"


@pytest.mark.parametrize("text", [SCRIPT, '",\n=cmd()\r\n;', "|a|\n\n# b", "=1+1"])
def test_hostile_claims_are_inert(text: str) -> None:
    claim = {key: text if isinstance(value, str) else value for key, value in CONFIRMED.items()}
    results = claiming({**claim, "parts": {text: 1.0, "x": 2.0}})
    page, plain = HTML().render(results), HTML().render(claiming(CONFIRMED))
    tags, expected = (re.findall(r"<\w+", own.partition('id="claims"')[2]) for own in (page, plain))
    assert len(tags) == len(expected) + 1  # the reason
    assert escaped(text) in Markdown().render(results)
    assert Markdown().render(results).count("\n| ") == Markdown().render(claiming(CONFIRMED)).count("\n| ")
    (row,) = csv.DictReader(io.StringIO(spreadsheet(results, "claims.csv"), newline=""))
    assert row["claim"].lstrip("'") == text
    assert not row["claim"].startswith("=")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ci", [1.0], r"`summary\.claims\[0\]\.ci` should be a list of 2"),
        ("verdict", None, r"`summary\.claims\[0\]\.verdict` should be a text"),
        ("per_seed", [None], r"`summary\.claims\[0\]\.per_seed\[0\]` should be a finite number"),
        ("parts", {"R(mean)": "x"}, r"`summary\.claims\[0\]\.parts\['R\(mean\)'\]` should be a finite number"),
    ],
)
def test_misshapen_claims_are_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        claiming({**CONFIRMED, key: value})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.83, 0.1], 3),
        ([7240.0, 1.0], 0),
        ([0.0034], 5),
        ([1.25, None], 2),
        ([0.0], 2),
        ([None], 2),
        ([], 2),
        ([-99.5], 1),
        ([1e-30], 8),
        ([1e300], 0),
    ],
)
def test_three_digits_of_the_largest_number_are_shown(values: list[float | None], expected: int) -> None:
    assert decimals(values) == expected
