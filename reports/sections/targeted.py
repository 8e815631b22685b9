"""Backdoors and other attacks with an aim: what is kept under them, how often they succeed, what triggers look like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
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
    Path,
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
from .content.wording import MISSING, named, number

NOTE = (
    "Some attacks want certain test samples taken for a class of their choice. Success: the share on which they get "
    "it; natural: that of the same training without the attack. Kept: the smaller of utility and of what the attack "
    "left beyond the natural rate, under the worst of these attacks; 1 is untouched. Lasts: rounds after the attacker "
    "left until it succeeds on less than half."
)
LEVELS = 16
"""Grey levels, or a third of the bits of colours, that pictures are drawn with."""

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
    """A defense under the attack that leaves it least."""
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
    """How long the attack outlasts the attacker, in rounds."""
    if cell is None or cell["durability"] is None:
        return MISSING
    return f"{number(cell['durability'], 0)}{' or more' if cell['outlasts'] else ''}"


def _successes(own: Values, f: int) -> Row:
    """Success of every attack at one f, and how long it lasts; what a model without the attack does too is marked."""
    cells = {}
    for cell in own["attacks"]:
        if cell["f"] == f:
            lasts = f", lasts {_rounds(cell)}" if cell["durability"] is not None else ""
            same = "" if cell["informative"] else " (as without it)"
            cells[cell["attack"]] = Cell(cell["success"], note=lasts + same)
    return Row(cells={"defense": own["defense"], **labelled(cells)})


def _figure(found: Values) -> Figure:
    """A trigger on a sample; the clean sample is left out where it is the trigger itself."""
    shown = {"with the trigger": found["marked"]}
    if found["clean"] != found["marked"]:
        shown = {"clean": found["clean"], **shown}
    drawings = []
    for words, text in shown.items():
        paths = _paths(found, text)
        if paths:
            size = {"width": found["width"], "height": found["height"]}
            drawings.append(Drawing(**size, words=f"{found['truth']}, {words}", shapes=paths, kind="pixels"))
    caption = f"{found['aim']}: {found['truth']}, to be taken for {found['wanted']}"
    return Figure(drawings=tuple(drawings), caption=caption)


def _paths(found: Values, text: str) -> tuple[Path, ...]:
    """The picture as runs of equal pixels, a path a colour; nothing for a text that is no such picture."""
    width, height, channels = found["width"], found["height"], found["channels"]
    try:
        values = bytes.fromhex(text)
    except ValueError:
        return ()
    if len(values) != width * height * channels or channels not in (1, 3):
        return ()
    step = 256 // (LEVELS if channels == 1 else LEVELS // 2)
    pixels = [_colour(values[i : i + channels], step) for i in range(0, len(values), channels)]
    paths: dict[str, list[str]] = {}
    for y in range(height):
        x = 0
        for colour, run in groupby(pixels[y * width : (y + 1) * width]):
            length = len(list(run))
            paths.setdefault(colour, []).append(f"M{x} {y}h{length}v1h-{length}z")
            x += length
    return tuple(Path(d="".join(parts), colour=colour) for colour, parts in paths.items())


def _colour(levels: Sequence[int], step: int) -> str:
    top = 255 // step
    red, green, blue = (round(255 * (level // step) / top) for level in (tuple(levels) * 3)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


CELL = ("success", "natural", "accuracy", "kept", "durability", "outlasts", "informative", "effectiveness")


def _sheet(run: Run) -> Sheet:
    """A row an attack with an aim.

    `targeted` is T of the defense in the world, `kept` what it keeps under the attack. Rates are between 0 and 1,
    durability in rounds; `outlasts` is 1 where the backdoor outlived the run.
    """
    rows = tuple(row for world, defense in run.each("targeted") for row in _rows(world, defense))
    columns = (
        *("world", "defense", "targeted", "targeted_low", "targeted_high", "worst_attack", "invalid"),
        *("attack", "aim", "f", *CELL, "kept_per_seed"),
    )
    return Sheet(file="targeted.csv", columns=columns, rows=rows)


def _rows(world: str, defense: Values) -> Iterator[dict[str, Any]]:
    """A row an attack; a defense that cannot be used has one row."""
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
