"""Every cell of a world: each defense against each attack, with the runs behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from robustfl.evaluation.labels import PLAIN_ACCURACY
from robustfl.evaluation.results.measures import numbers
from robustfl.evaluation.results.records import curve_of, metrics_of, more_of
from robustfl.evaluation.score.costs import means
from robustfl.evaluation.score.levels import LEVELS, level_of

from .content import (
    ACCURACY,
    CODE,
    COUNT,
    LABEL,
    NUMBER,
    TEXT,
    UTILITY,
    Article,
    Cell,
    ColourKey,
    Column,
    Content,
    Detailed,
    Drawing,
    Figure,
    Gallery,
    Note,
    Path,
    Records,
    Rich,
    Row,
    Run,
    Section,
    Shape,
    Sheet,
    Tab,
    Table,
    Tabs,
    Values,
    Words,
    World,
    ends,
    labelled,
    labels,
)
from .content.figures import Frame, thinned
from .content.wording import interval, number

NOTE = (
    "Utility kept: 1 as good as attack-free training, 0 as bad as guessing. The strongest attack on each defense is "
    "underlined. Select a cell for the runs behind it."
)
AIMS_FIRST = (
    "Kept of both, the main task and the samples aimed at: 1 is as good as attack-free training, and 0 means that the "
    "model is as bad as guessing or that the attack always succeeds. The strongest attack on each defense is "
    "underlined. Select a cell for the runs behind it."
)


def _of_world(world: World) -> Content:
    attacks = _attacks(world)
    tabs = Tabs(
        group=world.key,
        purpose="Number of malicious clients",
        question=f"Malicious clients of {world.clients}",
        chosen=f"{world.key}-f{_telling(world)}",
        tabs=tuple(_tab(world, f, attacks) for f in world.grid),
    )
    note = AIMS_FIRST if world.run.scores["settings"].get("aims_first") else NOTE
    shown = Detailed(full=(Note(line=note), tabs, ColourKey(low="0 destroyed", high="1 unharmed")))
    return Content(title="Each defense against each attack", blocks=(shown,))


def _attacks(world: World) -> list[str]:
    """All attacks: first none, then the most harmful one first (by mean utility over defenses and f)."""
    utilities: dict[str, list[float]] = {}
    for own in world.defenses:
        for point in own["curve"]:
            for attack, cell in point["attacks"].items():
                utilities.setdefault(attack, [])
                utilities[attack] += [] if cell["U"] is None or point["f"] == 0 else [cell["U"]]
    averages = {attack: sum(known) / len(known) if known else 1.0 for attack, known in utilities.items()}
    return sorted(averages, key=lambda attack: (attack != "none", averages[attack], attack))


def _telling(world: World) -> int | None:
    """The number of malicious clients at which the defenses differ most, which is shown first."""

    def spread(f: int) -> float:
        known = [p["W"] for own in world.defenses for p in own["curve"] if p["f"] == f and p["W"] is not None]
        return float(sum(abs(a - b) for a in known for b in known))

    return max(world.grid, key=lambda f: (f > 0, spread(f), f), default=None)


def _tab(world: World, f: int, attacks: Sequence[str]) -> Tab:
    """The heat map for one number of malicious clients, and the details behind each cell."""
    key = f"{world.key}-f{f}"
    points = [(own["defense"], next((p for p in own["curve"] if p["f"] == f), None)) for own in world.defenses]
    shown = [attack for attack in attacks if any(point and attack in point["attacks"] for _, point in points)]
    rows, articles = [], []
    for d, (name, point) in enumerate(points):
        cells: dict[str, Any] = {}
        for a, attack in enumerate(shown):
            cell = point["attacks"].get(attack) if point else None
            target, worst = f"{key}-d{d}-a{a}", point is not None and point["worst_attack"] == attack
            played = cell is not None and any(cell["trials"])
            cells |= labelled({attack: Cell(_value(cell), to=target if played else "", strong=worst)})
            if cell is not None and played:
                articles.append(_article(target, name, attack, f, cell, world))
        empty = _empty(point)
        whole = {"defense": name, "worst": point["W"] if point else None}
        rows.append(Row(cells=whole if empty else cells | whole, instead=empty))
    columns = (
        Column(key="defense", heading="Defense", form=LABEL),
        *labels(shown, UTILITY),
        Column(key="worst", heading="worst case", form=UTILITY, strong=True),
    )
    title = f"{f} malicious of {world.clients} clients"
    return Tab(key=key, label=str(f), title=title, blocks=(Table(columns=columns, rows=tuple(rows)), *articles))


def _value(cell: Values | None) -> float | str | None:
    """The utility of a cell, or why it has none."""
    if cell is None or cell["U"] is not None:
        return None if cell is None else float(cell["U"])
    if set(cell["status"]) == {"not applicable"}:
        return "n/a"
    return next((state for state in cell["status"] if state not in ("ok", "diverged")), "unknown")


def _empty(point: Values | None) -> str:
    """Why a row is empty; nothing where it is not."""
    if point is None:
        return "not tested"
    return point["invalid"] or "" if all(cell["U"] is None for cell in point["attacks"].values()) else ""


def _article(key: str, name: str, attack: str, f: int, cell: Values, world: World) -> Article:
    """What lies behind a cell: its seeds, and accuracy over the rounds."""
    records = [world.run.records.get(trial or "") for trial in cell["trials"]]
    found = [metrics_of(record) for record in records]
    successes = [more_of(record).get("attack_success") for record in records]
    runs = tuple(
        Row(
            cells={
                "seed": seed,
                "accuracy": accuracy,
                "utility": utility,
                "success": success,
                "weight": metrics.get("malicious_weight"),
                "state": Cell(status, note=f", {rejected} rows rejected" if rejected else ""),
                "trial": trial or None,
            }
        )
        for seed, trial, status, accuracy, utility, metrics, success in zip(
            *(world.scored["seeds"], cell["trials"], cell["status"], cell["accuracy"], cell["u"], found, successes),
            strict=False,
        )
        for rejected in (metrics.get("rejected_rows"),)
    )
    aimed = any(row.cells["success"] is not None for row in runs)
    weighed = any(row.cells["weight"] is not None for row in runs)
    columns = (
        Column(key="seed", heading="Seed", form=COUNT),
        Column(key="accuracy", heading="Accuracy", form=ACCURACY),
        Column(key="utility", heading="Utility", form=NUMBER),
        *((Column(key="success", heading="Success of the attack", form=ACCURACY),) if aimed else ()),
        *((Column(key="weight", heading="Weight of malicious", form=ACCURACY),) if weighed else ()),
        Column(key="state", heading="State", form=TEXT),
        Column(key="trial", heading="Trial", form=CODE),
    )
    spread = "no interval" if cell["ci"] is None else f"95% interval {interval(cell['ci'])}"
    spread = "one seed, so no interval" if cell["ci"] is None and len(runs) == 1 else spread
    blocks: tuple[Rich, ...] = (Table(columns=columns, rows=runs),)
    return Article(
        key=key,
        title=f"{name}{' without an attack' if attack == 'none' else f' under {attack}'}, {f} of {world.clients} "
        "malicious",
        introduction=f"Utility {number(cell['U'])}{',' if cell['ci'] is not None else ';'} {spread}.",
        blocks=_accuracy(records, world) + blocks,
    )


def _accuracy(records: Sequence[Any], world: World) -> tuple[Rich, ...]:
    """Accuracy over the rounds, beside that of guessing and that of plain averaging without an attack."""
    measure = world.run.scores["settings"].get("accuracy", PLAIN_ACCURACY)
    curves = [curve_of(record, measure) for record in records]
    last = max((curve[-1][0] for curve in curves if curve), default=1)
    frame = Frame(width=330, height=150, low=0, high=last, left=26, right=6)
    lines = [frame.line(thinned([(t, value) for t, value in curve])) for curve in curves]
    if not any(lines):
        return ()
    baseline, chance = world.scored["baseline"]["mean"], world.scored["chance"]
    compared = (("no attack, plain averaging", baseline), ("guessing", chance))
    shapes: list[Shape] = list(frame.axes())
    for text, value in compared:
        if value is not None:
            shapes.append(Path(d=frame.across(value), meaning="base"))
            shapes.append(Words(x=frame.end, y=round(frame.y(value) - 4, 1), text=text, anchor="end"))
    shapes += [Path(d=line, meaning="thin line") for line in lines if line]
    shapes += [Words(x=frame.left, y=144, text="round 0"), Words(x=frame.end, y=144, text=str(last), anchor="end")]
    words = "Test accuracy over the rounds, a line a seed"
    drawing = Drawing(width=frame.width, height=frame.height, words=words, shapes=tuple(shapes))
    return (Gallery(figures=(Figure(drawings=(drawing,), caption=f"{words}."),), layout="beside"),)


COLUMNS = (
    *("world", "clients", "defense", "f", "fraction", "attack", "utility", "utility_low", "utility_high", "accuracy"),
    *("seeds", "status", "worst_case", "worst_case_low", "worst_case_high", "worst_case_cross_fitted", "is_worst"),
    *("worst_case_own", "worst_case_updates", "worst_case_everything", "level", "mean_utility", "resilience"),
    *("resilience_low", "resilience_high", "resilience_own", "resilience_updates", "undisturbed"),
    *("rank", "evaluation_status", "evaluation_remarks", "invalid", "baseline", "chance", "trials", *numbers()),
)


def _sheet(run: Run) -> Sheet:
    """A row a world, defense, number of malicious clients and attack.

    The worst cases and resiliences `own`, `updates` and `everything` are those of levels of knowledge; `level` is the
    lowest one that has the attack.

    What differs between seeds (status, trials) is in the order of the seeds. The last columns are means over the seeds
    of every measure that is one number per trial: ``robustfl list measures``.
    """
    ranks = {row["defense"]: row["rank"] for row in run.ranking}
    known = {name: card.get("knowledge") or () for name, card in run.summary["components"]["attacks"].items()}
    rows = (
        row | {"rank": ranks.get(defense["defense"])}
        for world in run.scores["worlds"]
        for defense in world["defenses"]
        for point in defense["curve"]
        for row in _rows(world, defense, point, run.records, known)
    )
    return Sheet(file="scores.csv", columns=COLUMNS, rows=tuple(rows))


def _at_level(found: Values | None, level: str, name: str) -> float | None:
    """A number of one level of knowledge; None where it is not known."""
    own = (found or {}).get(level)
    return None if own is None else own[name]


def _rows(
    world: Values, defense: Values, point: Values, records: Records, known: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """A row an attack; a point without attacks (it cannot be used, or nothing was tried) still has its row.

    `known[attack]` is what an attack knows.
    """
    shared = {
        **{key: world[key] for key in ("world", "clients", "chance", "seeds")},
        **{key: point[key] for key in ("f", "fraction", "invalid")},
        "defense": defense["defense"],
        "worst_case": point["W"],
        **ends("worst_case", point["W_ci"]),
        "worst_case_cross_fitted": point.get("W_cross_fitted"),
        **{f"worst_case_{level}": _at_level(point.get("levels"), level, "W") for level in LEVELS},
        "mean_utility": point["M"],
        "resilience": defense["R_unt"],
        **ends("resilience", defense["R_unt_ci"]),
        **{f"resilience_{level}": _at_level(defense.get("R_levels"), level, "R") for level in LEVELS[:-1]},
        "undisturbed": defense.get("undisturbed"),
        "evaluation_status": defense.get("status", ""),
        "evaluation_remarks": "; ".join(defense.get("why", [])),
        "baseline": world["baseline"]["mean"],
    }
    if not point["attacks"]:
        yield shared
    for attack, cell in point["attacks"].items():
        found = [accuracy for accuracy in cell["accuracy"] if accuracy is not None]
        yield {
            **shared,
            "attack": attack,
            "utility": cell["U"],
            **ends("utility", cell["ci"]),
            "accuracy": sum(found) / len(found) if found and len(found) == len(cell["accuracy"]) else None,
            "is_worst": attack == point["worst_attack"],
            "level": "" if attack == "none" else level_of(known.get(attack)),
            "status": [status.replace(" ", "_") for status in cell["status"]],
            "trials": [trial or "-" for trial in cell["trials"]],
            **means(cell["trials"], records, numbers()),
        }


HEAT_MAP = Section(key="cells", of_world=_of_world, sheet=_sheet)
