"""The document for a consortium: filled in from the records, with blanks for what only people can say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustfl.reports import Consortium
from robustfl.reports.markup import escaped
from tests.reports.hostile import hostile
from tests.reports.synthetic import full, run

FULL = full()
PAGE = Consortium().render(FULL)
HEADINGS = ["In short", "Threat model", "Who and what was tested", "Results", "Limits", "Decision", "How to repeat it"]


def test_equal_results_give_equal_bytes() -> None:
    assert Consortium().render(run()) == PAGE


def test_it_has_what_a_consortium_asks_for_in_this_order() -> None:
    assert re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("heading", ["In short", "Threat model", "Who and what was tested", "Limits", "Decision"])
def test_what_only_people_can_say_is_a_blank(heading: str) -> None:
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert re.search(r"^> \*\*To be filled in:\*\* \w.*\.\n>\n> \\_", part, flags=re.MULTILINE)


def test_what_the_records_say_is_filled_in() -> None:
    for row in FULL.summary["scores"]["ranking"]:
        assert escaped(row["defense"]) in PAGE
    for remark in FULL.summary["scores"]["flags"]:
        assert escaped(remark["message"]) in PAGE
    for world in FULL.summary["scores"]["worlds"]:
        line = next(line for line in PAGE.splitlines() if line.startswith(f"- {escaped(world['world'])}: of "))
        assert f"of {world['clients']} participants, {', '.join(map(str, world['f_grid']))} are malicious" in line
    assert FULL.summary["suite"]["command"] in PAGE


def test_hostile_strings_add_no_heading() -> None:
    page = Consortium().render(hostile())
    assert re.findall(r"^## (.*)$", page, flags=re.MULTILINE) == HEADINGS


def test_it_is_made_when_it_is_asked_for(smoke: tuple[Any, Path], inside: Callable[..., Any]) -> None:
    _, folder = smoke
    assert not (folder / "consortium.md").exists()
    done = inside("report", str(folder), "--format", "consortium", cwd=folder.parent)
    assert done.stdout.strip().endswith("consortium.md"), done.stderr
    assert "## Decision" in (folder / "consortium.md").read_text(encoding="utf-8")
    (folder / "consortium.md").unlink()
