"""What peers without a server have with each defense, beside what they reach alone: the zero of learning together.

Utility 0 is guessing, which any peer beats without a network. What a network is worth is what it adds to training
alone, so every ranking of peers shows that as a row of its own, for each world and without a rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.evaluation.results.records import Record, more_of
from robustfl.evaluation.results.summaries import (
    PeersAlone,
    PeersReport,
    PeersServed,
    RankRow,
    ScoredDefense,
    ScoredWorldReport,
    Scores,
)
from robustfl.evaluation.score.costs import means
from robustfl.wording import distinct

BASELINE = "alone (baseline)"
"""What the row is called."""


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """What peers of one world reach alone.

    Attributes
    ----------
    name : what the row is called; with several worlds, it says which one this is
    world : the label of the world
    alone : the accuracies
    played : the scores of the defense that hears nobody, if the suite lists it
    """

    name: str
    world: str
    alone: PeersAlone
    played: ScoredDefense | None


def peers_report(
    world: ScoredWorldReport, records: Mapping[str, Record], baseline: Sequence[str], listed_as: str | None
) -> PeersReport | None:
    """What peers have in a scored world; None where clients have a server, or where this was not measured.

    `baseline` holds the trials of the plain rule without an attack, in the order of the seeds: in them it is measured
    what peers reach alone. `listed_as` is the label of the defense that hears nobody, if the suite lists it.
    """
    found = [more_of(record) if (record := records.get(trial)) is not None else {} for trial in baseline]
    mean, worst = ([more.get(name) for more in found] for name in ("alone_mean", "alone_worst"))
    if all(value is None for value in mean):
        return None
    return {
        "alone": {"mean": _mean(mean), "worst": _mean(worst), "mean_per_seed": mean, "worst_per_seed": worst},
        "listed_as": listed_as,
        "defenses": {own["defense"]: _served(own, records) for own in world["defenses"]},
    }


def contestants(scores: Scores) -> list[RankRow]:
    """The rows of the ranking without that of a rule that hears nobody: it stands among the :func:`baselines`."""
    listed = {own["listed_as"] for world in scores["worlds"] if (own := world.get("peers")) is not None}
    return [row for row in scores["ranking"] if row["defense"] not in listed]


def baselines(scores: Scores) -> list[BaselineRow]:
    """What peers reach alone in each world; none where clients have a server."""
    worlds = [world for world in scores["worlds"] if world.get("peers") is not None]
    several = len(scores["worlds"]) > 1
    labels = distinct([world["world"] for world in worlds])
    rows = []
    for label, world in zip(labels, worlds, strict=True):
        own = world.get("peers")
        assert own is not None
        played = next((one for one in world["defenses"] if one["defense"] == own["listed_as"]), None)
        name = f"{BASELINE}, {label}" if several else BASELINE
        rows.append(BaselineRow(name=name, world=world["world"], alone=own["alone"], played=played))
    return rows


def served(scores: Scores, row: Mapping[str, Any]) -> PeersServed | None:
    """What peers have behind the last column of a row of the ranking: in the world where it keeps least."""
    label = row.get("world")
    worlds = [world for world in scores["worlds"] if label in (None, world["world"])]
    found = worlds[0].get("peers") if worlds else None
    return None if found is None else found["defenses"].get(row["defense"])


def _served(own: ScoredDefense, records: Mapping[str, Record]) -> PeersServed:
    """What peers have in the worst case with the most malicious ones; nothing where there is no such case."""
    point = max(own["curve"], key=lambda point: point["f"])
    attack = point["worst_attack"]
    cell = None if attack is None else point["attacks"][attack]
    diverged = cell is not None and "diverged" in cell["status"]
    told = means([] if cell is None or diverged else cell["trials"], records, ("mean_peer", "worst_peer"))
    return {
        "attack": attack,
        "f": point["f"],
        "mean": told["mean_peer"],
        "worst": told["worst_peer"],
        "diverged": diverged,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
