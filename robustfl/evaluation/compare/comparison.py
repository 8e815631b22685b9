"""The comparison of two runs: the verdict on every cell, the worst cases, and what to do if the outcome is open."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from robustfl.evaluation.compare.pairing import SharedWorld, share
from robustfl.evaluation.compare.regression import VERDICTS, CellVerdict, Judgement, judge_shared, reproducible
from robustfl.evaluation.results.baseline import load_stored
from robustfl.evaluation.results.store import exists, read_records
from robustfl.evaluation.results.summaries import ScoredPoint, ScoredWorldReport, Summary
from robustfl.evaluation.suite.matching import with_settings
from robustfl.wording import counted

GateOutcome = Literal["PASS", "REGRESSION", "INCONCLUSIVE"]
_EXIT_CODES: dict[GateOutcome, int] = {"PASS": 0, "REGRESSION": 1, "INCONCLUSIVE": 3}


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """The parameters of :func:`~robustfl.evaluation.compare.regression.judge`, with three planned looks by default."""

    delta: float = 0.02
    alpha: float = 0.05
    looks: int = 3
    look: int = 1
    different_suites: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The verdicts on two runs, for each cell and for the mean of each defense, and what follows from them.

    `rows` holds JSON values for each world, defense and f: the worst case of both runs as they report it, and the mean
    paired difference of the utilities under these attacks with its two-sided 95 % Student interval.
    """

    settings: GateSettings
    remarks: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    judgement: Judgement
    seeds: int
    """The number of seeds that both runs have in every world."""

    @cached_property
    def missing_seeds(self) -> int:
        """How many seeds to add before the next look; 0 if this look settles the outcome."""
        return self.judgement.more_seeds(looks=self.settings.looks, look=self.settings.look)

    @property
    def outcome(self) -> GateOutcome:
        """REGRESSION if a cell or a defense blocks, INCONCLUSIVE if a further look is needed, and otherwise PASS."""
        if self.judgement.blocks:
            return "REGRESSION"
        return "INCONCLUSIVE" if self.missing_seeds else "PASS"

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 for PASS, 1 for REGRESSION, 3 for INCONCLUSIVE."""
        return _EXIT_CODES[self.outcome]

    @property
    def conclusion(self) -> str:
        """The outcome in one or two sentences."""
        cells, defenses = self.judgement.cells, self.judgement.defenses
        total, delta = counted(len(cells), "cell"), f"{self.settings.delta:g}"
        found = Counter(verdict.verdict for verdict in cells)
        blocking = f"{sum(verdict.blocks for verdict in cells)} of {total}"
        if lost := sum(verdict.blocks for verdict in defenses):
            blocking += f" and the mean of {lost} of {counted(len(defenses), 'defense')}"
        tail = f" {found['IMPROVED']} improved." if found["IMPROVED"] else ""
        changed = sum(bool(verdict.changed) for verdict in cells)
        tail += f" {changed} CHANGED: not equal bit for bit." if changed else ""
        if self.outcome == "REGRESSION":
            return f"REGRESSION: {blocking} should not be accepted.{tail}"
        if self.outcome == "INCONCLUSIVE":
            look = f"look {self.settings.look} of {self.settings.looks}"
            return f"INCONCLUSIVE: {found['INCONCLUSIVE']} of {total} are open at {look}.{tail}"
        if found["INCONCLUSIVE"]:
            return f"PASS, with a warning: {found['INCONCLUSIVE']} of {total} are still open, none blocks.{tail}"
        return f"PASS: none of {total} is worse by more than {delta} of utility.{tail}"

    def report(self, commands: Sequence[str] = ()) -> dict[str, Any]:
        """The whole comparison, as JSON values."""
        return {
            "verdict": self.outcome,
            "conclusion": self.conclusion,
            "settings": {**vars(self.settings)},
            "remarks": list(self.remarks),
            "rows": list(self.rows),
            "cells": [verdict.report() for verdict in self.judgement.cells],
            "defenses": [verdict.report() for verdict in self.judgement.defenses],
            "next": list(commands),
        }


def compare_runs(before: Summary, after: Summary, settings: GateSettings | None = None) -> Comparison:
    """Judge every cell that two runs share, and put their worst cases side by side.

    Raises
    ------
    DataError : the runs are of different suites or have nothing in common
    """
    settings = settings or GateSettings()
    shared = share(before, after, different_suites=settings.different_suites)
    judgement = judge_shared(
        shared,
        delta=settings.delta,
        alpha=settings.alpha,
        looks=settings.looks,
        look=settings.look,
        reproducible=reproducible(before, after),
    )
    remarks = list(shared.remarks)
    for key in ("robustfl", "numpy", "torch"):
        old, new = before["provenance"].get(key), after["provenance"].get(key)
        if old != new:
            remarks.append(f"{key}: {old} before, {new} after.")
    return Comparison(
        settings=settings,
        remarks=tuple(remarks),
        rows=tuple(row for world in shared.worlds for row in _rows(world, judgement.cells)),
        judgement=judgement,
        seeds=min(len(world.seeds) for world in shared.worlds),
    )


def load_run(path: Path) -> Summary:
    """Read a run as :func:`load_stored` does, with the settings of its worlds, by which equal worlds are found.

    Summaries of older versions have none; there the records tell them, if they are in the same folder.
    """
    run = load_stored(path)
    worlds, records = run["scores"]["worlds"], path / "records.jsonl"
    if all("settings" in world for world in worlds) or not exists(records):
        return run
    return {**run, "scores": {**run["scores"], "worlds": with_settings(worlds, read_records(records))}}


def next_commands(found: Comparison, first: Path, second: Path) -> list[str]:
    """The shell commands that lead to the next look: further seeds for both runs, then the comparison again."""
    if not found.missing_seeds:
        return []
    seeds = found.seeds + found.missing_seeds
    commands = []
    for path, whose in ((first, "with the code that the first run was made with"), (second, "with the new code")):
        run = load_stored(path)
        if min(len(world["seeds"]) for world in run["scores"]["worlds"]) >= seeds:
            continue
        # A file holds no records that a run could continue, so the run is made again in a folder and stored again.
        folder = path if path.is_dir() else path.with_name(f"{path.stem}-{seeds}-seeds")
        again = _repeated(run["suite"]["command"], folder, seeds)
        commands.append(f"# {whose}:")
        commands.append(again or f"# run {run['suite']['name']} again with {seeds} seeds, into {folder}")
        if not path.is_dir():
            commands.append(shlex.join(["robustfl", "compare", str(folder), "--save", str(path)]))
    given, usual = found.settings, GateSettings()
    options = ["--look", str(given.look + 1)]
    for name in ("looks", "delta", "alpha"):
        value = getattr(given, name)
        options += [f"--{name}", f"{value:g}"] if value != getattr(usual, name) else []
    options += ["--allow-different-suites"] if given.different_suites else []
    return [*commands, shlex.join(["robustfl", "compare", str(first), str(second), *options])]


_WITH_VALUE = ("--seeds", "--out")
_ALONE = ("--fresh", "--resume", "--json")


def _repeated(command: str, folder: Path, seeds: int) -> str:
    """The command of a run with another folder and number of seeds; empty if the command is not known."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if words[:2] != ["robustfl", "run"]:
        return ""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in _WITH_VALUE:
            skip = True
        elif word not in _ALONE and not word.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            kept.append(word)
    return shlex.join([*kept, "--out", str(folder), "--seeds", str(seeds)])


