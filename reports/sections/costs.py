"""What robustness costs without an attack, compared with plain averaging."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustfl.evaluation.score.costs import IGNORED, SERVED

from .content import (
    ACCURACY,
    INTERVAL,
    LABEL,
    LOSS,
    NUMBER,
    PERCENT,
    Column,
    Content,
    Row,
    Section,
    Table,
    Values,
    World,
)
from .content.wording import listed

NOTE = (
    "The same training without malicious clients, beside plain averaging on the same seeds: what it loses of the "
    "utility (a minus sign is a gain), and the accuracy on its worst class and for its worst client. The accuracy of a "
    "client is that on test samples with its own mix of classes. A message is ignored when it has less than a tenth of "
    "an equal share of the weights; a client is unheard when that holds for its messages over the whole training."
)
COLUMNS = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="told", heading="Told f", form=NUMBER),
    Column(key="lost", heading="Utility lost", form=NUMBER),
    Column(key="interval", heading="95% interval", form=INTERVAL, beneath="lost"),
    Column(key="worst_class", heading="Worst class", form=ACCURACY),
    Column(key="worst_class_lost", heading="Lost", form=LOSS, beneath="worst_class"),
    Column(key="worst_client", heading="Worst client", form=ACCURACY),
    Column(key="worst_client_lost", heading="Lost", form=LOSS, beneath="worst_client"),
    Column(key="honest_ignored", heading="Messages ignored", form=PERCENT),
    Column(key="honest_unheard", heading="Clients unheard", form=PERCENT),
)


def _of_world(world: World) -> Content | None:
    rows = tuple(row for own in world.axis("side_effects") for row in _rows(own, world.scored["f_grid"]))
    if all(row.cells["worst_class"] is None for row in rows):
        return None
    table = Table(columns=COLUMNS, rows=rows, grouped=True)
    return Content(title="What robustness costs when nobody attacks", introduction=NOTE, blocks=(table,))


def _rows(own: Values, grid: Sequence[int]) -> Iterator[Row]:
    """The rows for the smallest and for the largest declared number of malicious clients; one row if they are equal."""
    told = own["undisturbed"]
    for way in [told[0], told[-1]] if len(told) > 1 else told:
        changes = {key: way[key] for key in ("utility_lost", "worst_class_lost", "worst_client_lost")}
        utility, *others = ({"mean": None, "ci": None} if lost is None else lost for lost in changes.values())
        yield Row(
            cells={
                "defense": own["defense"],
                "told": "any" if len(way["f"]) == len(grid) else listed([str(f) for f in way["f"]]),
                "lost": utility["mean"],
                "interval": utility["ci"],
                **{key: way[key] for key in ("worst_class", "worst_client", "honest_ignored", "honest_unheard")},
                "worst_class_lost": others[0]["mean"],
                "worst_client_lost": others[1]["mean"],
            }
        )


COSTS = Section(key="costs", of_world=_of_world, measures=(*SERVED, *IGNORED))
