"""Where in a YAML text a key stands."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, SequenceNode


def line_of(text: str, path: Sequence[int | str]) -> int | None:
    """The line, from 1, of the last key of the path that a valid YAML text has; None where it has not even the first.

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
