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
    """What was published: the worst case of each pipeline at the largest f, by world in the order of the suite."""

    @cached_property
    def summary(self) -> Any:
        return json.loads(lzma.decompress((FOLDER / "summary.json.xz").read_bytes()))

    @cached_property
    def worlds(self) -> list[dict[str, float]]:
        scored = self.summary["scores"]["worlds"]
        return [{entry["defense"]: entry["curve"][-1]["W"] for entry in world["defenses"]} for world in scored]

    @cached_property
    def minutes(self) -> float:
        """How long all trials take, one after the other."""
        text = lzma.decompress((FOLDER / "records.jsonl.xz").read_bytes())
        return sum(map(float, re.findall(rb'"total_s": ?([0-9.e-]+)', text))) / 60

    @property
    def attacks(self) -> int:
        point = self.summary["scores"]["worlds"][0]["defenses"][0]["curve"][-1]
        return len(set(point["attacks"]) - {"none"})

    @property
    def malicious(self) -> float:
        world = self.summary["scores"]["worlds"][0]
        return float(100 * world["f_grid"][-1] / world["clients"])

    def raised(self, world: int) -> int:
        """How many pipelines momentum raises, from a world without it to the next one, which has it."""
        return sum(self.worlds[world + 1][name] > kept for name, kept in self.worlds[world].items())

    @property
    def ranking(self) -> dict[str, dict[str, Any]]:
        """The rows of the ranking, the first one first."""
        return {row["defense"]: row for row in self.summary["scores"]["ranking"]}


IID, IID_MOMENTUM, UNEQUAL, MOST_UNEQUAL, MOST_UNEQUAL_MOMENTUM = 0, 1, 2, 4, 5

Claim = tuple[str, Callable[[Published], tuple[str, ...]]]
CLAIMS: list[Claim] = [
    (r"ranks (\d+) pipelines", lambda p: (str(len(p.worlds[0])),)),
    (r"under the (\d+) attacks of `standard-v1`", lambda p: (str(p.attacks),)),
    (r"(\d+) % malicious clients", lambda p: (f"{p.malicious:.0f}",)),
    (r"(\d+) seeds, ([\d ]+) trials", lambda p: (str(len(p.summary["suite"]["seeds"])), _thousands(p))),
    (r"\(Dirichlet (0\.1)\)", lambda p: ("0.1",)),
    (
        r"best are `FLTrust`, with clean data at the server \((0\.\d+)\), and `SignGuard` \((0\.\d+)\)",
        lambda p: _best(p),
    ),
    (
        r"with it nothing keeps more than (0\.\d+)",
        lambda p: (f"{max(p.worlds[MOST_UNEQUAL_MOMENTUM].values()):.2f}",),
    ),
    (r"IID data and momentum (\d+) of (\d+) keep 0\.8 to (0\.\d+)", lambda p: _kept(p)),
    (r"raises the worst case of (\d+) of (\d+) there", lambda p: (str(p.raised(IID)), str(len(p.worlds[0])))),
    (
        r"largest resilience over the worlds is (0\.\d+) \((95) % interval (0\.\d+) to (0\.\d+)\), that of `FLTrust`",
        lambda p: _largest(p),
    ),
    (r"(\d+) seeds cannot tell it from (\d+) others", lambda p: (str(len(p.summary["suite"]["seeds"])), _others(p))),
    (r"Plain averaging keeps (0\.\d+)", lambda p: (f"{p.ranking['Mean']['R_mean']:.2f}",)),
    (r"`NNM > TrimmedMean` keeps (0\.\d+) against those", lambda p: (_at_level(p, "own"),)),
    (r"(0\.\d+) against those who see the honest updates", lambda p: (_at_level(p, "updates"),)),
    (r"more than the (\d+) rows", lambda p: (str(p.summary["scores"]["worlds"][0]["clients"] - 3),)),
    (r"in about (\d+) minutes on two cores", lambda p: (str(10 * round(p.minutes / 20)),)),
]


def _thousands(published: Published) -> str:
    return f"{published.summary['trials']['total']:,}".replace(",", " ")


def _best(published: Published) -> tuple[str, ...]:
    world = published.worlds[MOST_UNEQUAL]
    first, second = sorted(world, key=lambda name: -world[name])[:2]
    assert (first, second) == ("FLTrust", "SignGuard")
    return f"{world[first]:.2f}", f"{world[second]:.2f}"


def _kept(published: Published) -> tuple[str, ...]:
    values = published.worlds[IID_MOMENTUM].values()
    return str(sum(value >= 0.8 for value in values)), str(len(values)), f"{max(values):.2f}"


def _largest(published: Published) -> tuple[str, ...]:
    name, row = next(iter(published.ranking.items()))
    assert name == "FLTrust"
    confidence = 100 * (1 - published.summary["scores"]["settings"]["alpha"])
    return (f"{row['R_mean']:.2f}", f"{confidence:.0f}", *(f"{end:.2f}" for end in row["R_ci"]))


def _others(published: Published) -> str:
    return str(sum(row["tied"] for row in published.ranking.values()))


def _at_level(published: Published, level: str) -> str:
    return f"{published.ranking['NNM > TrimmedMean']['R_levels'][level]:.2f}"


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
    text = leaderboard()
    assert "No rule keeps half of the utility in all six worlds" in text
    assert len(published.worlds) == 6
    assert max(min(world[name] for world in published.worlds) for name in published.worlds[0]) < 0.5
    assert "lowers that of more than half" in text
    for number in (UNEQUAL, MOST_UNEQUAL):
        before, after = published.worlds[number], published.worlds[number + 1]
        assert sum(after[name] < before[name] for name in before) > len(before) / 2
