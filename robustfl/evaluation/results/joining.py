"""Published results with the defenses of another run: one summary and one list of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.summaries import RankRow, ScoredWorldReport, Summary

AXES = ("side_effects", "targeted", "faults", "privacy")
"""The parts of a summary that are lists of worlds with defenses."""


def joined(
    published: RunResults,
    run: RunResults,
    *,
    added: Sequence[str],
    labels: Mapping[str, str],
    worlds: Sequence[ScoredWorldReport],
    ranking: Sequence[RankRow],
    pairs: Sequence[Mapping[str, Any]],
) -> RunResults:
    """The results of `published` with the defenses `added` from `run`.

    `labels` is the published label of each world of the run; `worlds`, `ranking` and `pairs` are the scores of all
    defenses together. The provenance says where the added defenses come from.
    """
    first, second = published.summary, run.summary
    own = _records(run.records, set(added), labels)
    records = (*published.records, *own)
    states = Counter(record["status"] for record in records)
    cards = {name: card for name, card in second["components"]["defenses"].items() if name in added}
    origin = ", ".join(f"{key} {second['provenance'][key]}" for key in _TOLD if key in second["provenance"])
    summary: dict[str, Any] = {
        **first,
        "suite": {
            **first["suite"],
            "rows": {
                **first["suite"].get("rows", {}),
                **{name: row for name, row in second["suite"].get("rows", {}).items() if name in added},
            },
        },
        "provenance": {**first["provenance"], **{f"added: {name}": origin for name in added}},
        "trials": {
            **first["trials"],
            "total": len(records),
            **{state: states[state] for state in ("ok", "diverged", "failed")},
        },
        "components": {
            "defenses": {**first["components"]["defenses"], **cards},
            "attacks": {**second["components"]["attacks"], **first["components"]["attacks"]},
        },
        "scores": {
            **first["scores"],
            "worlds": list(worlds),
            "ranking": list(ranking),
            "pairs": [dict(pair) for pair in pairs],
            "flags": [
                *first["scores"]["flags"],
                *(
                    {**flag, "world": labels.get(flag["world"] or "", flag["world"])}
                    for flag in second["scores"]["flags"]
                    if flag["defense"] in added
                ),
            ],
        },
    }
    for axis in AXES:
        if axis in first:
            summary[axis] = _extended(cast("Any", first)[axis], cast("Any", second).get(axis, []), added, labels)
    return RunResults(summary=cast("Summary", summary), records=records)


_TOLD = ("robustfl", "commit", "python", "numpy", "torch", "platform", "processor", "device")


def _records(records: Sequence[Record], added: set[str], labels: Mapping[str, str]) -> tuple[Record, ...]:
    """The records of the added defenses, under the published labels of their worlds."""
    return tuple(
        cast("Record", {**record, "labels": {**record["labels"], "world": labels[record["labels"]["world"]]}})
        for record in records
        if record["labels"]["defense"] in added
    )


def _extended(
    worlds: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], added: Sequence[str], labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    """An axis of a summary, with the entries of the added defenses."""
    own = {labels[other["world"]]: other["defenses"] for other in others}
    return [
        {
            **world,
            "defenses": [
                *world["defenses"],
                *(entry for entry in own.get(world["world"], ()) if entry["defense"] in added),
            ],
        }
        for world in worlds
    ]
