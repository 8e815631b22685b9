"""What the published leaderboard says of one defense or one attack, read from its packed summary and records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from robustfl.evaluation.results.records import Record, mean_curve
from robustfl.evaluation.results.store import content, read_records
from robustfl.registry import folded

LEADERBOARD = Path(__file__).resolve().parent.parent / "reports" / "published" / "leaderboard_digits"

Points = list[tuple[int, float]]

LEVELS = {"own": "own data", "updates": "honest updates", "everything": "everything"}
"""What attackers know, by the keys of summaries."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A row of the leaderboard, told in numbers that are rounded as the leaderboard rounds them."""

    defense: str
    rank: str
    resilience: str
    interval: str
    undisturbed: str
    kept: tuple[str, ...]
    """What is kept against attackers of each level of knowledge, in the order of `LEVELS`."""
    worst: tuple[tuple[str, str], ...]
    """The attacks under which least is kept, with what is kept, the worst one first."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How the accuracy of a pipeline goes over the rounds, as means over the seeds, beside that of all others."""

    defense: str
    attack: str
    attacked: Points
    calm: Points
    """Without an attack."""
    others: tuple[Points, ...]
    """The other pipelines under an attack: the same one, or each under its worst."""

    @property
    def diverged(self) -> bool:
        """Whether training blows up under the attack for some seed, which ends the curve or leaves none."""
        return not self.attacked or self.attacked[-1][0] < self.calm[-1][0]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published run of one world, such as that of :data:`LEADERBOARD`."""

    folder: Path = LEADERBOARD

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The whole summary."""
        found: dict[str, Any] = json.loads(content(self.folder / "summary.json"))
        return found

    @property
    def title(self) -> str:
        """The name of the suite and what was played."""
        return f"`{self.summary['suite']['name']}`: {self.summary['scores']['worlds'][0]['world']}"

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records by the id of their trial."""
        return {record["trial"]: record for record in read_records(self.folder / "records.jsonl")}

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        chance: float = self.summary["scores"]["worlds"][0]["chance"]
        return chance

    def standings(self, name: str = "") -> list[Standing]:
        """The rows in the order of the ranking; with a name, those of the pipelines that this defense is a stage of."""
        rows = [row for row in self.summary["scores"]["ranking"] if not name or name in parts(row["defense"])]
        return [self._standing(row) for row in rows]

    def _standing(self, row: dict[str, Any]) -> Standing:
        met = {attack: cell["U"] for attack, cell in self._last(row["defense"]).items() if cell["U"] is not None}
        worst = sorted((value, attack) for attack, value in met.items() if attack != "none")[:5]
        rank = "not ranked" if row["rank"] is None else f"≈{row['rank']}" if row["tied"] else str(row["rank"])
        interval = "none" if row["R_ci"] is None else "{:.2f} to {:.2f}".format(*row["R_ci"])
        return Standing(
            defense=row["defense"],
            rank=rank,
            resilience=f"{row['R_mean']:.2f}",
            interval=interval,
            undisturbed=f"{row['undisturbed']:.2f}",
            kept=tuple(f"{row['R_levels'][level]:.2f}" for level in LEVELS),
            worst=tuple((attack, f"{value:.2f}") for value, attack in worst),
        )

    def under(self, attack: str) -> list[tuple[str, str, str]]:
        """What each pipeline keeps under the variants of an attack: (defense, variant, utility), the lowest first."""
        found = [
            (cell["U"], row["defense"], label)
            for row in self.summary["scores"]["ranking"]
            for label, cell in self._last(row["defense"]).items()
            if attack in parts(label) and cell["U"] is not None
        ]
        return [(defense, label, f"{value:.2f}") for value, defense, label in sorted(found)]

    def course(self, defense: str) -> Course:
        """A pipeline under the attack that takes most from it, beside all others under theirs."""
        return self._course({row["defense"]: row["worst_attack"] for row in self.summary["scores"]["ranking"]}, defense)

    def course_under(self, attack: str) -> Course:
        """The pipeline from which an attack takes most, beside all others under that attack."""
        worst: dict[str, str] = {}
        for defense, label, _ in self.under(attack):
            worst.setdefault(defense, label)
        return self._course(worst, next(iter(worst)))

    def _course(self, met: dict[str, str], defense: str) -> Course:
        attacked = {other: self._curve(self._last(other)[label]) for other, label in met.items()}
        return Course(
            defense=defense,
            attack=met[defense],
            attacked=attacked[defense],
            calm=self._curve(self._last(defense)["none"]),
            others=tuple(curve for other, curve in attacked.items() if other != defense and curve),
        )

    def _curve(self, cell: dict[str, Any]) -> Points:
        accuracy: str = self.summary["scores"]["settings"]["accuracy"]
        return mean_curve((self.records.get(trial) for trial in cell["trials"] if trial), accuracy)

    def _last(self, defense: str) -> dict[str, dict[str, Any]]:
        """The cells of a defense by attack, at the largest number of malicious clients."""
        (world,) = self.summary["scores"]["worlds"]
        (own,) = (entry for entry in world["defenses"] if entry["defense"] == defense)
        cells: dict[str, dict[str, Any]] = own["curve"][-1]["attacks"]
        return cells


def parts(label: str) -> list[str]:
    """The names of the stages of a label, folded: `nnm` and `trimmedmean` of `NNM > TrimmedMean(f=2)`."""
    return [folded(name) for name in _stages(label)]


def _stages(label: str) -> Iterator[str]:
    for stage in label.split(" > "):
        found = re.match(r"\w+", stage)
        if found:
            yield found[0]
