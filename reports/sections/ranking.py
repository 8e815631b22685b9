"""The ranking: which defense is the most resilient over all worlds, and how certain this is."""

from __future__ import annotations

from robustfl.evaluation.results.summaries import PeersAlone, PeersServed
from robustfl.evaluation.score.peers import BaselineRow, served
from robustfl.wording import counted

from .content import (
    ACCURACY,
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
    Form,
    Note,
    Row,
    Run,
    Section,
    Sheet,
    Span,
    Table,
    Values,
    ends,
)
from .content.wording import MISSING, breakdown, named, number


def _told(who: str) -> Form:
    """The form of an accuracy beneath the utility behind which it stands."""
    return Form(show=ACCURACY.show, told=lambda value: "" if value is None else f"{who} {number(value, 3)}")


PEER_COLUMNS = (
    Column(key="mean_peer", heading="Mean peer", form=_told("mean peer"), beneath="most"),
    Column(key="worst_peer", heading="Worst peer", form=_told("worst peer"), beneath="most"),
)
"""The accuracies of honest peers without a server behind the last utility of a row."""

ALONE = (
    "Mean peer, worst peer: the accuracies behind the utility with the most malicious clients. The rows without a rank "
    "at the end are the baseline: what peers reach by the same training without any network. A defense whose peers end "
    "below that has lost more than it has protected."
)

BRIEFLY = (
    "Resilience is the worst-case utility, averaged over the attacked shares of malicious clients. Utility 1 is as "
    "good as attack-free training, 0 as bad as guessing. Rows are in its order; ≈ marks those that cannot be told "
    "apart from the first. Undisturbed: what is kept where nobody attacks. Own data only, with honest updates: the "
    "resilience against attackers who know no more than that; resilience itself is that against all attackers. Every "
    "one of them may know the defense."
)
"""What the columns of the table mean, for short pages."""

LEVEL_COLUMNS = (
    Column(key="own", heading="Own data only", form=NUMBER),
    Column(key="updates", heading="With honest updates", form=NUMBER),
)
"""The resilience against attackers who know less than everything."""

AIMS_FIRST = (
    "This suite is about aims: utility counts what an attack with an aim leaves of both, the main task and the samples "
    "aimed at (the smaller of accuracy on the scale of utility, and of one minus the success beyond the natural rate)."
)


def levels(row: Values) -> dict[str, float | None]:
    """The cells of :data:`LEVEL_COLUMNS`."""
    found = row.get("R_levels") or {}
    return {column.key: found.get(column.key) for column in LEVEL_COLUMNS}


def mark(row: Values) -> str:
    """A sign beside the number of a defense that cannot be told apart from the first one."""
    return " ≈" if row.get("tied") else ""


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
    unranked = f"; {many} {'has' if left == 1 else 'have'} no rank, for the reasons below" if left else ""
    return (
        f"Attacks: {frozen['name']}, hash {frozen['hash']}. Scores compare only where this hash is the same. Only "
        f"defenses with the status ADAPTIVE are ranked{unranked}."
    )


def _of_run(run: Run) -> Content:
    several = len(run.worlds) > 1
    over = f", the mean over {len(run.worlds)} worlds" if several else ""
    survived = " “Survives” is that of the weakest world." if several else ""
    pictured = (
        "Rows are in the order of resilience. Bars: resilience from 0 to 1. Whiskers: 95% interval over the seeds. ≈: "
        f"cannot be told apart from the first row.{survived}"
    )
    standard = standard_line(run)
    aims = (Note(line=AIMS_FIRST),) if run.scores["settings"].get("aims_first") else ()
    found: tuple[Block, ...] = (
        *aims,
        Detailed(full=(Note(line=f"Which defense holds: resilience{over}. Higher is better.", tone="soft"),)),
        _table(run, several),
    )
    if run.ranking:
        found += (Detailed(full=(Note(line=pictured),), brief=(Note(line=BRIEFLY, tone="plain"),)),)
    if run.baselines:
        found += (Note(line=ALONE),)
    if run.ranking and standard:
        found += (Note(line=standard),)
    return Content(title="Ranking", blocks=found)


