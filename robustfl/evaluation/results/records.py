"""What a record holds: the declaration that code is typed by, and that stored records are checked against.

A key that is ``NotRequired`` may be absent from what another version has stored; this one writes all of them.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.results.measures import known_measures
from robustfl.evaluation.results.shapes import NUMBER, Maybe, Shape

_FORMS: dict[str, Any] = {
    "number": float,
    "list": [NUMBER],
    "by name": {"*": NUMBER},
    "text": str,
    "texts": [str],
    "flag": bool,
}
"""The form of a measure -> the shape of its values."""

MORE = {f"{name}?": Maybe(_FORMS[measure.form]) for name, measure in known_measures().items()}
"""The shape of what records hold beside accuracy and loss: every declared measure may be there."""

Curve = Annotated[list[list[Any]], Shape([(int, NUMBER)])]
"""[[round, value], ...]; the round counts finished rounds."""


class Labels(TypedDict):
    """The names of a trial's world and parts, for people."""

    world: str
    defense: str
    attack: str


class Metrics(TypedDict):
    """What was measured in a trial; `more` holds the declared measures, by name."""

    accuracy: NotRequired[Curve]
    loss: NotRequired[Curve]
    tail_accuracy: NotRequired[float | None]
    chance: NotRequired[float]
    test_size: NotRequired[int]
    parameters: NotRequired[int]
    malicious: NotRequired[list[int]]
    malicious_weight: NotRequired[float | None]
    rejected_rows: NotRequired[float | None]
    lost_rows: NotRequired[float | None]
    held_rounds: NotRequired[float | None]
    more: NotRequired[Annotated[dict[str, Any], Shape(MORE)]]


class Traffic(TypedDict):
    """Bytes that a client sends and gets in a round, on average."""

    up_per_client_round: NotRequired[float | None]
    down_per_client_round: NotRequired[float | None]


class Failure(TypedDict):
    """Why a trial did not come to an end."""

    type: NotRequired[str | None]
    message: NotRequired[str | None]
    traceback: NotRequired[str | None]


class LedgerHead(TypedDict):
    """The ledger of a trial: how many entries it has, and the hash of the last one."""

    entries: int
    head: str


class Frame(TypedDict):
    """What a record says whatever came of its trial.

    `scenario` is the whole scenario with every default written out, and `fingerprint` the hash of what else decided the
    result.
    """

    schema: Annotated[int, Shape(SCHEMA)]
    trial: str
    labels: Labels
    seed: int
    f: int
    scenario: NotRequired[dict[str, Any]]
    fingerprint: NotRequired[str]


class Record(Frame):
    """A trial and what came of it.

    `status` is "ok", "diverged" (the model stopped being finite) or "failed"; a failed trial has an `error` and no
    metrics. `time` holds seconds by phase.
    """

    status: str
    metrics: NotRequired[Metrics | None]
    bytes: NotRequired[Traffic | None]
    time: NotRequired[Annotated[dict[str, float], Shape(Maybe({"total_s?": NUMBER, "aggregate_s?": NUMBER}))]]
    error: NotRequired[Failure | None]
    ledger: NotRequired[LedgerHead | None]


def metrics_of(record: Record | None) -> Metrics:
    """What was measured in a trial; empty where it did not come to an end, or has no record."""
    return (None if record is None else record.get("metrics")) or {}


def more_of(record: Record | None) -> dict[str, Any]:
    """The declared measures that a record holds, by name."""
    return metrics_of(record).get("more") or {}
