"""The scenario model: one complete description (:class:`Scenario`), and suites of them (:class:`Suite`).

A suite says which world is learnt in, which defenses and attacks meet there, and for how many malicious clients.
Any single value under `task` and `federation` may be a list: the suite then holds a world for every combination.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Self, get_args, get_origin

from annotated_types import Ge, Gt, Len, Lt
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from robustfl.components import Component
from robustfl.errors import RobustflError, ScenarioError
from robustfl.evaluation.claims.claim import Claim
from robustfl.evaluation.claims.language import Expression, MeasureError
from robustfl.evaluation.claims.names import Names
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.specs import PART, DefenseTemplate, PartSchema, part_schema, reader, writer
from robustfl.evaluation.suite.standard import Opponent, Standard, load_standard
from robustfl.federation.settings import Federation, Settings
from robustfl.threats import Identities

DataPart = Annotated[Any, PartSchema("data"), reader("data"), writer]
ModelPart = Annotated[Any, PartSchema("model"), reader("model"), writer]
PartitionPart = Annotated[Any, PartSchema("partition"), reader("partition"), writer]
DefensePart = Annotated[Any, PartSchema("defense"), reader("defense"), writer]
AttackPart = Annotated[Any, PartSchema("attack"), reader("attack"), writer]

MOST_WORLDS = 1000

_NOT_SCORED = {"name", "description", "extends", "task", "federation", "claims"}
"""The keys of a suite that decide nothing about its score, and those that its worlds hold."""

_PLACES = {"faults": ("faults", "a fault"), "evasion": ("evasion", "an attack on test samples")}
"""Attack surface -> the key of a suite that lists such attacks, and what they are; all others go to `attacks`."""


def _template(value: Any) -> DefenseTemplate:
    if isinstance(value, DefenseTemplate):
        return value
    try:
        return DefenseTemplate.read(value)
    except RobustflError as error:
        raise ValueError(str(error)) from None


TemplatePart = Annotated[
    Any,
    BeforeValidator(_template),
    PlainSerializer(lambda template: [{name: dict(parameters)} for name, parameters in template.stages]),
]


class TaskSettings(Settings):
    """What is learnt, from whose data, with which model."""

    data: DataPart
    """Data set."""
    model: ModelPart
    """Model."""
    partition: PartitionPart
    """How the training data are spread over the clients."""


class Scenario(Settings):
    """One complete description: a world, a defense, and what it has to withstand. A trial adds the seed."""

    task: TaskSettings
    """Data, model and partition."""
    federation: Federation
    """The rules of the federation."""
    faults: tuple[AttackPart, ...] = ()
    """What goes wrong without malice."""
    defense: DefensePart
    """The aggregator or pipeline, told how many rows may be Byzantine."""
    attack: AttackPart | None = None
    """What the malicious clients do."""
    f: Annotated[int, Ge(0)] = 0
    """Malicious clients."""
    aims: tuple[AttackPart, ...] = ()
    """Poisonings of data that nobody carries out, to measure how often the model errs in their way by itself."""
    evasion: tuple[AttackPart, ...] = ()
    """Attacks on test samples, tried on the trained model."""
    evasion_samples: Annotated[int, Ge(1)] = 200
    """Test samples that these attacks are tried on."""


class AdversarySettings(Settings):
    """How many clients are malicious, and how many the defenses are told."""

    fractions: tuple[Annotated[float, Ge(0), Lt(1)], ...] = ()
    """Shares of malicious clients; each becomes floor(share x clients)."""
    f: tuple[Annotated[int, Ge(0)], ...] = ()
    """Numbers of malicious clients, in place of `fractions`."""
    declared: Annotated[int, Ge(0)] | None = None
    """Malicious clients, or identities, that the defenses believe in, when that is not the truth."""
    breakdown: bool = False
    """Whether to search the largest f that each defense withstands over all integers, with more trials."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.fractions) == bool(self.f):
            raise ValueError("give either `fractions` or `f`, with at least one value")
        return self

    def grid(self, clients: int) -> tuple[int, ...]:
        """The numbers of malicious clients, ascending, each once."""
        counts = self.f or tuple(int(share * clients + 1e-9) for share in self.fractions)
        return tuple(sorted(set(counts)))


