"""The tables of attacks with an aim and the pictures of triggers: nothing where nothing is, and nothing breaks out."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from robustfl.errors import StoreError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML, Markdown
from robustfl.reports.sections.content import Content, Gallery, Path
from robustfl.reports.sections.targeted import TARGETED
from tests.reports.synthetic import run
from tests.reports.tables import first_world, flat, tables, words

TITLE = "Attacks with an aim"


def cell(attack: str = "mark", f: int = 3, **changes: Any) -> dict[str, Any]:
    values = {
        "attack": attack,
        "aim": "mark",
        "f": f,
        "success": 0.9,
        "natural": 0.1,
        "accuracy": 0.8,
        "kept": 0.1,
        "durability": None,
        "outlasts": False,
        "informative": True,
        "effectiveness": 0.6,
    }
    return {**values, **changes}


def defense(name: str, *cells: dict[str, Any], **changes: Any) -> dict[str, Any]:
    worst = min(cells, key=lambda own: own["kept"], default=None)
    values = {"T": worst and worst["kept"], "T_ci": [0.05, 0.15], "invalid": None, "incomplete": []}
    values |= {"worst_attack": worst and worst["attack"], "f": worst and worst["f"]}
    return {"defense": name, "attacks": list(cells), **values, **changes}


def picture(**changes: Any) -> dict[str, Any]:
    values = {
        "world": "w",
        "aim": "mark",
        "height": 2,
        "width": 3,
        "channels": 1,
        "clean": bytes([0, 0, 255, 0, 0, 0]).hex(),
        "marked": bytes([0, 0, 255, 255, 255, 255]).hex(),
        "truth": "cat",
        "wanted": "dog",
    }
    return {**values, **changes}


def content(
    *defenses: dict[str, Any], triggers: tuple[dict[str, Any], ...] = (), order: tuple[str, ...] = (), world: str = "w"
) -> Content | None:
    made = run(worlds=("w",), defenses=1, attacks=2, f_grid=(0, 3), seeds=(0,))
    ranking = [{**made.summary["scores"]["ranking"][0], "defense": name} for name in order]
    scores = {**made.summary["scores"], "ranking": ranking}
    own = {"targeted": [{"world": world, "defenses": list(defenses)}], "triggers": list(triggers), "scores": scores}
    assert TARGETED.of_world is not None
    return TARGETED.of_world(first_world(dataclasses.replace(made, summary={**made.summary, **own})))


def view(*defenses: dict[str, Any], order: tuple[str, ...] = ()) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The words of both tables."""
    found = content(*defenses, order=order)
    assert found is not None
    kept, successes = tables(found)
    return [words(kept, row) for row in kept.rows], [words(successes, row) for row in successes.rows]


def figures(*triggers: dict[str, Any]) -> list[list[list[tuple[str, str]]]]:
    """The pictures of each figure, as colours with their paths."""
    found = content(defense("A", cell()), triggers=triggers)
    assert found is not None
    (gallery,) = [block for block in flat(found.blocks) if isinstance(block, Gallery)]
    return [
        [[(path.colour, path.d) for path in one.shapes if isinstance(path, Path)] for one in figure.drawings]
        for figure in gallery.figures
    ]


def test_a_row_tells_the_attack_that_leaves_least_in_the_order_of_the_ranking() -> None:
    lasting = cell("kept on", kept=0.05, durability=12.4, outlasts=True)
    rows, _ = view(defense("A", cell(), lasting), defense("B", cell(kept=0.7, durability=3.0)), order=("B", "A"))
    assert [row["defense"] for row in rows] == ["B", "A"]
    assert rows[1] == {
        "defense": "A",
        "kept": "0.05",
        "interval": "0.05 to 0.15",
        "success": "0.900",
        "natural": "0.100",
        "accuracy": "0.800",
        "effectiveness": "0.60",
        "lasts": "12 or more",
        "under": "kept on, f = 3",
    }
    assert rows[0]["lasts"] == "3"


