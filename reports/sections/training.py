"""How the training without an attack went: how much it learnt, whether it had ended, and how stable its step was."""

from __future__ import annotations

from robustfl.evaluation.labels import ACCURACIES, PLAIN_ACCURACY

from .content import ACCURACY, COUNT, NUMBER, Column, Content, Row, Section, Table, World

COLUMNS = (
    Column(key="seed", heading="Seed", form=COUNT),
    Column(key="reached", heading="Reached", form=ACCURACY),
    Column(key="rise", heading="Rise in the end", form=ACCURACY),
    Column(key="central", heading="All data at once", form=ACCURACY),
    Column(key="sharpness", heading="Sharpness", form=NUMBER),
    Column(key="instability", heading="Instability", form=NUMBER),
)


def _of_world(world: World) -> Content | None:
    training, settings = world.scored.get("training"), world.run.scores["settings"]
    if training is None or not any(value is not None for values in training.values() for value in values):
        return None
    words = ACCURACIES[settings.get("accuracy", PLAIN_ACCURACY)]
    columns = zip(world.scored["seeds"], world.scored["baseline"].get("per_seed", []), *training.values(), strict=False)
    names = ("seed", "reached", *training)
    note = (
        f"Plain averaging without an attack, as {words}: what it reached, what a tenth of the rounds more would add if "
        "it went on rising as in the last quarter, and what training on the data of all clients at once reaches in as "
        "many steps. Sharpness is the largest eigenvalue of the Hessian of the training loss (median over a few "
        "rounds). Instability is that divided by the largest for which the step is stable; above 1 it is not."
    )
    rows = tuple(Row(cells=dict(zip(names, values, strict=True))) for values in columns)
    return Content(
        title="The training without an attack", introduction=note, blocks=(Table(columns=COLUMNS, rows=rows),)
    )


TRAINING = Section(
    key="training",
    of_world=_of_world,
    measures=("sharpness", "instability", *(f"central_{name}" for name in ACCURACIES)),
)
