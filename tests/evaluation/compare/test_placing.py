"""A defense in a published table: its place is the one that it would have if all had been run together."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from robustfl.errors import DataError
from robustfl.evaluation.compare.comparison import compare_runs
from robustfl.evaluation.compare.placing import place
from robustfl.evaluation.results.joining import joined
from robustfl.evaluation.results.publishing import publish_results
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import content
from robustfl.evaluation.statistics import paired_interval, paired_test
from robustfl.evaluation.suite.matching import matched, world_content
from robustfl.stored import leaderboard
from tests.evaluation.stored_runs import one as run_of_one_cell

PUBLISHED = Path(__file__).parents[3] / "reports" / "published" / "leaderboard_digits"
OWN = "CAF"
WORLD = {
    "task": {"data": {"name": "digits"}, "model": {"name": "softmax"}, "partition": {"name": "iid"}},
    "federation": {"clients": 15, "rounds": 120},
}


@lru_cache(maxsize=1)
def whole() -> dict[str, Any]:
    """The published summary, whose records are not needed here."""
    summary: dict[str, Any] = json.loads(content(PUBLISHED / "summary.json"))
    summary["scores"]["worlds"][0]["settings"] = WORLD
    return summary


def part(keep: Callable[[str], bool], world: str = "") -> dict[str, Any]:
    """The summary of a run with some of the published defenses."""
    summary: dict[str, Any] = copy.deepcopy(whole())
    scores = summary["scores"]
    scores["ranking"] = [row for row in scores["ranking"] if keep(row["defense"])]
    for found in (scores["worlds"], *(summary[axis] for axis in ("side_effects", "targeted", "faults"))):
        for own in found:
            own["defenses"] = [entry for entry in own["defenses"] if keep(entry["defense"])]
            own["world"] = world or own["world"]
    cards = summary["components"]["defenses"]
    summary["components"]["defenses"] = {name: card for name, card in cards.items() if keep(name)}
    return summary


def table() -> dict[str, Any]:
    return part(lambda name: name != OWN)


def own_run() -> dict[str, Any]:
    return part(lambda name: name in (OWN, "Mean", "server alone"), world="another name")


def results(summary: dict[str, Any]) -> RunResults:
    return RunResults(summary=summary, records=())  # type: ignore[arg-type]


def test_the_place_is_that_of_a_run_of_all() -> None:
    found = place(results(table()), results(own_run()))
    assert found.added == (OWN,)
    assert found.labels == {"another name": whole()["scores"]["worlds"][0]["world"]}
    known = {row["defense"]: row for row in whole()["scores"]["ranking"]}
    assert [row["defense"] for row in found.ranking] == list(known)
    for row in found.ranking:
        expected = known[row["defense"]]
        for key in ("rank", "R_mean", "R_min", "R_ci", "W_at_max_f", "worst_attack", "tied", "status", "why", "world"):
            assert row[key] == expected[key], key
        assert sorted(row["beats"]) == sorted(expected["beats"])
    assert any("is called" in text or "is 'Digits" in text for text in found.remarks)


def test_neighbours_are_judged_by_paired_differences() -> None:
    found = place(results(table()), results(own_run()), around=3)
    rows = [row["defense"] for row in found.ranking]
    at = rows.index(OWN)
    assert [one.row["defense"] for one in found.neighbours[OWN]] == [*rows[at - 3 : at], *rows[at + 1 : at + 4]]
    known = {row["defense"]: row for row in whole()["scores"]["ranking"]}
    for one in found.neighbours[OWN]:
        assert one.difference == pytest.approx(known[OWN]["R_mean"] - one.row["R_mean"], abs=1e-9)
        assert one.interval is not None
        assert one.interval[0] < one.difference < one.interval[1]
        beats, beaten = one.row["defense"] in known[OWN]["beats"], OWN in one.row["beats"]
        assert one.verdict == ("better" if beats else "worse" if beaten else "cannot be told apart")


def test_who_beats_whom_and_who_has_no_rank_is_said() -> None:
    run = results(part(lambda name: name in ("Median", "Mean"), world="another name"))
    found = place(results(part(lambda name: name != "Median")), run, around=20).neighbours["Median"]
    verdicts = {one.row["defense"]: one.verdict for one in found}
    assert (verdicts["Mean"], verdicts["CAF"], verdicts["FLTrust"]) == (
        "better",
        "cannot be told apart",
        "FLTrust has no rank",
    )


def test_what_is_joined_is_what_all_together_would_be(tmp_path: Path) -> None:
    published, run = results(table()), results(own_run())
    found = place(published, run)
    scores = {"worlds": found.worlds, "ranking": found.ranking, "pairs": found.pairs}
    both = joined(published, run, added=found.added, labels=found.labels, **scores)
    summary = whole()
    assert [row["defense"] for row in both.summary["scores"]["ranking"]] == [
        row["defense"] for row in summary["scores"]["ranking"]
    ]
    for axis in ("scores", "targeted", "side_effects"):
        worlds = both.summary[axis]["worlds"] if axis == "scores" else both.summary[axis]  # type: ignore[literal-required]
        before = summary[axis]["worlds"] if axis == "scores" else summary[axis]
        names = [sorted(entry["defense"] for entry in world["defenses"]) for world in worlds]
        assert names == [sorted(entry["defense"] for entry in world["defenses"]) for world in before]
        assert [world["world"] for world in worlds] == [world["world"] for world in before]
    assert both.summary["provenance"][f"added: {OWN}"].startswith(
        f"robustfl 0.1.0, commit {summary['provenance']['commit']}, python 3.11.7, numpy 2.4.6"
    )
    publish_results(both, tmp_path / "out")
    assert RunResults.load(tmp_path / "out") == RunResults(summary=json.loads(json.dumps(both.summary)), records=())


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    summary = own_run()
    holder: Any = summary
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return summary


OTHER = {**WORLD, "federation": {"clients": 15, "rounds": 121}}
FIRST = ("scores", "worlds", 0)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("suite", "standard"), None, "The run is not of a suite with a standard list"),
        (("suite", "standard"), {"name": "standard-v2", "hash": "0"}, r"met other attacks: .*hash 0\)"),
        (("scores", "settings", "accuracy"), "macro_f1", "accuracy='macro_f1' in the run, and 'balanced_accuracy'"),
        ((*FIRST, "settings"), OTHER, "The worlds should be the same"),
        ((*FIRST, "f_grid"), [0, 4], r"`f_grid` should be .*, \[0, 3\]. Found \[0, 4\]"),
        ((*FIRST, "clients"), 16, "`clients` should be"),
        ((*FIRST, "chance"), 0.2, "`chance` should be"),
    ],
    ids=["no standard", "other list", "other measure", "other world", "other grid", "other clients", "other data"],
)
def test_what_does_not_compare_is_refused_with_the_reason(path: tuple[Any, ...], value: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        place(results(table()), results(changed(path, value)))


def test_other_seeds_are_refused() -> None:
    summary = own_run()
    summary["scores"]["worlds"][0]["seeds"] = [5, 6, 7, 8, 9]
    with pytest.raises(DataError, match=r"`seeds` should be .*, \[0, 1, .*, 8, 9\]. Found \[5, 6, 7, 8, 9\]"):
        place(results(table()), results(summary))


def test_a_run_without_anything_new_is_refused() -> None:
    with pytest.raises(DataError, match="no defense that the published table lacks"):
        place(results(whole()), results(own_run()))


def test_a_doubted_defense_has_numbers_and_no_rank() -> None:
    summary = own_run()
    for row in summary["scores"]["ranking"]:
        row |= {"rank": None, "status": "SUSPECT", "why": ["x"]}
    found = place(results(table()), results(summary))
    row = next(row for row in found.ranking if row["defense"] == OWN)
    assert (row["rank"], row["status"], row["why"]) == (None, "SUSPECT", ["x"])
    assert {one.verdict for one in found.neighbours[OWN]} == {f"{OWN} has no rank"}


def test_other_baselines_are_told() -> None:
    summary = own_run()
    summary["scores"]["worlds"][0]["baseline"]["per_seed"][0] += 0.01
    assert any("another machine or version" in text for text in place(results(table()), results(summary)).remarks)


@pytest.mark.parametrize("strata", [None, [0, 0, 0, 1, 1, 1]], ids=["one world", "two worlds"])
def test_the_interval_belongs_to_the_paired_test(strata: list[int] | None) -> None:
    a, b = [0.5, 0.61, 0.7, 0.2, 0.4, 0.35], [0.45, 0.5, 0.66, 0.21, 0.3, 0.3]
    _, p = paired_test(a, b, strata)
    low, high = paired_interval(a, b, strata, confidence=1 - p)
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-9)
    assert paired_interval([1.0, 2.0], [0.5, 1.5]) == (0.5, 0.5)


def test_worlds_have_the_content_that_later_defaults_give_them() -> None:
    old = {**WORLD, "federation": {"clients": 15, "rounds": 120}}
    new = {**WORLD, "federation": {"clients": 15, "rounds": 120, "participation_sampling": "fixed"}}
    assert world_content(old) == world_content(new)
    assert world_content(old) != world_content(OTHER)
    unknown = {"task": {"data": "a world of another version"}, "federation": {}}
    assert world_content(unknown) == world_content(dict(unknown))


def test_worlds_are_found_by_content_then_by_label() -> None:
    def world(label: str, settings: dict[str, Any] | None) -> Any:
        return {"world": label} if settings is None else {"world": label, "settings": settings}

    def found(first: list[Any], second: list[Any]) -> list[tuple[str | None, str | None]]:
        return [(a and a["world"], b and b["world"]) for a, b in matched(first, second)]

    assert found([world("a", WORLD)], [world("b", WORLD)]) == [("a", "b")]
    assert found([world("a", WORLD)], [world("a", OTHER)]) == [("a", None), (None, "a")]
    assert found([world("a", WORLD)], [world("a", None)]) == [("a", "a")]
    assert found([world("a", None), world("b", None)], [world("b", None)]) == [("a", None), ("b", "b")]
    swapped = [world("b", WORLD), world("a", OTHER)]
    assert found([world("a", WORLD), world("b", OTHER)], swapped) == [("a", "b"), ("b", "a")]


def test_a_comparison_finds_a_renamed_world() -> None:
    before, after = run_of_one_cell([0.5] * 5), run_of_one_cell([0.5] * 5)
    for summary, label in ((before, "short"), (after, "long")):
        summary["scores"]["worlds"][0] |= {"world": label, "settings": WORLD}
    found = compare_runs(before, after)  # type: ignore[arg-type]
    assert found.outcome == "PASS"
    assert found.remarks[0] == "The world 'short' is called 'long' in the second run."
    after["scores"]["worlds"][0]["settings"] = OTHER
    with pytest.raises(DataError, match="the world 'short' is in the first run alone"):
        compare_runs(before, after)  # type: ignore[arg-type]


def test_the_command_changes_no_published_file_unless_told(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("table", "run")]
    for folder, summary in zip(folders, (table(), own_run()), strict=True):
        publish_results(results(summary), folder)
    before = {file: file.read_bytes() for file in folders[0].iterdir()}
    arguments = ["add", str(folders[1]), "--to", str(folders[0])]
    shown = CliRunner().invoke(leaderboard, arguments, catch_exceptions=False)
    (known,) = [row for row in whole()["scores"]["ranking"] if row["defense"] == OWN]
    assert f"{OWN}: rank 1, resilience {known['R_mean']:.2f} (95 % interval" in shown.stdout
    assert "below 0 where a model is worse than guessing" in shown.stdout
    assert "Nothing was written" in shown.stdout
    assert {file: file.read_bytes() for file in folders[0].iterdir()} == before
    shown = CliRunner().invoke(leaderboard, [*arguments, "--out", str(tmp_path / "new"), "--json"])
    told = json.loads(shown.stdout)
    assert told["added"][OWN]["rank"] == 1
    assert [entry["verdict"] for entry in told["neighbours"][OWN]] == ["cannot be told apart"] * 4
    assert f"| 1 | {OWN} | {known['R_mean']:.2f}" in (tmp_path / "new" / "leaderboard.md").read_text()
    assert {file: file.read_bytes() for file in folders[0].iterdir()} == before
