"""The HTML report: complete, self-contained, inert, small, and the same for the same results."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zlib import decompress

import pytest

from robustfl.evaluation.labels import PLAIN_ACCURACY
from robustfl.evaluation.results.records import curve_of
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.score.headline import headline
from robustfl.reports import HTML
from robustfl.reports.sections.content.figures import thinned
from robustfl.reports.sections.heat_map import LETTERS
from tests.reports.hostile import SCRIPT, hostile
from tests.reports.synthetic import ATTACKS, DEFENSES, full, run


def unpacked(page: str) -> dict[str, Any]:
    """What lies behind the cells of a page, by the keys of its tables, as the script of the page unpacks it."""
    found = re.search(r'<script type="application/octet-stream" id="behind">([^<]*)</script>', page)
    values: dict[str, Any] = json.loads(decompress(base64.b64decode(found[1]))) if found else {}
    return values


def cells(page: str) -> list[tuple[str, str, str, list[Any]]]:
    """Every cell that can be selected: the key of its table, the defense, the attack, and what lies behind it."""
    return [
        (key, defense, attack, cell)
        for key, tab in unpacked(page).items()
        for defense, row in zip(tab["defenses"], tab["cells"], strict=True)
        for attack, cell in zip(tab["attacks"], row, strict=True)
        if cell is not None
    ]


VOID = {"meta", "input", "br", "wbr"}
FULL = full()
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
    assert {f"#{name}" for name in ids} >= links
    assert {"#ranking", "#worlds", "#each-world", "#remarks"} <= links
    assert {f"{key}-cell" for key in unpacked(PAGE)} <= ids


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
    harmless = HTML().render(hostile("x(1)" if "(1)" in text else "x"))  # brackets are left out of short names
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
    assert len(cells(page)) == 7 * (1 + 4 * 8)


def test_the_answer_names_winner_survival_and_plain_averaging() -> None:
    text = Outline(PAGE).text
    assert headline(FULL.summary) in " ".join(text.split())
    assert "In “digits, IID” NNM > TrimmedMean survives 5 malicious clients of 15; with 7, AdaptiveSearch bri" in text
    assert "Plain averaging (Mean) falls to" in text


def test_every_cell_has_its_runs_behind_it() -> None:
    found = {(key, defense, attack): cell for key, defense, attack, cell in cells(PAGE)}
    told = 0
    for number, world in enumerate(FULL.summary["scores"]["worlds"]):
        for own in world["defenses"]:
            for point in own["curve"]:
                for attack, cell in point["attacks"].items():
                    behind = found.pop((f"w{number}-f{point['f']}", own["defense"], attack), None)
                    if behind is None:
                        assert not any(cell["trials"])
                        continue
                    told += 1
                    utility, interval, (accuracies, utilities, _, _, states, trials, curves) = behind
                    assert utility == (None if cell["U"] is None else pytest.approx(cell["U"], abs=0.0051))
                    assert interval == (None if cell["ci"] is None else pytest.approx(cell["ci"], abs=0.0051))
                    for shown, known in ((accuracies, cell["accuracy"]), (utilities, cell["u"])):
                        assert [value is None for value in shown] == [value is None for value in known]
                    assert [state.split(",")[0] or "ok" for state in states] == cell["status"]
                    assert all(whole.startswith(shown) for shown, whole in zip(trials, cell["trials"], strict=True))
                    assert len(curves) == len(world["seeds"])
    assert found == {}
    assert told > 200
    ids = [record["trial"] for record in FULL.records]
    digits = {len(trial) for *_, (_, _, columns) in cells(PAGE) for trial in columns[5]}
    assert len({trial[: max(digits)] for trial in ids}) == len(ids)


def test_curves_behind_cells_are_those_of_the_records() -> None:
    record = next(record for record in FULL.records if record["status"] == "ok" and record["f"] == 3)
    points = thinned(curve_of(record, PLAIN_ACCURACY))
    tab = unpacked(PAGE)["w0-f3"]
    row = tab["cells"][tab["defenses"].index(record["labels"]["defense"])]
    columns = row[tab["attacks"].index(record["labels"]["attack"])][2]
    at = next(at for at, trial in enumerate(columns[5]) if record["trial"].startswith(trial))
    letters = columns[6][at]
    assert [t for t, _ in points] == tab["rounds"]
    assert [LETTERS.index(letter) / 63 for letter in letters] == pytest.approx([v for _, v in points], abs=0.5 / 63)


def test_the_script_knows_the_same_letters() -> None:
    assert f'const LETTERS = "{LETTERS}";' in PAGE


def test_what_lies_behind_cells_cannot_leave_its_element() -> None:
    page = HTML().render(hostile("</script><script>alert(1)</script>"))
    assert page.count("<script") == 2
    assert any("</script>" in defense + attack for _, defense, attack, _ in cells(page))


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
    assert checked == ["each-world", "w0", "w1"]
    assert ".panel > input:checked ~ .body { display: block; }" in without
    assert [attrs["id"] for tag, attrs in tags if tag == "article" and "hidden" not in attrs] == []


def test_a_table_of_the_page_has_the_number_of_every_cell() -> None:
    tables = PAGE.split('data-behind="')[1:]
    for table in tables:
        key = table.split('"')[0]
        shown = Counter(re.findall(r'<td class="q\d+(?: worst)?">([^<]*)</td>', table.split("</table>")[0]))
        known = [cell[0] for own, _, _, cell in cells(PAGE) if own == key and cell[0] is not None]
        assert shown == Counter(f"{value:.2f}".replace("-", "−") for value in known)


def test_worlds_are_tabs_and_told_once() -> None:
    page = HTML().render(run(worlds=("digits, IID", "digits, Dirichlet(0.3)", "digits, shards")))
    assert re.findall(r'<label for="w\d-tab">([^<]*)</label>', page) == ["IID", "Dirichlet(0.3)", "shards"]
    assert re.findall(r'<div class="body" id="(w\d)">', page) == ["w0", "w1", "w2"]
    assert 'name="each-world"' not in HTML().render(run(worlds=("digits, IID",)))


def test_attacks_have_short_names_and_a_legend() -> None:
    table = PAGE.split('data-behind="w0-f3"')[1].split("</table>")[0]
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table)
    assert {"ALIE", "IPM 1", "IPM 2", "Sign<wbr>Flip"} <= set(heads)
    legend = PAGE.split("The attacks with their settings")[1].split("</dl>")[0]
    assert "<dt>IPM 2</dt><dd>IPM(epsilon=10.0)</dd>" in legend
    assert "SignFlip" not in legend


def test_two_points_are_no_curve() -> None:
    two, three = (HTML().render(run(worlds=("w",), f_grid=grid)) for grid in ((0, 3), (0, 1, 3)))
    assert 'class="plot"' not in two
    assert '<th scope="col" class="num">f = 3</th>' in two
    assert three.count('class="plot"') == 7


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
    assert "no finished trial" in page
    assert [cell[:3] for cell in cells(page)] == [cell[:3] for cell in cells(PAGE)]
    assert not any(any(columns[6]) for *_, (_, _, columns) in cells(page))


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