class Scoring(Settings):
    """How the records become a score."""

    threshold: Annotated[float, Gt(0), Lt(1)] = 0.5
    """Utility that a defense must keep to have withstood (breakdown point)."""
    margin: Annotated[float, Ge(0)] = 0.01
    """Difference in utility below which two defenses are of one rank."""
    alpha: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Level of the tests between defenses."""
    bootstrap: Annotated[int, Ge(100)] = 10_000
    """Resamples of the seeds for the intervals of minima and areas."""


def _folder_name(name: str) -> str:
    """Results go to `runs/NAME`: a name from someone else's file must not lead anywhere else."""
    if not name.isprintable() or not name.strip() or name.startswith(".") or {"/", "\\"} & set(name) or len(name) > 100:
        raise ValueError(
            "a name is a text of 1 to 100 printable characters without slashes that does not begin with a dot. "
            f"Found {name[:100]!r}"
        )
    return name


def _plain_rule(name: str) -> str:
    _template(name)
    return name


def _standard_name(name: str) -> str:
    try:
        return load_standard(name).name
    except RobustflError as error:
        raise ValueError(str(error)) from None


class Suite(Settings):
    """A grid of scenarios: every defense against every attack, in every world, for every f."""

    name: Annotated[str, AfterValidator(_folder_name)]
    """Name of the suite, and of the folder that its results go to."""
    description: str = ""
    """One line for the catalogue and the report."""
    extends: str | None = None
    """A suite of the catalogue, or a file in the same folder, whose values are the defaults (one level)."""
    task: TaskSettings
    """Data, model and partition."""
    federation: Federation
    """The rules of the federation."""
    adversary: AdversarySettings
    """How many clients are malicious."""
    faults: tuple[AttackPart, ...] = ()
    """What goes wrong without malice, in every scenario."""
    fault_suite: tuple[AttackPart, ...] = ()
    """Faults to bear one at a time when nobody attacks, beside those of every scenario; reported beside the score."""
    defenses: Annotated[tuple[TemplatePart, ...], Len(1)]
    """Defenses: names, `{name: {parameter: value}}`, or lists of these for pipelines; `f` is filled in."""
    attacks: tuple[AttackPart, ...] = ()
    """Attacks, or lists of identities, a poisoning of data and an attack on updates, of which some may be left out; no
    attack is always part of the suite."""
    standard: Annotated[str, AfterValidator(_standard_name)] | None = None
    """A frozen suite of attacks (`robustfl list suites`) to be met beside `attacks`; then only defenses that met all
    that an evaluation needs are ranked."""
    evasion: tuple[AttackPart, ...] = ()
    """Attacks on test samples, tried on the trained model at the end of every trial."""
    evasion_samples: Annotated[int, Ge(1)] = 200
    """Test samples that these attacks are tried on: a random choice, or all where there are fewer."""
    seeds: Annotated[int, Ge(1)] = 5
    """Number of seeds, or what they are paired over."""
    baseline: Annotated[str, AfterValidator(_plain_rule)] = "mean"
    """The plain rule whose accuracy without an attack counts as utility 1."""
    score: Scoring = Scoring()
    """How the records become a score."""
    claims: tuple[Claim, ...] = ()
    """What papers say, to be put beside what is measured; a suite that extends this one does not inherit them."""

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
                if isinstance(part, Identities):
                    raise ValueError(f"{part} says who attacks, not how: list it with an attack, [identities, attack]")
                place, word = _PLACES.get(getattr(part, "surface", ""), ("attacks", "an attack"))
                if place != section:
                    raise ValueError(f"{part} is {word}: list it under `{place}`")
        return self

    @cached_property
    def frozen_attacks(self) -> Standard | None:
        """The standard suite that is asked for."""
        return None if self.standard is None else load_standard(self.standard)

    @cached_property
    def played(self) -> tuple[Opponent, ...]:
        """All attacks: those of the standard suite, then those that are listed."""
        frozen = self.frozen_attacks
        return self.attacks if frozen is None else (*frozen.attacks, *frozen.tailored, *self.attacks)


class World(Settings):
    """What all defenses and attacks of a suite share: a task and a federation, with a label."""

    label: str
    task: TaskSettings
    federation: Federation


