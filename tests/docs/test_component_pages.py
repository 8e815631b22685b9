"""The generated pages: one for every defense and attack, with what metadata and published records say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from docs.component_pages import API, api, choosing_tables, component_page, leaderboard_table, public, section, write
from docs.curves import figure
from docs.published import Published, parts
from robustfl import registry
from tests.conftest import ROOT

PUBLISHED = Published()


def page(kind: str, name: str) -> str:
    return component_page(kind, registry.get(kind, name), PUBLISHED)


def test_every_defense_and_attack_has_a_page_and_nothing_else_stays(tmp_path: Path) -> None:
    (tmp_path / "defenses").mkdir()
    (tmp_path / "defenses" / "gone.rst").write_text("a rule that is no more")
    written = write(tmp_path)
    for kind, folder in (("defense", "defenses"), ("attack", "attacks")):
        own = {name for name, cls in registry.find(kind).items() if cls.__module__.startswith("robustfl.")}
        assert {path.stem for path in (tmp_path / folder).glob("*.rst")} == own
        listed = (tmp_path / folder / "index.md").read_text()
        assert all(f"({name}.rst)" in listed and re.search(rf"^{name}$", listed, re.M) for name in own)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(written)
    assert "[DBA](dba.rst): each malicious client" in (tmp_path / "attacks" / "index.md").read_text()  # named once
    before = {path: path.stat().st_mtime_ns for path in written}
    write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in written} == before  # Sphinx reads again what is newer


def test_where_an_attack_is_unfit_is_on_its_page() -> None:
    told = page("attack", "poisoned_fl").partition("When not to use it\n")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert told.startswith("Do not use it in trainings that are hardly longer than ``period``, as")


def test_where_a_defense_is_unfit_is_on_its_page() -> None:
    shown = page("defense", "fools_gold")
    told = shown.partition("When not to use it\n")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert told == f"Do not use it {registry.describe(registry.get('defense', 'fools_gold'))['unfit']}."
    assert "\n:Requires: n >= 1\n" in shown
    assert ".. autoclass:: robustfl.defenses.FoolsGold\n" in shown


def test_the_rows_of_the_leaderboard_are_those_of_the_published_summary() -> None:
    ranking = {row["defense"]: row for row in PUBLISHED.summary["scores"]["ranking"]}
    assert [row.defense for row in PUBLISHED.standings()] == list(ranking)
    shown = page("defense", "trimmed_mean")
    for name in ("TrimmedMean", "NNM > TrimmedMean"):  # on the page of each stage
        assert f"   * - {name}\n     - ≈1\n     - {ranking[name]['R_mean']:.2f}\n" in shown
    assert "NNM > TrimmedMean" in page("defense", "nnm")
    assert "ARC > CAF" not in shown
    median = next(row for row in PUBLISHED.standings("median"))
    assert median.worst[0] == (ranking["Median"]["worst_attack"], f"{ranking['Median']['W_at_max_f']:.2f}")
    assert [value for _, value in median.worst] == sorted(value for _, value in median.worst)


def test_curves_are_means_over_the_seeds_of_published_records() -> None:
    course = PUBLISHED.course("Median")
    (own,) = (row for row in PUBLISHED.summary["scores"]["ranking"] if row["defense"] == "Median")
    assert course.attack == own["worst_attack"]
    cell = PUBLISHED._last("Median")[course.attack]
    ends = [PUBLISHED.records[trial]["metrics"]["more"]["balanced_accuracy_curve"][-1] for trial in cell["trials"]]
    assert course.attacked[-1] == (120, pytest.approx(sum(ends) / len(ends)))
    assert course.calm[-1][1] > course.attacked[-1][1]
    assert len(course.others) == len(PUBLISHED.summary["scores"]["ranking"]) - 1
    worst = PUBLISHED.under("alie")[0]
    assert (PUBLISHED.course_under("alie").defense, PUBLISHED.course_under("alie").attack) == worst[:2]


def test_a_training_that_blows_up_is_said_to() -> None:
    course = PUBLISHED.course_under("mpaf")
    assert (course.attacked, course.diverged) == ([], True)
    assert "under MPAF(diversify=pairs) training blows up" in figure(course, PUBLISHED)
    assert "``MPAF(diversify=pairs)``, where training blows up. Dashed" in page("attack", "mpaf")
    cut = replace(course, attacked=course.calm[:2])
    assert cut.diverged
    assert "training blows up" in figure(cut, PUBLISHED)
    assert "blows up" not in page("attack", "alie")


def test_a_curve_is_on_the_page_of_each_stage_and_of_each_attack_that_was_published() -> None:
    for shown in (page("defense", "median"), page("defense", "nnm"), page("attack", "alie")):
        (drawn,) = re.findall(r'<figure class="curve"><svg .*?</svg></figure>', shown)
        assert drawn.count('class="line"') == drawn.count('class="base"') == 1
        assert drawn.count('class="ghost"') >= 10
        assert not re.search(r"nan|inf", drawn)
    assert '<figure class="curve">' not in page("defense", "cge") + page("attack", "dropout")


def test_what_was_not_published_says_so_and_names_its_attacks() -> None:
    assert "leaderboard. ``robustfl run leaderboard_digits --set 'defenses=[cge]'`` plays it" in page("defense", "cge")
    for name in ("frl", "mixup"):  # over rankings, and in front of a rule
        assert "not in the published leaderboard. The suite above plays it." in page("defense", name)
    assert "robustfl run peers_quickstart --set 'defenses=[gts]'" in page("defense", "gts")
    assert ":doc:`AntiCGE </generated/attacks/anti_cge>`" in page("defense", "cge")


def test_the_page_of_an_attack_tells_what_it_does() -> None:
    shown = page("attack", "planned_drift")
    rows = PUBLISHED.under("planneddrift")
    assert [value for *_, value in rows] == sorted(value for *_, value in rows)
    assert f"   * - {rows[0][0]}\n     - {rows[0][1]}\n     - {rows[0][2]}\n" in shown
    assert "It is not in the attack list" in page("attack", "dropout")
    assert parts("BadNets > ModelReplacement(boost=2)") == ["badnets", "modelreplacement"]


def test_the_tables_to_choose_from_have_a_line_for_each_defense() -> None:
    text = choosing_tables(PUBLISHED)
    lines = [line for line in text.splitlines() if line.startswith("| [`")]
    assert len(lines) == sum(cls.__module__.startswith("robustfl.") for cls in registry.find("defense").values())
    kept = next(row["R_mean"] for row in PUBLISHED.summary["scores"]["ranking"] if row["defense"] == "Median")
    (median,) = (line for line in lines if line.startswith("| [`median`]"))
    assert median.split(" | ")[1] == f"{kept:.2f}"
    assert median.endswith(" | < 1/2 |")
    rules, before, peers = (part.count("| [`") for part in re.split(r"^### .*$", text, flags=re.MULTILINE)[1:])
    assert min(rules, before, peers) > 10
    shown = [float(kept) for kept in re.findall(r"^\| \[`\w+`\]\S+ \| ([\d.]+) \|", text, flags=re.MULTILINE)]
    assert len(shown) > 8
    assert shown == sorted(shown, reverse=True)  # what keeps most stands first, and what was not published last


def test_the_leaderboard_of_the_site_is_the_published_one() -> None:
    head, _, *rows = leaderboard_table(PUBLISHED).strip().splitlines()
    ranking = PUBLISHED.summary["scores"]["ranking"]
    cells = [row.strip("| ").split(" | ") for row in rows]
    assert [(row[1], row[2]) for row in cells] == [(row["defense"], f"{row['R_mean']:.2f}") for row in ranking]
    assert {len(row) for row in cells} == {len(head.strip("| ").split(" | "))}


def test_the_reference_names_what_modules_give_to_others() -> None:
    text = api()
    assert ".. autofunction:: robustfl.testing.check_aggregator\n" in text
    assert ".. autoclass:: robustfl.server.RobustServer\n" in text
    assert all(public(name) for name in API if name != "robustfl.graphs")


def test_a_section_of_the_readme_has_no_links_to_files() -> None:
    text = section("Leaderboard")
    assert "`FLTrust`, with clean data at the server" in text
    assert text.startswith("`reports/published/leaderboard_digits` shows")
    assert "\nThe first page, for the older attack list," in text  # words are no code
    assert not re.search(r"\]\((?!https?:)", text)


def test_a_row_without_rank_and_interval_is_told_as_such(tmp_path: Path) -> None:
    summary = json.loads(json.dumps(PUBLISHED.summary))
    summary["scores"]["ranking"][0] |= {"rank": None, "R_ci": None}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    first = Published(folder=tmp_path).standings()[0]
    assert (first.rank, first.interval) == ("not ranked", "none")


def test_the_picture_of_the_readme_is_small() -> None:
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert 10_000 < (ROOT / picture).stat().st_size < 200_000


def test_what_the_site_is_built_with_is_pinned() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (extra,) = re.findall(r"^docs = \[(.*)\]$", project, flags=re.MULTILINE)
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(re.findall(r'"([\w-]+)>=', extra)) <= set(pinned)
