"""YAML as plain data, for all files and options that robustfl reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, SequenceNode

from robustfl.errors import ScenarioError

_DEEPEST = 50


def read_yaml(text: str, where: str) -> Any:
    """YAML 1.2 as plain data; `where` names its source in errors. Tags, aliases and duplicate keys are refused."""
    yaml = YAML(typ="safe", pure=True)
    try:
        refused = _refusal(yaml.parse(StringIO(text)))
        values = None if refused else yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        block = error.context == "while scanning a block scalar"
        remedy = " A text that begins with > or | belongs in quotes." if block else ""
        raise ScenarioError(f"{where} is not valid YAML: {error.problem}{place}.{remedy}") from None
    except (YAMLError, ValueError) as error:  # ValueError: an impossible date, or an integer of thousands of digits
        raise ScenarioError(f"{where} is not valid YAML: {error}.") from None
    if refused:
        raise ScenarioError(f"{where}: {refused}")
    return values


def _refusal(events: Iterable[Any]) -> str:
    """What is valid YAML but not allowed in a scenario, or an empty text; it is checked before any value is built."""
    depth = 0
    for event in events:
        if getattr(event, "anchor", None) is not None:
            return "anchors and aliases are not supported, for they can grow without bound."
        if getattr(event, "tag", None) is not None:
            return f"tags are not supported. Found {event.tag!r}."
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            return f"nested more than {_DEEPEST} levels deep."
    return ""


def line_of(text: str, path: Sequence[int | str]) -> int | None:
    """The line, from 1, of the last key of the path that a valid YAML text has; None if it has no key of the path.

    >>> line_of("task:\\n  data: digits\\nattacks:\\n  - ipm\\n  - alie\\n", ("attacks", 1))
    5
    """
    node, line = YAML(typ="safe", pure=True).compose(StringIO(text)), None
    for part in path:
        if isinstance(node, MappingNode):
            found = [(key.start_mark, value) for key, value in node.value if key.value == str(part)]
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = [(node.value[part].start_mark, node.value[part])]
        else:
            found = []
        if not found:
            break
        mark, node = found[0]
        line = mark.line + 1
    return line
