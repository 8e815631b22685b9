"""What records say about networks of peers, as the sections and figures about them need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.records import Record, more_of
from robustfl.evaluation.score.costs import means
from robustfl.graphs.graph import Graph

from .content import Values, World
from .content.networks import Peer


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What peers of a world reach by plain averaging without an attack, and alone; means over the seeds."""

    undisturbed: float
    undisturbed_worst: float
    alone: float
    alone_worst: float
    bytes: float | None
    mu2: float | None


def yardstick(world: World) -> Yardstick | None:
    """What the peers of a world are compared with; None where clients have a server, or this was not measured."""
    found = [
        more_of(record)
        for record in world.run.records.values()
        if record["labels"]["world"] == world.label and more_of(record).get("alone_mean") is not None
    ]
    if not found or any(more.get("mean_peer") is None for more in found):
        return None

    def mean(name: str) -> float:
        return float(np.mean([more[name] for more in found]))

    known = all(more.get("network_edges") is not None for more in found)
    return Yardstick(
        undisturbed=mean("mean_peer"),
        undisturbed_worst=mean("worst_peer"),
        alone=mean("alone_mean"),
        alone_worst=mean("alone_worst"),
        bytes=float(np.mean([_bytes(more) for more in found])) if known else None,
        mu2=mean("mu2"),
    )


def _bytes(more: Mapping[str, Any]) -> float:
    """The bytes that an honest peer gets and sends in a round, in the mean."""
    ends = np.array(more["network_edges"], dtype=np.int64).reshape(-1, 2)
    bad = set(more["malicious_peers"])
    hears = sum((one not in bad) + (other not in bad) for one, other in ends.tolist())
    honest = len(more["peer_accuracy"])
    return float(more["edge_bytes"] * hears * (1 if more["network_directed"] else 2) / honest)


def rivals(world: World) -> list[Values]:
    """The defenses of a world without the rule that hears nobody: it is the baseline, which has a row of its own."""
    listed = (world.scored.get("peers") or {}).get("listed_as")
    return [own for own in world.defenses if own["defense"] != listed]


def sent(world: World, own: Values) -> float | None:
    """The bytes of an honest peer in a round with a defense, over the seeds; None if they are not known."""
    for point in own["curve"]:
        for cell in point["attacks"].values():
            found = [more_of(world.run.records[trial]) for trial in cell["trials"] if trial in world.run.records]
            known = [more for more in found if more.get("network_edges") is not None and more.get("peer_accuracy")]
            if known:
                return float(np.mean([_bytes(more) for more in known]))
    return None


@dataclass(frozen=True, kw_only=True)
class Duel:
    """A defense against an attack, with the measures of its first trial that came to an end."""

    defense: str
    attack: str
    f: int
    record: Record

    @property
    def more(self) -> Mapping[str, Any]:
        """The measures of the trial."""
        return more_of(self.record)

    @property
    def finished(self) -> list[int]:
        """The rounds that were finished at each measurement."""
        metrics = self.record["metrics"]
        assert metrics is not None  # only trials that have ended are shown
        return [int(pair[0]) for pair in metrics["accuracy"]]

    @property
    def name(self) -> str:
        """The defense and the attack in words."""
        return f"{self.defense} under {self.attack}"

    def graph(self) -> Graph | None:
        """The network; None where it is too large for records."""
        if self.more.get("network_edges") is None:
            return None
        ends, places = self.more["network_edges"], self.more.get("network_places")
        return Graph(
            n=len(self.more["main_classes"]),
            edges=np.array(ends, dtype=np.int64).reshape(-1, 2),
            positions=None if places is None else np.array(places).reshape(-1, 2),
            directed=self.more["network_directed"],
        )

    def peers(self) -> list[Peer]:
        """What is known of each peer."""
        main, accuracy = self.more["main_classes"], iter(self.more["peer_accuracy"])
        bad = set(self.more["malicious_peers"])
        return [
            Peer(
                malicious=peer in bad,
                accuracy=None if peer in bad else float(next(accuracy)),
                words=f"mostly class {int(label)}" if label >= 0 else "",
            )
            for peer, label in enumerate(main)
        ]


def duels(world: World) -> tuple[Duel, ...]:
    """The worst pair of a defense and an attack at the largest f, and the best defense under the same attack.

    A pair counts if a trial of it has accuracies in the end: models that diverged have none. Where all are the same
    defense, it stands alone.
    """
    found: list[tuple[float, Duel]] = []
    for own in rivals(world):
        point = max((p for p in own["curve"] if p["f"]), key=lambda p: p["f"], default=None)
        for attack, cell in ({} if point is None else point["attacks"]).items():
            record = _shown(world, cell)
            if attack != NO_ATTACK and cell["U"] is not None and record is not None:
                assert point is not None
                duel = Duel(defense=own["defense"], attack=attack, f=point["f"], record=record)
                found.append((float(cell["U"]), duel))
    if not found:
        return ()
    _, worst = min(found, key=lambda pair: pair[0])
    _, best = max((pair for pair in found if pair[1].attack == worst.attack), key=lambda pair: pair[0])
    return (worst,) if best is worst else (worst, best)


def _shown(world: World, cell: Values) -> Record | None:
    """The first trial of a cell that has everything that figures need."""
    found = (world.run.records.get(trial or "") for trial in cell["trials"])
    return next((one for one in found if one is not None and more_of(one).get("peer_accuracy") is not None), None)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What peers have, and what it costs them."""

    name: str
    bytes: float
    mean: float
    worst: float


def places(world: World) -> Iterator[Place]:
    """What peers have with each defense in its worst case, where that has not diverged."""
    for own in rivals(world):
        point = max((p for p in own["curve"] if p["worst_attack"] is not None), key=lambda p: p["f"], default=None)
        cell = None if point is None else point["attacks"].get(point["worst_attack"])
        cost = sent(world, own)
        if cell is None or cost is None or "diverged" in cell["status"]:
            continue
        told = means(cell["trials"], world.run.records, ("mean_peer", "worst_peer"))
        if told["mean_peer"] is not None and told["worst_peer"] is not None:
            yield Place(name=own["defense"], bytes=cost, mean=told["mean_peer"], worst=told["worst_peer"])
