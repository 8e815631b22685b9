"""A trial: one scenario and one seed. The unit of execution, of caching and of resume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from robustfl import __version__
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.suite.scenario import Scenario
from robustfl.evaluation.suite.sources import Sources


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

        A stored record is taken over only while its fingerprint is the same, so what an edit may have changed is run
        anew. The code is all that the parts, and the module that plays trials, import: helper modules count like the
        files that define the classes (:mod:`robustfl.evaluation.suite.sources`).
        """
        scenario = self.scenario
        parts = [scenario.task.data, scenario.task.model, scenario.task.partition, *scenario.faults, *scenario.evasion]
        parts += [*scenario.aims, scenario.defense, *(() if scenario.attack is None else (scenario.attack,))]
        code = sorted({SOURCES.part(part) for part in parts})
        return content_hash([SOURCES.machine(), _versions(), code, data])


SOURCES = Sources()
"""The source files as this process has read them; each is read once, however many trials there are."""


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    """The versions of robustfl and of the libraries whose arithmetic results consist of."""
    from importlib.metadata import PackageNotFoundError, version

    found = [__version__]
    for name in ("numpy", "torch", "scipy", "numba"):
        try:
            found.append(version(name))
        except PackageNotFoundError:  # numba is not there on every platform
            found.append("")
    return found
