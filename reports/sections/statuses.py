"""How hard each defense was tested: its status, and the reasons why it is not better."""

from __future__ import annotations

from .content import Block, Bullets, Code, Content, Detailed, Facts, Note, Rich, Run, Section, Strong
from .content.explained import explained

LEAD = (
    "What speaks against the status ADAPTIVE (",
    Code("robustfl explain STATUS"),
    " tells what a status means):",
)


def _of_run(run: Run) -> Content | None:
    found = {row["defense"]: (row["status"], "; ".join(row.get("why", []))) for row in run.ranking if "status" in row}
    if not found:
        return None
    lacking = [(name, status, why) for name, (status, why) in found.items() if why]
    bullets = Bullets(entries=tuple((f"{name}: {status}: {why}", ()) for name, status, why in lacking))
    brief: tuple[Block, ...] = (Note(line=LEAD, tone="plain"), bullets) if lacking else ()
    told = ((name, f"{status}: {why}" if why else status) for name, (status, why) in found.items())
    pages: list[Rich] = []
    for status in sorted({status for status, _ in found.values()}):
        page = explained(status)
        pages += [Note(line=(Strong(status),), tone="plain"), *page] if page else []
    return Content(
        title="How hard each defense was tested",
        blocks=(Detailed(full=(Facts(entries=tuple(told)), *pages), brief=brief),),
        fold="closed",
    )


STATUSES = Section(key="statuses", of_run=_of_run)
