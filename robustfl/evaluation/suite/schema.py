"""The JSON schema of suite files, with which editors complete and check them."""

from __future__ import annotations

from typing import Any

from robustfl.evaluation.specs import PART, part_schema
from robustfl.evaluation.suite.scenario import Suite
from robustfl.evaluation.suite.sections import sections_below
from robustfl.federation.settings import Federation


def suite_schema() -> dict[str, Any]:
    """The JSON schema of a suite file, for editors: every single value under `task` and `federation` may be a list."""
    schema = Suite.model_json_schema()
    definitions = schema["$defs"]
    for name in ("TaskSettings", "Federation", *(section.__name__ for section in sections_below(Federation))):
        for key, value in definitions[name]["properties"].items():
            if "$ref" in value or ("allOf" in value):
                continue
            if (name, key) == ("Federation", "topology"):
                value = {**value, PART: "topology"}
            described = {k: v for k, v in value.items() if k in ("description", "default", "title")}
            single = {k: v for k, v in value.items() if k not in described}
            definitions[name]["properties"][key] = {
                **described,
                "anyOf": [single, {"type": "array", "minItems": 1, "items": single}],
            }
    definitions["Federation"]["required"] = []
    # A suite that extends another one holds only the values that differ.
    task = {"required": definitions["TaskSettings"].pop("required")}
    whole = {"required": schema.pop("required"), "properties": {"task": task}}
    schema |= {"if": {"not": {"required": ["extends"]}}, "then": whole}
    schema["properties"]["defenses"]["items"] = {PART: "defense"}
    kinds = ("data", "model", "partition", "topology", "defense", "attack")
    schema = _with_references(schema)
    schema["$defs"] |= {kind: part_schema(kind) for kind in kinds}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _with_references(schema: Any) -> Any:
    """The schema, in which a reference to the definition of a kind replaces each `{PART: kind}`."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get(PART), str):
        return {**{key: value for key, value in schema.items() if key != PART}, "$ref": f"#/$defs/{schema[PART]}"}
    return {key: _with_references(value) for key, value in schema.items()}
