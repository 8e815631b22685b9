"""The cells that two runs of a suite share, seed by seed, on one scale of utility; other pairs of runs are refused.

A cell is one defense under one attack by f clients in one world. Both runs are measured on the scale of the first run:
`u_r = (accuracy_r - chance) / (baseline - chance)`, where the baseline is the first run's accuracy with the plain mean,
averaged over the seeds that both runs have. So a change of the plain mean itself shows in its own cells, and does not
change the utility of all other defenses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from robustfl.errors import DataError
from robustfl.evaluation.labels import NOT_APPLICABLE, PLAIN_ACCURACY
from robustfl.evaluation.results.summaries import ScoredCell, ScoredWorldReport, Summary
from robustfl.evaluation.score.curve import utility
from robustfl.evaluation.suite.matching import matched
from robustfl.wording import counted

Key = tuple[str, int, str]  # defense, f, attack


@dataclass(frozen=True, kw_only=True)
class CellPair:
    """One cell in two runs.

    `before` and `after` hold the utility of each of `seeds`, between -0.5 and 1.5 like everywhere in the score. All are
    0 if the defense's precondition forbids the cell. The value is None if the run lacks trials; then `lacking_before`
    or `lacking_after` says which. `changed` says whether any accuracy differs in any bit.
    """

    world: str
    defense: str
    attack: str
    f: int
    seeds: tuple[int, ...]
    before: tuple[float, ...] | None
    after: tuple[float, ...] | None
    lacking_before: str = ""
    lacking_after: str = ""
    changed: bool = False
    resolution: float = 0.0
    """The utility of a single test sample."""


@dataclass(frozen=True, kw_only=True)
class SharedWorld:
    """A world of both runs: the seeds that both have, and the scale on which both are measured."""

    before: ScoredWorldReport
    after: ScoredWorldReport
    seeds: tuple[int, ...]
    chance: float
    level: float

    @classmethod
    def of(cls, before: ScoredWorldReport, after: ScoredWorldReport) -> SharedWorld | None:
        """The world that two runs share, or None if the first run's training hardly beats guessing even without attack.

        In the latter case utilities mean nothing.
        """
        seeds = tuple(seed for seed in before["seeds"] if seed in set(after["seeds"]))
        if not seeds:
            raise DataError(
                f"The two runs have no seed in common in {before['world']!r}: {before['seeds']} and {after['seeds']}. "
                "Run the second with the seeds of the first."
            )
        known = dict(zip(before["seeds"], before["baseline"]["per_seed"], strict=False))
        levels = [known.get(seed) for seed in seeds]
        found = [level for level in levels if level is not None]
        level = sum(found) / len(found) if len(found) == len(seeds) else before["chance"]
        if not before["informative"] or level <= before["chance"]:
            return None
        return cls(before=before, after=after, seeds=seeds, chance=before["chance"], level=level)

    def column(self, run: ScoredWorldReport, values: list[Any]) -> list[Any]:
        """The values of the common seeds from a list with one value for each seed of a run."""
        by_seed = dict(zip(run["seeds"], values, strict=True))
        return [by_seed[seed] for seed in self.seeds]

    def utilities(self, run: ScoredWorldReport, cell: ScoredCell) -> tuple[tuple[float, ...] | None, str]:
        """The utility of each common seed, or None and the reason why there is none."""
        states = self.column(run, cell["status"])
        if "invalid" in states:
            return (0.0,) * len(self.seeds), ""
        accuracy = self.column(run, cell["accuracy"])
        lacking = [state for state, value in zip(states, accuracy, strict=True) if value is None]
        if lacking:
            shown = [f"{counted(lacking.count(state), 'trial')} {state}" for state in dict.fromkeys(lacking)]
            return None, ", ".join(shown)
        return tuple(utility(accuracy, chance=self.chance, baseline=self.level).tolist()), ""

    def pairs(self) -> Iterator[tuple[Key, ScoredCell | None, ScoredCell | None]]:
        """Every cell of either run: its key, and the cell in each run or None."""
        first, second = _cells(self.before), _cells(self.after)
        for key in dict.fromkeys([*first, *second]):
            yield key, first.get(key), second.get(key)


@dataclass(frozen=True, kw_only=True)
class SharedRuns:
    """The worlds and cells that two runs have in common, and remarks on what is left out."""

    worlds: tuple[SharedWorld, ...]
    cells: tuple[CellPair, ...]
    remarks: tuple[str, ...]


def share(before: Summary, after: Summary, *, different_suites: bool = False) -> SharedRuns:
    """Pair two runs; cells that neither run could play are left out, and cells of the same trials are taken once.

    Raises
    ------
    DataError : the runs are scored by different measures or have nothing in common; or a cell is only in one of them,
        or has another scenario or other test data in the other one, and `different_suites` is not set (with it, such
        cells are left out)
    """
    measures = [run["scores"]["settings"].get("accuracy", PLAIN_ACCURACY) for run in (before, after)]
    if measures[0] != measures[1]:
        raise DataError(
            f"The first run is scored by {measures[0]!r} and the second by {measures[1]!r}: utilities of both cannot "
            "be compared. Set `score: {accuracy: ...}` of one suite to that of the other and run it again; its records "
            "hold both measures, so no trial is played."
        )
    differences: list[str] = []
    remarks: list[str] = []
    worlds: list[SharedWorld] = []
    cells: list[CellPair] = []
    labels = [{world["world"] for world in run["scores"]["worlds"]} for run in (before, after)]
    for first, second in matched(before["scores"]["worlds"], after["scores"]["worlds"]):
        if first is None or second is None:
            alone = first or second
            assert alone is not None  # a pair has at least one world
            if alone["world"] in labels[0] & labels[1]:
                if first is not None:  # once for the two of them
                    differences.append(f"the world {alone['world']!r} is another scenario")
                continue
            where = "first" if first is not None else "second"
            differences.append(f"the world {alone['world']!r} is in the {where} run alone")
            continue
        label = first["world"]
        if first["chance"] != second["chance"] or first["test_size"] != second["test_size"]:
            differences.append(f"the world {label!r} has other test data")
            continue
        if second["world"] != label:
            remarks.append(f"The world {label!r} is called {second['world']!r} in the second run.")
        world = SharedWorld.of(first, second)
        if world is None:
            remarks.append(f"{label}: not judged, training without attack hardly beats guessing in the first run.")
            continue
        worlds.append(world)
        cells += _paired(world, differences)
    if differences:
        problem = f"The runs are of different suites: {differences[0]}"
        if len(differences) > 1:
            problem += f", and {counted(len(differences) - 1, 'such difference')} more"
        if not different_suites:
            raise DataError(
                f"{problem} (suites {before['suite']['hash']} and {after['suite']['hash']}). Run the first one's suite "
                "again, or store a new baseline. --allow-different-suites (`different_suites=True` in Python) compares "
                "what both share and nothing else."
            )
        remarks.append(f"{problem}. Only what both share is judged.")
    if not cells:
        why = f" {' '.join(remarks)}" if remarks else ""
        raise DataError(f"The two runs have no cell in common that could be judged.{why}")
    return SharedRuns(worlds=tuple(worlds), cells=tuple(cells), remarks=tuple(remarks))


def _paired(world: SharedWorld, differences: list[str]) -> list[CellPair]:
    """The cells of a world that both runs have; cells that only one run has are added to `differences`."""
    label, found, known = world.before["world"], [], set()
    for (defense, f, attack), old, new in world.pairs():
        where = f"{defense} under {attack!r} with f={f} in {label!r}"
        played = [cell is not None and set(cell["status"]) != {NOT_APPLICABLE} for cell in (old, new)]
        if not any(played):
            continue
        if old is None or new is None or not all(played):
            differences.append(f"{where} is in the {'first' if played[0] else 'second'} run alone")
            continue
        trials = tuple(world.column(world.before, old["trials"])), tuple(world.column(world.after, new["trials"]))
        if any(a and b and a != b for a, b in zip(*trials, strict=True)):
            differences.append(f"{where} is another scenario")
            continue
        invalid = ["invalid" in cell["status"] for cell in (old, new)]
        if all(invalid) or (all(trials[0] + trials[1]) and (defense, trials) in known):
            continue
        known.add((defense, trials))
        before, lacking_before = world.utilities(world.before, old)
        after, lacking_after = world.utilities(world.after, new)
        found.append(
            CellPair(
                world=label,
                defense=defense,
                attack=attack,
                f=f,
                seeds=world.seeds,
                before=before,
                after=after,
                lacking_before=lacking_before,
                lacking_after=lacking_after,
                changed=world.column(world.before, old["accuracy"]) != world.column(world.after, new["accuracy"]),
                resolution=1 / world.before["test_size"] / (world.level - world.chance),
            )
        )
    return found


def _cells(world: ScoredWorldReport) -> dict[Key, ScoredCell]:
    return {
        (defense["defense"], point["f"], attack): cell
        for defense in world["defenses"]
        for point in defense["curve"]
        for attack, cell in point["attacks"].items()
    }
