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
    """The algebraic connectivity of the network; None where there is no fixed one."""
    sampled: bool
    """Whether peers meet in samples, which are drawn anew in each round."""


def yardstick(world: World) -> Yardstick | None:
    """What the peers of a world are compared with; None where clients have a server, or this was not measured."""
    records = [
        record
        for record in world.run.records.values()
        if record["labels"]["world"] == world.label and more_of(record).get("alone_mean") is not None
    ]
    found = [more_of(record) for record in records]
    if not found or any(more.get("mean_peer") is None for more in found):
        return None

    def mean(name: str) -> float:
        return float(np.mean([more[name] for more in found]))

    sizes = [_bytes(record) for record in records]
    known = [value for value in sizes if value is not None]
    sampled = any(_in_samples(record) for record in records)
    return Yardstick(
        undisturbed=mean("mean_peer"),
        undisturbed_worst=mean("worst_peer"),
        alone=mean("alone_mean"),
        alone_worst=mean("alone_worst"),
        bytes=float(np.mean(known)) if len(known) == len(sizes) else None,
        mu2=None if sampled else mean("mu2"),
        sampled=sampled,
    )


def _in_samples(record: Record) -> bool:
    """Whether the peers of a trial met in samples; the graph that its record tells of is then that of who may meet."""
    topology = record["scenario"]["federation"].get("topology")
    return isinstance(topology, Mapping) and topology.get("name") == "sampled"


def _bytes(record: Record) -> float | None:
    """The bytes that an honest peer gets and sends in a round, in the mean; None where they were not counted."""
    told = record.get("bytes") or {}
    up, down = told.get("up_per_client_round"), told.get("down_per_client_round")
    if up is None or down is None or not more_of(record).get("peer_accuracy"):
        return None
    return up + down


def rivals(world: World) -> list[Values]:
    """The defenses of a world without the rule that hears nobody: it is the baseline, which has a row of its own."""
    listed = (world.scored.get("peers") or {}).get("listed_as")
    return [own for own in world.defenses if own["defense"] != listed]


def sent(world: World, own: Values) -> float | None:
    """The bytes of an honest peer in a round with a defense, over the seeds; None if they are not known."""
    for point in own["curve"]:
        for cell in point["attacks"].values():
            found = [_bytes(world.run.records[trial]) for trial in cell["trials"] if trial in world.run.records]
            known = [value for value in found if value is not None]
            if known:
                return float(np.mean(known))
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
        """The network; None where it is too large for records, or there is no fixed one."""
        if _in_samples(self.record) or self.more.get("network_edges") is None:
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
