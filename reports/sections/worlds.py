"""All worlds in one table: what each defense keeps in each of them; shorter pages have a table for each world."""

from __future__ import annotations

from .content import LABEL, UTILITY, Column, Content, Detailed, Note, Row, Run, Section, Table

NOTE = (
    "Resilience in each world: the worst-case utility, averaged over the attacked shares of malicious clients. Rows "
    "are in the order of the ranking."
)


def _of_run(run: Run) -> Content | None:
    if len(run.worlds) < 2:
        return None
    found = {
        world.key: {own["defense"]: own["R_unt"] for own in world.defenses if own["R_unt"] is not None}
        for world in run.worlds
    }
    worlds = (Column(key=world.key, heading=world.short, form=UTILITY, label=True) for world in run.worlds)
    rows = (
        {"defense": name, **{key: values.get(name) for key, values in found.items()}}
        for name in dict.fromkeys(row["defense"] for row in run.ranking)
    )
    table = Table(
        columns=(Column(key="defense", heading="Defense", form=LABEL), *worlds),
        rows=tuple(Row(cells=cells) for cells in rows),
        empty="No defense was ranked.",
    )
    return Content(title="The worlds side by side", label="Worlds", blocks=(Detailed(full=(Note(line=NOTE), table)),))


WORLDS = Section(key="worlds", of_run=_of_run)
