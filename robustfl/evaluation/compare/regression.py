"""The regression gate: it tells whether a change made a defense weaker, beyond chance and by an amount that matters.

Each cell (a defense under one attack by f clients in one world) of a candidate run is compared with the same cell of a
stored baseline run, seed by seed. The paired differences are `d_r = u_r(candidate) - u_r(baseline)` over R common
seeds, with mean d̄, standard error e and one-sided bounds `d̄ ± t · e`; :mod:`robustfl.evaluation.moderation` says
where e and t come from. The verdict on a cell is

- REGRESSION if the upper bound is below 0, d̄ is below -delta, and the drop survives Holm's correction;
- IMPROVED if the lower bound is above 0;
- PASS if the lower bound is above -delta;
- INCONCLUSIVE otherwise, so that more seeds are needed.

If all d_r are equal, both bounds are d̄, and only the rounding of accuracies to whole test samples speaks against a
drop.

The family of Holm's correction holds a test for each cell, and one for each defense in each world: the mean of d_r over
the cells of the defense. A defense that lost a little everywhere is found by the latter, which averages noise, and one
that lost much under one attack by the former. The chance of any false REGRESSION among all of them is at most alpha.

A further look after adding seeds is allowed if it was planned: of L looks, each uses the level `a = alpha / L`, so the
chance of a false REGRESSION stays below alpha over all looks. What is still open at the last look is a warning, and
does not block, however large the drop: among many cells with noise some always look bad. On one machine, equal
scenarios and seeds give equal results, and any difference is reported as CHANGED.

How small a drop is found depends on the noise of paired differences. With 5 seeds, 200 cells and a standard deviation
of 0.02 (two trainings that differ by chance alone, of 120 rounds on digits at a stable step, with a defense that
holds), a drop of 0.1 in one cell is found at the first of three looks in more than 90 % of all cases. Where an attack
leaves training unstable, the standard deviation is 0.1: a drop of 0.1 in one cell is then hard to find at any look, and
one in all eight cells of a defense is found with 10 seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from robustfl.errors import ParameterError
from robustfl.evaluation.compare.paired import PairedEvidence, VerdictName, check, weigh, weigh_together
from robustfl.evaluation.compare.pairing import CellPair, SharedRuns, share
from robustfl.evaluation.results.summaries import Summary
from robustfl.evaluation.statistics import holm

VERDICTS: tuple[VerdictName, ...] = ("REGRESSION", "INCONCLUSIVE", "PASS", "IMPROVED")
"""The verdicts, the worst first."""

MOST_LOOKS = 3
SEEDS_A_LOOK = 5
"""Number of seeds that are added before each further look."""

_SAME_MACHINE = ("device", "processor", "platform", "numpy", "torch")

Place = tuple[str, str]  # world, defense
Differences = tuple[float, ...]
Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class CellVerdict:
    """The verdict on one cell, which :meth:`report` gives as JSON values.

    `change` is d̄, and `lower` and `upper` are its one-sided bounds. They are None if a run lacks trials (`reason` says
    which); the bounds are also None if there is one seed. `changed` says whether results that should be equal bit for
    bit differ; it is None if the runs were made on different machines or with different versions. `blocks` says that
    the change under test should not be accepted: Holm's correction confirms the drop, or the second run lacks trials
    that the first one has. `seeds_help` says that the verdict is open, and further seeds may settle it.
    """

    world: str
    defense: str
    attack: str
    f: int
    seeds: int
    verdict: VerdictName
    change: float | None
    lower: float | None
    upper: float | None
    p: float | None
    changed: bool | None
    blocks: bool
    seeds_help: bool
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DefenseVerdict:
    """The verdict on the mean change of a defense over those of its cells in one world that were tested.

    `cells` is their number, at least 2. The other fields are those of :class:`CellVerdict`.
    """

    world: str
    defense: str
    cells: int
    seeds: int
    verdict: VerdictName
    change: float
    lower: float | None
    upper: float | None
    p: float
    blocks: bool

    def report(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdicts on all cells that two runs share, in the order of the first run, and on their defenses."""

    cells: tuple[CellVerdict, ...]
    defenses: tuple[DefenseVerdict, ...]

    @property
    def blocks(self) -> bool:
        """Whether the change under test should not be accepted."""
        return any(cell.blocks for cell in self.cells) or any(defense.blocks for defense in self.defenses)

    def more_seeds(self, *, looks: int = 1, look: int = 1) -> int:
        """How many seeds to add before the next look: 0 if no cell is open, if anything blocks, or at the last look."""
        _check_looks(looks, look)
        settled = look == looks or self.blocks
        return SEEDS_A_LOOK if not settled and any(verdict.seeds_help for verdict in self.cells) else 0


def judge(
    baseline: Summary,
    candidate: Summary,
    *,
    delta: float = 0.02,
    alpha: float = 0.05,
    looks: int = 1,
    look: int = 1,
    different_suites: bool = False,
) -> Judgement:
    """The verdicts on every cell that two runs share, and on the mean of each defense.

    The runs are those that :func:`~robustfl.evaluation.results.baseline.load_stored` reads. Cells without an attack
    that are the same trials for every f are judged once. If the runs should be equal bit for bit, only cells that
    changed are tested, because the others cannot raise a false alarm.

    Parameters
    ----------
    delta : largest drop in utility that does not matter
    alpha : level of the one-sided tests, over all looks, cells and defenses
    looks, look : the number of planned looks, at most 3, and the number of this one
    different_suites : whether the cells that two different suites share are judged; otherwise such runs are refused

    Raises
    ------
    DataError : the runs are of different suites or have nothing in common
    ParameterError : a parameter is out of range
    """
    shared = share(baseline, candidate, different_suites=different_suites)
    expected = reproducible(baseline, candidate)
    return judge_shared(shared, delta=delta, alpha=alpha, looks=looks, look=look, reproducible=expected)


