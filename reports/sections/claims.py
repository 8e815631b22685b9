"""The claims of papers, compared with what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from robustfl.wording import decimals

from .content import (
    TEXT,
    Code,
    Column,
    Content,
    Detailed,
    Finding,
    Findings,
    Form,
    Line,
    Note,
    Row,
    Run,
    Section,
    Sheet,
    Strong,
    Table,
    Values,
    ends,
)
from .content.wording import MISSING, listed, number

HOW = (
    "A claim is confirmed when all of the interval lies inside what is expected, not confirmed when all of it lies "
    "outside, and otherwise not decided. A verdict is about this suite: other data, models or attacks may give another."
)
FIGURES = Form(show=lambda pair: MISSING if pair is None else number(*pair))
"""A value with the number of decimals that suits it and its interval."""


def _of_run(run: Run) -> Content | None:
    claims = run.summary.get("claims", [])
    if not claims:
        return None
    verdicts = [claim["verdict"] for claim in claims]
    counts = listed([f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)])
    return Content(
        title="Claims",
        introduction=(
            f"What papers say, and what was measured here: {counts}. The interval is the 95% interval over the seeds. "
            f"{HOW}"
        ),
        blocks=(
            *(Note(line=line, tone="plain") for line in _alone(run)),
            Detailed(full=(Findings(entries=tuple(map(_finding, claims))),), brief=(_table(claims),)),
        ),
    )


def _alone(run: Run) -> Iterator[str]:
    """With what accuracies of peers without a server compare, which many of their claims are about."""
    for row in run.baselines:
        mean, worst = number(row.alone["mean"], 3), number(row.alone["worst"], 3)
        yield f"{row.name}: without a network the mean peer reaches {mean}, and the worst {worst}."


def _finding(claim: Values) -> Finding:
    """What a claim says, where the paper says it, what was expected and what was measured."""
    value, difference, spread = claim["value"], claim["difference"], _spread(claim)
    shown = f"measured {number(value, _digits(claim))}{f' ({spread})' if spread else ''}"
    told = "no value" if value is None else shown
    outcome = f" expected {claim['expect']}; {told}{'' if difference is None else f', {_side(difference)}'}"
    parts = "; ".join(f"{text} = {number(part, decimals([part]))}" for text, part in claim["parts"].items())
    small = [claim["reason"], parts if len(claim["parts"]) > 1 else ""]
    lines: tuple[Line, ...] = ((Strong(claim["text"]),),)
    return Finding(
        kind=claim["verdict"],
        serious=claim["verdict"] == "not confirmed",
        lines=lines,
        more=(
            Note(line=claim["source"]),
            Note(line=(Code(claim["measure"]), outcome), tone="plain"),
            *(Note(line=text) for text in small if text),
        ),
    )


def _table(claims: list[dict[str, Any]]) -> Table:
    columns = (
        Column(key="claim", heading="Claim"),
        Column(key="measure", heading="Measure"),
        Column(key="expected", heading="Expected"),
        Column(key="measured", heading="Measured", form=FIGURES, strong=True),
        Column(key="interval", heading="95% interval", form=FIGURES),
        Column(key="difference", heading="Difference", form=FIGURES),
        Column(key="verdict", heading="Verdict", form=TEXT),
    )
    rows = tuple(
        Row(
            cells={
                "claim": f"{claim['text']} ({claim['source']})",
                "measure": claim["measure"],
                "expected": claim["expect"],
                "measured": None if claim["value"] is None else (claim["value"], _digits(claim)),
                "interval": _spread(claim) or None,
                "difference": None if claim["difference"] is None else _side(claim["difference"]),
                "verdict": f"{claim['verdict']}: {claim['reason']}" if claim["reason"] else claim["verdict"],
            }
        )
        for claim in claims
    )
    return Table(columns=columns, rows=rows)


def _digits(claim: Values) -> int:
    return decimals([claim["value"], *(claim["ci"] or [])])


def _spread(claim: Values) -> str:
    """The interval in words; an empty text if the value does not depend on chance."""
    pair, digits = claim["ci"], _digits(claim)
    return "" if pair is None or pair[0] == pair[1] else f"{number(pair[0], digits)} to {number(pair[1], digits)}"


def _side(difference: float) -> str:
    """On which side of the nearest limit the value lies, and how far from it."""
    return f"{number(abs(difference), decimals([difference]))} {'inside' if difference >= 0 else 'outside'}"


def _sheet(run: Run) -> Sheet:
    """The table with one row per claim.

    `difference` is how far the value lies inside the expected range; it is negative outside. `per_seed` holds the
    values of the seeds; it is empty if the value does not depend on chance.
    """
    rows = tuple(
        {
            **{key: claim[key] for key in ("source", "measure", "difference", "verdict", "reason", "per_seed")},
            "claim": claim["text"],
            "expected": claim["expect"],
            "measured": claim["value"],
            **ends("measured", claim["ci"]),
        }
        for claim in run.summary.get("claims", [])
    )
    columns = (
        *("claim", "source", "measure", "expected", "measured", "measured_low", "measured_high"),
        *("difference", "verdict", "reason", "per_seed"),
    )
    return Sheet(file="claims.csv", columns=columns, rows=rows)


CLAIMS = Section(key="claims", of_run=_of_run, sheet=_sheet)
