"""Finds executors by name: robustfl's own, and those that other distributions bring.

An entry point of the group `robustfl.executors` names a class with the methods of
:class:`~robustfl.evaluation.run.clusters.contract.Commanded`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points

from robustfl.errors import ParameterError, RobustflError, UnknownNameError, did_you_mean
from robustfl.evaluation.run.clusters.contract import Commanded, Wanted
from robustfl.evaluation.run.runner import RunOptions

GROUP = "robustfl.executors"

OWN = {
    "ray": "robustfl.evaluation.run.clusters.ray:RayExecutor",
    "submitit": "robustfl.evaluation.run.clusters.submitit:SubmititExecutor",
}


def names() -> list[str]:
    """The names of all executors."""
    return sorted({*OWN, *(point.name for point in entry_points(group=GROUP))})


def executor_for(name: str, wanted: Wanted) -> Commanded:
    """The executor with this name.

    Raises
    ------
    UnknownNameError : there is none
    MissingExtraError : it needs a package that is not installed
    WorkerError : it cannot be had as it was asked for
    RobustflError : what an entry point names cannot be imported, or is no executor
    """
    if name in OWN:
        module, _, cls = OWN[name].partition(":")
        found = getattr(import_module(module), cls)
    else:
        points = list(entry_points(group=GROUP, name=name))
        if not points:
            raise UnknownNameError(f"There is no executor named {name!r}. {did_you_mean(name, names())}")
        try:
            found = points[0].load()
        except Exception as error:  # whatever the module of another distribution does while it is imported
            raise RobustflError(
                f"The executor {name!r} is {points[0].value}, which cannot be imported: {type(error).__name__}: {error}"
            ) from error
    missing = [method for method in ("wanted", "run", "close") if not callable(getattr(found, method, None))]
    if missing:
        raise RobustflError(f"The executor {name!r} should have the methods wanted, run and close. Missing: {missing}.")
    executor: Commanded = found.wanted(wanted)
    return executor


@contextmanager
def elsewhere(name: str | None, address: str | None, options: RunOptions) -> Iterator[RunOptions]:
    """The options with the executor of this name, which is closed after the block; without a name, as they are."""
    if name is None:
        if address is not None:
            raise ParameterError("--address says where an executor finds its cluster. Name one: --executor ray.")
        yield options
        return
    wanted = Wanted(workers=options.workers, address=address, out=options.out)
    with closing(executor_for(name, wanted)) as executor:
        yield replace(options, executor=executor)
