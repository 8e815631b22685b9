"""Every declared measure that no other section covers, so that whatever is measured is also told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.measures import known_measures, numbers
from robustfl.evaluation.results.records import more_of
from robustfl.evaluation.score.costs import means
from robustfl.measures import Measure

from .content import (
    ACCURACY,
    DURATION,
    LABEL,
    NUMBER,
    SIZE,
    TEXT,
    Block,
    Bullets,
    Column,
    Content,
    Form,
    Line,
    Note,
    Row,
    Section,
    Strong,
    Table,
    Values,
    World,
)
from .content.wording import listed, named

NOTE = (
    "Means over the seeds for which a measure is defined, without an attack and under the attack of the worst case. "
    "Both are at the largest f for which a defense has a worst case. An arrow says which values are good for the "
    "honest clients: ↑ large ones, ↓ small ones."
)
WIDEST = 5
"""The most measures beside each other."""
FORMS = {"share": ACCURACY, "bytes": SIZE, "seconds": DURATION}
"""How the values of a unit are told; those of all others are plain numbers."""
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
DIRECTIONS = {"higher": "larger values are better", "lower": "smaller values are better", None: ""}


def _of_world(world: World) -> Content | None:
    occurring = _occurring(world)
    if not occurring:
        return None
    known = [(own, *_measured(own, world, tuple(occurring))) for own in world.defenses]
    shown = {
        name: measure
        for name, measure in occurring.items()
        if any(found.get(name) is not None for _, _, *both in known for found in both)
    }
    blocks: list[Block] = []
    if shown:
        attacked = any(point is not None and point["f"] for _, point, *_ in known)
        rows = tuple(_row(own, point, calm, struck, shown) for own, point, calm, struck in known)
        for number, part in enumerate(_parts(shown)):
            blocks.append(Table(columns=tuple(_columns(part, attacked, under=attacked and number == 0)), rows=rows))
    if elsewhere := [_heading(measure) for name, measure in occurring.items() if name not in shown]:
        blocks.append(Note(line=f"Measured in other trials of this world alone: {listed(elsewhere)}."))
    blocks.append(Bullets(entries=tuple((_explained(measure), ()) for measure in occurring.values())))
    return Content(title="Further measures", introduction=NOTE if shown else "", blocks=tuple(blocks))


def _parts(shown: Mapping[str, Measure]) -> Iterable[Mapping[str, Measure]]:
    """The measures in as many parts as it takes for each to fit into the width of a page, as even as can be."""
    names = list(shown)
    count = -(-len(names) // WIDEST)
    for part in range(count):
        yield {name: shown[name] for name in names[part * len(names) // count : (part + 1) * len(names) // count]}


def _occurring(world: World) -> dict[str, Measure]:
    """The measures that are one number per trial, occur in the records of a world, and have no section of their own."""
    own = [more_of(record) for record in world.run.records.values() if record["labels"]["world"] == world.label]
    names = (name for name in numbers() if name not in world.run.covered)
    return {name: known_measures()[name] for name in names if any(more.get(name) is not None for more in own)}


def _measured(
    own: Values, world: World, names: Sequence[str]
) -> tuple[Values | None, Mapping[str, float | None], Mapping[str, float | None]]:
    """The last point of a curve that has a worst case, and the means there: without an attack, and under the worst."""
    point = max((p for p in own["curve"] if p["worst_attack"] is not None), key=lambda p: p["f"], default=None)
    if point is None:
        return None, {}, {}
    attack = point["worst_attack"] if point["f"] else None
    cells = (point["attacks"].get(label or "") for label in (NO_ATTACK, attack))
    calm, struck = ({} if cell is None else means(cell["trials"], world.run.records, names) for cell in cells)
    return point, calm, struck


def _columns(shown: Mapping[str, Measure], attacked: bool, *, under: bool) -> Iterable[Column]:
    """A column a measure, with its mean under attack beneath it where anybody attacks, and the attack."""
    yield Column(key="defense", heading="Defense", form=LABEL)
    for name, measure in shown.items():
        form = FORMS.get(measure.unit, NUMBER)
        yield Column(key=f"calm {name}", heading=f"{_heading(measure)}{ARROWS[measure.better]}", form=form)
        if attacked:
            yield Column(key=f"struck {name}", heading="Attacked", form=_beneath(form), beneath=f"calm {name}")
    if under:
        yield Column(key="under", heading="Under", form=TEXT)


def _beneath(form: Form) -> Form:
    """The form of a mean under attack, which says so where no heading does."""
    return Form(show=form.show, told=lambda value: "" if value is None else f"{form.show(value)} attacked")


def _row(
    own: Values,
    point: Values | None,
    calm: Mapping[str, float | None],
    struck: Mapping[str, float | None],
    shown: Mapping[str, Measure],
) -> Row:
    if point is None:
        return Row(cells={"defense": own["defense"]}, instead="has no worst case")
    cells: dict[str, Any] = {"defense": own["defense"]}
    for name in shown:
        cells |= {f"calm {name}": calm.get(name), f"struck {name}": struck.get(name)}
    under = f"{named(point['worst_attack'])}, f = {point['f']}" if point["f"] else None
    return Row(cells={**cells, "under": under})


def _heading(measure: Measure) -> str:
    """`worst_staleness` -> `Worst staleness`."""
    words = measure.name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _explained(measure: Measure) -> Line:
    """What a measure says, its unit, and which values are good."""
    unit = "a share of 1" if measure.unit == "share" else f"in {measure.unit}" if measure.unit else ""
    facts = "; ".join(filter(None, (unit, DIRECTIONS[measure.better])))
    return (Strong(_heading(measure)), f": {measure.doc}{f' ({facts})' if facts else ''}.")


FURTHER = Section(key="further", of_world=_of_world)
