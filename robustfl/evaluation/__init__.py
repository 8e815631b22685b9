"""From a scenario to numbers that can be trusted: run a suite, read what it found, and judge a change.

What a test suite of one's own needs is here; each name is loaded when it is used, so that importing this is cheap:

>>> from pathlib import Path
>>> from robustfl.evaluation import RunOptions, read_experiment, run_experiment
>>> experiment = read_experiment("smoke", ("federation.rounds=20",))
>>> summary = run_experiment(experiment, RunOptions(out=Path("runs/smoke"), workers=0))  # doctest: +SKIP
>>> [row["defense"] for row in summary["scores"]["ranking"]]  # doctest: +SKIP

* Run: :func:`read_experiment` reads a suite of the catalogue or a file, :func:`run_experiment` plays what is not stored
  yet, as :class:`RunOptions` and :class:`Resources` say, and returns the summary. With worker processes a script calls
  it under ``if __name__ == "__main__":``.
* Read: :class:`RunResults` holds the checked summary and records of a run or of a published one;
  :func:`read_records` and :func:`load_stored` read the records, or what comparisons need, alone.
* Judge: :func:`judge` gives the verdict on every cell that two runs share, :func:`compare_runs` all that
  ``robustfl compare`` shows, and :func:`save_stored` keeps a run to compare later ones with.

The rooms behind this door: :mod:`~robustfl.evaluation.suite` (scenarios, trials), :mod:`~robustfl.evaluation.run`,
:mod:`~robustfl.evaluation.results`, :mod:`~robustfl.evaluation.score`, :mod:`~robustfl.evaluation.trust`,
:mod:`~robustfl.evaluation.claims` and :mod:`~robustfl.evaluation.compare`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustfl.evaluation.compare.comparison import Comparison, GateSettings, compare_runs
    from robustfl.evaluation.compare.regression import CellVerdict, DefenseVerdict, Judgement, judge
    from robustfl.evaluation.results.baseline import load_stored, save_stored
    from robustfl.evaluation.results.reporting import RunResults
    from robustfl.evaluation.results.store import read_records
    from robustfl.evaluation.run.play import Resources
    from robustfl.evaluation.run.runner import Progress, RunOptions, run_experiment
    from robustfl.evaluation.suite.reading import read_experiment
    from robustfl.evaluation.suite.scenario import Experiment

__all__ = [
    "CellVerdict",
    "Comparison",
    "DefenseVerdict",
    "Experiment",
    "GateSettings",
    "Judgement",
    "Progress",
    "Resources",
    "RunOptions",
    "RunResults",
    "compare_runs",
    "judge",
    "load_stored",
    "read_experiment",
    "read_records",
    "run_experiment",
    "save_stored",
]

_HOMES = {
    "compare.comparison": ("Comparison", "GateSettings", "compare_runs"),
    "compare.regression": ("CellVerdict", "DefenseVerdict", "Judgement", "judge"),
    "results.baseline": ("load_stored", "save_stored"),
    "results.reporting": ("RunResults",),
    "results.store": ("read_records",),
    "run.play": ("Resources",),
    "run.runner": ("Progress", "RunOptions", "run_experiment"),
    "suite.reading": ("read_experiment",),
    "suite.scenario": ("Experiment",),
}
"""Where the names of this door are at home."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value  # the next use finds it at once
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
