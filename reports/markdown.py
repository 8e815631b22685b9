"""A Markdown page for issues, pull requests and terminals: the answer, the tables, what limits them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.evaluation.reporting import ReportFormat, RunResults

from .claims import claim_rows
from .evasion import Records, evasion_view
from .page import failures, flag_groups
from .wording import MISSING, answer, breakdown, hardest, interval, number, threshold, well_formed


@dataclass(frozen=True, kw_only=True)
class Markdown(ReportFormat):
    """The results as GitHub-flavoured Markdown tables; each string of the results is escaped."""

    filename: ClassVar[str] = "report.md"

    def render(self, results: RunResults) -> str:
        """The page; equal results give equal bytes."""
        summary, scores = results.summary, results.summary["scores"]
        order = [row["defense"] for row in scores["ranking"]]
        records = {record["trial"]: record for record in results.records}
        blocks = [
            f"# {escaped(summary['suite']['name'])}",
            escaped(summary["suite"]["description"] or ""),
            escaped(" ".join(answer(results))),
            "## Ranking",
            _ranking(scores["ranking"]),
            "Resilience is the worst-case utility, averaged over the tested shares of malicious clients. Utility 1 is "
            "as good as attack-free training, 0 as bad as guessing. Equal ranks: no significant difference.",
            *_claims(claim_rows(summary)),
            *(block for world in scores["worlds"] for block in _world(world, order, threshold(results), records)),
            *_remarks(scores["flags"]),
            *_failures(results.records),
            "## Reproduce",
            _fenced(summary["suite"]["command"]),
            *_rows(summary["suite"].get("rows", {})),
            _table(("", ""), [(key, str(value)) for key, value in summary["provenance"].items()], "ll"),
        ]
        return well_formed("\n\n".join(block for block in blocks if block) + "\n")


def escaped(text: str) -> str:
    """The text on one line, shown as it is: no markup, no HTML, no table cell ends in it."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*_\[\]#|~!])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"^(\d*)([-+=>.)])(?!\d)", r"\1\\\2", line)  # what would begin a list or a quote at the start


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], columns: str) -> str:
    """A table; `columns` has a letter a column, l for left and r for right."""
    marks = ["---:" if side == "r" else "---" for side in columns]
    lines = [[escaped(cell) for cell in header], marks, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ranking(rows: Sequence[Mapping[str, Any]]) -> str:
    header = ("Rank", "Defense", "Resilience", "95% interval", "Weakest world", "With the most malicious", "Under")
    shown = [
        (
            str(row["rank"]) if row["R_mean"] is not None else MISSING,
            row["defense"],
            number(row["R_mean"]),
            interval(row["R_ci"]),
            number(row["R_min"]),
            number(row["W_at_max_f"]),
            hardest(row),
        )
        for row in rows
    ]
    return _table(header, shown, "rlrrrrl") if rows else "No defense was ranked."


def _claims(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What papers say beside what was measured."""
    header = ("Claim", "Measure", "Expected", "Measured", "95% interval", "Difference", "Verdict")
    shown = [
        (
            f"{row['text']} ({row['source']})",
            *(row[key] for key in ("measure", "expect", "value", "interval", "difference")),
            f"{row['verdict']}: {row['reason']}" if row["reason"] else row["verdict"],
        )
        for row in rows
    ]
    return ["## Claims", _table(header, shown, "lllrrrl")] if rows else []


def _world(world: Mapping[str, Any], order: Sequence[str], limit: float, records: Records) -> list[str]:
    """The worst case over f, a column a number of malicious clients."""
    grid = sorted({point["f"] for own in world["defenses"] for point in own["curve"]})
    ranked = sorted(world["defenses"], key=lambda own: (own["defense"] not in order, _position(own, order)))
    rows = []
    for own in ranked:
        points = {point["f"]: point for point in own["curve"]}
        cells = [_cell(points.get(f)) for f in grid]
        rows.append((own["defense"], breakdown(own["breakdown"], world["clients"]), number(own["R_unt"]), *cells))
    header = ("Defense", "Survives", "Resilience", *(f"f = {f}" for f in grid))
    baseline = number(world["baseline"]["mean"], 3)
    return [
        f"## {escaped(world['world'])}",
        f"Worst-case utility with f malicious clients of {world['clients']}, and the attack that causes it. Accuracy "
        f"is {baseline} without an attack and {number(world['chance'], 3)} by guessing. A defense survives f malicious "
        f"clients when utility stays at {number(limit)} or above up to there.{_left_out(world)}",
        _table(header, rows, "llr" + "r" * len(grid)),
        *_evasion(evasion_view(ranked, records)),
    ]


def _evasion(view: Mapping[str, Any] | None) -> list[str]:
    """How the trained models fare when test samples are attacked, where that was measured."""
    if view is None:
        return []
    header = ("Defense", "Untouched", *view["attacks"], "All", "Poisoned: untouched", "All", "Under")
    columns = ("poisoned_clean", "poisoned_all", "poisoned_by")
    rows = [
        (row["defense"], row["clean"], *row["robust"], row["all"], *(row[column] for column in columns))
        for row in view["rows"]
    ]
    return [
        "### Test-time attacks",
        "Accuracy on test samples, untouched and changed to mislead the model; “All”: samples that no attack could "
        "turn. Poisoned: the training under attack whose model keeps least; one that diverged keeps nothing.",
        _table(header, rows, "l" + "r" * (len(header) - 2) + "l"),
    ]


def _left_out(world: Mapping[str, Any]) -> str:
    """What does not count, where some attacks are made for other messages than those of some defenses."""
    cells = [cell for own in world["defenses"] for point in own["curve"] for cell in point["attacks"].values()]
    if not any("not applicable" in cell["status"] for cell in cells):
        return ""
    return (
        " The worst case of each defense is over the attacks that can be played against it: those made for other "
        "messages than its clients send do not count."
    )


def _position(own: Mapping[str, Any], order: Sequence[str]) -> tuple[int, str]:
    return (order.index(own["defense"]) if own["defense"] in order else len(order), own["defense"])


def _cell(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return "not tested"
    if point["invalid"] is not None:
        return "cannot be used"
    if point["W"] is None:
        return "incomplete"
    attack = point["worst_attack"]
    return number(point["W"]) + (f" {attack}" if attack and attack != "none" else "")


def _remarks(flags: Sequence[Mapping[str, Any]]) -> list[str]:
    groups = flag_groups(flags)
    lines = [f"- **{escaped(g['level'])}**: {escaped(message)}" for g in groups for message in g["messages"]]
    return ["## Before you trust these numbers", "\n".join(lines)] if lines else []


def _failures(records: Sequence[Mapping[str, Any]]) -> list[str]:
    found = failures(records)
    lines = [
        f"- {escaped(g['type'])}: {escaped(g['message'])} ({g['count']})\n"
        + "\n".join(f"  - {escaped(trial)}" for trial in g["trials"])
        + (f"\n  - and {g['more']} more" if g["more"] > 0 else "")
        for g in found["groups"]
    ]
    more = [f"{found['more']} more kinds of failure are in records.jsonl."] if found["more"] > 0 else []
    return ["## Failed trials", "\n".join(lines), *more] if lines else []


def _rows(commands: Mapping[str, str]) -> list[str]:
    """The commands that repeat one defense each."""
    lead = ["One defense at a time:"] if commands else []
    return [*lead, *(_fenced(command) for command in commands.values())]


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any that the text holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{' '.join(text.split())}\n{fence}"
