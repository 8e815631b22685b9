"""The whole HTML report as plain values, which the templates lay out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustfl.evaluation.results.reporting import RunResults
from robustfl.wording import counted

from .claims import claim_rows, verdict_counts
from .faults import faults_view
from .ledgers import ledger_rows
from .side_effects import side_effects_view
from .status import page_of, place, standard_line, statuses
from .targeted import targeted_view
from .wording import LOOKS, answer, breakdown, hardest, interval, listed, number, seconds, threshold
from .world import histogram_view, world_view

MOST_FAILURES = 30
"""Groups of equal failures that are shown; the rest is in the records."""

MOST_TRACE = 6000
"""Characters of a traceback that are shown: its end, where the cause stands."""


def page_view(results: RunResults) -> dict[str, Any]:
    """Everything that the report shows."""
    summary, scores = results.summary, results.summary["scores"]
    records = {record["trial"]: record for record in results.records}
    order = [row["defense"] for row in scores["ranking"]]
    limit = threshold(results)
    worlds = [
        {
            **world_view(f"w{index}", world, order, records, limit),
            "histogram": histogram_view(summary["histograms"].get(world["world"])),
            "effects": side_effects_view(summary, world, order),
            "targeted": targeted_view(summary, world, order),
            "faults": faults_view(summary, world, order),
        }
        for index, world in enumerate(scores["worlds"])
    ]
    first, *rest = answer(results)
    claims = claim_rows(summary)
    return {
        "suite": summary["suite"],
        "headline": first,
        "sentences": rest,
        "facts": _facts(results),
        "limit": number(limit),
        "ranking": [_rank(row, scores["worlds"]) for row in scores["ranking"]],
        "rivals": sum(row["rank"] is not None for row in scores["ranking"]) - 1,
        "standard": standard_line(summary),
        "statuses": [{**row, "page": page_of(row["status"])} for row in statuses(summary)],
        "claims": claims,
        "claim_counts": verdict_counts(claims),
        "worlds": worlds,
        "flags": flag_groups(scores["flags"]),
        "remarks": _remarks(scores["flags"]),
        "failures": failures(results.records),
        "defenses": _cards(summary["components"]["defenses"], order),
        "attacks": _cards(summary["components"]["attacks"], []),
        "provenance": _provenance(results),
    }


def _facts(results: RunResults) -> list[tuple[str, str]]:
    summary, worlds = results.summary, results.summary["scores"]["worlds"]
    trials = summary["trials"]
    attacks = {a for w in worlds for d in w["defenses"] for p in d["curve"] for a in p["attacks"]} - {"none"}
    return [
        ("defenses", str(len({d["defense"] for w in worlds for d in w["defenses"]}))),
        ("attacks", str(len(attacks))),
        ("worlds" if len(worlds) != 1 else "world", str(len(worlds))),
        ("seeds" if len(summary["suite"]["seeds"]) != 1 else "seed", str(len(summary["suite"]["seeds"]))),
        (
            "trials" + "".join(f", {trials[name]} {name}" for name in ("failed", "diverged") if trials[name]),
            str(trials["total"]),
        ),
        ("run time", seconds(summary["time"]["elapsed_s"])),
    ]


def _rank(row: Mapping[str, Any], worlds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A row of the ranking: the weakest world decides how many malicious clients a defense survives."""
    own = [(d, world["clients"]) for world in worlds for d in world["defenses"] if d["defense"] == row["defense"]]
    known = [(d["breakdown"], n) for d, n in own if d["breakdown"] is not None]
    weakest = min(known, key=lambda pair: pair[0]["f"] / pair[1]) if known and len(known) == len(own) else None
    largest = max((world["f_grid"][-1] for world in worlds if world["f_grid"]), default=0)
    return {
        "rank": place(row),
        "status": row.get("status", ""),
        "defense": row["defense"],
        "R": number(row["R_mean"]),
        "fill": _share(row["R_mean"]),
        "low": _share(row["R_ci"][0]) if row["R_ci"] else None,
        "high": _share(row["R_ci"][1]) if row["R_ci"] else None,
        "interval": interval(row["R_ci"])
        if row["R_ci"]
        else "no interval"
        if row["R_mean"] is not None
        else "incomplete",
        "weakest": number(row["R_min"]),
        "survives": breakdown(weakest[0], weakest[1]) if weakest else "not determined",
        "W": number(row["W_at_max_f"]),
        "worst_attack": hardest(row),
        "largest": largest,
        "beats": row["beats"],
    }


