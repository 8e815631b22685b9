"""Peers without a server: how the worst and the mean of them fare, their network, and what letters cost."""

from __future__ import annotations

from collections.abc import Iterator

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.score.costs import means
from robustfl.evaluation.score.peers import BASELINE
from robustfl.wording import counted

from .content import (
    ACCURACY,
    LABEL,
    NUMBER,
    SIZE,
    TEXT,
    Block,
    Cell,
    Column,
    Content,
    Detailed,
    Form,
    Gallery,
    Note,
    Row,
    Run,
    Section,
    Table,
    Values,
    World,
    labelled,
    labels,
)
from .content.wording import listed, named, number
from .peer_figures import against_bytes, by_hops, consensus, networks, rounds
from .peer_readings import Duel, Place, duels, places, rivals, sent, yardstick

ENOUGH = 0.01
"""A world is as good as the best one if it has lost less of the mean accuracy."""

WORST = Form(show=ACCURACY.show, told=lambda value: "" if value is None else f"{number(value, 3)} worst")
"""The form of the accuracy of the worst peer, beneath that of the mean."""
NOTE = (
    "Accuracy of honest peers without an attack, and under the attack of the worst case at the largest f: their mean, "
    "the worst of them, and the mean of the lowest tenth. A rule can serve most peers well and give up a few. The last "
    "row is what peers reach without a network, by the same training: a rule that stays below it has lost more than it "
    "has protected. Bytes are those that an honest peer gets and sends in a round."
)
SAMPLED = (
    "peers meet in samples that are drawn anew in each round, so there is no network to draw, and no connectivity."
)
COLUMNS = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="mean_peer", heading="Mean peer", form=ACCURACY),
    Column(key="worst_peer", heading="Worst peer", form=WORST, beneath="mean_peer"),
    Column(key="lowest_tenth", heading="Lowest tenth", form=ACCURACY),
    Column(key="struck mean_peer", heading="Mean peer attacked", form=ACCURACY),
    Column(key="struck worst_peer", heading="Worst peer attacked", form=WORST, beneath="struck mean_peer"),
    Column(key="struck lowest_tenth", heading="Lowest tenth attacked", form=ACCURACY),
    Column(key="under", heading="Under", form=TEXT),
    Column(key="bytes", heading="Bytes", form=SIZE),
)
PEERS_OF = ("mean_peer", "worst_peer", "lowest_tenth")


def _of_world(world: World) -> Content | None:
    yard = yardstick(world)
    if yard is None:
        return None
    most = max(world.grid, default=0)
    last = {"defense": BASELINE, "mean_peer": yard.alone, "worst_peer": yard.alone_worst, "bytes": 0.0}
    blocks: list[Block] = [
        *(Note(line=line, tone="plain") for line in _cuts(world)),
        *([Note(line=f"Here {SAMPLED}", tone="plain")] if yard.sampled else []),
        Table(columns=COLUMNS, rows=(*(_row(own, world) for own in rivals(world)), Row(cells=last))),
    ]
    if attacks := _attacks(world, most):
        caption = f"Mean peer and worst peer under each attack with {counted(most, 'malicious peer')}:"
        columns = (Column(key="defense", heading="Defense", form=LABEL), *labels(attacks, ACCURACY))
        rows = tuple(_under_each(own, world, most) for own in rivals(world))
        blocks.append(Table(columns=columns, rows=rows, caption=caption))
    if shown := duels(world):
        blocks.append(Detailed(full=tuple(_figures(world, shown))))
    return Content(title="Peers without a server", introduction=NOTE, blocks=tuple(blocks))


def _row(own: Values, world: World) -> Row:
    """How peers fare with a defense, undisturbed and in the worst case."""
    point = max((p for p in own["curve"] if p["worst_attack"] is not None), key=lambda p: p["f"], default=None)
    if point is None:
        return Row(cells={"defense": own["defense"]}, instead="has no worst case")
    calm = _means(own, world, NO_ATTACK, 0) or _means(own, world, NO_ATTACK, point["f"])
    cells = {"defense": own["defense"], "bytes": sent(world, own), **calm}
    if point["f"]:
        struck = _means(own, world, point["worst_attack"], point["f"])
        cells |= {f"struck {name}": value for name, value in struck.items()}
        cells["under"] = f"{named(point['worst_attack'])}, f = {point['f']}"
    return Row(cells=cells)


def _means(own: Values, world: World, attack: str, f: int) -> dict[str, object]:
    """What peers have under an attack, over the seeds; a trial that diverged says so in place of numbers."""
    cell = next((p["attacks"].get(attack) for p in own["curve"] if p["f"] == f), None)
    if cell is None:
        return {}
    if "diverged" in cell["status"]:
        return {"mean_peer": "diverges"}
    return dict(means(cell["trials"], world.run.records, PEERS_OF))


def _attacks(world: World, f: int) -> list[str]:
    found = (attack for own in world.defenses for p in own["curve"] if p["f"] == f for attack in p["attacks"])
    return [attack for attack in dict.fromkeys(found) if attack != NO_ATTACK]


