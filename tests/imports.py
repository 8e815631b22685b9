"""Which module imports which: read from the sources, so that nothing has to be imported to know it."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGIN_FOLDERS = ("attacks", "defenses", "scenarios", "reports")

Graph = dict[str, dict[str, int]]
"""Module -> the modules that it imports, each with the line of the first import."""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the machine and of the plug-in folders under `root`, by the name that it is imported by."""
    found = {}
    for folder in ("robustfl", *PLUGIN_FOLDERS):
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            full = parts if folder == "robustfl" else ("robustfl", *parts)
            found[".".join(full[:-1] if full[-1] == "__init__" else full)] = path
    return found


def import_graph(found: Mapping[str, Path]) -> Graph:
    """All imports between these modules: at the top, inside functions, and for type checkers alone.

    A name taken from a package (`from robustfl.aggregation import Gram`) is an import of that package's `__init__`; a
    module taken from it (`from robustfl.federation import settings`) is an import of that module.
    """
    graph: Graph = {}
    for name, path in found.items():
        graph[name] = {}
        for target, line in _imported(name, path):
            known = next((known for known in (target, target.rpartition(".")[0]) if known in found), name)
            if known != name:
                graph[name].setdefault(known, line)
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """One shortest circle [first, ..., first] for each group of modules that all import each other in the end."""
    found: list[list[str]] = []
    seen: set[str] = set()
    for start in sorted(graph):
        way = [] if start in seen else shortest_way(graph, start, start)
        if way:
            found.append(way)
            seen |= {end for end in graph if shortest_way(graph, start, end) and shortest_way(graph, end, start)}
    return found


def shortest_way(graph: Graph, start: str, end: str) -> list[str]:
    """The modules from `start` to `end` along imports, both included; empty where no way leads there."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while waiting and end not in came_from:
        current = waiting.popleft()
        for target in graph[current]:
            if target not in came_from:
                came_from[target] = current
                waiting.append(target)
    if end not in came_from:
        return []
    way = [end, came_from[end]]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def told(graph: Graph, circle: list[str]) -> str:
    """A circle as text: one import in each line, with the line of the file that it is in."""
    steps = [f"{one} imports {two} in line {graph[one][two]}" for one, two in pairwise(circle)]
    return "These modules import each other in a circle:\n  " + "\n  ".join(steps)


def _imported(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """What a file imports from robustfl, as dotted names whose last part may be a module or a name in one."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -(node.level - 1) or None] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
