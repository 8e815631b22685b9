"""What a record holds: these declarations type the code, and stored records are checked against them.

A key that is ``NotRequired`` may be absent from records of another version; this version writes all keys, and `ran_on`
where a cluster has played the trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, NotRequired, TypedDict

from robustfl.evaluation.labels import PLAIN_ACCURACY, SCHEMA
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
"""The shape of the values of a measure, by the form of the measure."""

MORE = {f"{name}?": Maybe(_FORMS[measure.form]) for name, measure in known_measures().items()}
"""The shape of the `more` of a record: every declared measure may be present."""

ACCOUNT: dict[str, Any] = {
    "unit": str,
    "relation": str,
    "delta": float,
    "events": [dict],
    "epsilon": {"*": {"pld": Maybe(NUMBER), "rdp": Maybe(NUMBER), "prv": Maybe(NUMBER), "why": str}},
    "curve": {"*": [[NUMBER]]},
    "voids": [{"code": str, "round": int, "text": str}],
    "tuning": str,
}
"""The shape of a privacy account."""

Curve = Annotated[list[list[Any]], Shape([(int, NUMBER)])]
"""[[round, value], ...]; the round is the number of finished rounds."""


class Labels(TypedDict):
    """The names of a trial's world and parts, as people read them."""

    world: str
    defense: str
    attack: str


class Metrics(TypedDict):
    """What was measured in a trial; `more` holds the declared measures, by name.

    `malicious` are the malicious clients, the first `MOST_LISTED` of them; `malicious_left_out` says how many more
    there were, if there were more.
    """

    accuracy: NotRequired[Curve]
    loss: NotRequired[Curve]
    tail_accuracy: NotRequired[float | None]
    chance: NotRequired[float]
    test_size: NotRequired[int]
    parameters: NotRequired[int]
    malicious: NotRequired[list[int]]
    malicious_left_out: NotRequired[int]
    malicious_weight: NotRequired[float | None]
    rejected_rows: NotRequired[float | None]
    lost_rows: NotRequired[float | None]
    held_rounds: NotRequired[float | None]
    more: NotRequired[Annotated[dict[str, Any], Shape(MORE)]]


class Traffic(TypedDict):
    """The mean number of bytes that a client sends and gets in a round."""

    up_per_client_round: NotRequired[float | None]
    down_per_client_round: NotRequired[float | None]


class Failure(TypedDict):
    """The reason why a trial failed."""

    type: NotRequired[str | None]
    message: NotRequired[str | None]
    traceback: NotRequired[str | None]


class LedgerHead(TypedDict):
    """The ledger of a trial: how many entries it has, and the hash of the last one."""

    entries: int
    head: str


class ExhibitHead(TypedDict):
    """The exhibit of a trial: how many pairs it shows, and the hash of its arrays."""

    pairs: int
    digest: str


class RanOn(TypedDict):
    """The machine on which a trial was played, where that need not be the machine of the run."""

    processor: str
    python: str


class Frame(TypedDict):
    """The part of a record that does not depend on the outcome of its trial.

    `scenario` is the whole scenario with every default written out. `fingerprint` is the hash of everything else that
    decided the result.
    """

    schema: Annotated[int, Shape(SCHEMA)]
    trial: str
    labels: Labels
    seed: int
    f: int
    scenario: NotRequired[dict[str, Any]]
    fingerprint: NotRequired[str]


class Record(Frame):
    """A trial and its outcome.

    `status` is "ok", "diverged" (the model stopped being finite) or "failed"; a failed trial has an `error` and no
    metrics. `time` holds seconds by phase. `isolated` says whether the defense was in a process of its own. `account`
    is the privacy account of a defense that begins with a mechanism (:class:`robustfl.privacy.AccountReport`).
    `ran_on` is where a trial of a cluster was played; like `time`, it is no part of what two runs are compared by.
    """

    status: str
    isolated: NotRequired[bool]
    metrics: NotRequired[Metrics | None]
    bytes: NotRequired[Traffic | None]
    time: NotRequired[Annotated[dict[str, float], Shape(Maybe({"total_s?": NUMBER, "aggregate_s?": NUMBER}))]]
    error: NotRequired[Failure | None]
    ledger: NotRequired[LedgerHead | None]
    exhibit: NotRequired[ExhibitHead | None]
    account: NotRequired[Annotated[dict[str, Any] | None, Shape(Maybe(ACCOUNT))]]
    ran_on: NotRequired[RanOn]


def metrics_of(record: Record | None) -> Metrics:
    """What was measured in a trial; empty if it failed or has no record."""
    return (None if record is None else record.get("metrics")) or {}


def more_of(record: Record | None) -> dict[str, Any]:
    """The declared measures that a record holds, by name."""
    return metrics_of(record).get("more") or {}


def tail_of(record: Record | None, accuracy: str) -> float | None:
    """A measure of accuracy over the end of a training; None without a record that holds it."""
    return metrics_of(record).get("tail_accuracy") if accuracy == PLAIN_ACCURACY else more_of(record).get(accuracy)


def curve_of(record: Record | None, accuracy: str) -> list[tuple[int, float]]:
    """The measurements (finished rounds, value) of a measure of accuracy; empty without a record that holds them."""
    plain = [(int(finished), float(value)) for finished, value in metrics_of(record).get("accuracy") or ()]
    if accuracy == PLAIN_ACCURACY:
        return plain
    values = more_of(record).get(f"{accuracy}_curve") or ()
    return [(finished, float(value)) for (finished, _), value in zip(plain, values, strict=False)]


def mean_curve(records: Iterable[Record | None], accuracy: str) -> list[tuple[int, float]]:
    """The mean of the curves of several records, such as those of all seeds, where all of them were measured."""
    curves = [dict(curve_of(record, accuracy)) for record in records]
    shared = sorted(set.intersection(*map(set, curves))) if curves else []
    return [(finished, sum(curve[finished] for curve in curves) / len(curves)) for finished in shared]
