"""What is published: its pages are made from its records, and only who met the whole standard suite has a rank."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.suite.standard import load_standard
from robustfl.reports import Leaderboard

PUBLISHED = Path(__file__).parents[2] / "reports" / "published"
FOLDERS = sorted(path.parent for path in PUBLISHED.glob("*/records.jsonl.xz"))


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    """Each folder in turn, so that all tests of one follow each other and its records are read once."""
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def results(folder: Path) -> RunResults:
    return RunResults.load(folder)


def test_something_is_published() -> None:
    assert FOLDERS


@pytest.mark.slow
def test_the_page_is_the_one_of_the_records(folder: Path, results: RunResults) -> None:
    assert (folder / "leaderboard.md").read_text(encoding="utf-8") == Leaderboard().render(results)


def test_every_trial_has_its_record_and_none_failed(results: RunResults) -> None:
    summary, records = results.summary, results.records
    assert summary["trials"]["failed"] == 0
    assert len({record["trial"] for record in records}) == summary["trials"]["total"] == len(records)


def test_ranks_are_for_those_that_met_the_whole_standard_suite(folder: Path, results: RunResults) -> None:
    summary = results.summary
    met = "standard-v1" if folder.name.endswith("_v1") else "standard-v2"
    assert summary["suite"]["standard"] == {"name": met, "hash": load_standard(met).hash}
    ranking = summary["scores"]["ranking"]
    assert {row["status"] for row in ranking if row["rank"] is not None} == {"ADAPTIVE"}
    assert all(row["why"] for row in ranking if row["rank"] is None)
