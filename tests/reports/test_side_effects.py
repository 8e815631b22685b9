"""The tables of what robustness costs and of who was caught, in every report that shows them."""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import StoreError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML, Markdown
from robustfl.reports.sections.content import Content, Section
from robustfl.reports.sections.costs import COSTS as COSTS_SECTION
from robustfl.reports.sections.detection import DETECTION
from tests.reports.hostile import SCRIPT
from tests.reports.synthetic import run
from tests.reports.tables import first_world, spreadsheet, tables, words
from tests.reports.test_results import JSON, places

COSTS, CAUGHT = "What robustness costs when nobody attacks", "Who was caught, with 3 malicious clients"
LOST = {"mean": 0.1871, "ci": [0.1, 0.274]}


def way(f: list[int], ignored: float | None = 0.25, **changes: Any) -> dict[str, Any]:
    served = {"worst_class": 0.512, "worst_client": 0.634, "client_spread": 0.1}
    lost = {"utility_lost": LOST, "worst_class_lost": LOST, "worst_client_lost": {"mean": -0.005, "ci": None}}
    return {"f": f, **served, "honest_ignored": ignored, "honest_unheard": ignored, **lost, **changes}


def detected(*values: float | None) -> dict[str, Any]:
    names = ("detection_precision", "detection_recall", "detection_auc", "honest_ignored")
    return dict(zip(names, values, strict=True))


FOUND, NOTHING = detected(0.25, 0.5, 0.75, 0.999), detected(None, None, None, None)
REFUSED = {"f": 3, "attacks": {"a": FOUND, "b": NOTHING}, "mean": FOUND, "hardest": "a"}


def defense(name: str, ways: list[dict[str, Any]], caught: dict[str, Any] | None) -> dict[str, Any]:
    return {"defense": name, "undisturbed": ways, "caught": caught}


def measured(*defenses: dict[str, Any], world: str = "w") -> RunResults:
    results = run(worlds=("w",), defenses=2, attacks=3, f_grid=(0, 1, 3), seeds=(0, 1))
    served = {"worst_class": 0.7, "worst_client": 0.8, "client_spread": 0.1}
    summary = {**results.summary, "side_effects": [{"world": world, "baseline": served, "defenses": list(defenses)}]}
    return dataclasses.replace(results, summary=summary)


BOTH = {"f": 3, "attacks": {"a": FOUND, "b": detected(None, 0.0, 0.5, 0.0)}, "mean": FOUND, "hardest": "b"}
KRUM = defense("Krum", [way([0]), way([1]), way([3], 0.999)], BOTH)
MEAN = defense("Mean", [way([0, 1, 3], utility_lost={"mean": 0.0, "ci": None}, worst_class_lost=None)], REFUSED)


def shown(section: Section, results: RunResults) -> Content | None:
    assert section.of_world is not None
    return section.of_world(first_world(results))


def costs(*defenses: dict[str, Any]) -> list[dict[str, str]]:
    content = shown(COSTS_SECTION, measured(*defenses))
    assert content is not None
    (table,) = tables(content)
    assert table.grouped
    return [words(table, row) for row in table.rows]


def test_the_ends_of_the_grid_are_shown_and_equal_ones_once() -> None:
    rows = costs(MEAN, KRUM)
    assert [(row["defense"], row["told"]) for row in rows] == [("Krum", "0"), ("Krum", "3"), ("Mean", "any")]
    assert rows[0]["lost"] == "0.19"
    assert rows[0]["interval"] == "0.10 to 0.27"
    assert (rows[0]["worst_class_lost"], rows[0]["worst_client_lost"]) == ("0.187 lost", "0.005 gained")
    assert (rows[2]["interval"], rows[2]["worst_class_lost"]) == ("", "")


def test_a_change_too_small_to_show_is_none() -> None:
    (row,) = costs(defense("Mean", [way([0, 1, 3], worst_class_lost={"mean": -0.0004, "ci": None})], None))
    assert row["worst_class_lost"] == "the same"


