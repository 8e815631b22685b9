"""The scenario model: one complete description (:class:`Scenario`), and suites of them (:class:`Suite`).

A suite says in which world clients learn, which defenses and attacks meet there, and how many clients are malicious.
Any single value under `task` and `federation` may be a list; the suite then has one world for every combination.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, PlainSerializer, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from robustfl.components import Component
from robustfl.errors import RobustflError, ScenarioError
from robustfl.evaluation.claims.claim import Claim
from robustfl.evaluation.claims.language import Expression, MeasureError
from robustfl.evaluation.claims.names import Names
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.specs import DefenseTemplate, PartSchema, reader, with_yardstick, writer
from robustfl.evaluation.suite.adversary import AdversarySettings
from robustfl.evaluation.suite.counts import require_counts, require_honest
from robustfl.evaluation.suite.given import given_defense
from robustfl.evaluation.suite.networks import FederationPart, require_server
from robustfl.evaluation.suite.privacy import AttackPart, Privacy
from robustfl.evaluation.suite.sections import section_at
from robustfl.evaluation.suite.standard import Opponent, Standard, load_standard
from robustfl.federation.settings import Settings
from robustfl.own_files import without_folder
from robustfl.threats import Identities, PlacedAttack, Placement
from robustfl.threats.peers.space import Space

DataPart = Annotated[Any, PartSchema("data"), reader("data"), writer]
ModelPart = Annotated[Any, PartSchema("model"), reader("model"), writer]
PartitionPart = Annotated[Any, PartSchema("partition"), reader("partition"), writer]
DefensePart = Annotated[Any, PartSchema("defense"), reader("defense"), writer]

MOST_WORLDS = 1000

_NOT_SCORED = {"name", "description", "extends", "task", "federation", "claims", "privacy"}
"""The keys of a suite that do not influence its score, and the keys whose values its worlds hold."""

_PLACES = {
    "faults": ("faults", "a fault"),
    "evasion": ("evasion", "an attack on test samples"),
    "privacy": ("privacy", "an attack on privacy"),
}
"""Attack surface -> the key of a suite that lists such attacks, and their description; all others are in `attacks`."""


def _template(value: Any) -> DefenseTemplate:
    if isinstance(value, DefenseTemplate):
        return value
    try:
        return given_defense(value)
    except RobustflError as error:
        raise ValueError(str(error)) from None


TemplatePart = Annotated[
    Any,
    BeforeValidator(_template),
    PlainSerializer(lambda template: [{without_folder(name): dict(given)} for name, given in template.stages]),
]


class TaskSettings(Settings):
    """Which data are learnt, with which model, and how the data are divided over the clients."""

    data: DataPart
    """The data set."""
    model: ModelPart
    """The model that is trained."""
    partition: PartitionPart
    """How the training data are divided over the clients."""


class Scenario(Settings):
    """One complete description: a world, a defense, and what the defense must withstand. A trial adds the seed."""

    task: TaskSettings
    """Data, model and partition."""
    federation: FederationPart
    """The rules of the federation."""
    faults: tuple[AttackPart, ...] = ()
    """The faults: what goes wrong without malice."""
    defense: DefensePart
    """The aggregator or pipeline; it is told how many rows may be Byzantine."""
    attack: AttackPart | None = None
    """The attack: what the malicious clients do."""
    f: Annotated[int, Ge(0)] = 0
    """The number of malicious clients."""
    declared: Annotated[int, Ge(0)] | None = None
    """The number of malicious peers that is declared, from which follows what rules are told; None with a server."""
    equivocation: bool = True
    """Whether malicious peers may send different letters to different neighbours."""
    aims: tuple[AttackPart, ...] = ()
    """Poisonings of data that nobody carries out; the trial measures how often the model makes the same mistakes
    without them."""
    evasion: tuple[AttackPart, ...] = ()
    """Attacks on test samples, which are tried on the trained model."""
    evasion_samples: Annotated[int, Ge(1)] = 200
    """The number of test samples on which these attacks are tried."""
    privacy: Privacy | None = None
    """Who watches the clients, and what it tries to find out about their data; None when nobody does."""
    reference: bool = False
    """Whether the trial is the yardstick of its world: the plain rule without an attack. It also measures how
    stable the step of the training is, and what training on all data at once reaches."""

    @model_validator(mode="after")
    def _an_honest_client(self) -> Self:
        require_honest("f", self.f, self.federation.clients)
        return self


class Scoring(Settings):
    """How the records become a score."""

    accuracy: Literal["balanced_accuracy", "plain_accuracy", "macro_f1"] = "balanced_accuracy"
    """The measure from which utilities are made: the mean recall over the classes of the test set, the share of all
    test samples that is recognised (which hides that a rare class is never found), or the mean F1 over the classes.
    Every record holds all three, so no trial is run again when it changes."""
    threshold: Annotated[float, Gt(0), Lt(1)] = 0.5
    """The utility that a defense must keep to count as withstanding an attack (for the breakdown point)."""
    margin: Annotated[float, Ge(0)] = 0.01
    """Two defenses whose utilities differ by no more than this have the same rank."""
    alpha: Annotated[float, Gt(0), Lt(1)] = 0.05
    """The significance level of the tests between defenses."""


def _folder_name(name: str) -> str:
    """Check a name: results go to `runs/NAME`, and a name from another person's file must not lead anywhere else."""
    if not name.isprintable() or not name.strip() or name.startswith(".") or {"/", "\\"} & set(name) or len(name) > 100:
        raise ValueError(
            "a name is a text of 1 to 100 printable characters without slashes that does not begin with a dot. "
            f"Found {name[:100]!r}"
        )
    return name