class Experiment:
    """A suite read from a file: its worlds, and the suite's other values.

    Raises
    ------
    ValidationError : a value is not valid
    ScenarioError : the lists make the same world twice, or more than `MOST_WORLDS`

    A claim about something that is not in the suite is a value that is not valid. With `changed`, when the values are
    no longer those that the claims were written for, it is left for the results to say that it was not measured.
    """

    def __init__(self, values: dict[str, Any], *, changed: bool = False) -> None:
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
        """What a claim may speak of."""
        grids = {world.label: self.suite.adversary.grid(world.federation.clients) for world in self.worlds}
        return Names(defenses=self.suite.defenses, attacks=self.suite.played, grids=grids)

    @cached_property
    def hash(self) -> str:
        """Content hash of everything that decides the score."""
        content = self.suite.model_dump(mode="json", exclude=_NOT_SCORED)
        frozen = self.suite.frozen_attacks
        content["standard"] = None if frozen is None else frozen.hash
        return content_hash({**content, "worlds": [world.model_dump(mode="json") for world in self.worlds]})


def _product(values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every combination of the lists under `task` and `federation`, with the values that make it different."""
    axes = [
        (path, options)
        for section, model in (("task", TaskSettings), ("federation", Federation))
        if isinstance(values.get(section), dict)
        for path, options in _axes(values[section], model.model_fields, (section,))
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
    values: dict[str, Any], fields: dict[str, FieldInfo], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """The keys whose value is a list where the model has a single value."""
    for key, value in values.items():
        field = fields.get(key)
        if field is None:
            continue
        nested = _fields_within(field.annotation)
        if nested is not None and isinstance(value, dict):
            yield from _axes(value, nested, (*path, key))
        elif isinstance(value, list) and value and get_origin(field.annotation) is not tuple:
            yield (*path, key), value


def _fields_within(annotation: Any) -> dict[str, FieldInfo] | None:
    """The fields of a section, also of one that may be left out (`Section | None`)."""
    for option in (annotation, *get_args(annotation)):
        if hasattr(option, "model_fields"):
            fields: dict[str, FieldInfo] = option.model_fields
            return fields
    return None


def _replaced(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, *rest = path
    return {**values, key: _replaced(values[key], tuple(rest), value) if rest else value}


def _label(suite: Suite, swept: dict[str, Any]) -> str:
    """`Digits, MLP(hidden=(24,)), Dirichlet(alpha=0.5)`, and whatever else differs between the worlds."""
    parts: list[Component] = [suite.task.data, suite.task.model, suite.task.partition]
    federation = suite.federation.model_dump(mode="json")
    extra = []
    for path, given in swept.items():
        section, *keys = path.split(".")
        if section == "federation":
            value: Any = federation
            for key in keys:
                value = value[key]
            if isinstance(given, dict) and isinstance(value, dict):  # a list of whole servers: what each of them sets
                value = "(" + ", ".join(f"{key}={value[key]}" for key in given) + ")"
            extra.append(f"{keys[-1]}={'none' if value is None else value}")
    return ", ".join([*(str(part) for part in parts), *extra])


def suite_schema() -> dict[str, Any]:
    """JSON schema of a suite file, for editors: every single value under `task` and `federation` may be a list."""
    schema = Suite.model_json_schema()
    definitions = schema["$defs"]
    for name in ("TaskSettings", "Federation", "Server", "Augmentation", "AdversarialTraining"):
        for key, value in definitions[name]["properties"].items():
            if "$ref" in value or ("allOf" in value):
                continue
            described = {k: v for k, v in value.items() if k in ("description", "default", "title")}
            single = {k: v for k, v in value.items() if k not in described}
            definitions[name]["properties"][key] = {
                **described,
                "anyOf": [single, {"type": "array", "minItems": 1, "items": single}],
            }
    definitions["Federation"]["required"] = []
    # A suite that extends another one says only what differs.
    task = {"required": definitions["TaskSettings"].pop("required")}
    whole = {"required": schema.pop("required"), "properties": {"task": task}}
    schema |= {"if": {"not": {"required": ["extends"]}}, "then": whole}
    schema["properties"]["defenses"]["items"] = {PART: "defense"}
    kinds = ("data", "model", "partition", "defense", "attack")
    schema = _with_references(schema)
    schema["$defs"] |= {kind: part_schema(kind) for kind in kinds}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _with_references(schema: Any) -> Any:
    """The schema with `{PART: kind}` as a reference to the definition of that kind."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get(PART), str):
        return {**{key: value for key, value in schema.items() if key != PART}, "$ref": f"#/$defs/{schema[PART]}"}
    return {key: _with_references(value) for key, value in schema.items()}


__all__ = ["Experiment", "Scenario", "Suite", "World", "content_hash", "suite_schema"]