def test_the_second_table_has_every_attack_at_the_largest_f() -> None:
    own = defense(
        "A",
        cell("a", f=1, success=0.2),
        cell("a", success=0.7, durability=5),
        cell("easy", success=0.99, informative=False),
    )
    found = content(own, defense("B", cell("b", success=None)))
    assert found is not None
    _, table = tables(found)
    assert table.caption == "Success of each attack with 3 malicious clients:"
    assert [column.heading for column in table.columns] == ["Defense", "a", "easy", "b"]
    assert [[column.text(row.cell(column)) for column in table.columns[1:]] for row in table.rows] == [
        ["0.70, lasts 5", "0.99 (as without it)", "–"],
        ["–", "–", "–"],
    ]


def test_what_could_not_be_played_says_so() -> None:
    rows, _ = view(defense("A", T=0.0, invalid="n >= 2f + 3", f=3), defense("B", T_ci=None))
    assert [(row["kept"], row.get("success"), row["under"]) for row in rows] == [
        ("0.00", None, "n >= 2f + 3"),
        ("–", None, "incomplete"),
    ]
    assert content() is None
    assert content(defense("A", cell()), world="other") is None


def test_pictures_are_runs_of_equal_pixels() -> None:
    ((clean, marked),) = figures(picture(), picture(world="other"))
    assert clean == [("#000000", "M0 0h2v1h-2zM0 1h3v1h-3z"), ("#ffffff", "M2 0h1v1h-1z")]
    assert marked == [("#000000", "M0 0h2v1h-2z"), ("#ffffff", "M2 0h1v1h-1zM0 1h3v1h-3z")]
    ((clean, marked),) = figures(picture(channels=3, height=1, width=1, clean="ff0000", marked="00ff40"))
    assert (clean[0][0], marked[0][0]) == ("#ff0000", "#00ff49")
    ((same,),) = figures(picture(clean=picture()["marked"]))
    assert same == [("#000000", "M0 0h2v1h-2z"), ("#ffffff", "M2 0h1v1h-1zM0 1h3v1h-3z")]


@pytest.mark.parametrize("bad", ["zz", "00", "", "</svg>"])
def test_pictures_that_are_none_are_left_out(bad: str) -> None:
    ((clean,),) = figures(picture(marked=bad))
    assert clean[0][0] == "#000000"


def results(label: str = "BadNets(target=7)", **changes: Any) -> RunResults:
    made = run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0, 1))
    names = [own["defense"] for own in made.summary["scores"]["worlds"][0]["defenses"]]
    own = [{"world": "w", "defenses": [defense(name, cell(label)) for name in names]}]
    triggers = [picture(aim=label, truth=label)]
    return dataclasses.replace(made, summary={**made.summary, "targeted": own, "triggers": triggers, **changes})


def test_both_reports_show_it_and_neither_without() -> None:
    page, markdown = HTML().render(results()), Markdown().render(results())
    assert TITLE in page
    assert f"### {TITLE}" in markdown
    assert 'fill="#ffffff"' in page
    (row,) = [line for line in markdown.split(f"### {TITLE}")[1].splitlines() if line.startswith("| Mean | 0.10")]
    assert row.startswith("| Mean | 0.10 | 0.05 to 0.15 | 0.900 | 0.100 | 0.800 | 0.60 | – | BadNets(target=7), f = 3")
    assert TITLE not in HTML().render(run())
    assert TITLE not in Markdown().render(run())


def test_labels_cannot_break_out() -> None:
    label = "<script>alert(1)</script>|{{ 7*7 }}"
    page, markdown = HTML().render(results(label)), Markdown().render(results(label))
    assert not re.search(r"<script>alert", page + markdown)
    assert "\\|{{ 7\\*7 }}" in markdown


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"targeted": [{"world": "w", "defenses": [{"defense": 1}]}]}, r"summary\.targeted\[0\]\.defenses\[0\]"),
        ({"triggers": [picture(height="2")]}, r"summary\.triggers\[0\]\.height"),
        ({"targeted": [{"world": "w", "defenses": [defense("A", cell(success="1"))]}]}, r"attacks\[0\]\.success"),
    ],
)
def test_results_of_another_shape_are_refused(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(StoreError, match=path):
        results(**changes)