def _table(run: Run, several: bool) -> Table:
    shown, alone = run.contestants, run.baselines
    tested = any("status" in row for row in shown)
    columns = (
        Column(key="rank", heading="Rank", form=NUMBER),
        Column(key="defense", heading="Defense", form=LABEL),
        Column(key="beats", heading="Beats", form=TEXT, beneath="defense", extra=True),
        Column(key="bar", heading="", form=BAR, scale=("0", "0.5", "1")),
        Column(key="resilience", heading="Resilience", form=NUMBER, strong=True),
        Column(key="interval", heading="95% interval", form=INTERVAL_OR_WORDS, beneath="resilience"),
        *((Column(key="weakest", heading="Weakest world", form=NUMBER),) if several else ()),
        *(LEVEL_COLUMNS if any(any(levels(row).values()) for row in shown) else ()),
        Column(key="undisturbed", heading="Undisturbed", form=NUMBER),
        Column(key="survives", heading="Survives", form=TEXT, extra=True),
        Column(key="most", heading="With the most malicious", form=NUMBER),
        Column(key="under", heading="Under", form=TEXT, beneath="most"),
        *(PEER_COLUMNS if alone else ()),
        *((Column(key="status", heading="Status", form=TEXT),) if tested else ()),
    )
    rivals = sum(row["rank"] is not None for row in shown) - 1
    rows = [*(_row(row, run, rivals) for row in shown), *map(baseline, alone)]
    return Table(columns=columns, rows=tuple(rows), empty="No defense was ranked.", stacks=True)


def baseline(row: BaselineRow) -> Row:
    """What peers of a world reach alone, with its utility if the suite plays attacks against that, too."""
    own = row.played
    resilience, pair = (None, None) if own is None else (own["R_unt"], own["R_unt_ci"])
    low, high = pair or (None, None)
    return Row(
        cells={
            "rank": MISSING,
            "defense": row.name,
            "beats": "",
            "bar": Span(value=resilience, low=low, high=high),
            "resilience": resilience,
            "interval": "" if pair is None else pair,
            "undisturbed": None if own is None else own.get("undisturbed"),
            "mean_peer": row.alone["mean"],
            "worst_peer": row.alone["worst"],
            "most": MISSING,
            "under": "",
            "survives": MISSING,
            "status": "baseline",
        },
    )


def peer_cells(row: Values, run: Run) -> dict[str, object]:
    """The cells of :data:`PEER_COLUMNS`; none where clients have a server."""
    own = served(run.results.summary["scores"], row)
    if own is None:
        return {}
    return {"mean_peer": "peers diverge" if own["diverged"] else own["mean"], "worst_peer": own["worst"]}


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
            "resilience": Cell(resilience, note=mark(row)),
            "interval": "incomplete" if resilience is None else "too few seeds" if pair is None else pair,
            **levels(row),
            "undisturbed": row.get("undisturbed"),
            "weakest": row["R_min"],
            "survives": _survives(row["defense"], run),
            "most": row["W_at_max_f"],
            "under": hardest(row),
            **peer_cells(row, run),
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


SHEET = (
    *("rank", "defense", "resilience", "resilience_low", "resilience_high", "tied", "weakest_world", "own", "updates"),
    *("undisturbed", "worst_case", "worst_case_low", "worst_case_high", "worst_attack", "world", "beats", "beaten_by"),
    *("mean_peer", "worst_peer", "status", "remarks", "seeds", "suite_hash", "standard", "standard_hash"),
)


def _sheet(run: Run) -> Sheet:
    """A row a defense, in the order of the ranking; `worst_case` is that with the most malicious clients.

    Below them stands what peers without a server reach alone, a row a world.
    """
    suite, scores = run.summary["suite"], run.results.summary["scores"]
    frozen = suite.get("standard") or {}
    origin = {
        "seeds": len(run.seeds),
        "suite_hash": suite["hash"],
        "standard": frozen.get("name"),
        "standard_hash": frozen.get("hash"),
    }
    rows = [
        {
            "rank": row["rank"] if row["R_mean"] is not None else None,
            "defense": row["defense"],
            "resilience": row["R_mean"],
            **ends("resilience", row["R_ci"]),
            "tied": row.get("tied"),
            "weakest_world": row["R_min"],
            **levels(row),
            "undisturbed": row.get("undisturbed"),
            "worst_case": row["W_at_max_f"],
            **ends("worst_case", row.get("W_ci")),
            "worst_attack": row["worst_attack"],
            "world": row.get("world"),
            "beats": "; ".join(row["beats"]),
            "beaten_by": "; ".join(row.get("beaten_by", [])),
            **_accuracies(served(scores, row)),
            "status": row.get("status"),
            "remarks": "; ".join(row.get("why", [])),
            **origin,
        }
        for row in run.contestants
    ]
    for alone in run.baselines:
        own = alone.played
        told = {"resilience": own["R_unt"], "undisturbed": own.get("undisturbed")} if own is not None else {}
        interval = ends("resilience", None if own is None else own["R_unt_ci"])
        name = {"defense": alone.name, "world": alone.world, "status": "baseline"}
        rows.append({**name, **told, **interval, **_accuracies(alone.alone), **origin})
    return Sheet(file="ranking.csv", columns=SHEET, rows=tuple(rows))


def _accuracies(own: PeersServed | PeersAlone | None) -> dict[str, float | None]:
    return {} if own is None else {"mean_peer": own["mean"], "worst_peer": own["worst"]}


RANKING = Section(key="ranking", of_run=_of_run, sheet=_sheet)
