"""The numbers that the README gives of the published leaderboard are rounded from its records, and none is left out."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "reports" / "published" / "leaderboard_digits"


class Published:
    """What was published: one world, in which each pipeline meets the attacks of the standard suite."""

    @cached_property
    def summary(self) -> Any:
        return json.loads(lzma.decompress((FOLDER / "summary.json.xz").read_bytes()))

    @cached_property
    def world(self) -> dict[str, Any]:
        (world,) = self.summary["scores"]["worlds"]
        return dict(world)

    @cached_property
    def minutes(self) -> float:
        """How long all trials take, one after the other."""
        text = lzma.decompress((FOLDER / "records.jsonl.xz").read_bytes())
        return sum(map(float, re.findall(rb'"total_s": ?([0-9.e-]+)', text))) / 60

    @property
    def attacks(self) -> tuple[str, str]:
        """The number of attacks that every pipeline met, and of those that were made for some rules."""
        curves = [own["curve"][-1]["attacks"] for own in self.world["defenses"] if own["defense"] != ALONE]
        fitting = [{name for name, cell in met.items() if cell["U"] is not None} - {"none"} for met in curves]
        common = set.intersection(*fitting)
        return str(len(common)), str(len({name for met in curves for name in met} - {"none"} - common))

    @property
    def malicious(self) -> float:
        return float(100 * self.world["f_grid"][-1] / self.world["clients"])

    @property
    def ranking(self) -> dict[str, dict[str, Any]]:
        """The rows of the ranking, the first one first, without the yardstick."""
        return {row["defense"]: row for row in self.summary["scores"]["ranking"]}


ALONE = "server alone"

Claim = tuple[str, Callable[[Published], tuple[str, ...]]]
CLAIMS: list[Claim] = [
    (r"shows (\d+) pipelines", lambda p: (str(len(p.ranking.keys() - {ALONE})),)),
    (r"`standard-v2`, (\d+) attacks and (\d+) more that are made", lambda p: p.attacks),
    (r"\(Dirichlet (0\.5)\)", lambda p: (re.findall(r"alpha=([\d.]+)", p.world["world"])[0],)),
    (r"(\d+) % malicious clients", lambda p: (f"{p.malicious:.0f}",)),
    (r"(\d+) seeds, ([\d ]+) trials", lambda p: (str(len(p.summary["suite"]["seeds"])), _thousands(p))),
    (
        r"`Median` keeps most, (0\.\d+) \((95) % interval (0\.\d+) to (0\.\d+)\)",
        lambda p: _first(p),
    ),
    (r"(\d+) seeds cannot tell it from (\d+) others", lambda p: (str(len(p.summary["suite"]["seeds"])), _others(p))),
    (r"clean data at the server, keeps (0\.\d+)", lambda p: (_kept(p, "FLTrust"),)),
    (r"without a client, would keep (0\.\d+)", lambda p: (_kept(p, ALONE),)),
    (r"`ARC > CAF` keeps (0\.\d+) against those who have", lambda p: (_at_level(p, "own"),)),
    (r"own data alone, (0\.\d+) against those who see", lambda p: (_at_level(p, "updates"),)),
    (r"honest updates, and (0\.\d+) against those who know everything", lambda p: (_kept(p, "ARC > CAF"),)),
    (r"Without an attack it keeps (0\.\d+)", lambda p: (f"{p.ranking['ARC > CAF']['undisturbed']:.2f}",)),
    (r"Plain averaging keeps (0\.\d+)", lambda p: (_kept(p, "Mean"),)),
    (r"in about (\d+) minutes on two cores", lambda p: (str(10 * round(p.minutes / 20)),)),
]


def _thousands(published: Published) -> str:
    return f"{published.summary['trials']['total']:,}".replace(",", " ")


def _first(published: Published) -> tuple[str, ...]:
    """What the first ranked row keeps, and its interval."""
    name, row = next((name, row) for name, row in published.ranking.items() if row["rank"] is not None)
    assert name == "Median"
    confidence = 100 * (1 - published.summary["scores"]["settings"]["alpha"])
    return (f"{row['R_mean']:.2f}", f"{confidence:.0f}", *(f"{end:.2f}" for end in row["R_ci"]))


def _others(published: Published) -> str:
    return str(sum(row["tied"] for row in published.ranking.values()))


def _kept(published: Published, defense: str) -> str:
    return f"{published.ranking[defense]['R_mean']:.2f}"


def _at_level(published: Published, level: str) -> str:
    return f"{published.ranking['ARC > CAF']['R_levels'][level]:.2f}"


@pytest.fixture(scope="module")
def published() -> Published:
    return Published()


def leaderboard() -> str:
    """The section of the README, on one line, without links."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    (found,) = [part for part in section if part.startswith("Leaderboard\n")]
    return " ".join(re.sub(r"\]\([^)]*\)", "]", found).split())


@pytest.mark.parametrize(("pattern", "value"), CLAIMS, ids=[pattern for pattern, _ in CLAIMS])
def test_a_number_is_rounded_from_the_records(
    pattern: str, value: Callable[[Published], tuple[str, ...]], published: Published
) -> None:
    found = re.findall(pattern, leaderboard())
    assert len(found) == 1, "the sentence was rewritten: say here what its numbers are rounded from"
    groups = found[0] if isinstance(found[0], tuple) else found
    assert tuple(groups) == value(published)


def test_no_number_is_left_out() -> None:
    text = leaderboard()
    for pattern, _ in CLAIMS:
        text = re.sub(pattern, "", text)
    text = re.sub(r"`[^`]*`", "", text)  # names
    assert re.findall(r"\d[\d.]*", text) == []


def test_what_is_said_without_numbers(published: Published) -> None:
    assert "Nothing holds against an attacker who knows everything and plans ahead" in leaderboard()
    hearing = {name: row for name, row in published.ranking.items() if name != ALONE}
    assert max(row["R_mean"] for row in hearing.values()) < published.summary["scores"]["settings"]["threshold"]
    strongest = {own["defense"]: own["curve"][-1]["worst_attack"] for own in published.world["defenses"]}
    assert all("PlannedDrift" in strongest[name] for name in hearing)
    assert "told one too few, keeps nothing" in leaderboard()
    (told,) = [
        f for f in published.summary["scores"]["flags"] if (f["code"], f["defense"]) == ("F_EXACT", "TrimmedMean")
    ]
    assert "0% when it is told 2" in told["message"]
