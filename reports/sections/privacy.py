"""What clients give away to whoever watches: leaks that were measured, and what a privacy account promises."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .content import (
    ACCURACY,
    COUNT,
    INTERVAL,
    LABEL,
    NUMBER,
    PERCENT,
    TEXT,
    Block,
    Bullets,
    Cell,
    Circle,
    Column,
    Content,
    Detailed,
    Drawing,
    Figure,
    Fold,
    Gallery,
    Note,
    Path,
    Row,
    Run,
    Section,
    Shape,
    Sheet,
    Table,
    Values,
    Words,
    World,
    ends,
)
from .content.figures import Frame
from .content.pictures import drawn
from .content.wording import number, percent

UNCOVERED = (
    "Every number of this report is computed by the simulator on the clients' raw data. No ε covers the report; an ε "
    "is about the training alone, run with noise that nobody can repeat."
)
NOTE = (
    "P is 1 minus the largest share that one of the attacks finds out: samples above both controls, members above "
    "false alarms, or labels above chance, which count half. It bounds nothing, as another attack may find out more. "
    "ε does, for whoever the noise protects from; no entry means that nothing is promised. No client is malicious here."
)
SUMMARY = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="P", heading="P", form=NUMBER, strong=True),
    Column(key="interval", heading="95% interval", form=INTERVAL, beneath="P"),
    Column(key="under", heading="Found out by", form=TEXT),
    Column(key="accuracy", heading="Accuracy", form=ACCURACY),
    Column(key="epsilon", heading="ε, by who sees it", form=TEXT),
    Column(key="claim", heading="What is promised", form=TEXT),
)
LEAKS = (
    Column(key="defense", heading="Defense", form=LABEL),
    Column(key="attack", heading="Attack", form=TEXT),
    Column(key="leak", heading="Leak", form=NUMBER, strong=True),
    Column(key="identified", heading="Samples identified", form=PERCENT),
    Column(key="recognisable", heading="at most", form=PERCENT, beneath="identified"),
    Column(key="reconstructed", heading="Recovered", form=PERCENT),
    Column(key="psnr", heading="dB", form=COUNT),
    Column(key="certified", heading="Known to be exact", form=PERCENT),
    Column(key="labels", heading="Labels", form=PERCENT),
    Column(key="members", heading="Members at 1 %", form=PERCENT),
    Column(key="bound", heading="at most", form=PERCENT, beneath="members"),
    Column(key="area", heading="AUC", form=NUMBER),
)
ROUND = Column(key="round", heading="Round", form=TEXT)
PICTURES = (
    "Samples of clients, each beside what was made of it: the best, the middle and the worst pair of the attack that "
    "recognised most, of one trial for each defense."
)
OPTIONAL = ("identified", "recognisable", "reconstructed", "psnr", "certified", "labels", "members", "bound", "area")


def _of_world(world: World) -> Content | None:
    defenses = world.axis("privacy")
    if not defenses:
        return None
    observer = next((own["observer"] for own in world.run.summary["privacy"] if own["world"] == world.label), None)
    blocks: list[Block] = [
        Note(line=UNCOVERED, tone="plain"),
        Table(columns=SUMMARY, rows=tuple(_row(own, observer) for own in defenses)),
    ]
    for about, words in ((False, "is in messages and models"), (True, "was trained on")):
        leaks = tuple(
            _leak(own, found, found["measured"])
            for own in defenses
            for found in own["attacks"]
            if about == ("mia_auc" in found["measured"])
        )
        if leaks:
            blocks.append(_table(LEAKS, leaks, f"What {words}, as the observer {observer} finds out:"))
    pictures = [found for found in world.run.summary.get("exhibits", ()) if found["world"] == world.label]
    if pictures:
        figures = tuple(_figure(found, pair, words) for found in pictures for pair, words in _named(found["pairs"]))
        blocks.append(Detailed(full=(Note(line=PICTURES), Gallery(figures=figures))))
    rounds = tuple(row for own in defenses for found in own["attacks"] for row in _by_round(own, found))
    if rounds:
        columns = (*LEAKS[:2], ROUND, *LEAKS[3:])
        blocks.append(Detailed(full=(Fold(summary="The same by watched round", blocks=(_table(columns, rounds),)),)))
    figure = _trade_off(defenses, observer)
    if figure is not None:
        blocks.append(Detailed(full=(Gallery(figures=(figure,), layout="wide"),)))
    remarks = tuple((line, ()) for line in _remarks(defenses))
    if remarks:
        blocks.append(Bullets(entries=remarks))
    return Content(title="What clients give away", introduction=NOTE, blocks=tuple(blocks))


def _table(columns: tuple[Column, ...], rows: tuple[Row, ...], caption: str = "") -> Table:
    """A table without the optional columns of which no row knows anything."""
    known = {key for row in rows for key, value in row.cells.items() if _value(value) is not None}
    shown = tuple(column for column in columns if column.key not in OPTIONAL or column.key in known)
    return Table(columns=shown, rows=rows, caption=caption, grouped=True)


def _value(cell: Any) -> Any:
    return cell.value if isinstance(cell, Cell) else cell


def _row(own: Values, observer: str | None) -> Row:
    worst = next((leak for leak in own["attacks"] if leak["attack"] == own["worst_attack"]), None)
    under = f"{worst['attack']} ({worst['what']})" if worst else own["invalid"] or ""
    return Row(
        cells={
            "defense": own["defense"],
            "P": own["P"],
            "interval": own["P_ci"],
            "under": under,
            "accuracy": own["accuracy"],
            "epsilon": ", ".join(f"{name} {_epsilon(value)}" for name, value in own["epsilon"].items()),
            "claim": _claim(own, observer),
        }
    )


def _epsilon(value: float) -> str:
    return number(value, 2 if value < 10 else 1 if value < 100 else 0)


def _claim(own: Values, observer: str | None) -> str:
    """What a mechanism promises, in words."""
    if own["voids"]:
        return "nothing: the claim is void"
    if not own["epsilon"]:
        return "nothing"
    relation = str(own["relation"]).replace("_", " ")
    claim = f"for one {own['unit']}, neighbours by {relation}, δ = {own['delta']:g}"
    if observer is not None and not own["protected"]:
        claim += f"; nothing against the observer {observer}"
    return claim + (f"; ended early by the {own['stopped']}" if own["stopped"] else "")


def _leak(own: Values, leak: Values, found: Mapping[str, float]) -> Row:
    """What an attack finds out by these measures of it."""
    return Row(
        cells={
            "defense": own["defense"],
            "attack": Cell(
                leak["attack"], note=" (told the truth in part)" if leak["attack"] in own["oracles"] else ""
            ),
            "leak": leak["leak"],
            "identified": found.get("identified"),
            "recognisable": leak["bounds"].get("identified") if "identified" in found else None,
            "reconstructed": _beside(found.get("reconstructed"), "controls", found.get("reconstructed_control")),
            "psnr": found.get("psnr"),
            "certified": found.get("certified"),
            "labels": _beside(found.get("label_accuracy"), "chance", found.get("label_chance")),
            "members": found.get("mia_tpr_1"),
            "bound": leak["bounds"].get("mia_tpr_1") if "mia_tpr_1" in found else None,
            "area": found.get("mia_auc"),
        }
    )


def _by_round(own: Values, leak: Values) -> Iterator[Row]:
    for watched, found in leak["by_round"].items():
        yield Row(cells={**_leak(own, leak, found).cells, "round": watched})


def _named(pairs: Sequence[Values]) -> list[tuple[Values, str]]:
    """The pairs from the best to the worst, with these words; all of them, never the best alone."""
    words = {1: ("",), 2: ("best", "worst")}.get(len(pairs), ("best", "middle", "worst"))
    return list(zip(pairs, words, strict=True))


def _figure(found: Values, pair: Values, words: str) -> Figure:
    """A sample beside its reconstruction."""
    size = {"width": found["width"], "height": found["height"]}
    texts = {"original": pair["original"], **({} if pair["found"] is None else {"reconstruction": pair["found"]})}
    drawings = tuple(
        Drawing(**size, words=f"{found['defense']}, {words} {name}", shapes=paths, kind="pixels")
        for name, text in texts.items()
        if (paths := drawn(found, text))
    )
    told = "none found" if pair["found"] is None else f"{number(pair['psnr'], 0)} dB"
    return Figure(drawings=drawings, caption=f"{found['defense']}: {words}, {told}".replace(": ,", ":"))


def _beside(value: float | None, what: str, other: float | None) -> Cell:
    """A share, and the one to which it is compared."""
    return Cell(value, note="" if value is None or other is None else f" ({what} {percent(other)})")


def _remarks(defenses: Sequence[Values]) -> Iterator[str]:
    """Why claims are void, and which attacks say nothing."""
    for own in defenses:
        for text in (*own["voids"], *own["notes"]):
            yield f"{own['defense']}: {text}"
    for text in dict.fromkeys(text for own in defenses for text in own["unfit"]):
        yield f"Not applicable, which is not the same as no leak: {text}"


def _trade_off(defenses: Sequence[Values], observer: str | None) -> Figure | None:
    """Accuracy and leak over ε; None with fewer than two defenses that promise something.

    ε is that against the observer of the suite where it has one, and otherwise the largest one.
    """
    points = []
    for own in defenses:
        if own["epsilon"] and not own["voids"] and own["accuracy"] is not None:
            loss = own["epsilon"].get(observer, max(own["epsilon"].values()))
            if loss > 0 and math.isfinite(loss):
                points.append((math.log2(loss), own))
    if len({place for place, _ in points}) < 2:
        return None
    points.sort(key=lambda point: point[0])
    low, high = math.floor(points[0][0]), math.ceil(points[-1][0])
    frame = Frame(width=760, height=210, low=low, high=high, bottom=36)
    leaks = [(place, own) for place, own in points if own["P"] is not None]
    shapes: list[Shape] = [*frame.axes()]
    for exponent in range(low, high + 1):
        shapes.append(Words(x=frame.x(exponent), y=190, text=f"{2.0**exponent:g}", anchor="middle"))
    shapes.append(Words(x=frame.x((low + high) / 2), y=206, text="ε", anchor="middle"))
    shapes += [_dot(frame, place, own["accuracy"], own, "accuracy") for place, own in points]
    shapes += [
        Path(d=_cross(frame.x(place), frame.y(1 - own["P"])), meaning="cross", title=_told(own, "leak", 1 - own["P"]))
        for place, own in leaks
    ]
    words = "Accuracy over ε" + ("" if not leaks else ", and the largest leak")
    told = "; ".join(_told(own, "accuracy", own["accuracy"]) for _, own in points)
    caption = "Dots: accuracy without malicious clients. Crosses: the largest measured leak." if leaks else ""
    drawing = Drawing(width=frame.width, height=frame.height, words=f"{words}: {told}", shapes=tuple(shapes))
    return Figure(drawings=(drawing,), title=f"{words}", caption=caption)


def _told(own: Values, what: str, value: float) -> str:
    return f"{own['defense']}: {what} {number(value)}"


def _dot(frame: Frame, place: float, value: float, own: Values, what: str) -> Circle:
    return Circle(x=frame.x(place), y=frame.y(value), r=3.5, meaning="dot", title=_told(own, what, value))


def _cross(x: float, y: float) -> str:
    return f"M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8"


CELL = ("leak", "what")
MEASURED = (
    *("identified", "reconstructed", "reconstructed_control", "psnr", "certified"),
    *("label_accuracy", "label_chance", "mia_tpr_1", "mia_tpr_5", "mia_auc"),
)

_ALL = (
    *(*MEASURED, "ssim", "wrongly_certified", "self_consistency"),
    *("reconstructed_15", "reconstructed_20", "reconstructed_25", "mia_tpr_01"),
    *(f"mia_{name}_error" for name in ("tpr_01", "tpr_1", "tpr_5", "auc")),
)


def _sheet(run: Run) -> Sheet:
    """The table with one row per attack on privacy; defenses on which nobody spied have one row.

    `privacy` is P of the defense in the world, and `leak` is what the attack found out. `epsilon` holds pairs of who
    sees it and the loss. `bound` is the most that `mia_tpr_1` can be by the account, and
    `recognisable` the most that `identified` can be.
    """
    rows = tuple(row for world, defense in run.each("privacy") for row in _rows(world, defense))
    columns = (
        *("world", "defense", "privacy", "privacy_low", "privacy_high", "worst_attack", "invalid", "accuracy"),
        *("epsilon", "delta", "unit", "relation", "voids", "attack", *CELL, *MEASURED),
        *("bound", "recognisable", "kept_per_seed"),
    )
    return Sheet(file="privacy.csv", columns=columns, rows=rows)


def _rows(world: str, own: Values) -> Iterator[dict[str, Any]]:
    shared = {
        "world": world,
        **{key: own[key] for key in ("defense", "worst_attack", "invalid", "accuracy", "delta", "unit", "relation")},
        "privacy": own["P"],
        **ends("privacy", own["P_ci"]),
        "epsilon": [f"{name}={value:.6g}" for name, value in own["epsilon"].items()],
        "voids": [text.partition(":")[0] for text in own["voids"]],
    }
    if not own["attacks"]:
        yield shared
    for leak in own["attacks"]:
        yield {
            **shared,
            **{name: leak[name] for name in ("attack", *CELL)},
            **{name: leak["measured"].get(name) for name in MEASURED},
            "bound": leak["bounds"].get("mia_tpr_1"),
            "recognisable": leak["bounds"].get("identified"),
            "kept_per_seed": leak["kept_per_seed"],
        }


PRIVACY = Section(
    key="privacy",
    of_world=_of_world,
    sheet=_sheet,
    measures=(
        *_ALL,
        *(f"{name}_by" for name in _ALL),
        *(
            "privacy_oracles",
            "privacy_changes",
            "privacy_unfit",
            "privacy_voids",
            "privacy_notes",
            "mia_unfit",
            "mia_targets",
        ),
        *("identified_error_by", "identified_prior_by", "identified_messages_by", "training_samples"),
        *("epsilon", *(f"epsilon_{name}" for name in ("participant", "public", "sum", "server")), "stopped_by"),
    ),
)
