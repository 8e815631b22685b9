"""The cells of a plan together with the stored records that answer them: the score is made from these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from robustfl import errors
from robustfl.evaluation.labels import NOT_APPLICABLE
from robustfl.evaluation.results.records import Failure, Record, tail_of
from robustfl.evaluation.results.training import training_of
from robustfl.evaluation.score.inputs import CellResult, ScoredWorld, ScoreSettings
from robustfl.evaluation.score.targeted import lifts_of
from robustfl.evaluation.suite.plan import Cell, Plan
from robustfl.evaluation.suite.scenario import World
from robustfl.threats.staging import aimed


@dataclass(frozen=True, kw_only=True)
class Played:
    """A plan, the existing records by the ids of their trials, and the folder of data files."""

    plan: Plan
    records: Mapping[str, Record]
    root: Path | None = None

    @property
    def settings(self) -> ScoreSettings:
        """The suite's settings of the score, in the form that :func:`score` takes."""
        return ScoreSettings(**self.plan.experiment.suite.score.model_dump())

    @property
    def accuracy(self) -> str:
        """The measure of accuracy from which the suite's score is made."""
        return self.settings.accuracy

    def record(self, cell: Cell) -> Record | None:
        """The record of the trial that answers a cell; None without a record."""
        return None if cell.trial is None else self.records.get(cell.trial.id)

    def outcomes(self, cells: Iterable[Cell]) -> list[CellResult]:
        """The cells with their outcomes."""
        datasets = {world.label: world.task.data.load(self.root) for world in self.plan.experiment.worlds}
        chances = {label: dataset.guessing(self.accuracy) for label, dataset in datasets.items()}
        found = []
        for cell in cells:
            record, dataset = self.record(cell), datasets[cell.world]
            failure = None if record is None else record.get("error")
            absent = NOT_APPLICABLE if cell.unfit else "invalid"
            found.append(
                CellResult(
                    world=cell.world,
                    defense=cell.defense,
                    attack=cell.attack,
                    f=cell.f,
                    seed=cell.seed,
                    trial="" if cell.trial is None else cell.trial.id,
                    accuracy=tail_of(record, self.accuracy),
                    test_size=len(dataset.test_y),
                    chance=chances[cell.world],
                    status=absent if cell.trial is None else "missing" if record is None else record["status"],
                    reason=cell.invalid or cell.unfit or _told(failure),
                )
            )
        return found

    def lifts(self, cells: Iterable[Cell]) -> dict[str, float] | None:
        """What attacks with an aim gained in some cells, by the id of the trial, if the suite is about aims; else None.

        A suite is about aims when more than half of its attacks have one.
        """
        played = self.plan.experiment.suite.played
        aimful = [attack for attack in played if aimed([attack])]
        return lifts_of(cells, self.records) if 2 * len(aimful) > len(played) else None

    def world(self, world: World) -> ScoredWorld:
        """The world with its baseline: the accuracy of the plain rule without an attack, one value per seed."""
        dataset = world.task.data.load(self.root)
        chance = dataset.guessing(self.accuracy)
        baseline: list[float | None] = []
        trials: list[Record | None] = []
        for cell in self.plan.baseline:
            if cell.world == world.label:
                trials.append(record := self.record(cell))
                diverged = record is not None and record["status"] == "diverged"
                baseline.append(chance if diverged else tail_of(record, self.accuracy))
        return ScoredWorld(
            label=world.label,
            clients=world.federation.clients,
            baseline=() if None in baseline else tuple(baseline),
            chance=chance,
            test_size=len(dataset.test_y),
            effective_test_size=dataset.effective_test_size(self.accuracy),
            training=training_of(trials, self.accuracy),
            seeds=self.plan.seeds,
        )

    def worlds(self) -> list[ScoredWorld]:
        """All worlds of the suite."""
        return [self.world(world) for world in self.plan.experiment.worlds]

    def finished_seed(self, world: World) -> int | None:
        """The first seed for which a trial of the world did not fail; None if all of them failed."""
        cells = (*self.plan.baseline, *self.plan.cells, *self.plan.fault_cells)
        records = [(cell.seed, self.record(cell)) for cell in cells if cell.world == world.label]
        ended = [seed for seed, record in records if record is not None and record["status"] != "failed"]
        return min(ended, default=None)


def _told(failure: Failure | None) -> str:
    """Why a trial failed: errors of robustfl speak for themselves, and others begin with their kind."""
    kind, message = (failure or {}).get("type") or "", (failure or {}).get("message") or ""
    return message if not kind or hasattr(errors, kind) or message == kind else f"{kind}: {message}"
