"""The remarks of the evaluation about itself: how far the numbers can be trusted."""

from __future__ import annotations

from robustfl.wording import remarks_counted

from .content import Content, Finding, Findings, Fold, Run, Section, Values
from .content.explained import explained


def _of_run(run: Run) -> Content | None:
    groups: dict[tuple[bool, str, str], dict[str, None]] = {}
    for remark in run.scores["flags"]:
        key = (remark["level"] != "error", remark["level"], remark["code"])
        groups.setdefault(key, {})[_message(remark)] = None
    if not groups:
        return None
    found = [_finding(key[1], key[2], tuple(groups[key])) for key in sorted(groups, key=lambda key: key[0])]
    return Content(
        title="Before you trust these numbers",
        label="Remarks",
        blocks=(Findings(entries=tuple(found)),),
        announcement=("How far to trust this: see ", remarks_counted(run.scores["flags"])),
    )


def _finding(level: str, code: str, messages: tuple[str, ...]) -> Finding:
    page = explained(code)
    return Finding(
        kind=level,
        title=code.replace("_", " ").capitalize(),
        serious=level == "error",
        lines=messages,
        more=(Fold(summary="When this is said, and what to do", blocks=page),) if page else (),
    )


def _message(remark: Values) -> str:
    """The message of a remark, with the places that the message itself does not name."""
    named = [remark[part] for part in ("world", "defense", "attack") if remark[part]]
    missing = [name for name in named if name not in remark["message"]]
    return str(remark["message"]) + (f" ({', '.join(missing)})" if missing else "")


REMARKS = Section(key="remarks", of_run=_of_run)