def _rows(world: SharedWorld, verdicts: Sequence[CellVerdict]) -> list[dict[str, Any]]:
    """A row for each defense and f that both runs have in this world."""
    rows = []
    label = world.before["world"]
    twins = {(d["defense"], point["f"]): point for d in world.after["defenses"] for point in d["curve"]}
    for defense in world.before["defenses"]:
        for old in defense["curve"]:
            new = twins.get((defense["defense"], old["f"]))
            if new is None:
                continue
            place = (label, defense["defense"], old["f"])
            row = {**dict(zip(("world", "defense", "f"), place, strict=True)), "before": old["W"], "after": new["W"]}
            row |= _worst_change(world, old, new)
            own = [verdict for verdict in verdicts if (verdict.world, verdict.defense, verdict.f) == place]
            cells = Counter(verdict.verdict for verdict in own)
            row["verdict"] = next((name for name in VERDICTS if cells[name]), None)
            row["cells"] = {name: cells[name] for name in VERDICTS if cells[name]}
            row["changed"] = sum(bool(verdict.changed) for verdict in own)
            rows.append(row)
    return rows


def _worst_change(world: SharedWorld, old: ScoredPoint, new: ScoredPoint) -> dict[str, Any]:
    """The mean difference over the common seeds between two points, each under its own worst attack."""
    from robustfl.evaluation.statistics import student_interval

    first, second = _under_worst(world, world.before, old), _under_worst(world, world.after, new)
    if first is None or second is None:
        return {"change": None, "ci": None}
    differences = [b - a for a, b in zip(first, second, strict=True)]
    interval = student_interval(differences)
    return {"change": sum(differences) / len(differences), "ci": None if interval is None else list(interval)}


def _under_worst(world: SharedWorld, run: ScoredWorldReport, point: ScoredPoint) -> tuple[float, ...] | None:
    """The utility of each seed under the attack that is worst on average; 0 if the defense cannot be used."""
    if any("invalid" in cell["status"] for cell in point["attacks"].values()):
        return (0.0,) * len(world.seeds)
    cell = point["attacks"].get(point["worst_attack"] or "")
    return None if cell is None or point["W"] is None else world.utilities(run, cell)[0]
