"""What a suite asks for: its cells, the trials that answer them, and the cells that no trial can answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from robustfl import registry
from robustfl.aggregation import Defense
from robustfl.errors import RobustflError
from robustfl.evaluation.parts import DefenseTemplate
from robustfl.evaluation.scenario import Experiment, Scenario, World
from robustfl.evaluation.trial import Trial
from robustfl.threats import Attack, SybilAttack
from robustfl.threats.identities import divided

NO_ATTACK = "none"


@dataclass(frozen=True)
class Cell:
    """One question: this defense, this attack, this many malicious clients, this seed.

    Several cells may share a trial: without an attack, a defense that is not told f does the same for every f.
    `invalid` says why the defense's own precondition forbids the cell, `unfit` why its attack cannot be played against
    the defense at all; either way it has no trial.
    """

    world: str
    defense: str
    attack: str
    f: int
    seed: int
    trial: Trial | None
    invalid: str = ""
    unfit: str = ""


class Plan:
    """All cells of an experiment, with the baseline: the plain rule without an attack, once a world and seed."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        suite = experiment.suite
        self.seeds = tuple(range(suite.seeds))
        self.plain = DefenseTemplate.read(suite.baseline)
        self.cells = [
            cell
            for world in experiment.worlds
            for f in suite.adversary.grid(world.federation.clients)
            for cell in self.cells_at(world, f)
        ]
        self.baseline = [
            cell
            for world in experiment.worlds
            for cell in self._cells(world, self.plain, None, 0)
            if cell.trial is not None
        ]

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial once, in the order of the suite; trials of one world and seed stand together."""
        return distinct_trials([*self.baseline, *self.cells])

    def cells_at(self, world: World, f: int, defense: str | None = None) -> Iterator[Cell]:
        """The cells of a world for one number of malicious clients, of all defenses or of one."""
        suite = self.experiment.suite
        attacks: list[Attack | SybilAttack | None] = [None, *suite.attacks] if f else [None]
        for template in suite.defenses:
            if defense is None or template.label == defense:
                for attack in attacks:
                    yield from self._cells(world, template, attack, f)

    def _cells(
        self, world: World, template: DefenseTemplate, attack: Attack | SybilAttack | None, f: int
    ) -> Iterator[Cell]:
        unfit = "" if attack is None else _unfit(template, attack)
        reason = "" if unfit else self.invalid(world, template, f, attack)
        attack_label = NO_ATTACK if attack is None else str(attack)
        for seed in self.seeds:
            trial = None
            if not (reason or unfit):
                scenario = Scenario(
                    task=world.task,
                    federation=world.federation,
                    faults=self.experiment.suite.faults,
                    defense=template.build(self.declared_rows(world, f, attack)),
                    attack=attack,
                    f=f if attack is not None else 0,
                    evasion=self.experiment.suite.evasion,
                    evasion_samples=self.experiment.suite.evasion_samples,
                )
                trial = Trial(scenario, seed, world.label, template.label, attack_label)
            yield Cell(world.label, template.label, attack_label, f, seed, trial, reason, unfit)

    def declared_rows(self, world: World, f: int, attack: Attack | SybilAttack | None = None) -> int:
        """The number of rows that defenses are told may be Byzantine in a round: one for each malicious identity."""
        declared = self.experiment.suite.adversary.declared
        identities, _ = divided(attack)
        told = declared if declared is not None else f if identities is None else f * identities.count
        return world.federation.malicious_rows(told, _members(world, f, attack))

    def invalid(
        self, world: World, template: DefenseTemplate, f: int, attack: Attack | SybilAttack | None = None
    ) -> str:
        """Why the defense cannot be deployed against `f` malicious clients, or an empty text."""
        clients = world.federation.clients
        if f >= clients:
            return f"f should satisfy f < n. Found f={f}, n={clients}."
        rows = world.federation.sampled(_members(world, f, attack))
        return _infeasible(template, rows, self.declared_rows(world, f, attack))

    def bound(self, world: World, template: DefenseTemplate) -> str:
        """The theoretical bound to print beside a measured breakdown point."""
        clients = world.federation.clients
        rows = [world.federation.malicious_rows(f) for f in range(clients)]
        allowed = [f for f in range(clients) if not _infeasible(template, world.federation.per_round, rows[f])]
        if not allowed:
            return "its precondition holds for no f"
        claims = registry.describe(registry.get("defense", template.stages[-1][0]))["breakdown"]
        claimed = f"; breakdown point in theory: {claims}" if claims else ""
        return f"its precondition holds up to f = {max(allowed)} of {clients}{claimed}"


def _members(world: World, f: int, attack: Attack | SybilAttack | None) -> int:
    """How many clients and identities there are in all."""
    identities, _ = divided(attack)
    return world.federation.clients + (0 if identities is None else identities.added(f))


def _unfit(template: DefenseTemplate, attack: Attack | SybilAttack) -> str:
    """Why the attack cannot be played against the defense, or an empty text."""
    if attack.fits(template.channel):
        return ""
    return f"{attack} makes other messages than {template.label} gets: those of the channel {template.channel!r}."


def _infeasible(template: DefenseTemplate, rows: int, f: int) -> str:
    """Why the defense cannot work on so many rows of which `f` may be Byzantine, or an empty text."""
    try:
        defense = template.build(f)
    except RobustflError as error:
        return str(error)
    assert isinstance(defense, Defense)
    return defense.infeasible(rows, f) or ""


def distinct_trials(cells: Iterable[Cell]) -> list[Trial]:
    """The trials behind some cells, each once, grouped by world and seed."""
    trials: dict[str, Trial] = {}
    for cell in cells:
        if cell.trial is not None:
            trials.setdefault(cell.trial.id, cell.trial)
    return sorted(trials.values(), key=lambda trial: (trial.world, trial.seed))
