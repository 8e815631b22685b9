"""The ranking: which defense is the most resilient over all worlds, and how certain this is."""

from __future__ import annotations

from robustfl.wording import counted

from .content import (
    BAR,
    INTERVAL_OR_WORDS,
    LABEL,
    NUMBER,
    TEXT,
    Block,
    Cell,
    Column,
    Content,
    Detailed,
    Note,
    Row,
    Run,
    Section,
    Span,
    Table,
    Values,
)
from .content.wording import MISSING, breakdown, named

BRIEFLY = (
    "Resilience is the worst-case utility, averaged over the tested shares of malicious clients. Utility 1 is as good "
    "as attack-free training, 0 as bad as guessing. Equal ranks: no significant difference."
)


def place(row: Values) -> str:
    """The rank of a row of the ranking, or a dash for a row without a rank."""
    return MISSING if row["rank"] is None or row["R_mean"] is None else str(row["rank"])


def standard_line(run: Run) -> str:
    """The frozen attacks that the defenses met, with the hash that comparable scores share; empty without them."""
    frozen = run.summary["suite"].get("standard")
    if not frozen:
        return ""
    left = sum(row["rank"] is None for row in run.ranking)
    many = f"{counted(left, 'defense')} of {len(run.ranking)}"
    unranked = f"; {many} without it {'stands' if left == 1 else 'stand'} below" if left else ""
    return (
        f"Attacks: {frozen['name']}, hash {frozen['hash']}. Scores compare only where this hash is the same. Only "
        f"defenses with the status ADAPTIVE are ranked{unranked}."
    )


def _of_run(run: Run) -> Content:
    several = len(run.worlds) > 1
    over = f", the mean over {len(run.worlds)} worlds" if several else ""
    survived = " “Survives” is that of the weakest world." if several else ""
    pictured = (
        "Bars: resilience from 0 to 1. Whiskers: 95% interval over the seeds. Equal ranks: the difference is not "
        f"significant.{survived}"
    )
    standard = standard_line(run)
    found: tuple[Block, ...] = (
        Detailed(full=(Note(line=f"Which defense holds: resilience{over}. Higher is better.", tone="soft"),)),
        _table(run, several),
    )
    if run.ranking:
        found += (Detailed(full=(Note(line=pictured),), brief=(Note(line=BRIEFLY, tone="plain"),)),)
    if run.ranking and standard:
        found += (Note(line=standard),)
    return Content(title="Ranking", blocks=found)


def _table(run: Run, several: bool) -> Table:
    tested = any("status" in row for row in run.ranking)
    columns = (
        Column(key="rank", heading="Rank", form=NUMBER),
        Column(key="defense", heading="Defense", form=LABEL),
        Column(key="beats", heading="Beats", form=TEXT, beneath="defense", extra=True),
        Column(key="bar", heading="", form=BAR, scale=("0", "0.5", "1")),
        Column(key="resilience", heading="Resilience", form=NUMBER, strong=True),
        Column(key="interval", heading="95% interval", form=INTERVAL_OR_WORDS, beneath="resilience"),
        *((Column(key="weakest", heading="Weakest world", form=NUMBER),) if several else ()),
        Column(key="survives", heading="Survives", form=TEXT, extra=True),
        Column(key="most", heading="With the most malicious", form=NUMBER),
        Column(key="under", heading="Under", form=TEXT, beneath="most"),
        *((Column(key="status", heading="Status", form=TEXT),) if tested else ()),
    )
    rivals = sum(row["rank"] is not None for row in run.ranking) - 1
    rows = tuple(_row(row, run, rivals) for row in run.ranking)
    return Table(columns=columns, rows=rows, empty="No defense was ranked.", stacks=True)


def _row(row: Values, run: Run, rivals: int) -> Row:
    resilience, pair = row["R_mean"], row["R_ci"]
    low, high = pair or (None, None)
    return Row(
        first=place(row) == "1",
        cells={
            "rank": place(row),
            "defense": row["defense"],
            "beats": f"beats {len(row['beats'])} of {rivals}" if row["beats"] else "",
            "bar": Span(value=resilience, low=low, high=high),
            "resilience": resilience,
            "interval": "incomplete" if resilience is None else pair,
            "weakest": row["R_min"],
            "survives": _survives(row["defense"], run),
            "most": row["W_at_max_f"],
            "under": hardest(row),
            "status": Cell(row.get("status", ""), to="statuses"),
        },
    )


def _survives(name: str, run: Run) -> str:
    """How many malicious clients a defense survives in its weakest world; the numbers of all worlds must be known."""
    own = [(found, world.clients) for world in run.worlds for found in world.defenses if found["defense"] == name]
    known = [(found["breakdown"], clients) for found, clients in own if found["breakdown"] is not None]
    if not known or len(known) < len(own):
        return breakdown(None, 0)
    return breakdown(*min(known, key=lambda pair: pair[0]["f"] / pair[1]))


def hardest(row: Values) -> str:
    """The attack, or the reason, behind a defense's value with the largest number of malicious clients."""
    if row["worst_attack"] is None and row["R_mean"] is not None:
        return "its precondition not met"
    return named(row["worst_attack"])


RANKING = Section(key="ranking", of_run=_of_run)
