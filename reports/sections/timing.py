"""What attacks leave that stop early, and what attacks take that strike late."""

from __future__ import annotations

from collections.abc import Iterator

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.score.costs import means

from .content import ACCURACY, COUNT, LABEL, LOSS, TEXT, Column, Content, Row, Section, Table, Values, World

NOTE = (
    "Attacks that do not strike in all rounds, at the largest f, in balanced accuracy of single measurements (the "
    "score averages over the end of the training): just before the first attacked round, just after the last one, and "
    "in the end. Taken is what is missing in the end of what was there before; recovered is what training has regained "
    "since the attack stopped. Means over the seeds."
)
WINDOW = ("attacked_from", "attacked_until")
STATES = ("before_attack", "after_attack", "final_accuracy", "taken_by_attack", "recovered")
COLUMNS = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="attack", heading="Attack", form=TEXT),
    Column(key="attacked_from", heading="After round", form=COUNT),
    Column(key="attacked_until", heading="Until round", form=COUNT),
    Column(key="before_attack", heading="Before", form=ACCURACY),
    Column(key="after_attack", heading="When it stopped", form=ACCURACY),
    Column(key="final_accuracy", heading="In the end", form=ACCURACY),
    Column(key="taken_by_attack", heading="Taken", form=LOSS),
    Column(key="recovered", heading="Recovered", form=ACCURACY),
)


def _of_world(world: World) -> Content | None:
    rows = tuple(row for own in world.defenses for row in _rows(own, world))
    if not rows:
        return None
    table = Table(columns=COLUMNS, rows=rows, grouped=True)
    return Content(title="Attacks that strike late or stop early", introduction=NOTE, blocks=(table,))


def _rows(own: Values, world: World) -> Iterator[Row]:
    point = max((point for point in own["curve"] if point["f"]), key=lambda point: point["f"], default=None)
    for attack, cell in ({} if point is None else point["attacks"]).items():
        found = {} if attack == NO_ATTACK else means(cell["trials"], world.run.records, (*WINDOW, *STATES))
        if any(found.get(name) is not None for name in WINDOW):
            yield Row(cells={"defense": own["defense"], "attack": attack, **found})


TIMING = Section(key="timing", of_world=_of_world, measures=(*WINDOW, *STATES))