@pytest.mark.parametrize(
    ("ignored", "attacks", "text"),
    [
        (None, {"a": FOUND, "b": NOTHING}, "has no weights; ignores only what it refuses, under a"),
        (None, {"a": NOTHING}, "has no weights; ignores only what it refuses: nothing here"),
        (
            None,
            {**dict.fromkeys("abc", FOUND), "d": NOTHING},
            "has no weights; ignores only what it refuses, under 3 attacks",
        ),
        (None, {"a": FOUND}, ""),  # known everywhere
        (0.0, {"a": FOUND, "b": NOTHING}, ""),  # it has weights; every round of b was held
        (0.0, {}, "not played with so many"),
    ],
)
def test_where_there_is_nothing_to_show_words_say_why(
    ignored: float | None, attacks: dict[str, Any], text: str
) -> None:
    caught = {"f": 3, "attacks": attacks, "mean": NOTHING, "hardest": None}
    content = shown(DETECTION, measured(KRUM, defense("Mean", [way([0, 1, 3], ignored)], caught)))
    assert content is not None
    (table,) = tables(content)
    (row,) = [row for row in table.rows if row.cells["defense"] == "Mean"]
    assert row.instead == text


def test_both_reports_show_both_tables() -> None:
    results = measured(KRUM, MEAN)
    markdown, page = Markdown().render(results), HTML().render(results)
    lines = [line for line in markdown.split(COSTS)[1].splitlines() if line.startswith("| ")]
    assert "| Krum | 0 | 0.19 | 0.10 to 0.27 | 0.512 | 0.187 | 0.634 | −0.005 | 25 % | 25 % |" in lines
    assert "| Krum | 0.25 | 0.50 | 0.75 | 99 % | – | 0.00 | 0.50 | b |" in lines
    for text in (COSTS, CAUGHT, "0.187 lost", "0.10 to 0.27", 'rowspan="2">Krum'):
        assert text in page
    assert CAUGHT in markdown


def test_a_run_that_did_not_measure_it_has_no_tables() -> None:
    results = [run(), measured(KRUM, world="another")]
    results.append(measured(defense("Krum", [way([0], worst_class=None)], {**REFUSED, "attacks": {}, "hardest": None})))
    for found in results:
        for text in (Markdown().render(found), HTML().render(found)):
            assert COSTS not in text
            assert "Who was caught" not in text


PLACES = places(measured(KRUM, MEAN).summary["side_effects"])[1:]


@settings(deadline=None)
@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_passes_the_check_can_be_shown(place: tuple[Any, ...], value: Any) -> None:
    summary = copy.deepcopy(measured(KRUM, MEAN).summary)
    holder: Any = summary["side_effects"]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    try:
        results = RunResults(summary=summary, records=())
    except StoreError:
        return
    for form in (HTML(), Markdown()):
        assert form.render(results).endswith("\n")


def test_labels_cannot_break_out() -> None:
    attacks = {SCRIPT: FOUND}
    hostile = defense(SCRIPT, [way([0])], {"f": 3, "attacks": attacks, "mean": FOUND, "hardest": SCRIPT})
    for text in (Markdown().render(measured(hostile)), HTML().render(measured(hostile))):
        assert "<script>alert" not in text
        assert "<img" not in text


def test_the_table_for_spreadsheets_has_a_column_each() -> None:
    results = run(worlds=("w",), defenses=1, attacks=2, f_grid=(0, 3), seeds=(0, 1))
    more = {"worst_class": 0.5, "detection_auc": 0.25}
    records = tuple({**r, "metrics": {**r["metrics"], "more": more}} for r in results.records)
    text = spreadsheet(dataclasses.replace(results, records=records))
    for row in csv.DictReader(io.StringIO(text)):
        assert (row["worst_class"], row["detection_auc"], row["honest_unheard"]) == ("0.5", "0.25", "")


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        (defense("D", [way([0], worst_class="x")], None), r"undisturbed\[0\]\.worst_class"),
        (defense("D", [way([0], utility_lost=0.1)], None), r"undisturbed\[0\]\.utility_lost"),
        (defense("D", [], {**REFUSED, "mean": {}}), r"caught\.mean"),
    ],
    ids=["number", "estimate", "mean"],
)
def test_another_shape_is_refused(changed: dict[str, Any], path: str) -> None:
    with pytest.raises(StoreError, match=rf"side_effects\[0\]\.defenses\[0\]\.{path}"):
        measured(changed)