def _plain_rule(name: str) -> str:
    if _template(name).build(0).protection is not None:
        raise ValueError(
            "the baseline has no mechanism: its noise would make privacy look free. A mechanism belongs to a defense. "
            f"Found {name!r}"
        )
    return name


def _standard_name(name: str) -> str:
    try:
        return load_standard(name).name
    except RobustflError as error:
        raise ValueError(str(error)) from None


class Suite(Settings):
    """A grid of scenarios: every defense against every attack, in every world, for every f."""

    name: Annotated[str, AfterValidator(_folder_name)]
    """The name of the suite, and of the folder of its results."""
    description: str = ""
    """A description in one line, for the catalogue and the report."""
    extends: str | None = None
    """A suite of the catalogue, or a file in the same folder, whose values are the defaults (one level)."""
    task: TaskSettings
    """Data, model and partition."""
    federation: FederationPart
    """The rules of the federation."""
    adversary: AdversarySettings
    """How many clients are malicious."""
    faults: tuple[AttackPart, ...] = ()
    """The faults of every scenario: what goes wrong without malice."""
    fault_suite: tuple[AttackPart, ...] = ()
    """Faults that are played one at a time without an attack, in addition to those of every scenario; the results are
    not part of the score."""
    defenses: Annotated[tuple[TemplatePart, ...], Len(1), AfterValidator(with_yardstick)]
    """The defenses: each is a name, `{name: {parameter: value}}`, or a list of these for a pipeline; the suite fills in
    `f`. If one of them uses a trusted update, the suite also has `server_alone`, which hears no client."""
    attacks: tuple[AttackPart, ...] = ()
    """The attacks: each is one attack, or a list of a strategy for identities, a poisoning of data and an attack on
    updates, any of which may be left out. Trials without an attack are always part of the suite."""
    standard: Annotated[str, AfterValidator(_standard_name)] | None = None
    """A frozen attack list (`robustfl list suites`) that is played in addition to `attacks`; then only defenses that
    met every attack that an evaluation needs are ranked."""
    evasion: tuple[AttackPart, ...] = ()
    """Attacks on test samples, which are tried on the trained model at the end of every trial."""
    evasion_samples: Annotated[int, Ge(1)] = 200
    """The number of test samples on which these attacks are tried: a random choice, or all if there are fewer."""
    privacy: Privacy | None = None
    """Who watches the clients, and what it tries to find out about their data; no result is part of the score."""
    seeds: Annotated[int, Ge(1), Le(100_000)] = 5
    """The number of seeds; comparisons between defenses are paired over them."""
    baseline: Annotated[str, AfterValidator(_plain_rule)] = "mean"
    """The plain rule whose accuracy without an attack counts as utility 1."""
    score: Scoring = Scoring()
    """How the records become a score."""
    claims: tuple[Claim, ...] = ()
    """The claims of papers, which are compared with what is measured; a suite that extends this one does not inherit
    them."""

    @model_validator(mode="before")
    @classmethod
    def _plain_mixing(cls, values: Any) -> Any:
        """Among peers the plain rule is gossip averaging, and no mean of a server."""
        federation = values.get("federation") if isinstance(values, dict) else None
        networked = isinstance(federation, dict) and federation.get("topology") is not None
        return {**values, "baseline": "gossip"} if networked and values.get("baseline") is None else values

    @model_validator(mode="after")
    def _watched_rounds(self) -> Self:
        self.adversary.require_network(self.federation)
        if self.privacy is not None:
            require_server(self.federation)
            self.privacy.require(self.federation)
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, labels in (
            ("defenses", [template.label for template in self.defenses]),
            ("attacks", [str(attack) for attack in self.played]),
            ("attacks on test samples", [str(attack) for attack in self.evasion]),
            ("faults of the fault suite", [str(fault) for fault in self.fault_suite]),
        ):
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                raise ValueError(f"{what} that are listed twice: {', '.join(twice)}")
        for section, listed in (
            ("attacks", self.attacks),
            ("faults", (*self.faults, *self.fault_suite)),
            ("evasion", self.evasion),
        ):
            for part in listed:
                if isinstance(part, Placement):
                    raise ValueError(f"{part} says where attackers are: list it with an attack, [placement, attack]")
                if isinstance(part, PlacedAttack) and self.federation.topology is None:
                    raise ValueError(
                        f"{part} needs a network of peers, and the clients here have a server: leave the placement out"
                    )
                if isinstance(part, Space):
                    raise ValueError(f"{part} says in which space letters are crafted: list it with an attack")
                if isinstance(part, Identities):
                    raise ValueError(f"{part} says who attacks, not how: list it with an attack, [identities, attack]")
                place, word = _PLACES.get(getattr(part, "surface", ""), ("attacks", "an attack"))
                if place != section:
                    raise ValueError(f"{part} is {word}: list it under `{place}`")
        return self

    @cached_property
    def frozen_attacks(self) -> Standard | None:
        """The standard suite that the suite asks for; None without one."""
        return None if self.standard is None else load_standard(self.standard)

    @cached_property
    def played(self) -> tuple[Opponent, ...]:
        """All attacks: first those of the standard suite, then those in `attacks`."""
        frozen = self.frozen_attacks
        listed = self.attacks if frozen is None else (*frozen.attacks, *frozen.tailored, *self.attacks)
        return self.adversary.spaced(listed)


