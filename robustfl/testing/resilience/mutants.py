"""Weakened copies of a rule, to find out which faults a test of resilience would not notice.

Only an attack that needs what was removed shows that it is missing. A rule that is told one Byzantine row less passes
most attacks, and a test under these alone would stay green.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial, reduce
from typing import Any

from robustfl import registry
from robustfl.aggregation import Aggregator, Defense
from robustfl.errors import RobustflError
from robustfl.evaluation.results.summaries import ScoredCell, Summary
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.evaluation.suite.given import made
from robustfl.testing.resilience.judging import flawed, judged
from robustfl.testing.resilience.memory import Memory
from robustfl.testing.resilience.playing import Played, Request, play


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survivor:
    """A weakened rule with which the test still passes: what was done to it, and its resilience."""

    what: str
    score: float | None


def audited(request: Request, played: Played, baseline: Summary, memory: Memory) -> tuple[int, list[Survivor]]:
    """Play a test with each mutant of its rule; the number of mutants, and those that the test would not notice.

    A mutant is noticed if a trial raises, if the resilience is below the smallest that passes, or if the comparison
    with the baseline says REGRESSION. The mutants are: told f - 1, told f = 0, without each of the stages before the
    rule, and the plain mean. One that is the same rule for every f of the scenario is left out.

    Cost: the trials of the test once more for each mutant, as far as `memory` does not hold them.
    """
    survivors, count = [], 0
    for what, mutant in mutants(request.defense, told(request)):
        count += 1
        other = request.against(mutant)
        found = play(other, memory)
        as_if = dataclasses.replace(found, summary=_under_ids(found.summary, played.summary))
        # An attack that is made for a stage is not played against a mutant without it: that alone is no notice.
        judgement = judged(request, as_if, baseline, different_suites=True)
        if flawed(other, found) is None and not judgement.message:
            survivors.append(Survivor(what=what, score=found.score))
    return count, survivors


def told(request: Request) -> tuple[int, ...]:
    """Every number of Byzantine rows that the scenario tells its defenses."""
    experiment = request.experiment
    declared = experiment.suite.adversary.declared
    grids = {f for world in experiment.worlds for f in experiment.suite.adversary.grid(world.federation.clients)}
    return tuple(sorted(grids)) if declared is None else (declared,)


def mutants(template: DefenseTemplate, counts: tuple[int, ...]) -> Iterator[tuple[str, DefenseTemplate]]:
    """The weakened rules, each with what was done to it; all have the label of the whole rule.

    >>> for what, mutant in mutants(DefenseTemplate.read("nnm >> trimmed_mean"), (0, 2)):
    ...     print(what, "->", mutant.build(2))
    told f - 1 -> NNM > TrimmedMean
    told f = 0 -> NNM > TrimmedMean
    without NNM -> TrimmedMean
    plain mean -> Mean
    """
    seen = [_built(template, counts)]
    for what, make in _changes(template, counts):
        try:
            mutant = made(make, title=template.label)
            built = _built(mutant, counts)
        except RobustflError:  # a rule that cannot be told this number is no fault that anybody could make
            continue
        if built not in seen:
            seen.append(built)
            yield what, mutant


def _built(template: DefenseTemplate, counts: tuple[int, ...]) -> list[Any]:
    return [template.build(f) for f in counts]


def _built_without(template: DefenseTemplate, number: int, f: int) -> Any:
    return _without(template.build(f), number)


def _changes(template: DefenseTemplate, counts: tuple[int, ...]) -> Iterator[tuple[str, Callable[[int], Any]]]:
    whole: Defense = template.build(max(counts))
    if whole.byzantine is not None:
        yield "told f - 1", lambda f: _telling(template.build(f), lambda count: max(count - 1, 0))
        yield "told f = 0", lambda f: _telling(template.build(f), lambda count: 0)
    for number, stage in enumerate(whole.stages[:-1]):
        yield f"without {stage}", partial(_built_without, template, number)
    if isinstance(whole, Aggregator) and whole.channel == "dense":
        yield "plain mean", lambda f: registry.build("defense", "mean")


def _telling(whole: Defense, change: Callable[[int], int]) -> Any:
    """The rule with another number of Byzantine rows in each of its stages."""
    return _joined(
        [stage if stage.byzantine is None else _told(stage, change(stage.byzantine)) for stage in whole.stages]
    )


def _told(stage: Any, count: int) -> Any:
    return dataclasses.replace(stage, f=count)


def _without(whole: Defense, number: int) -> Any:
    return _joined([stage for place, stage in enumerate(whole.stages) if place != number])


def _joined(stages: list[Any]) -> Any:
    return reduce(lambda rest, stage: stage >> rest, reversed(stages))


def _under_ids(mutant: Summary, true: Summary) -> Summary:
    """The summary of a mutant as that of the rule whose place it takes: its trials have the ids of that rule's."""
    ids = {key: cell["trials"] for key, cell in _cells(true)}
    found = deepcopy(mutant)
    for key, cell in _cells(found):
        cell["trials"] = ids.get(key, cell["trials"])
    return found


def _cells(run: Summary) -> Iterator[tuple[tuple[str, str, int, str], ScoredCell]]:
    for world in run["scores"]["worlds"]:
        for defense in world["defenses"]:
            for point in defense["curve"]:
                for attack, cell in point["attacks"].items():
                    yield (world["world"], defense["defense"], point["f"], attack), cell
