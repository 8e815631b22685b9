"""Backdoors and other attacks with an aim: what defenses keep, how often attacks succeed, how triggers look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .content import (
    ACCURACY,
    INTERVAL,
    LABEL,
    NUMBER,
    TEXT,
    Block,
    Cell,
    Column,
    Content,
    Detailed,
    Drawing,
    Figure,
    Gallery,
    Row,
    Run,
    Section,
    Sheet,
    Table,
    Values,
    World,
    ends,
    labelled,
    labels,
)
from .content.pictures import drawn
from .content.wording import MISSING, named, number

NOTE = (
    "Some attacks want certain test samples taken for a class of their choice. Success: the share on which they get "
    "it; natural: that of the same training without the attack. Kept: the smaller of utility and of what the attack "
    "left beyond the natural rate, under the worst of these attacks; 1 is untouched. Lasts: rounds after the attacker "
    "left until it succeeds on less than half."
)
KEPT = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="kept", heading="Kept", form=NUMBER, strong=True),
    Column(key="interval", heading="95% interval", form=INTERVAL, beneath="kept"),
    Column(key="success", heading="Success", form=ACCURACY),
    Column(key="natural", heading="Natural", form=ACCURACY),
    Column(key="accuracy", heading="Accuracy", form=ACCURACY),
    Column(key="effectiveness", heading="Effectiveness", form=NUMBER),
    Column(key="lasts", heading="Lasts", form=NUMBER),
    Column(key="under", heading="Under", form=TEXT),
)


def _of_world(world: World) -> Content | None:
    defenses = world.axis("targeted")
    if not defenses:
        return None
    most = max((cell["f"] for own in defenses for cell in own["attacks"]), default=0)
    attacks = list(dict.fromkeys(cell["attack"] for own in defenses for cell in own["attacks"] if cell["f"] == most))
    blocks: tuple[Block, ...] = (
        Table(columns=KEPT, rows=tuple(map(_row, defenses))),
        Table(
            columns=(Column(key="defense", heading="Defense", form=LABEL), *labels(attacks, NUMBER)),
            rows=tuple(_successes(own, most) for own in defenses),
            caption=f"Success of each attack with {most} malicious clients:",
        ),
    )
    pictures = [_figure(found) for found in world.run.summary.get("triggers", ()) if found["world"] == world.label]
    drawn = (Detailed(full=(Gallery(figures=tuple(pictures)),)),) if pictures else ()
    return Content(title="Attacks with an aim", introduction=NOTE, blocks=(*blocks, *drawn))


def _row(own: Values) -> Row:
    """The row of a defense under the attack under which it keeps least."""
    worst = next((c for c in own["attacks"] if (c["attack"], c["f"]) == (own["worst_attack"], own["f"])), None)
    shown = ("success", "natural", "accuracy", "effectiveness")
    return Row(
        cells={
            "defense": own["defense"],
            "kept": own["T"],
            "interval": own["T_ci"],
            **({key: worst[key] for key in shown} if worst else {}),
            "lasts": _rounds(worst),
            "under": f"{named(own['worst_attack'])}, f = {own['f']}" if worst else own["invalid"] or "incomplete",
        }
    )


def _rounds(cell: Values | None) -> str:
    """How many rounds the success of the attack outlasts the attacker."""
    if cell is None or cell["durability"] is None:
        return MISSING
    return f"{number(cell['durability'], 0)}{' or more' if cell['outlasts'] else ''}"


def _successes(own: Values, f: int) -> Row:
    """The success of every attack at one f, and how long it lasts.

    A mark says that a model without the attack makes the same mistakes.
    """
    cells = {}
    for cell in own["attacks"]:
        if cell["f"] == f:
            lasts = f", lasts {_rounds(cell)}" if cell["durability"] is not None else ""
            same = "" if cell["informative"] else " (as without it)"
            cells[cell["attack"]] = Cell(cell["success"], note=lasts + same)
    return Row(cells={"defense": own["defense"], **labelled(cells)})


def _figure(found: Values) -> Figure:
    """A trigger on a sample; the clean sample is left out if it is itself the trigger."""
    shown = {"with the trigger": found["marked"]}
    if found["clean"] != found["marked"]:
        shown = {"clean": found["clean"], **shown}
    drawings = []
    for words, text in shown.items():
        paths = drawn(found, text)
        if paths:
            size = {"width": found["width"], "height": found["height"]}
            drawings.append(Drawing(**size, words=f"{found['truth']}, {words}", shapes=paths, kind="pixels"))
    caption = f"{found['aim']}: {found['truth']}, to be taken for {found['wanted']}"
    return Figure(drawings=tuple(drawings), caption=caption)


CELL = ("success", "natural", "accuracy", "kept", "durability", "outlasts", "informative", "effectiveness")


def _sheet(run: Run) -> Sheet:
    """The table with one row per attack with an aim.

    `targeted` is T of the defense in the world, and `kept` is what the defense keeps under the attack. Rates are
    between 0 and 1, and durability is in rounds. `outlasts` is 1 if the backdoor outlasted the training.
    """
    rows = tuple(row for world, defense in run.each("targeted") for row in _rows(world, defense))
    columns = (
        *("world", "defense", "targeted", "targeted_low", "targeted_high", "worst_attack", "invalid"),
        *("attack", "aim", "f", *CELL, "kept_per_seed"),
    )
    return Sheet(file="targeted.csv", columns=columns, rows=rows)


def _rows(world: str, defense: Values) -> Iterator[dict[str, Any]]:
    """One row per attack; a defense that cannot be used has a single row."""
    shared = {
        "world": world,
        **{key: defense[key] for key in ("defense", "worst_attack", "invalid")},
        "targeted": defense["T"],
        **ends("targeted", defense["T_ci"]),
    }
    if not defense["attacks"]:
        yield shared
    for cell in defense["attacks"]:
        own = {name: cell[name] for name in ("attack", "aim", "f", *CELL)}
        yield {**shared, **own, "kept_per_seed": cell.get("kept_per_seed", ())}


TARGETED = Section(
    key="targeted",
    of_world=_of_world,
    sheet=_sheet,
    measures=(
        *("attack_success", "durability"),
        *("triggered_accuracy", "source_accuracy", "target_accuracy", "other_accuracy"),
    ),
)
