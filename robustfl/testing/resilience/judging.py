"""Whether a rule does as well as in its baseline, and words for what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from robustfl.errors import DataError, ParameterError
from robustfl.evaluation.compare.comparison import Comparison, GateSettings, compare_runs
from robustfl.evaluation.compare.regression import CellVerdict
from robustfl.evaluation.results.summaries import Summary
from robustfl.testing.resilience.playing import Played, Request

FailOn = Literal["regression", "changed", "inconclusive"]
"""What makes a test fail: a regression alone, also any result that is not equal bit for bit, also an open verdict."""

FRAMES = 6
"""The last lines of a traceback that a message shows."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What came of a comparison, or of looking at the results alone.

    Attributes
    ----------
    verdict : one word
    message : why the test fails, or an empty text
    worst : the cell that lost most, in words
    changed : the number of cells that are not equal bit for bit
    """

    verdict: str
    message: str = ""
    worst: str = ""
    changed: int = 0


def flawed(request: Request, played: Played) -> Finding | None:
    """What is wrong with results whatever the baseline says: trials that raised, none at all, or a small resilience."""
    if played.failed:
        error = played.failed[0]["error"]
        assert error is not None
        frames = "\n".join((error["traceback"] or "").splitlines()[-FRAMES:])
        raised = (
            f"{len(played.failed)} of {played.trials} trials raised; the first: {error['type']}: {error['message']}"
        )
        return Finding(verdict="ERROR", message=f"{raised}\n{frames}")
    if played.refused:
        why = f"{played.label} cannot be used in this scenario, so that nothing is tested. {played.refused}"
        return Finding(verdict="ERROR", message=why)
    if request.min_score is not None and (played.score is None or played.score < request.min_score):
        found = "no resilience can be told" if played.score is None else f"the resilience is {played.score:.3f}"
        return Finding(verdict="BELOW", message=f"BELOW: {found}, and it should be at least {request.min_score:g}.")
    return None


def judged(
    request: Request,
    played: Played,
    baseline: Summary,
    fail_on: FailOn = "regression",
    *,
    different_suites: bool = False,
) -> Finding:
    """Compare what was played with a baseline by the regression gate of `robustfl compare`, in one look.

    Cells whose results are equal bit for bit are never tested, so that unchanged code on the same machine cannot fail.
    The chance that chance alone makes any of the others a REGRESSION is at most 5 %. With `different_suites`,
    cells that only one of both has are left out, in place of a refusal.

    Raises
    ------
    ParameterError : `fail_on` or `delta` has another value than these
    """
    if fail_on not in get_args(FailOn):
        raise ParameterError(f"A test fails on one of {', '.join(get_args(FailOn))}. Found {fail_on!r}.")
    settings = GateSettings(looks=1, delta=request.delta, different_suites=different_suites)
    try:
        found = compare_runs(baseline, played.summary, settings)
    except DataError as error:
        return Finding(verdict="OTHER", message=f"OTHER: this is not the baseline of this test. {error}")
    cells = found.judgement.cells
    changed = [cell for cell in cells if cell.changed]
    open_ = [cell for cell in cells if cell.verdict == "INCONCLUSIVE"]
    verdict, message = "PASS", ""
    if found.outcome == "REGRESSION":
        verdict, message = "REGRESSION", _regression(found)
    elif fail_on == "changed" and changed:
        verdict, message = "CHANGED", f"CHANGED: {found.conclusion}\n{_table(changed)}"
    elif fail_on == "inconclusive" and open_:
        verdict, message = "INCONCLUSIVE", f"{found.conclusion}\n{_table(open_)}"
    return Finding(verdict=verdict, message=message, worst=_worst(cells), changed=len(changed))


def _regression(found: Comparison) -> str:
    lines = [found.conclusion]
    blocking = sorted((cell for cell in found.judgement.cells if cell.blocks), key=lambda cell: cell.change or 0.0)
    lines += [_table(blocking)] if blocking else []
    for mean in found.judgement.defenses:
        if mean.blocks:
            lines.append(f"mean of {mean.cells} cells: {mean.change:+.3f}   {_bounds(mean.lower, mean.upper)}")
    return "\n".join(lines)


def _table(cells: Sequence[CellVerdict]) -> str:
    """The cells as the lines of a table, with the attacks by name."""
    wide = max(len("attack"), *(len(cell.attack) for cell in cells))
    lines = [f"{'attack':{wide}}   f   change   95 % bounds"]
    for cell in cells:
        change = "   none" if cell.change is None else f"{cell.change:+7.3f}"
        line = f"{cell.attack:{wide}} {cell.f:3}  {change}   {_bounds(cell.lower, cell.upper)} {cell.reason}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _bounds(lower: float | None, upper: float | None) -> str:
    return "" if lower is None or upper is None else f"[{lower:+.3f}, {upper:+.3f}]"


def _worst(cells: Sequence[CellVerdict]) -> str:
    """The cell that lost most, if one lost anything."""
    lost = [(cell.change, cell) for cell in cells if cell.change is not None and cell.change < 0]
    if not lost:
        return ""
    change, cell = min(lost, key=lambda pair: pair[0])
    return f"{cell.attack}, f={cell.f}: {change:+.3f}"
