"""What happens as more clients turn malicious: the worst case over their number, for each defense."""

from __future__ import annotations

from collections.abc import Sequence

from .content import (
    LABEL,
    NUMBER,
    TEXT,
    Cell,
    Circle,
    Column,
    Content,
    Detailed,
    Drawing,
    Figure,
    Gallery,
    Note,
    Path,
    Row,
    Section,
    Shape,
    Table,
    Values,
    Words,
    World,
)
from .content.figures import Frame, ticks
from .content.wording import breakdown, interval, named, number
from .ranking import LEVEL_COLUMNS


def _of_world(world: World) -> Content:
    limit = number(world.run.limit)
    drawn = (
        f"Worst-case utility over the number of malicious clients among {world.clients}. Coloured: the defense named, "
        f"with its 95% interval. Grey: all others. Dotted: {limit}, below which a defense counts as broken. A cross: "
        "the defense cannot be used with so many."
    )
    accuracy, chance = number(world.scored["baseline"]["mean"], 3), number(world.scored["chance"], 3)
    written = (
        f"Worst-case utility with f malicious clients of {world.clients}, and the attack that causes it. Accuracy is "
        f"{accuracy} without an attack and {chance} by guessing. A defense survives f malicious clients when utility "
        f"stays at {limit} or above up to there.{_left_out(world)}"
    )
    brief = (Note(line=written, tone="plain"), _table(world))
    # Two points are no curve: the table says the same in less room.
    curves = (Note(line=drawn), Gallery(figures=tuple(_figures(world)), layout="multiples"))
    full = curves if len(world.grid) > 2 else (Note(line=written), _table(world))
    title = "What happens as more clients turn malicious"
    return Content(title=title, blocks=(Detailed(full=full, brief=brief),))


def _left_out(world: World) -> str:
    """A sentence about attacks that do not count, because they are made for other messages than a defense gets."""
    cells = (cell for own in world.defenses for point in own["curve"] for cell in point["attacks"].values())
    if not any("not applicable" in cell["status"] for cell in cells):
        return ""
    return (
        " The worst case of each defense is over the attacks that can be played against it: those made for other "
        "messages than its clients send do not count, nor do those made for other defenses."
    )


def _table(world: World) -> Table:
    """The worst case, one column per number of malicious clients."""
    columns = (
        Column(key="defense", heading="Defense", form=LABEL),
        Column(key="survives", heading="Survives", form=TEXT),
        Column(key="resilience", heading="Resilience", form=NUMBER, strong=True),
        *LEVEL_COLUMNS,
        *(Column(key=f"f = {f}", heading=f"f = {f}", form=NUMBER) for f in world.grid),
    )
    rows = []
    for own in world.defenses:
        points = {point["f"]: point for point in own["curve"]}
        survives = breakdown(own["breakdown"], world.clients)
        curve = {f"f = {f}": _worst(points.get(f)) for f in world.grid}
        found = own.get("R_levels") or {}
        levels = {level: of_level["R"] for level, of_level in found.items() if of_level is not None}
        whole = {"defense": own["defense"], "survives": survives, "resilience": own["R_unt"]}
        rows.append(Row(cells={**whole, **levels, **curve}))
    return Table(columns=columns, rows=tuple(rows))


def _worst(point: Values | None) -> Cell:
    """The worst case with the attack that causes it, or why there is none."""
    if point is None:
        return Cell("not tested")
    if point["invalid"] is not None:
        return Cell("cannot be used")
    if point["W"] is None:
        return Cell("incomplete")
    attack = point["worst_attack"]
    return Cell(point["W"], note=f" {attack}" if attack and attack != "none" else "")


def _figures(world: World) -> list[Figure]:
    """One small panel per defense, with the curves of all others behind it."""
    frame = Frame(width=250, height=150, low=min(world.grid, default=0), high=max(world.grid, default=0))
    lines = [frame.line((p["f"], p["W"]) for p in own["curve"]) for own in world.defenses]
    return [
        _figure(own, world, frame, lines[index], [line for line in (*lines[:index], *lines[index + 1 :]) if line])
        for index, own in enumerate(world.defenses)
    ]


def _figure(own: Values, world: World, frame: Frame, line: str, others: Sequence[str]) -> Figure:
    band = frame.band((p["f"], p["W_ci"]) for p in own["curve"])
    known = [p for p in own["curve"] if p["W"] is not None]
    shapes: tuple[Shape, ...] = (
        *frame.axes(),
        Path(d=frame.across(world.run.limit), meaning="limit"),
        *(Path(d=other, meaning="ghost") for other in others),
        *((Path(d=band, meaning="band"),) if band else ()),
        Path(d=line, meaning="line"),
        *(_dot(frame, point) for point in known),
        *(Words(x=frame.x(f), y=145, text=str(f), anchor="middle") for f in ticks(world.grid)),
        Words(x=134, y=159, text="malicious clients", anchor="middle"),
    )
    words = "; ".join([f"Worst-case utility of {own['defense']}", *map(_words, known)])
    resilience = "not scored" if own["R_unt"] is None else number(own["R_unt"])
    spread = f" ({interval(own['R_unt_ci'])})" if own["R_unt_ci"] is not None else ""
    survives = breakdown(own["breakdown"], world.clients)
    survived = survives if survives.startswith("fails") else f"survives {survives}"
    return Figure(
        title=own["defense"],
        lines=(f"Resilience {resilience}{spread}", survived),
        drawings=(Drawing(width=frame.width, height=frame.height + 12, words=words, shapes=shapes),),
    )


def _dot(frame: Frame, point: Values) -> Shape:
    x, y = frame.x(point["f"]), frame.y(point["W"])
    if point["invalid"] is None:
        return Circle(x=x, y=y, r=3.2, meaning="dot", title=_words(point))
    return Path(d=f"M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8", meaning="cross", title=_words(point))


def _words(point: Values) -> str:
    why = "cannot be used" if point["invalid"] is not None else named(point["worst_attack"])
    return f"{point['f']} malicious: {number(point['W'])} ({why})"


CURVES = Section(key="curves", of_world=_of_world)
