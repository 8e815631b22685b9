"""Failed trials, grouped by their errors."""

from __future__ import annotations

from robustfl.wording import counted

from .content import Block, Bullets, Content, Detailed, Fold, Note, Preformatted, Run, Section, Strong, Values

MOST_FAILURES = 30
"""The largest number of groups of equal failures that are shown; the others are in the records."""

MOST_TRIALS = 20
"""The largest number of trials that are named in each group."""

MOST_TRACE = 6000
"""The number of characters that are shown from the end of a traceback, which states the cause."""

MOST_MESSAGE = 200
"""The number of characters of a message that a heading shows."""


def _of_run(run: Run) -> Content | None:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for record in run.results.records:
        if record["status"] == "failed":
            groups.setdefault(_error(record), []).append(_trial(record))
    if not groups:
        return None
    shown = list(groups.items())[:MOST_FAILURES]
    folds = tuple(_fold(*error, trials) for error, trials in shown)
    bullets = Bullets(
        entries=tuple(
            (f"{kind}: {message} ({counted(len(trials), 'trial')})", _named(trials))
            for (kind, message, _), trials in shown
        )
    )
    hidden = len(groups) - len(shown)
    more = (Note(line=f"{hidden} more kinds of failure are in records.jsonl.", tone="plain"),) if hidden else ()
    return Content(
        title="Failed trials",
        introduction=(
            "A failed trial is never counted as a success or a loss: its cell stays empty. Running the command below "
            "again repeats only these."
        ),
        blocks=(Detailed(full=folds, brief=(bullets,)), *more),
    )


def _error(record: Values) -> tuple[str, str, str]:
    """The kind, the message and the end of the traceback of an error."""
    error = record.get("error") or {}
    trace = error.get("traceback") or ""
    cut = trace if len(trace) <= MOST_TRACE else "…" + trace[-MOST_TRACE:]
    return error.get("type") or "unknown error", error.get("message") or "", cut


def _trial(record: Values) -> str:
    labels = record["labels"]
    where = f"{labels['defense']} under {labels['attack']}, {record['f']} malicious"
    return f"{record['trial']}: {labels['world']}, {where}, seed {record['seed']}"


def _named(trials: list[str]) -> tuple[str, ...]:
    more = len(trials) - MOST_TRIALS
    return (*trials[:MOST_TRIALS], *((f"and {more} more",) if more > 0 else ()))


def _fold(kind: str, message: str, trace: str, trials: list[str]) -> Fold:
    cut = message if len(message) <= MOST_MESSAGE else f"{message[: MOST_MESSAGE - 1]}…"
    told = f"{f': {cut}' if cut else ''} ({counted(len(trials), 'trial')})"
    blocks: tuple[Block, ...] = (Bullets(entries=tuple((name, ()) for name in _named(trials))),)
    return Fold(summary=(Strong(kind), told), blocks=(*blocks, *((Preformatted(text=trace),) if trace else ())))


FAILURES = Section(key="failures", of_run=_of_run)
