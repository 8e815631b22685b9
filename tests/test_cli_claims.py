"""Claims on the command line: printed after the ranking, in JSON, in a file of their own, and checked before a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITE = """\
name: tiny
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 5, rounds: 2}
adversary: {f: [0, 1]}
defenses: [mean, median]
attacks: [sign_flip]
seeds: 2
"""
CLAIMS = """\
claims:
  - {text: One size., source: "Somebody, 2024", measure: bytes_up(mean) / bytes_up(median), expect: between 1 and 1}
  - {text: Nothing is known of this., source: "Somebody, 2024", measure: "more(mean, fairness)", expect: "> 0"}
"""

Command = Callable[..., Any]


@pytest.fixture
def play(inside: Command, tmp_path: Path) -> Callable[..., Any]:
    """`play(text, "--json")`: the finished run of a suite with this text, in one folder."""

    def played(text: str, *options: str) -> Any:
        (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
        return inside("run", "suite.yaml", "--out", "out", "--workers", "0", *options, cwd=tmp_path)

    return played


@pytest.mark.slow
def test_claims_follow_the_ranking_and_have_a_file(play: Callable[..., Any], tmp_path: Path) -> None:
    done = play(SUITE + CLAIMS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.index("Claims") > next(number for number, line in enumerate(lines) if line.startswith("rank"))
    (confirmed,) = (line for line in lines if line.startswith("One size."))
    assert confirmed.split()[-6:] == ["between", "1", "and", "1", "1.00", "confirmed"]
    assert "Mean under no attack with f=0: the records hold no 'fairness'." in " ".join(done.stdout.split())
    with (tmp_path / "out" / "claims.csv").open(newline="") as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == ["confirmed", "not measured"]

    answer = json.loads(play(SUITE + CLAIMS, "--json").stdout)
    assert [claim["verdict"] for claim in answer["claims"]] == ["confirmed", "not measured"]
    assert "out/claims.csv" in answer["files"]

    plain = play(SUITE)
    assert "Claims" not in plain.stdout
    assert not (tmp_path / "out" / "claims.csv").exists(), "no verdicts stay behind without their claims"


def test_a_wrong_name_in_a_claim_stops_the_run_before_it_begins(play: Callable[..., Any], tmp_path: Path) -> None:
    done = play(SUITE + CLAIMS.replace("bytes_up(median)", "bytes_up(medan)"))
    assert done.returncode == 2
    assert (
        "claims.0.measure: This suite has no defense 'medan'. Did you mean 'median' or 'mean'? (line 9)" in done.stderr
    )
    assert not (tmp_path / "out").exists()
