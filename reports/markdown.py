"""A Markdown page for issues, pull requests and terminals: the answer, the tables, what limits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from robustfl.evaluation.results.reporting import ReportFormat, RunResults

from .claims import claim_rows
from .evasion import Records, evasion_view
from .faults import faults_view
from .ledgers import ledger_rows
from .markup import escaped, fenced, table
from .page import failures, flag_groups
from .side_effects import side_effects_view
from .status import place, standard_line, statuses
from .targeted import targeted_view
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
            *_statuses(summary),
            *_claims(claim_rows(summary)),
            *(
                block
                for world in scores["worlds"]
                for block in (
                    *_world(world, order, threshold(results), records),
                    *_targeted(targeted_view(summary, world, order)),
                    *_faults(faults_view(summary, world, order)),
                    *_side_effects(side_effects_view(summary, world, order)),
                )
            ),
            *_remarks(scores["flags"]),
            *_failures(results.records),
            "## Reproduce",
            fenced(summary["suite"]["command"]),
            *_rows(summary["suite"].get("rows", {})),
            table(
                ("", ""),
                [
                    *((key, str(value)) for key, value in summary["provenance"].items()),
                    *ledger_rows(results.records),
                ],
                "ll",
            ),
        ]
        return well_formed("\n\n".join(block for block in blocks if block) + "\n")


def _ranking(rows: Sequence[Mapping[str, Any]]) -> str:
    tested = bool(rows) and all("status" in row for row in rows)
    header = ["Rank", "Defense", "Resilience", "95% interval", "Weakest world", "With the most malicious", "Under"]
    shown = [
        (
            place(row),
            row["defense"],
            number(row["R_mean"]),
            interval(row["R_ci"]),
            number(row["R_min"]),
            number(row["W_at_max_f"]),
            hardest(row),
            *([row["status"]] if tested else []),
        )
        for row in rows
    ]
    if not rows:
        return "No defense was ranked."
    return table([*header, *(["Status"] if tested else [])], shown, "rlrrrrl" + "l" * tested)


def _statuses(summary: Mapping[str, Any]) -> list[str]:
    """Which frozen attacks were met, and what each defense lacks for the best status."""
    lines = [
        f"- {escaped(row['defense'])}: {escaped(row['status'])}: {escaped(row['why'])}"
        for row in statuses(summary)
        if row["why"]
    ]
    lead = "What speaks against the status ADAPTIVE (`robustfl explain STATUS` tells what a status means):"
    line = standard_line(summary)
    return [*([escaped(line)] if line else []), *([lead, "\n".join(lines)] if lines else [])]


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
    return ["## Claims", table(header, shown, "lllrrrl")] if rows else []


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
        table(header, rows, "llr" + "r" * len(grid)),
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
        table(header, rows, "l" + "r" * (len(header) - 2) + "l"),
    ]


def _targeted(view: Mapping[str, Any] | None) -> list[str]:
    """What is kept under attacks with an aim, and how often each of them succeeds, where there are any."""
    if view is None:
        return []
    header = ("Defense", "Kept", "95% interval", "Success", "Natural", "Accuracy", "Effectiveness", "Lasts", "Under")
    columns = ("defense", "kept", "interval", "success", "natural", "accuracy", "effectiveness", "lasts", "under")
    matrix = [(row["defense"], *row["cells"]) for row in view["matrix"]]
    return [
        "### Attacks with an aim",
        view["note"],
        table(header, [[row[column] for column in columns] for row in view["rows"]], "lrrrrrrrl"),
        f"Success of each attack with {view['f']} malicious clients:",
        table(("Defense", *view["attacks"]), matrix, "l" + "r" * len(view["attacks"])),
    ]


def _faults(view: Mapping[str, Any] | None) -> list[str]:
    """How the defenses bear faults without any attack, where that was tried."""
    if view is None:
        return []
    header = ("Defense", "Told f", "F", "Under", "Most rounds held", "Recovery", "Honest ignored")
    columns = ("defense", "told", "F", "worst", "held", "recovery", "ignored")
    matrix = [(row["fault"], *row["cells"]) for row in view["matrix"]]
    return [
        "### Faults, without any attack",
        view["note"],
        table(header, [[row[column] for column in columns] for row in view["rows"]], "lrrlrrr"),
        "Utility under each fault:",
        table(("Fault", *view["defenses"]), matrix, "l" + "r" * len(view["defenses"])),
    ]


def _side_effects(view: Mapping[str, Any]) -> list[str]:
    """What robustness costs without an attack, and who was caught, where that was measured."""
    blocks = []
    if view["costs"]:
        header = ("Defense", "Told f", "Utility lost", "95% interval", "Worst class", "Lost", "Worst client", "Lost")
        columns = ("defense", "f", "lost", "interval", "worst_class", "class_lost", "worst_client", "client_lost")
        rows = [[row[column] for column in (*columns, "ignored", "unheard")] for row in view["costs"]]
        rendered = table((*header, "Messages ignored", "Clients unheard"), rows, "lrrrrrrrrr")
        blocks += ["### What robustness costs when nobody attacks", view["costs_note"], rendered]
    if view["caught"]:
        header = ("Defense", "Precision", "Recall", "AUC", "Honest ignored", "Hardest: precision", "Recall", "AUC")
        rows = [
            [row["defense"], *[MISSING] * 7, row["nothing"]]
            if row["nothing"]
            else [row["defense"], *row["mean"], row["ignored"], *row["least"], row["under"]]
            for row in view["caught"]
        ]
        rendered = table((*header, "Under"), rows, "lrrrrrrrl")
        blocks += [f"### Who was caught, with {view['f']} malicious clients", view["caught_note"], rendered]
    return blocks


def _left_out(world: Mapping[str, Any]) -> str:
    """What does not count, where some attacks are made for other messages than those of some defenses."""
    cells = [cell for own in world["defenses"] for point in own["curve"] for cell in point["attacks"].values()]
    if not any("not applicable" in cell["status"] for cell in cells):
        return ""
    return (
        " The worst case of each defense is over the attacks that can be played against it: those made for other "
        "messages than its clients send do not count, nor do those made for other defenses."
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
    return [*lead, *(fenced(command) for command in commands.values())]
