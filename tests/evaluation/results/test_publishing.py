"""Published runs: packed files that every reader of a run takes for the run itself."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from robustfl.errors import DataError, StoreError
from robustfl.evaluation.results import store
from robustfl.evaluation.results.baseline import load_stored
from robustfl.evaluation.results.publishing import FILES, publish
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import Markdown
from tests.reports.synthetic import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    results = run(worlds=("digits, IID",), f_grid=(0, 3), seeds=(0, 1))
    finished = tmp_path / "run"
    finished.mkdir()
    (finished / "summary.json").write_text(json.dumps(results.summary))
    (finished / "records.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in results.records))
    return finished


def test_reports_of_what_is_published_are_those_of_the_run(folder: Path, tmp_path: Path) -> None:
    files = publish(folder, tmp_path / "deep" / "published")
    assert [file.name for file in files] == ["summary.json.xz", "records.jsonl.xz"]
    assert sum(file.stat().st_size for file in files) < sum((folder / name).stat().st_size for name in FILES) / 5
    packed = RunResults.load(files[0].parent)
    assert packed == RunResults.load(folder)
    assert Markdown().render(packed) == Markdown().render(RunResults.load(folder))


def test_equal_runs_give_equal_files(folder: Path, tmp_path: Path) -> None:
    first, second = publish(folder, tmp_path / "a"), publish(folder, tmp_path / "b")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_a_comparison_reads_published_runs(tmp_path: Path) -> None:
    from tests.evaluation.stored_runs import one

    stored = one([0.5])
    (tmp_path / "summary.json").write_text(json.dumps(stored))
    plain = load_stored(tmp_path)
    store.pack(tmp_path / "summary.json", (tmp_path / "summary.json").read_bytes())
    (tmp_path / "summary.json").unlink()
    assert load_stored(tmp_path) == plain


def test_the_plain_file_is_read_where_both_are_there(tmp_path: Path) -> None:
    store.pack(tmp_path / "x", b"packed")
    assert store.content(tmp_path / "x") == b"packed"
    (tmp_path / "x").write_bytes(b"plain")
    assert store.content(tmp_path / "x") == b"plain"


@pytest.mark.parametrize("damage", [b"nonsense", lzma.compress(b"x" * 1000)[:-20]])
def test_damaged_files_are_refused(damage: bytes, folder: Path, tmp_path: Path) -> None:
    published = tmp_path / "published"
    publish(folder, published)
    (published / "records.jsonl.xz").write_bytes(damage)
    with pytest.raises(StoreError, match=r"records.jsonl.xz cannot be unpacked.*Fetch it again"):
        RunResults.load(published)


def test_what_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.pack(tmp_path / "x", b"0" * 10_000)
    monkeypatch.setattr(store, "UNPACKED", 9_999)
    with pytest.raises(StoreError, match="which no run is"):
        store.content(tmp_path / "x")


def test_nothing_is_published_over_a_run_or_a_file_or_without_results(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds summary.json, which would be read"):
        publish(folder, folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        publish(folder, tmp_path / "file")
    with pytest.raises(DataError, match="cannot be read"):
        publish(tmp_path / "nowhere", tmp_path / "published")
    assert not (tmp_path / "published").exists()
