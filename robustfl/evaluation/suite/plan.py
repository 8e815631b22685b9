"""What a suite asks: its cells, the trials that answer them, and the cells that no trial can answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from robustfl import registry
from robustfl.aggregation import Defense
from robustfl.errors import RobustflError
from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.evaluation.suite.fitting import needs_images, require_known_to_fit
from robustfl.evaluation.suite.scenario import Experiment, Scenario, World
from robustfl.evaluation.suite.standard import made_for
from robustfl.evaluation.suite.trial import Trial
from robustfl.federation.assembly import refusal
from robustfl.federation.channels.names import spoken_channel
from robustfl.threats import Attack, DataPoisoning, Fault, SybilAttack
from robustfl.threats.staging import aimed, identities_of

NO_LIMIT = 10**9
"""A number of rows that is enough for every rule that can be made at all."""


@dataclass(frozen=True)
class Cell:
    """One question: a defense, an attack, a number of malicious clients, and a seed.

    Several cells may share a trial: without an attack, a defense that is not told f does the same for every f.
    `invalid` says why the defense's own precondition forbids the cell, and `unfit` says why the attack cannot be played
    against the defense at all. In both cases the cell has no trial.
    """

    world: str
    defense: str
    attack: str
    f: int
    seed: int
    trial: Trial | None
    invalid: str = ""
    unfit: str = ""


@dataclass(frozen=True, kw_only=True)
class Misdeclared:
    """The cells, one for each seed, in which a defense is told `told` Byzantine rows, where `declared` is right."""

    world: str
    defense: str
    attack: str
    f: int
    declared: int
    told: int
    cells: tuple[Cell, ...]


class Plan:
    """All cells of an experiment, and its baseline: the plain rule without an attack, once per world and seed.

    Raises ScenarioError when an attack does not fit data that are known without a file.
    """

    def __init__(self, experiment: Experiment) -> None:
        require_known_to_fit(experiment.worlds, experiment.suite.played)
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
        """Every trial once, in the order of the suite; trials of one world and seed are next to each other."""
        return distinct_trials([*self.baseline, *self.cells, *self.fault_cells])

    @cached_property
    def fault_cells(self) -> list[Cell]:
        """The cells of the fault suite: each fault alone, without an attack.

        In these cells `attack` is the fault, and `f` is the declared number: the largest number of malicious clients of
        the suite against which the defense can be deployed.
        """
        suite = self.experiment.suite
        return [
            cell
            for world in self.experiment.worlds
            for template in suite.defenses
            for fault in suite.fault_suite
            for cell in self._fault_cells(world, template, fault)
        ]

    def _fault_cells(self, world: World, template: DefenseTemplate, fault: Fault) -> Iterator[Cell]:
        grid = self.experiment.suite.adversary.grid(world.federation.clients)
        told = max((f for f in grid if not self.invalid(world, template, f)), default=0)
        defense, rules = template.build(0), world.federation
        unfit = "" if refusal(defense, rules) else refusal(defense, rules, faults=(fault,)) or ""
        reason = "" if unfit else self.invalid(world, template, told)
        for seed in self.seeds:
            trial = None
            if not (reason or unfit):
                scenario = Scenario(
                    task=world.task,
                    federation=world.federation,
                    faults=(*self.experiment.suite.faults, fault),
                    defense=template.build(self.declared_rows(world, told)),
                    declared=told if world.networked else None,
                )
                trial = Trial(scenario, seed, world.label, template.label, str(fault))
            yield Cell(world.label, template.label, str(fault), told, seed, trial, reason, unfit)

    @cached_property
    def aims(self) -> tuple[DataPoisoning, ...]:
        """The attacks of the suite that want something other than harm; trials without an attack measure them too."""
        return aimed(self.experiment.suite.played)

    def cells_at(self, world: World, f: int, defense: str | None = None) -> Iterator[Cell]:
        """The cells of a world for one number of malicious clients, of all defenses or of one."""
        suite = self.experiment.suite
        attacks: list[Attack | SybilAttack | None] = [None, *suite.played] if f else [None]
        for template in suite.defenses:
            if defense is None or template.label == defense:
                for attack in attacks:
                    yield from self._cells(world, template, attack, f)

    def _cells(
        self, world: World, template: DefenseTemplate, attack: Attack | SybilAttack | None, f: int
    ) -> Iterator[Cell]:
        unfit = "" if attack is None else _unfit(world, template, attack) or self._spared(template, attack)
        reason = "" if unfit else self.invalid(world, template, f, attack)
        attack_label = NO_ATTACK if attack is None else str(attack)
        for seed in self.seeds:
            trial = None
            if not (reason or unfit):
                scenario = self._scenario(world, template, attack, f, self.declared_rows(world, f, attack))
                trial = Trial(scenario, seed, world.label, template.label, attack_label)
            yield Cell(world.label, template.label, attack_label, f, seed, trial, reason, unfit)

    def _scenario(
        self, world: World, template: DefenseTemplate, attack: Attack | SybilAttack | None, f: int, told: int
    ) -> Scenario:
        privacy = self.experiment.suite.privacy
        return Scenario(
            task=world.task,
            federation=world.federation,
            faults=self.experiment.suite.faults,
            defense=template.build(told),
            attack=attack,
            f=f if attack is not None else 0,
            declared=told if world.networked else None,
            equivocation=self.experiment.suite.adversary.equivocation,
            aims=tuple(aim for aim in self.aims if attack is None and not needs_images(world, aim)),
            evasion=self.experiment.suite.evasion,
            evasion_samples=self.experiment.suite.evasion_samples,
            privacy=privacy if privacy is not None and (attack is None or privacy.under_attack) else None,
            reference=attack is None and template.label == self.plain.label,
        )

    def misdeclared(self, world: World, template: DefenseTemplate, attack: str, f: int) -> list[Misdeclared]:
        """The cells in which the defense is told one Byzantine row more, and one less, than there are.

        A number that its precondition forbids is left out. There are none for a defense that is not told f, nor in a
        suite that declares a number of its own.
        """
        opponent = next(found for found in self.experiment.suite.played if str(found) == attack)
        right = self.declared_rows(world, f, opponent)
        if self.experiment.suite.adversary.declared is not None:
            return []
        rows = world.federation.sampled(_members(world, f, opponent))
        found = []
        for told in (right - 1, right + 1):
            same = not world.networked and template.build(told) == template.build(right)
            if told < 0 or same or _infeasible(template, NO_LIMIT if world.networked else rows, told):
                continue
            scenario = self._scenario(world, template, opponent, f, told)
            cells = tuple(
                Cell(
                    world=world.label,
                    defense=template.label,
                    attack=attack,
                    f=f,
                    seed=seed,
                    trial=Trial(scenario, seed, world.label, f"{template.label} told f={told}", attack),
                )
                for seed in self.seeds
            )
            found.append(
                Misdeclared(
                    world=world.label,
                    defense=template.label,
                    attack=attack,
                    f=f,
                    declared=right,
                    told=told,
                    cells=cells,
                )
            )
        return found

    def _spared(self, template: DefenseTemplate, attack: Attack | SybilAttack) -> str:
        """The reason why a tailored attack of the standard suite is not meant for this defense, or an empty text."""
        frozen = self.experiment.suite.frozen_attacks
        if frozen is None or attack not in frozen.tailored or set(made_for(attack)) & set(template.names):
            return ""
        return f"{attack} is made for {', '.join(made_for(attack))}, and {template.label} has no such stage."

    def declared_rows(self, world: World, f: int, attack: Attack | SybilAttack | None = None) -> int:
        """The declared number of rows that may be Byzantine in a round: one for each malicious identity."""
        declared = self.experiment.suite.adversary.declared
        identities = identities_of(attack)
        told = declared if declared is not None else f if identities is None else f * identities.count
        return world.federation.malicious_rows(told, _members(world, f, attack))

    def invalid(
        self, world: World, template: DefenseTemplate, f: int, attack: Attack | SybilAttack | None = None
    ) -> str:
        """The reason why the defense cannot be deployed against `f` malicious clients, or an empty text."""
        told = self.declared_rows(world, f, attack)
        if world.networked:  # whether a neighbourhood is large enough, its peer finds out
            return _infeasible(template, NO_LIMIT, told) or refusal(template.build(told), world.federation) or ""
        rows = world.federation.sampled(_members(world, f, attack))
        return _infeasible(template, rows, told) or refusal(template.build(told), world.federation) or ""

    def bound(self, world: World, template: DefenseTemplate) -> str:
        """The theoretical bound that is printed next to a measured breakdown point."""
        clients = world.federation.clients
        rows = [world.federation.malicious_rows(f) for f in range(clients)]
        allowed = [f for f in range(clients) if not _infeasible(template, world.federation.per_round, rows[f])]
        if not allowed:
            return "its precondition holds for no f"
        claims = registry.describe(template.classes[-1])["breakdown"]
        claimed = f"; breakdown point in theory: {claims}" if claims else ""
        return f"its precondition holds up to f = {max(allowed)} of {clients}{claimed}"


def _members(world: World, f: int, attack: Attack | SybilAttack | None) -> int:
    """The number of all clients and identities."""
    identities = identities_of(attack)
    return world.federation.clients + (0 if identities is None else identities.added(f))


def _unfit(world: World, template: DefenseTemplate, attack: Attack | SybilAttack) -> str:
    """The reason why the attack cannot be played in the world against the defense, or an empty text."""
    if needs_images(world, attack):
        return f"{attack} marks images, and the samples of {world.task.data} are rows of a table."
    channel = spoken_channel(template.channel, world.federation)
    if attack.fits(channel):
        return ""
    return f"{attack} makes other messages than {template.label} gets: those of the channel {channel!r}."


def _infeasible(template: DefenseTemplate, rows: int, f: int) -> str:
    """The reason why the defense cannot work on `rows` rows of which `f` may be Byzantine, or an empty text."""
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