def _under_each(own: Values, world: World, f: int) -> Row:
    cells = {}
    for attack in _attacks(world, f):
        found = _means(own, world, attack, f)
        worst = found.get("worst_peer")
        note = f" / {number(worst, 3)}" if isinstance(worst, float) else ""
        cells[attack] = Cell(found.get("mean_peer"), note=note)
    return Row(cells={"defense": own["defense"], **labelled(cells)})


def _cuts(world: World) -> Iterator[str]:
    """What to know where malicious peers have cut the network of honest ones."""
    found: dict[tuple[str, int], int] = {}
    for record in world.run.records.values():
        parts = ((record.get("metrics") or {}).get("more") or {}).get("parts")
        if record["labels"]["world"] == world.label and parts is not None and parts > 1:
            place = record["labels"]["attack"], int(record["f"])
            found[place] = max(found.get(place, 0), int(parts))
    for (attack, f), parts in found.items():
        yield (
            f"With {named(attack)}, f = {f}, the malicious peers cut the network of honest peers into {parts} parts. "
            "The score is that of the largest part."
        )


def _figures(world: World, shown: tuple[Duel, ...]) -> Iterator[Note | Gallery]:
    yard = yardstick(world)
    assert yard is not None
    drawn = tuple(networks(shown, yard))
    if drawn:
        yield Note(
            line="The worst pair of a defense and an attack, and the defense that keeps most under the same attack."
        )
        yield Gallery(figures=drawn, layout="pair")
    more = (
        *(rounds(duel, yard) for duel in shown),
        consensus(shown),
        by_hops(shown, yard),
        against_bytes(list(places(world)), yard.alone),
    )
    yield Gallery(figures=tuple(figure for figure in more if figure is not None), layout="multiples")


OVER_WORLDS = (
    Column(key="world", heading="World", form=LABEL),
    Column(key="mean", heading="Mean peer", form=ACCURACY),
    Column(key="worst", heading="Worst peer", form=WORST, beneath="mean"),
    Column(key="alone", heading="Alone", form=ACCURACY),
    Column(key="bytes", heading="Bytes", form=SIZE),
    Column(key="mu2", heading="Connectivity", form=NUMBER),
    Column(key="kept", heading="Best worst case", form=NUMBER),
    Column(key="best", heading="With", form=TEXT),
)


def _of_run(run: Run) -> Content | None:
    """The networks of a run beside each other: what more neighbours gain, and what they cost."""
    known = [(world, yard) for world in run.worlds if (yard := yardstick(world)) is not None]
    if len(known) < 2:
        return None
    rows, points = [], []
    for world, yard in known:
        scored = [own for own in rivals(world) if own["R_unt"] is not None]
        best = max(scored, key=lambda own: float(own["R_unt"]), default=None)
        rows.append(
            Row(
                cells={
                    "world": world.short,
                    "mean": yard.undisturbed,
                    "worst": yard.undisturbed_worst,
                    "alone": yard.alone,
                    "bytes": yard.bytes,
                    "mu2": yard.mu2,
                    "kept": None if best is None else best["R_unt"],
                    "best": None if best is None else best["defense"],
                }
            )
        )
        if yard.bytes is not None:
            points.append(
                Place(name=world.short, bytes=yard.bytes, mean=yard.undisturbed, worst=yard.undisturbed_worst)
            )
    blocks: list[Block] = [Table(columns=OVER_WORLDS, rows=tuple(rows))]
    if sampled := [world.short for world, yard in known if yard.sampled]:
        blocks.append(Note(line=f"In {listed(sampled)} {SAMPLED}"))
    if line := _enough(points):
        blocks.insert(0, Note(line=line, tone="plain"))
    alone = {yard.alone for _, yard in known}
    figure = against_bytes(points, alone.pop() if len(alone) == 1 else None)
    if figure is not None:
        blocks.append(Detailed(full=(Gallery(figures=(figure,), layout="multiples"),)))
    note = (
        "Plain averaging without an attack in each world, the algebraic connectivity of the network, and the largest "
        "resilience of any defense there. Bytes are those that an honest peer gets and sends in a round."
    )
    return Content(title="Networks compared", introduction=note, blocks=tuple(blocks))


def _enough(points: list[Place]) -> str:
    """The cheapest world that is about as good as the best one."""
    if len({place.bytes for place in points}) < 2:
        return ""
    best = max(points, key=lambda place: place.mean)
    enough = min((p for p in points if p.mean >= best.mean - ENOUGH), key=lambda place: (place.bytes, -place.mean))
    return (
        f"The fewest bytes within {number(ENOUGH)} of the best mean accuracy ({number(best.mean, 3)}, {best.name}) are "
        f"those of {enough.name}: its mean peer reaches {number(enough.mean, 3)}, and its worst "
        f"{number(enough.worst, 3)}."
    )


NETWORKS = Section(key="networks", of_run=_of_run)
PEERS = Section(
    key="peers",
    of_world=_of_world,
    measures=(*PEERS_OF, "median_peer", "alone_mean", "alone_worst", "edge_bytes"),
)
