"""What peers reach alone: a row of every ranking of peers, once for each world, without a rank."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from robustfl import console
from robustfl.evaluation.results.records import more_of
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.score.headline import headline
from robustfl.evaluation.score.peers import BASELINE, baselines, contestants, served
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.trust.status import BASELINE as WHY
from robustfl.reports import HTML, Latex, Leaderboard, Markdown, Spreadsheets
from tests.evaluation.run.tiny import SUITE as SERVED
from tests.reports.synthetic import run as synthetic

SUITE: dict[str, Any] = {
    "name": "peers",
    "task": {"data": "digits", "model": "softmax", "partition": {"dirichlet": {"alpha": 0.3}}},
    "federation": {"clients": 6, "rounds": 4, "batch_size": 8, "local_learning_rate": 0.5, "topology": "complete"},
    "adversary": {"f": [1]},
    "defenses": ["gossip", "nna"],
    "attacks": ["echo", "dissensus"],
    "seeds": 3,
}
LISTED = {**SUITE, "defenses": ["gossip", "alone", "nna"]}
WORLDS = {**SUITE, "federation": {**SUITE["federation"], "topology": ["complete", "ring"]}}


def played(suite: dict[str, Any], folder: Path) -> RunResults:
    run_experiment(Experiment(suite), RunOptions(out=folder, workers=0, command="robustfl run peers"), Quiet())
    return RunResults.load(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    return played(SUITE, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    return played(LISTED, tmp_path_factory.mktemp("listed"))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    return played(WORLDS, tmp_path_factory.mktemp("worlds"))


def terminal(results: RunResults) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=300).print(console.ranking_table(results.summary["scores"]))
    return text.getvalue().splitlines()


def pages(results: RunResults) -> dict[str, tuple[str, str]]:
    """The tables of ranks as text, and how an accuracy is written there."""
    html = HTML().render(results).split("Ranking</h2>")[1].split("</section>")[0]
    return {
        "terminal": ("\n".join(terminal(results)), ".2f"),
        "markdown": (Markdown().render(results).split("## Ranking")[1].split("\n## ")[0], ".3f"),
        "html": (re.sub(r"<[^>]*>", "", html), ".3f"),
        "csv": (str(Spreadsheets().files(results)["ranking.csv"]), ""),
        "latex": (Latex().render(results), ".2f"),
    }


def test_the_row_has_the_means_over_the_seeds_of_what_was_measured_with_the_plain_rule(plain: RunResults) -> None:
    # A rule that is told of one malicious peer, and of none, has a trial of each, which measure the same.
    measured = [(r["seed"], more_of(r)) for r in plain.records if more_of(r).get("alone_mean") is not None]
    assert {(seed, more["alone_mean"], more["alone_worst"]) for seed, more in measured} == {
        (seed, more["alone_mean"], more["alone_worst"]) for seed, more in dict(measured).items()
    }
    found = [more for _, more in sorted(dict(measured).items())]
    assert len(found) == 3
    (row,) = baselines(plain.summary["scores"])
    assert row.name == BASELINE
    assert row.played is None
    assert row.alone["mean"] == pytest.approx(sum(more["alone_mean"] for more in found) / 3)
    assert row.alone["worst"] == pytest.approx(sum(more["alone_worst"] for more in found) / 3)
    assert row.alone["mean_per_seed"] == [more["alone_mean"] for more in found]
    assert 0 < (row.alone["worst"] or 0) < (row.alone["mean"] or 0) < 1


def test_defenses_have_the_accuracies_behind_their_worst_case(plain: RunResults) -> None:
    scores = plain.summary["scores"]
    for row in scores["ranking"]:
        own = served(scores, row)
        assert own is not None
        assert (own["attack"], own["f"], own["diverged"]) == (row["worst_attack"], 1, False)
        behind = [
            more_of(record)["worst_peer"]
            for record in plain.records
            if (record["labels"]["defense"], record["labels"]["attack"]) == (row["defense"], own["attack"])
        ]
        assert len(behind) == 3
        assert own["worst"] == pytest.approx(sum(behind) / 3)
        assert own["mean"] > own["worst"]  # type: ignore[operator]  # both were measured


@pytest.mark.parametrize("name", ["plain", "listed"])
def test_every_ranking_has_the_row_once(name: str, request: pytest.FixtureRequest) -> None:
    results: RunResults = request.getfixturevalue(name)
    (row,) = baselines(results.summary["scores"])
    for page, (text, form) in pages(results).items():
        assert text.count(BASELINE) == 1, page
        for value in (row.alone["mean"], row.alone["worst"]):
            assert format(value, form) in text, page
        assert "Alone" not in text, page


def test_several_worlds_have_a_row_each(worlds: RunResults) -> None:
    names = [row.name for row in baselines(worlds.summary["scores"])]
    assert names == [f"{BASELINE}, Complete", f"{BASELINE}, Ring"]
    for page, (text, _) in pages(worlds).items():
        assert all(text.count(name) == 1 for name in names), page


def test_who_hears_nobody_has_no_rank_and_moves_nobody(plain: RunResults, listed: RunResults) -> None:
    first, second = ({row["defense"]: row for row in one.summary["scores"]["ranking"]} for one in (plain, listed))
    assert second["Alone"]["rank"] is None
    assert second["Alone"]["why"] == [WHY]
    assert second["Alone"]["status"] == "ADAPTIVE"
    assert all(second[name]["rank"] == first[name]["rank"] for name in first)
    assert all("Alone" not in row["beats"] and "Alone" not in row["beaten_by"] for row in second.values())
    assert [row["defense"] for row in contestants(listed.summary["scores"])] == [
        row["defense"] for row in plain.summary["scores"]["ranking"]
    ]
    (row,) = baselines(listed.summary["scores"])
    assert row.played is not None
    assert row.played["R_unt"] == second["Alone"]["R_mean"] is not None
    assert headline(listed.summary) == headline(plain.summary)


def test_the_section_about_peers_has_the_row_once_and_duels_are_between_defenses(listed: RunResults) -> None:
    text = Markdown().render(listed).split("### Peers without a server")[1].split("\n##")[0]
    assert text.count(BASELINE) == 1
    assert "| Alone |" not in text


def test_the_leaderboard_has_the_row_too(plain: RunResults) -> None:
    summary: Any = {**plain.summary, "suite": {**plain.summary["suite"], "standard": {"name": "s", "hash": "0"}}}
    text = Leaderboard().render(RunResults(summary=summary, records=plain.records))
    (row,) = baselines(plain.summary["scores"])
    line = next(line for line in text.splitlines() if BASELINE in line)
    assert f"{row.alone['mean']:.3f} | {row.alone['worst']:.3f}" in line


def test_the_sheet_has_the_accuracies_as_numbers(worlds: RunResults) -> None:
    rows = list(csv.DictReader(io.StringIO(str(Spreadsheets().files(worlds)["ranking.csv"]))))
    last = rows[-2:]
    assert [row["rank"] for row in last] == ["", ""]
    assert [row["status"] for row in last] == ["baseline"] * 2
    assert [row["world"] for row in last] == [world["world"] for world in worlds.summary["scores"]["worlds"]]
    for row, known in zip(last, baselines(worlds.summary["scores"]), strict=True):
        assert float(row["mean_peer"]) == pytest.approx(known.alone["mean"], abs=1e-4)
    assert all(float(row["worst_peer"]) > 0 for row in rows)


def test_claims_stand_beside_it(tmp_path: Path) -> None:
    measure = "more(gossip, mean_peer) - more(gossip, alone_mean)"
    claim = {"text": "Averaging adds something.", "source": "expectation", "measure": measure, "expect": "> 0"}
    results = played({**SUITE, "attacks": [], "claims": [claim], "seeds": 2}, tmp_path)
    (found,) = results.summary["claims"]
    (row,) = baselines(results.summary["scores"])
    assert found["parts"]["more(gossip, alone_mean)"] == pytest.approx(row.alone["mean"])
    text = Markdown().render(results).split("## Claims")[1].split("\n## ")[0]
    assert f"without a network the mean peer reaches {row.alone['mean']:.3f}" in text


def test_the_headline_says_it_and_calls_nothing_the_best_that_is_worse(plain: RunResults) -> None:
    summary: Any = plain.summary
    (row,) = baselines(summary["scores"])
    best = served(summary["scores"], contestants(summary["scores"])[0])
    assert best is not None
    told = f"alone they reach {row.alone['mean']:.2f} and {row.alone['worst']:.2f}."
    assert told in headline(summary)
    peers = summary["scores"]["worlds"][0]["peers"]

    def with_alone(mean: float | None, worst: float | None) -> str:
        changed = {**peers, "alone": {**peers["alone"], "mean": mean, "worst": worst}}
        world = {**summary["scores"]["worlds"][0], "peers": changed}
        flags = [flag for flag in summary["scores"]["flags"] if flag["code"] != "SCENARIO_NOT_ATTACKABLE"]
        changed_summary: Any = {**summary, "scores": {**summary["scores"], "worlds": [world], "flags": flags}}
        return headline(changed_summary)

    assert "end below peers alone." in with_alone(best["mean"] + 0.01, best["worst"] + 0.01)  # type: ignore[operator]
    assert "end below peers alone." not in with_alone(best["mean"] + 0.01, best["worst"])  # type: ignore[operator]
    assert "alone they" not in with_alone(None, None)


def test_a_seed_that_is_missing_is_no_mean(plain: RunResults) -> None:
    from robustfl.evaluation.score.peers import peers_report

    records = {record["trial"]: record for record in plain.records}
    trials = [t for t, record in records.items() if more_of(record).get("alone_mean") is not None]
    world = plain.summary["scores"]["worlds"][0]
    found = peers_report(world, records, [*trials[:2], "lost"], None)
    assert found is not None
    assert found["alone"]["mean"] is None
    assert found["alone"]["mean_per_seed"][2] is None
    assert peers_report(world, {}, trials, None) is None


def test_where_clients_have_a_server_nothing_is_added(tmp_path: Path) -> None:
    results = played({**SERVED, "seeds": 1}, tmp_path)
    assert [world["peers"] for world in results.summary["scores"]["worlds"]] == [None]
    assert baselines(results.summary["scores"]) == baselines(synthetic().summary["scores"]) == []
    assert "Mean peer" not in Markdown().render(results)
    assert "worst\npeer" not in "\n".join(terminal(results))