class World(Settings):
    """What all defenses and attacks of a suite share: a task and a federation, with a label."""

    label: str
    task: TaskSettings
    federation: FederationPart

    @property
    def networked(self) -> bool:
        """Whether clients are peers in a network without a server."""
        return self.federation.topology is not None


class Experiment:
    """A suite read from a file: its worlds, and the suite's other values.

    Raises
    ------
    ValidationError : a value is not valid
    ScenarioError : the lists make the same world twice, or more than `MOST_WORLDS` worlds

    A claim about something that is not in the suite is not valid. With `changed`, which says that the values are no
    longer those for which the claims were written, such a claim is accepted, and the results say that it was not
    measured. `folder` is that of the file that the suite was read from; None where there is none.
    """

    def __init__(self, values: dict[str, Any], *, changed: bool = False, folder: Path | None = None) -> None:
        self.folder = folder
        variants = list(_product(values))
        suites = [Suite.model_validate(variant) for variant, _ in variants]
        self.suite = suites[0]
        self.worlds = [
            World(label=_label(suite, swept), task=suite.task, federation=suite.federation)
            for suite, (_, swept) in zip(suites, variants, strict=True)
        ]
        labels = [world.label for world in self.worlds]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ScenarioError(f"Worlds that are listed twice: {'; '.join(twice)}. Leave the repeated values out.")
        adversary, clients = self.suite.adversary, min(world.federation.clients for world in self.worlds)
        require_counts(adversary.f, adversary.declared, clients, self.suite.played)
        if not changed:
            self._check_claims()

    def _check_claims(self) -> None:
        errors: list[InitErrorDetails] = []
        for number, claim in enumerate(self.suite.claims):
            measure = Expression.read(claim.measure)
            for reading in measure.readings():
                try:
                    self.names.place(measure, reading)
                except MeasureError as error:
                    kind = PydanticCustomError("claim", "{reason}", {"reason": str(error)})
                    errors.append({"type": kind, "loc": ("claims", number, "measure"), "input": claim.measure})
        if errors:
            raise ValidationError.from_exception_data("Suite", errors)

    @cached_property
    def names(self) -> Names:
        """The names that a claim may use."""
        grids = {world.label: self.suite.adversary.grid(world.federation.clients) for world in self.worlds}
        suite = self.suite
        return Names(defenses=suite.defenses, attacks=suite.played, grids=grids, faults=suite.fault_suite)

    @cached_property
    def hash(self) -> str:
        """The hash of everything that decides the score."""
        content = self.suite.model_dump(mode="json", exclude=_NOT_SCORED)
        frozen = self.suite.frozen_attacks
        content["standard"] = None if frozen is None else frozen.hash
        return content_hash({**content, "worlds": [world.model_dump(mode="json") for world in self.worlds]})


