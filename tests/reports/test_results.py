"""Reading the results of a run: what is absent, torn or misshapen is said, never shown."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.errors import DataError, StoreError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML, Markdown, Spreadsheets
from tests.reports.synthetic import run

SMALL = run(worlds=("w",), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0, 1))


def write(folder: Path, results: RunResults, tail: str = "") -> None:
    (folder / "summary.json").write_text(json.dumps(results.summary), encoding="utf-8")
    lines = "".join(json.dumps(record) + "\n" for record in results.records)
    (folder / "records.jsonl").write_text(lines + tail, encoding="utf-8")


def test_load_gives_back_what_was_written(tmp_path: Path) -> None:
    write(tmp_path, SMALL)
    assert RunResults.load(tmp_path) == SMALL


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, SMALL, tail='{"schema": 1, "trial": "dead')
    assert RunResults.load(tmp_path).records == SMALL.records


@pytest.mark.parametrize("name", ["summary.json", "records.jsonl"])
def test_an_absent_file_is_named_with_a_remedy(tmp_path: Path, name: str) -> None:
    write(tmp_path, SMALL)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=rf"{name} cannot be read.*robustfl run --out"):
        RunResults.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN}', b"null"])
def test_a_summary_that_is_not_a_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, SMALL)
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(StoreError, match="summary"):
        RunResults.load(tmp_path)


def test_a_broken_line_inside_the_records_is_named(tmp_path: Path) -> None:
    write(tmp_path, SMALL)
    path = tmp_path / "records.jsonl"
    path.write_text("{broken\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(StoreError, match="line 1"):
        RunResults.load(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), 2, r"`summary\.schema` should be 1\. Found 2"),
        (("schema",), True, r"`summary\.schema` should be 1"),
        (
            ("scores", "worlds", 0, "defenses", 1, "curve", 0, "W"),
            "1",
            r"defenses\[1\]\.curve\[0\]\.W` .* finite number",
        ),
        (("scores", "worlds", 0, "defenses", 0, "R_unt"), float("nan"), r"R_unt` should be a finite number"),
        (("scores", "worlds", 0, "defenses", 0, "R_unt"), 10**400, r"R_unt` should be a finite number"),
        (("scores", "worlds", 0, "defenses", 0, "R_unt_ci"), [0.1], r"R_unt_ci` should be a list of 2"),
        (("scores", "flags"), {}, r"`summary\.scores\.flags` should be a list"),
        (("suite", "name"), None, r"`summary\.suite\.name` should be a text"),
        (("trials", "failed"), True, r"`summary\.trials\.failed` should be an integer"),
    ],
)
def test_a_value_of_the_wrong_shape_is_named_by_its_path(path: tuple[Any, ...], value: Any, message: str) -> None:
    summary = copy.deepcopy(SMALL.summary)
    holder: Any = summary
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(StoreError, match=message):
        RunResults(summary=summary, records=())


def test_a_missing_key_is_named_by_its_path() -> None:
    summary = copy.deepcopy(SMALL.summary)
    del summary["scores"]["worlds"][0]["chance"]
    with pytest.raises(StoreError, match=r"`summary\.scores\.worlds\[0\]\.chance` is missing"):
        RunResults(summary=summary, records=())


def test_a_misshapen_record_is_named_by_its_number() -> None:
    records = (SMALL.records[0], {**SMALL.records[1], "labels": {"world": "w"}})
    with pytest.raises(StoreError, match=r"`record 2\.labels\.defense` is missing"):
        RunResults(summary=SMALL.summary, records=records)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


PLACES = places(SMALL.summary)[1:]
JSON = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.text(max_size=3), st.just([]), st.just({})
)


@settings(deadline=None)  # the first examples compile the templates
@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_passes_the_check_can_be_rendered(place: tuple[Any, ...], value: Any) -> None:
    summary = copy.deepcopy(SMALL.summary)
    holder: Any = summary
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    try:
        results = RunResults(summary=summary, records=SMALL.records)
    except StoreError:
        return  # refused, and by nothing but the check
    for form in (HTML(), Markdown(), Spreadsheets()):
        assert all(text.endswith("\n") for text in form.files(results).values() if text)