def judge_shared(
    shared: SharedRuns, *, delta: float, alpha: float, looks: int, look: int, reproducible: bool
) -> Judgement:
    """:func:`judge` for runs that are paired already; `reproducible` says that equal results are expected."""
    check(delta, alpha)
    _check_looks(looks, look)
    level = alpha / looks
    differences = {number: d for number, cell in enumerate(shared.cells) if (d := _differences(cell)) is not None}
    tested = {n: d for n, d in differences.items() if shared.cells[n].changed or not reproducible}
    groups = _by_defense(shared.cells, tested)
    means = {place: tuple(np.mean([tested[n] for n in group], axis=0).tolist()) for place, group in groups.items()}
    still = {n: weigh(d, delta=delta, alpha=level) for n, d in differences.items() if n not in tested}
    fine = {cell.world: cell.resolution for cell in shared.cells}
    cells = _weighed(tested, {n: shared.cells[n].world for n in tested}, fine, delta, level)
    defenses = _weighed(means, {place: place[0] for place in means}, fine, delta, level)
    confirmed = iter(holm([evidence.p for evidence in (*cells.values(), *defenses.values())], level))
    significant = {n: next(confirmed) for n in cells}
    return Judgement(
        cells=tuple(
            _verdict(
                cell,
                cells.get(n, still.get(n)),
                significant=significant.get(n, False),
                last=look == looks,
                reproducible=reproducible,
            )
            for n, cell in enumerate(shared.cells)
        ),
        defenses=tuple(
            _defense_verdict(place, evidence, len(groups[place]), len(means[place]), significant=next(confirmed))
            for place, evidence in defenses.items()
        ),
    )


def reproducible(baseline: Summary, candidate: Summary) -> bool:
    """Whether the runs should agree in every bit: both ran on the CPU, on one kind of machine, in the same versions."""
    first, second = baseline["provenance"], candidate["provenance"]
    same = all(key in first and first[key] == second.get(key) for key in _SAME_MACHINE)
    several = "machines" in first or "machines" in second  # of a cluster, whose parts are unlike each other
    return same and first["device"] == "cpu" and not several


def _differences(cell: CellPair) -> Differences | None:
    if cell.before is None or cell.after is None:
        return None
    return tuple(new - old for old, new in zip(cell.before, cell.after, strict=True))


def _by_defense(cells: Sequence[CellPair], tested: Iterable[int]) -> dict[Place, list[int]]:
    """The numbers of the tested cells of each defense in each world that has at least two of them."""
    found: dict[Place, list[int]] = defaultdict(list)
    for number in tested:
        found[cells[number].world, cells[number].defense].append(number)
    return {place: numbers for place, numbers in found.items() if len(numbers) > 1}


def _weighed(
    tests: dict[Key, Differences], worlds: dict[Key, str], fine: dict[str, float], delta: float, level: float
) -> dict[Key, PairedEvidence]:
    """The evidence of each test, in the same order; the tests of a world share what they say about noise."""
    by_world: dict[str, list[Key]] = defaultdict(list)
    for key in tests:
        by_world[worlds[key]].append(key)
    found: dict[Key, PairedEvidence] = {}
    for world, keys in by_world.items():
        rows = [tests[key] for key in keys]
        evidence = weigh_together(rows, delta=delta, alpha=level, resolution=fine[world])
        found.update(zip(keys, evidence, strict=True))
    return {key: found[key] for key in tests}


def _verdict(
    cell: CellPair, evidence: PairedEvidence | None, *, significant: bool, last: bool, reproducible: bool
) -> CellVerdict:
    verdict: VerdictName = "INCONCLUSIVE" if evidence is None else evidence.verdict(significant=significant)
    unclear = evidence is not None and verdict == "INCONCLUSIVE"
    reason = ""
    if cell.lacking_before:
        reason = f"the first run has {cell.lacking_before}"
    elif cell.lacking_after:  # whatever the cause, a defense that can no longer be run does not pass
        reason = f"the second run has {cell.lacking_after}"
    elif unclear and evidence is not None and evidence.lower is None:
        reason = "one seed is not tested"
    elif unclear and last and evidence is not None and evidence.change < -evidence.delta:
        reason = "a drop that chance may explain"
    return CellVerdict(
        world=cell.world,
        defense=cell.defense,
        attack=cell.attack,
        f=cell.f,
        seeds=len(cell.seeds),
        verdict=verdict,
        change=None if evidence is None else evidence.change,
        lower=None if evidence is None else evidence.lower,
        upper=None if evidence is None else evidence.upper,
        p=None if evidence is None else evidence.p,
        changed=cell.changed if reproducible else None,
        blocks=verdict == "REGRESSION" or bool(cell.lacking_after and not cell.lacking_before),
        seeds_help=unclear,
        reason=reason,
    )


def _defense_verdict(
    place: Place, evidence: PairedEvidence, cells: int, seeds: int, *, significant: bool
) -> DefenseVerdict:
    verdict = evidence.verdict(significant=significant)
    return DefenseVerdict(
        world=place[0],
        defense=place[1],
        cells=cells,
        seeds=seeds,
        verdict=verdict,
        change=evidence.change,
        lower=evidence.lower,
        upper=evidence.upper,
        p=evidence.p,
        blocks=verdict == "REGRESSION",
    )


def _check_looks(looks: int, look: int) -> None:
    if not 1 <= look <= looks <= MOST_LOOKS:
        raise ParameterError(
            f"`look` and `looks` should satisfy 1 <= look <= looks <= {MOST_LOOKS}. Found look={look}, looks={looks}."
        )
