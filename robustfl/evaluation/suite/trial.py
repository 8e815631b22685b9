"""A trial: one scenario and one seed. The unit of execution, of caching and of resume."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from robustfl import __version__
from robustfl.evaluation.results.schema import SCHEMA
from robustfl.evaluation.suite.scenario import Scenario, content_hash


@dataclass(frozen=True)
class Trial:
    """A scenario, a seed and the labels of both for people; the labels are no part of the identity."""

    scenario: Scenario
    seed: int
    world: str
    defense: str
    attack: str

    @cached_property
    def id(self) -> str:
        """Content hash of the resolved scenario, the seed and the record schema."""
        return content_hash({"scenario": self.description, "seed": self.seed, "schema": SCHEMA})

    @cached_property
    def description(self) -> dict[str, Any]:
        """The scenario as JSON values, every default written out."""
        return self.scenario.model_dump(mode="json")

    def fingerprint(self, data: str) -> str:
        """Hash of what else decides the result: the code of the parts and of the simulation, versions, and the data.

        A stored record is taken over only while its fingerprint is the same, so an edited defense is run anew.
        """
        scenario = self.scenario
        parts = [scenario.task.data, scenario.task.model, scenario.task.partition, *scenario.faults, *scenario.evasion]
        parts += scenario.aims
        parts += [scenario.defense] if scenario.attack is None else [scenario.defense, scenario.attack]
        files = {file for part in parts for stage in part.stages for file in _source_files(type(stage))}
        sources = sorted(_source_hash(file) for file in files)
        return content_hash([_machine_hash(), _versions(), sources, data])


def _source_files(cls: type) -> tuple[str, ...]:
    """The files that define a class and what it inherits from; a class without one (typed at a prompt) has none."""
    modules = [sys.modules.get(base.__module__) for base in cls.__mro__]
    files = [getattr(module, "__file__", None) for module in modules]
    return tuple(dict.fromkeys(file for file in files if file))


@lru_cache(maxsize=512)
def _source_hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@lru_cache(maxsize=1)
def _machine_hash() -> str:
    """Hash of the floors that decide what happens in a round."""
    root = Path(__file__).resolve().parents[2]
    floors = ("aggregation", "threats", "reputation", "federation")
    files = [file for floor in floors for file in sorted((root / floor).rglob("*.py"))]
    return content_hash([_source_hash(str(file)) for file in files])


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    from importlib.metadata import version

    return [__version__, version("numpy"), version("torch")]
