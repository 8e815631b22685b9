"""The former names of modules: scripts that import from them still work, and are told where the names are now.

>>> import warnings
>>> with warnings.catch_warnings():
...     warnings.simplefilter("ignore", DeprecationWarning)
...     from robustfl.federation.data_sets import Digits
>>> Digits.__module__
'robustfl.federation.data.digits'
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "evaluation.comparison": "evaluation.compare.comparison",
    "evaluation.executors": "evaluation.run.executors",
    "evaluation.pairing": "evaluation.compare.pairing",
    "evaluation.plan": "evaluation.suite.plan",
    "evaluation.publishing": "evaluation.results.publishing",
    "evaluation.reading": "evaluation.suite.reading",
    "evaluation.regression": "evaluation.compare.regression",
    "evaluation.reporting": "evaluation.results.reporting",
    "evaluation.runner": "evaluation.run.runner",
    "evaluation.scenario": "evaluation.suite.scenario",
    "evaluation.store": "evaluation.results.store",
    "federation.data_sets": "federation.data.data_sets",
    "federation.partitions": "federation.data.partitions",
}
"""Former names of modules in robustfl, and where their names are now."""


class Forwarding(MetaPathFinder, Loader):
    """Finds modules under their former names; what is asked of such a module comes from the one of today."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == "robustfl" and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        now = f"robustfl.{MOVED[module.__name__.removeprefix('robustfl.')]}"
        warnings.warn(f"{module.__name__} is now {now}.", DeprecationWarning, stacklevel=2)
        module.__doc__ = f"A former name of :mod:`{now}`."
        module.__dict__["__getattr__"] = partial(getattr, import_module(now))


def forward() -> None:
    """Let imports find the former names, behind every other way to find a module."""
    sys.meta_path.append(Forwarding())