def _share(value: float | None) -> float | None:
    """A value in [0, 1] as per cent of the width of a bar."""
    return None if value is None else round(100 * min(max(value, 0.0), 1.0), 1)


def flag_groups(flags: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The remarks, errors first, those of one kind together, each message once."""
    groups: dict[tuple[bool, str], dict[str, Any]] = {}
    for flag in flags:
        key = (flag["level"] != "error", flag["code"])
        group = groups.setdefault(key, {"level": flag["level"], "code": flag["code"], "messages": {}})
        unnamed = [
            flag[part] for part in ("world", "defense", "attack") if flag[part] and flag[part] not in flag["message"]
        ]
        group["messages"][flag["message"] + (f" ({', '.join(unnamed)})" if unnamed else "")] = None
    ordered = [groups[key] for key in sorted(groups, key=lambda key: key[0])]
    return [
        {
            **group,
            "title": group["code"].replace("_", " ").capitalize(),
            "messages": list(group["messages"]),
            "page": page_of(group["code"]),
        }
        for group in ordered
    ]


def _remarks(flags: Sequence[Mapping[str, Any]]) -> str:
    """How many remarks there are, by severity: `1 error and 3 warnings`."""
    levels = [group["level"] == "error" for group in flag_groups(flags)]
    counts = ((levels.count(True), "error"), (levels.count(False), "warning"))
    return listed([counted(count, noun) for count, noun in counts if count])


def failures(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Failed trials, those with the same error together."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        if record["status"] == "failed":
            error = record.get("error") or {}
            trace = error.get("traceback") or ""
            cut = trace if len(trace) <= MOST_TRACE else "…" + trace[-MOST_TRACE:]
            key = (error.get("type") or "unknown error", error.get("message") or "", cut)
            where = f"{record['labels']['defense']} under {record['labels']['attack']}, {record['f']} malicious"
            place = f"{record['trial']}: {record['labels']['world']}, {where}, seed {record['seed']}"
            groups.setdefault(key, []).append(place)
    shown = [
        {
            "type": kind,
            "message": message,
            "traceback": trace,
            "trials": trials[:20],
            "more": len(trials) - 20,
            "count": counted(len(trials), "trial"),
        }
        for (kind, message, trace), trials in groups.items()
    ]
    return {"groups": shown[:MOST_FAILURES], "more": len(shown) - MOST_FAILURES}


def _cards(cards: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> list[dict[str, Any]]:
    """What the components say about themselves, in the order of the ranking."""
    names = sorted(cards, key=lambda name: (order.index(name) if name in order else len(order), name != "none", name))
    return [
        {
            "label": name,
            "summary": cards[name].get("summary") or "",
            "stages": cards[name].get("stages") or [],
            "facts": [
                (title, text)
                for title, text in (
                    ("Guarantee", cards[name].get("guarantee")),
                    ("Requires", cards[name].get("requires")),
                    ("Knows", ", ".join(LOOKS.get(k, k) for k in cards[name].get("knowledge") or [])),
                    ("Reference", cards[name].get("reference")),
                )
                if text
            ],
        }
        for name in names
    ]


def _provenance(results: RunResults) -> list[tuple[str, str]]:
    summary = results.summary
    return [
        *((str(key), str(value)) for key, value in summary["provenance"].items()),
        ("suite hash", summary["suite"]["hash"]),
        ("seeds", ", ".join(map(str, summary["suite"]["seeds"]))),
        ("finished", summary["time"]["created"]),
        ("run time", f"{seconds(summary['time']['elapsed_s'])} with {counted(summary['time']['workers'], 'worker')}"),
        ("trials", ", ".join(f"{count} {name}" for name, count in summary["trials"].items())),
        *ledger_rows(results.records),
        ("score settings", ", ".join(f"{key} = {value}" for key, value in summary["scores"]["settings"].items())),
    ]
