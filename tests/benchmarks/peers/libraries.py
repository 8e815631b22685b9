"""The libraries that stand beside robustfl: how each is reached, in which version, or why it takes no part."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


@dataclass(frozen=True)
class Library:
    """A package, the modules that are measured, and what was needed to import them."""

    name: str
    modules: tuple[str, ...]
    needed: str = ""
    own_entrance: bool = True
    """Whether the package's own `__init__` is run; False where that imports what nothing here needs."""


BYZFL = Library(
    "byzfl",
    ("byzfl.aggregators", "byzfl.attacks", "byzfl.fed_framework"),
    "installed without its dependencies; its submodules are imported alone, because `import byzfl` also imports "
    "its runner, which needs torchvision, of which the package index has no build for a torch without CUDA",
    own_entrance=False,
)

LIBRARIES = (
    BYZFL,
    Library(
        "byzpy",
        ("byzpy.aggregators.coordinate_wise", "byzpy.aggregators.geometric_wise", "byzpy.pre_aggregators"),
        "installed without its dependencies, as it asks for an older torch",
    ),
    Library("torchjd", ("torchjd.aggregation",), "installed without its dependencies, as it would replace torch"),
    Library("flwr", ("flwr.app", "flwr.serverapp.strategy")),
    Library("pfl", ("pfl.aggregate.base", "pfl.stats")),
)


@dataclass(frozen=True)
class Found:
    """A library that was looked for: its version, and the reason where it takes no part."""

    name: str
    version: str
    needed: str
    missing: str = ""


def find(library: Library) -> Found:
    """Import what is measured of a library; an error of its import is the reason why it takes no part."""
    try:
        number = version(library.name)
    except PackageNotFoundError:
        return Found(library.name, "", library.needed, "it is not installed")
    try:
        if not library.own_entrance:
            _enter(library.name)
        for module in library.modules:
            importlib.import_module(module)
    except Exception as error:  # whatever a library raises while it is imported is what there is to tell
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Found(library.name, number, library.needed, f"its import fails with {reason[:200]}")
    return Found(library.name, number, library.needed)


def find_all() -> list[Found]:
    return [find(library) for library in LIBRARIES]


def _enter(name: str) -> None:
    """Make a package importable by its submodules, without running its `__init__`."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"{name} is no package.")
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules[name] = package
