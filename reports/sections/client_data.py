"""Which client holds which data: the number of samples of each class at each client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .content import (
    Block,
    Box,
    Bullets,
    Circle,
    Content,
    Detailed,
    Drawing,
    Figure,
    Gallery,
    Group,
    Note,
    Path,
    Section,
    Shape,
    Values,
    Words,
    World,
)
from .content.figures import radius

STEP = TOP = 18
"""The distance between clients and between classes, and the place of the first class."""

READ = "When the files were read:"
"""What stands before the notes about the values of the files."""

MOST_CLIENTS, MOST_DOTS = 60, 4000
"""The largest numbers of clients and of dots that are drawn."""


def _of_world(world: World) -> Content | None:
    histograms: Mapping[str, Values] = world.run.summary["histograms"]
    found = histograms.get(world.label)
    if not found or not found["counts"] or not found["classes"]:
        return None
    counts = found["counts"]
    drawn = counts[: max(1, min(MOST_CLIENTS, MOST_DOTS // len(found["classes"])))]
    largest = max((count for row in drawn for count in row), default=0)
    malicious = frozenset(found["malicious"])
    numbers = found.get("clients") or list(range(len(counts)))
    marked = " Marked columns are the clients that are malicious when most of them are."
    more = len(counts) - len(drawn) + found.get("left_out", 0)
    spread = " The numbers of those that are drawn lie at even distances." if found.get("left_out") else ""
    hidden = f" {more} more clients are not drawn.{spread}" if more else ""
    note = (
        f"Seed {found['seed']}: a column a client, a row a class, the area of a dot the number of samples (the largest "
        f"is {largest}).{marked if any(number in malicious for number in numbers[: len(drawn)]) else ''}{hidden}"
    )
    drawing = _drawing(found["classes"], drawn, largest, malicious, numbers)
    gallery = Gallery(figures=(Figure(drawings=(drawing,)),), layout="wide")
    notes = tuple((line, ()) for line in found.get("notes", ()))
    blocks: tuple[Block, ...] = (Note(line=READ), Bullets(entries=notes)) if notes else ()
    return Content(title="Who holds which data", blocks=(*blocks, Detailed(full=(Note(line=note), gallery))))


def _drawing(
    classes: Sequence[str],
    drawn: Sequence[Sequence[int]],
    largest: int,
    malicious: frozenset[int],
    numbers: Sequence[int],
) -> Drawing:
    left = 28 + 6 * min(12, max(map(len, classes)))
    width, height = left + STEP * len(drawn), TOP + STEP * len(classes) + 12
    shapes: list[Shape] = []
    for number, name in enumerate(classes):
        y = TOP + STEP * number
        shapes.append(Path(d=f"M{left - 8} {y}H{width - 4}", meaning="row"))
        shapes.append(Words(x=left - 12, y=y + 3, text=name if len(name) <= 12 else f"{name[:11]}…", anchor="end"))
    for place, (client, row) in enumerate(zip(numbers, drawn, strict=False)):
        named = len(drawn) <= 30 or place % 5 == 0
        shapes.append(_column(client, row, classes, left + STEP * place, height, largest, client in malicious, named))
    words = "Samples of each class at each client"
    return Drawing(width=width, height=height, words=words, shapes=tuple(shapes), kind="dots", shown=width * 1.25)


def _column(
    client: int,
    row: Sequence[int],
    classes: Sequence[str],
    x: int,
    height: int,
    largest: int,
    bad: bool,
    named: bool,
) -> Group:
    """The dots of a client, on a background of their own if the client is malicious."""
    shapes: list[Shape] = [Box(x=x - 9, y=6, width=18, height=height - 16)] if bad else []
    for number, count in enumerate(row[: len(classes)]):
        if count > 0:
            shapes.append(Circle(x=x, y=TOP + STEP * number, r=radius(count, largest, STEP / 2 - 1)))
    if named:
        shapes.append(Words(x=x, y=height - 4, text=str(client), anchor="middle"))
    title = f"client {client}{' (malicious)' if bad else ''}: {sum(row)} samples"
    return Group(title=title, shapes=tuple(shapes), meaning="bad" if bad else "plain")


CLIENT_DATA = Section(key="data", of_world=_of_world)
