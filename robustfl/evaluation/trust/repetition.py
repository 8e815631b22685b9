"""Whether trials that are played again, with the defense in a process of its own, have the same results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from robustfl.evaluation.results.records import Record, metrics_of

_APART = ("conduct", "mia_")
"""The beginnings of the names of measures that are not compared."""


def not_repeated(records: Mapping[str, Record], again: Iterable[Record]) -> dict[tuple[str, str], tuple[str, ...]]:
    """What was different when trials were played again, in words: (world, defense) -> texts.

    Records of other code, versions or data than those of the suite are left out. What observers say about the conduct
    of a defense may differ, because more is watched when a trial is played again. What was found out about members is
    not compared: it comes from other federations, which are not trained again.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for second in again:
        first = records.get(second["trial"])
        if first is None or first["fingerprint"] != second["fingerprint"]:
            continue
        difference = _difference(first, second)
        if difference:
            labels = second["labels"]
            where = f"under the attack {labels['attack']!r}, seed {second['seed']}"
            found.setdefault((labels["world"], labels["defense"]), []).append(f"{where}: {difference}")
    return {place: tuple(texts) for place, texts in found.items()}


def _difference(first: Record, second: Record) -> str:
    """What is different in two records of one trial; an empty text if nothing is."""
    if second["status"] == "failed":
        reason, _, _ = ((second.get("error") or {}).get("message") or "").partition("\n")
        return f"it failed ({reason[:300]})"
    if first["status"] != second["status"]:
        return f"status {first['status']}, then {second['status']}"
    one, two = _measured(first), _measured(second)
    if one == two:
        return ""
    accuracies = one.get("tail_accuracy"), two.get("tail_accuracy")
    if accuracies[0] != accuracies[1] and None not in accuracies:
        return f"accuracy {accuracies[0]:.3f}, then {accuracies[1]:.3f}"
    names = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    return f"other values of {', '.join(names)}"


def _measured(record: Record) -> dict[str, Any]:
    """The measures of a record, without those that are not measured in the same way when a trial is played again."""
    metrics: dict[str, Any] = dict(metrics_of(record))
    more = metrics.pop("more", None) or {}
    return {**metrics, **{name: value for name, value in more.items() if not name.startswith(_APART)}}
