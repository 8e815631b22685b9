"""How to get the same numbers again, and where they come from."""

from __future__ import annotations

from robustfl.wording import counted

from .content import Block, Code, Content, Detailed, Facts, Fold, Note, Preformatted, Run, Section
from .content.wording import seconds

IDS = (
    "The trial ids behind a cell (select it above) are the keys of the lines in ",
    Code("records.jsonl"),
    ". An id is a hash of everything that decides the result, so equal ids mean equal trials.",
)


def _of_run(run: Run) -> Content:
    suite = run.summary["suite"]
    alone = tuple(Preformatted(text=command, label=label) for label, command in suite.get("rows", {}).items())
    blocks: tuple[Block, ...] = (Preformatted(text=suite["command"]),)
    if alone:
        blocks += (Fold(summary="One defense at a time", blocks=alone),)
    return Content(
        title="Reproduce",
        introduction=(
            "This command gives the same numbers again, bit for bit on the same kind of machine and versions:"
        ),
        blocks=(*blocks, Detailed(full=(Note(line=IDS, tone="plain"),)), _facts(run)),
    )


def _facts(run: Run) -> Facts:
    summary, time = run.summary, run.summary["time"]
    frozen = summary["suite"].get("standard")
    extra = {
        "suite hash": summary["suite"]["hash"],
        **({"attack list": f"{frozen['name']}, hash {frozen['hash']}"} if frozen else {}),
        "seeds": ", ".join(map(str, run.seeds)),
        "finished": time["created"],
        "run time": f"{seconds(time['elapsed_s'])} with {counted(time['workers'], 'worker')}",
        "trials": ", ".join(f"{count} {name}" for name, count in summary["trials"].items()),
        "score settings": ", ".join(f"{key} = {value}" for key, value in run.scores["settings"].items()),
    }
    ledgers = _ledgers(run)
    return Facts(
        entries=(
            *((str(key), str(value)) for key, value in summary["provenance"].items()),
            *((("ledgers", ledgers),) if ledgers else ()),
        ),
        extra=tuple(extra.items()),
    )


def _ledgers(run: Run) -> str:
    """Where the ledgers with decisions about clients are, if any of the trials has a ledger."""
    ledgers = [record.get("ledger") for record in run.results.records]
    told = [ledger["entries"] for ledger in ledgers if ledger is not None]
    where = "in the folder ledgers beside this page, one file a trial; robustfl verify, with the folder of the run, "
    return f"{counted(len(told), 'ledger')} with {sum(told)} entries {where}checks them" if told else ""


REPRODUCE = Section(key="reproduce", of_run=_of_run)
