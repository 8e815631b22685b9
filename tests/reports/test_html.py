"""The HTML report: complete, self-contained, inert, small, and the same for the same results."""

from __future__ import annotations

import base64
import copy
import hashlib
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.score.headline import headline
from robustfl.reports import HTML
from tests.reports.hostile import SCRIPT, hostile
from tests.reports.synthetic import ATTACKS, DEFENSES, run

VOID = {"meta", "input", "br", "wbr"}
FULL = run()
PAGE = HTML().render(FULL)


class Outline(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def changed(path: tuple[Any, ...], value: Any, base: RunResults = FULL) -> RunResults:
    summary = copy.deepcopy(base.summary)
    holder: Any = summary
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return RunResults(summary=summary, records=base.records)


def test_equal_results_give_equal_bytes() -> None:
    assert HTML().render(run()) == PAGE


def test_the_order_of_the_records_does_not_change_the_scores_shown() -> None:
    records = [record for record in FULL.records if record["status"] != "failed"]
    random.Random(0).shuffle(records)
    failed = [record for record in FULL.records if record["status"] == "failed"]
    assert HTML().render(RunResults(summary=FULL.summary, records=(*records, *failed))) == PAGE


def test_the_page_is_well_formed_and_ids_are_unique() -> None:
    ids = [attrs["id"] for _, attrs in Outline(PAGE).tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_link_has_its_target() -> None:
    outline = Outline(PAGE)
    ids = {attrs["id"] for _, attrs in outline.tags if "id" in attrs}
    links = {attrs["href"] for tag, attrs in outline.tags if tag == "a"}
    assert {f"#{name}" for name in ids} >= links - {"#closed"}
    assert len(links) > 200


def test_the_page_asks_for_nothing_from_outside() -> None:
    for tag, attrs in Outline(PAGE).tags:
        assert tag not in {"link", "img", "iframe", "object", "base", "form"}
        assert "src" not in attrs
        assert attrs.get("href", "#").startswith("#")  # type: ignore[union-attr]
    assert "http://" not in PAGE
    assert "https://" not in PAGE
    assert not re.search(r"url\(|@import", PAGE)


def test_the_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    policy = next(
        a["content"] or "" for tag, a in Outline(PAGE).tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
        assert len(content) == 1
        digest = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not any("style" in attrs or name.startswith("on") for _, attrs in Outline(PAGE).tags for name in attrs)


@pytest.mark.parametrize("text", [SCRIPT, "-->]]><!--", "\u202e\x00\x1b", "&lt;script&gt;"])
def test_hostile_strings_are_inert(text: str) -> None:
    results = hostile(text)
    page = HTML().render(results)
    harmless = HTML().render(hostile("x"))
    shape = [(tag, sorted(attrs)) for tag, attrs in Outline(page).tags]
    assert [entry for entry in shape if entry[0] != "wbr"] == [
        (tag, sorted(attrs)) for tag, attrs in Outline(harmless).tags if tag != "wbr"
    ]
    assert page.count("<script>") == 1


def test_a_hostile_label_is_shown_as_it_is() -> None:
    text = Outline(HTML().render(hostile())).text
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>" in text
    assert "{{ 7*7 }}" in text
    assert "MemoryError</script>" in text


def test_lone_surrogates_do_not_keep_the_page_from_being_saved() -> None:
    assert b"w?" in HTML().render(hostile("?\ud800")).encode("utf-8")


def test_the_usual_suite_stays_under_two_megabytes() -> None:
    names = list(DEFENSES)
    results = run(worlds=("w",), defenses=7, attacks=8, f_grid=(0, 1, 2, 3, 4), seeds=(0, 1, 2), rounds=400)
    page = HTML().render(results)
    assert len(page.encode()) < 2_000_000
    assert all(name.replace(">", "&gt;") in page for name in names)
    assert page.count('<article class="cell"') == 7 * (1 + 4 * 8)


def test_the_answer_names_winner_survival_and_plain_averaging() -> None:
    text = Outline(PAGE).text
    assert headline(FULL.summary) in " ".join(text.split())
    assert "In “digits, IID” NNM > TrimmedMean survives 5 malicious clients of 15; with 7, AdaptiveSearch bri" in text
    assert "Plain averaging (Mean) falls to" in text


def test_every_cell_has_its_details() -> None:
    text, world = Outline(PAGE).text, FULL.summary["scores"]["worlds"][0]
    for own in world["defenses"]:
        for point in own["curve"]:
            for cell in point["attacks"].values():
                for trial, state in zip(cell["trials"], cell["status"], strict=True):
                    assert state == "invalid" or trial in text
    assert "NNM > Krum under ALIE(z=1.5), 3 of 15 malicious" in text


def test_everything_that_limits_the_numbers_is_on_the_page() -> None:
    outline = Outline(PAGE)
    for remark in FULL.summary["scores"]["flags"]:
        assert remark["message"] in outline.text
    assert "How far to trust this: see 1 error and 3 warnings." in " ".join(outline.text.split())
    assert "MemoryError: out of memory" in outline.text
    assert 'File "robustfl/federation/engine.py", line 88' in outline.text
    assert "Krum: `f` should satisfy n >= 2f + 3." in outline.text
    assert FULL.summary["suite"]["command"] in outline.text
    assert all(attack in outline.text for attack in ATTACKS if attack != "none")


def test_the_page_works_without_script() -> None:
    without = re.sub(r"<script>.*?</script>", "", PAGE, flags=re.DOTALL)
    tags = Outline(without).tags
    assert [attrs for tag, attrs in tags if tag == "button"] == [
        {"id": "theme", "type": "button", "hidden": None, "aria-label": "Switch between light and dark"}
    ]
    checked = [attrs["name"] for tag, attrs in tags if tag == "input" and "checked" in attrs]
    assert checked == ["w0", "w1"]
    assert ".cell:target { display: block; }" in without


def test_one_seed_has_no_interval_and_says_so() -> None:
    text = Outline(HTML().render(run(worlds=("w",), seeds=(0,)))).text
    assert "one seed, so no interval" in text
    assert "no interval" in text.split("Which defense holds")[1]


def test_a_suite_without_any_score_says_so() -> None:
    rows = [{**row, "R_mean": None, "R_min": None, "R_ci": None} for row in FULL.summary["scores"]["ranking"]]
    text = Outline(HTML().render(changed(("scores", "ranking"), rows))).text
    assert "No defense could be scored" in text
    assert "holds up best" not in text


def test_an_empty_suite_renders() -> None:
    empty = changed(("scores", "worlds"), [], changed(("scores", "ranking"), []))
    assert "No defense was ranked." in HTML().render(RunResults(summary=empty.summary, records=()))


def test_records_that_are_gone_leave_scores_and_no_curves() -> None:
    page = HTML().render(RunResults(summary=FULL.summary, records=()))
    assert "Test accuracy over the rounds, a line a seed" not in page
    assert "no finished trial" in page
    assert page.count('<article class="cell"') == PAGE.count('<article class="cell"')


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


PAIR = r"light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)"


def test_numbers_on_the_heat_map_can_be_read_in_both_themes() -> None:
    scale = re.findall(rf"\.q\d+ {{ background: {PAIR}; color: {PAIR}; }}", PAGE)
    assert len(scale) == 11
    for light, dark, light_ink, dark_ink in scale:
        assert contrast(light, light_ink) >= 4.5
        assert contrast(dark, dark_ink) >= 4.5


def test_text_can_be_read_in_both_themes() -> None:
    colours = dict(re.findall(r"--([a-z-]+): light-dark\(([^)]*)\)", PAGE))
    for ink in ("ink", "soft", "mark", "bad"):
        for ground in ("paper", "card"):
            for a, b in zip(colours[ink].split(", "), colours[ground].split(", "), strict=True):
                assert contrast(a, b) >= 4.5, (ink, ground)


def test_the_scale_can_be_read_without_colour() -> None:
    scale = re.findall(rf"\.q\d+ {{ background: {PAIR}", PAGE)
    light, dark = [luminance(a) for a, _ in scale], [luminance(b) for _, b in scale]
    assert light[:9] == sorted(light[:9])
    assert min(light[8:]) > light[6]
    assert dark == sorted(dark, reverse=True)


def test_templates_lie_flat_so_that_they_are_packaged() -> None:
    folder = Path(__file__).resolve().parents[2] / "reports" / "templates"
    assert all(path.is_file() for path in folder.iterdir())


def test_each_row_has_its_command() -> None:
    assert "robustfl run quickstart --out runs/quickstart-alone --set" in PAGE
