"""Finds the source files that decide what a part does: the imports behind its class. No code is run to find them.

A stored result may be reused only while the code that made it is the same. This code is the *import closure* of a
module: the module, everything that it imports anywhere in its text, also inside functions, and so on. Imports are
followed only in the part's own top-level package (or single module) and in robustfl; versions distinguish all other
distributions. Four rules decide what counts as an import:

* ``import a.b`` and ``from a.b import c`` also count the doors (the ``__init__.py``) of all packages on the way,
  because Python runs them as well.
* A text that is the full name of a module, such as ``"robustfl.federation.task"`` or ``"package.module:Class"``,
  counts, because modules that are imported late are listed in tables of such texts.
* Code under ``if TYPE_CHECKING:`` never runs and does not count.
* The doors of :data:`CATALOGUES` only list names. A name that is imported from such a door leads to its own module, and
  to nothing else that the door lists: a new defense must not make the results of all others stale.

>>> "robustfl.defenses.flag_subspace" in Sources().closure(["robustfl.defenses.flag"], ["robustfl"])
True
>>> "robustfl.defenses.krum" in Sources().closure(["robustfl.defenses.flag"], ["robustfl"])
False
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from robustfl.components import Component
from robustfl.evaluation.hashing import content_hash
from robustfl.own_files import named as own_name

ROOT = "robustfl"

CATALOGUES = ("robustfl.attacks", "robustfl.defenses", "robustfl.evaluation")
"""The packages whose doors only list the modules behind them and do not decide results themselves."""

MACHINE = "robustfl.evaluation.run.play"
"""The module that plays a trial; its closure is the part of robustfl that decides results for all parts."""

_MODULE_NAME = re.compile(r"([A-Za-z_]\w*(?:\.\w+)+)(?::\w+)?")

Reference = tuple[str, str]
"""What an import refers to: a module, and a name in it, or an empty text for the module as a whole."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One module: the hash of its file, what it imports, and which of its names are imported."""

    digest: str
    imports: tuple[Reference, ...] = ()
    bindings: tuple[tuple[str, Reference], ...] = ()
    is_package: bool = False


class Sources:
    """Reads each module once and follows its imports; later edits of a file are not noticed."""

    def __init__(self) -> None:
        self._sources: dict[str, Source | None] = {}
        self._specs: dict[str, ModuleSpec | None] = {}
        self._closures: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}
        self._digests: dict[tuple[frozenset[str], frozenset[str]], str] = {}

    def machine(self) -> str:
        """The hash of the code that plays any trial, without the code of its parts."""
        return self.digest([MACHINE], [ROOT])

    def part(self, component: Component) -> str:
        """The hash of the code of a component, of the components that it contains, and of all their base classes.

        Modules that a component names, such as that of a function that it calls, count like those of its classes.

        A class without a file, such as one that was typed at a prompt, counts only through its base classes.
        """
        held = list(_held(component))
        classes = {base for one in held for base in type(one).__mro__}
        named = {module for one in held for module in one.modules}
        roots = {name for name in {base.__module__ for base in classes} | named if not _standard(name)}
        own = {base.__module__ for base in classes if issubclass(base, Component)} | (named & roots)
        return self.digest(roots, {_top(name) for name in own} | {ROOT})

    def digest(self, roots: Iterable[str], within: Iterable[str]) -> str:
        """The hash of the names and the contents of all modules of a closure."""
        key = frozenset(roots), frozenset(within)
        if key not in self._digests:
            found = [(name, self.source(name)) for name in self.closure(*key)]
            named = {own_name(name, "") or name: source.digest for name, source in found if source is not None}
            self._digests[key] = content_hash(named)
        return self._digests[key]

    def closure(self, roots: Iterable[str], within: Iterable[str]) -> frozenset[str]:
        """The modules `roots` and all that they import, directly or not, of the top-level packages `within`."""
        key = frozenset(roots), frozenset(within)
        if key not in self._closures:
            found: set[str] = set()
            left = [name for root in key[0] for name in (root, *(_doors(root) if _top(root) in key[1] else ()))]
            while left:
                name = left.pop()
                source = None if name in found else self.source(name)
                if source is None:
                    continue
                found.add(name)
                if _top(name) in key[1]:
                    left += [module for one in source.imports for module in self._modules(one, key[1])]
            self._closures[key] = frozenset(found)
        return self._closures[key]

    def source(self, name: str) -> Source | None:
        """A module by its full name; None if there is no such module or it has no file."""
        if name not in self._sources:
            self._sources[name] = self._read(name)
        return self._sources[name]

    def _modules(self, reference: Reference, within: frozenset[str]) -> Iterator[str]:
        """The modules to which an import leads: the module that it names, and the doors on the way to it."""
        module, name = reference
        if _top(module) not in within:
            return
        source = self.source(module)
        if source is None:
            return
        if name and source.is_package and self.source(f"{module}.{name}") is not None:
            yield from (f"{module}.{name}", *_doors(f"{module}.{name}"))
        elif name and source.is_package and _listed(module) and name in dict(source.bindings):
            yield from self._modules(dict(source.bindings)[name], within)
        else:
            yield from (module, *_doors(module))

    def _read(self, name: str) -> Source | None:
        spec = self._spec(name)
        if spec is None:
            return self._main() if name == "__main__" else None
        is_package = spec.submodule_search_locations is not None
        content = _content(spec)
        if content is None:
            return Source(digest="", is_package=True) if is_package else None  # a package without a door
        return _read(content, name, is_package=is_package, python=str(spec.origin).endswith(".py"))

    def _main(self) -> Source | None:
        """The running script, of which Python knows only the file."""
        file = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
        return _read(file.read_bytes(), "__main__", is_package=False, python=True) if file.is_file() else None

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            self._specs[name] = self._find(name)
        return self._specs[name]

    def _find(self, name: str) -> ModuleSpec | None:
        """Where a module is; no module is imported to find it."""
        loaded = sys.modules.get(name)
        if loaded is not None:
            spec: ModuleSpec | None = getattr(loaded, "__spec__", None)
            return spec
        parent, _, _ = name.rpartition(".")
        if not parent:
            return importlib.util.find_spec(name)
        above = self._spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        places = getattr(sys.modules.get(parent), "__path__", above.submodule_search_locations)
        return PathFinder.find_spec(name, list(places))