def _product(values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every combination of the lists under `task` and `federation`, with the values in which it differs."""
    axes = [
        (path, options)
        for section in ("task", "federation")
        if isinstance(values.get(section), dict)
        for path, options in _axes(values[section], section_at(World, section), (section,))
    ]
    count = math.prod(len(options) for _, options in axes)
    if count > MOST_WORLDS:
        lists = ", ".join(".".join(path) for path, _ in axes)
        raise ScenarioError(f"The lists under {lists} make {count} worlds; {MOST_WORLDS} is the limit.")
    for choice in itertools.product(*(options for _, options in axes)):
        variant, swept = values, {}
        for (path, options), value in zip(axes, choice, strict=True):
            variant = _replaced(variant, path, value)
            if len(options) > 1:
                swept[".".join(path)] = value
        yield variant, swept


def _axes(
    values: dict[str, Any], model: type[BaseModel] | None, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """The keys whose value is a list where the model has a single value."""
    for key, value in values.items():
        field = None if model is None else model.model_fields.get(key)
        if field is None:
            continue
        section = section_at(model, key)
        if section is not None and isinstance(value, dict):
            yield from _axes(value, section, (*path, key))
        elif isinstance(value, list) and value and get_origin(field.annotation) is not tuple:
            yield (*path, key), value


def _replaced(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, *rest = path
    return {**values, key: _replaced(values[key], tuple(rest), value) if rest else value}


def _label(suite: Suite, swept: dict[str, Any]) -> str:
    """A label such as `Digits, MLP(hidden=(24,)), Dirichlet(alpha=0.5)`, with all values that differ between worlds."""
    network = suite.federation.topology
    parts: list[Component] = [suite.task.data, suite.task.model, suite.task.partition]
    parts += [] if network is None else [network]
    federation = suite.federation.model_dump(mode="json")
    extra = []
    for path, given in swept.items():
        section, *keys = path.split(".")
        if section == "federation" and keys != ["topology"]:
            value: Any = federation
            for key in keys:
                value = value[key]
            if isinstance(given, dict) and isinstance(value, dict):  # a list of servers: show what each sets
                value = "(" + ", ".join(f"{key}={value[key]}" for key in given) + ")"
            extra.append(f"{keys[-1]}={'none' if value is None else value}")
    return ", ".join([*(str(part) for part in parts), *extra])
