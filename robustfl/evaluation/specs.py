"""Components inside scenario models: read from YAML by name, written back in full, described in the JSON schema."""

from __future__ import annotations

import json
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema, core_schema

from robustfl import registry
from robustfl.aggregation import Defense, Grouping, Mechanism, PreAggregation
from robustfl.components import Component, Parameter
from robustfl.errors import ParameterError, RobustflError


def canonical(component: Component) -> Any:
    """A component as JSON values that say all of it: `{"name": ..., parameter: value, ...}`, a list for a pipeline."""
    stages = component.stages
    if len(stages) > 1:
        return [canonical(stage) for stage in stages]
    return {"name": component.name, **component.parameters()}


@dataclass(frozen=True)
class PartSchema:
    """The JSON schema of a component of one kind: a name, or `{name: {parameter: value}}`."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {PART: self.kind}


PART = "part"
"""Stands in the schema of a model for that of a component, which the schema of the whole file holds once a kind."""


def part_schema(kind: str) -> dict[str, Any]:
    """JSON schema of one component; for defenses, and attacks in stages, also of a list of them."""
    found = registry.find(kind)
    named = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {name: _parameters_schema(cls) for name, cls in found.items()},
        "patternProperties": {r"\.py:[A-Za-z_]\w*$": {"type": ["object", "null"]}},
    }
    single = {"anyOf": [{"type": "string", "examples": list(found)}, named]}
    if kind not in ("defense", "attack"):
        return single
    return {"anyOf": [*single["anyOf"], {"type": "array", "minItems": 1, "items": single}]}


def _parameters_schema(cls: type[Component]) -> dict[str, Any]:
    properties = {p.name: _parameter_schema(p) for p in cls.declared_parameters()}
    return {
        "type": ["object", "null"],
        "description": cls.summary(),
        "additionalProperties": False,
        "properties": properties,
    }


def _parameter_schema(parameter: Parameter) -> dict[str, Any]:
    schema = {**_kind_schema(parameter.kind), "description": parameter.doc}
    return schema if parameter.required else {**schema, "default": parameter.default}


def _kind_schema(kind: Any) -> dict[str, Any]:
    origin, options = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind_schema(options[0])
    if origin is Literal:
        return {"enum": list(options)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_kind_schema(option) for option in options]}
    if origin is tuple:
        return {"type": "array", "items": _kind_schema(options[0])}
    simple = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
    return {"type": simple[kind]} if kind in simple else {}


def reader(kind: str) -> BeforeValidator:
    """Builds the component of a specification; what is wrong becomes a validation error at the key's path."""

    def read(value: Any) -> Any:
        if isinstance(value, Component):
            return value
        try:
            component = _built(kind, value)
            _require_storable(component)
        except RobustflError as error:
            raise ValueError(str(error)) from None
        return component

    return BeforeValidator(read)


def _built(kind: str, value: Any) -> Any:
    """The component of a specification; in Python a function may stand for an attack."""
    if kind == "attack" and callable(value) and not isinstance(value, type):
        from robustfl.threats.updates.function import AttackFromFunction  # trials without it do not depend on it

        return AttackFromFunction(value)
    return registry.build(kind, from_canonical(value))


def from_canonical(value: Any) -> Any:
    """`{"name": x, ...}`, as records have it, back into `{x: {...}}`; everything else as it is."""
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return {value["name"]: {key: item for key, item in value.items() if key != "name"}}
    if isinstance(value, list):
        return [from_canonical(item) for item in value]
    return value


def _require_storable(component: Component) -> None:
    """Records hold every hyper-parameter, and trials are named after them: JSON has no infinity."""
    told = canonical(component)  # a function without a name says so itself
    try:
        json.dumps(told, allow_nan=False)
    except (TypeError, ValueError):
        raise ParameterError(
            f"Every parameter should be a finite number, a text, true, false or a list of these. Found {component!r}."
        ) from None


writer = PlainSerializer(canonical)


@dataclass(frozen=True)
class DefenseTemplate:
    """A defense as a scenario names it, before the number of Byzantine rows is known."""

    stages: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]

    @classmethod
    def read(cls, spec: Any) -> DefenseTemplate:
        """From a name, an expression, a mapping, or a list of these; raises a RobustflError for what is not valid."""
        stages = registry.parse(from_canonical(spec))
        template = cls(tuple((name, tuple(parameters.items())) for name, parameters in stages))
        whole = template.build(0)
        if isinstance(whole, PreAggregation | Mechanism | Grouping) or not isinstance(whole, Defense):
            raise RobustflError(f"{whole!r} is not a complete defense: end it with an aggregator, such as `mean`.")
        _require_storable(whole)
        return template

    def build(self, f: int) -> Any:
        """The defense told that `f` rows may be Byzantine, where the scenario does not say otherwise."""
        return registry.build("defense", [{name: dict(parameters)} for name, parameters in self.stages], f=f)

    @property
    def classes(self) -> tuple[type[Component], ...]:
        """The classes of the stages."""
        return tuple(registry.get("defense", name) for name, _ in self.stages)

    @property
    def names(self) -> tuple[str, ...]:
        """The registered names of the stages, however the scenario spells them."""
        return tuple(cls.name for cls in self.classes)

    @property
    def channel(self) -> str:
        """The message space of the defense, which decides what attacks it can meet."""
        return str(self.build(0).channel)

    @property
    def label(self) -> str:
        """The short label of tables and plots; an `f` that the scenario fixed is part of it."""
        labels = []
        for name, parameters in self.stages:
            given = dict(parameters)
            label = str(registry.make("defense", name, given, f=0))
            if "f" in given:
                label = f"{label[:-1]}, f={given['f']})" if label.endswith(")") else f"{label}(f={given['f']})"
            labels.append(label)
        return " > ".join(labels)


SERVER_ALONE = "server_alone"
"""The registered name of the rule that answers the trusted update alone."""

ALONE = "alone"
"""The registered name of the rule by which peers hear nobody."""


def with_yardstick(templates: tuple[DefenseTemplate, ...]) -> tuple[DefenseTemplate, ...]:
    """The defenses, and the server alone if one of them uses a trusted update and it is not there yet."""
    alone = DefenseTemplate.read(SERVER_ALONE)
    trusting = any(template.build(0).wants_trusted for template in templates)
    return (*templates, alone) if trusting and alone not in templates else templates
