"""Who watches the rounds, and what they measure.

Start here:

* :mod:`~robustfl.federation.observers.contract` says what an observer is: it hears every round, reports in the end, and
  declares the measures that it adds to records.
* Every simulation is watched by ``accuracy``, ``timing`` (attacks that strike late or stop early), ``aims`` (attacks
  that want something; ``confusion`` measures one such aim), ``detection`` (who is ignored), ``conduct`` (defenses that
  cheat), ``served`` (who is served worst) and ``traffic`` (bytes and rows).
* Simulations of one kind are watched by ``staleness``, ``fairness`` (with ``standalone``), ``evasion``, ``leakage``
  (what do spies find out?) and ``membership`` (do they know who was trained on?), and trials of the plain rule without
  an attack by ``stability`` (is the step too large?) and ``central`` (what does training on all data at once reach?).
  ``peers`` is the room of what is measured in networks without a server: every peer, and every letter.
  ``ledger`` records what a defense decides, and ``stopwatch`` measures the time.
"""

import inspect
from importlib import import_module
from pkgutil import walk_packages

from robustfl.errors import RobustflError
from robustfl.measures import Measure


def declared_measures() -> dict[str, Measure]:
    """The measures that the observers of this room declare, by name, in the order of the modules.

    Raises RobustflError when two of them declare one name differently.
    """
    from robustfl.federation.observers.contract import Observer

    found: dict[str, Measure] = {}
    for info in walk_packages(__path__, f"{__name__}."):
        for value in vars(import_module(info.name)).values():
            if inspect.isclass(value) and issubclass(value, Observer):
                for measure in value.measures:
                    if found.setdefault(measure.name, measure) != measure:
                        raise RobustflError(f"Two observers declare the measure {measure.name!r}, each in its own way.")
    return found