def _held(component: Any) -> Iterator[Component]:
    """A component and every component that it holds, such as the stages of a pipeline."""
    if isinstance(component, tuple):
        for item in component:
            yield from _held(item)
    elif isinstance(component, Component):
        yield component
        for field in dataclasses.fields(component):
            yield from _held(getattr(component, field.name, None))


def _standard(module: str) -> bool:
    """Whether a module belongs to Python itself, which versions distinguish."""
    return _top(module) in sys.stdlib_module_names


def _top(name: str) -> str:
    return name.partition(".")[0]


def _doors(name: str) -> Iterator[str]:
    """The packages that contain a module, without the catalogues."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        door = ".".join(parts[:count])
        if not _listed(door):
            yield door


def _listed(package: str) -> bool:
    """Whether a package's door is a catalogue; the folders inside attacks and defenses belong to their catalogue."""
    return package in CATALOGUES or package.startswith(CATALOGUES[:2])


def _content(spec: ModuleSpec) -> bytes | None:
    """The bytes of a module's file, which may be in an archive; None for a module without a file."""
    if not spec.has_location or spec.origin is None:
        return None
    read = getattr(spec.loader, "get_data", None)
    try:
        return bytes(read(spec.origin)) if read is not None else Path(spec.origin).read_bytes()
    except OSError:
        return None


def _read(content: bytes, name: str, *, is_package: bool, python: bool) -> Source:
    """A module from its bytes; if it is not Python text, only the bytes count."""
    digest = hashlib.sha256(content).hexdigest()
    try:
        tree = ast.parse(content) if python else ast.Module([], [])
    except (SyntaxError, ValueError):  # it cannot be imported either, but its bytes still count
        tree = ast.Module([], [])
    package = name if is_package else name.rpartition(".")[0]
    imports = tuple(dict.fromkeys(reference for node in _running(tree) for _, reference in _imported(node, package)))
    bindings = tuple(pair for node in tree.body for pair in _imported(node, package))
    return Source(digest=digest, imports=imports, bindings=bindings, is_package=is_package)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree except those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _running(other)
        else:
            yield child
            yield from _running(child)


def _imported(node: ast.AST, package: str) -> Iterator[tuple[str, Reference]]:
    """What a node imports: each name that it defines, with what the name refers to."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name, (alias.name, "")
    elif isinstance(node, ast.ImportFrom):
        base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            yield alias.asname or alias.name, (module, "" if alias.name == "*" else alias.name)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        named = _MODULE_NAME.fullmatch(node.value)
        if named is not None:
            yield "", (named[1], "")
