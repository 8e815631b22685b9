"""Tests of resilience: a rule is played against attacks, and compared with how it did when its baseline was stored.

The plugin of pytest (:mod:`robustfl.pytest_plugin`) asks these modules; none of them knows pytest.

* :class:`~robustfl.testing.resilience.playing.Request` is what a test asks, and ``play`` answers it. What the
  same code has played before is not played again (:mod:`~robustfl.testing.resilience.memory`).
* :mod:`~robustfl.testing.resilience.baselines` reads and writes one file for each test.
* :func:`~robustfl.testing.resilience.judging.judged` compares, and says in words what is wrong.
* :mod:`~robustfl.testing.resilience.mutants` weakens rules, to find out which faults a test would not notice.
"""

from robustfl.testing.resilience.baselines import load_baseline, save_baseline
from robustfl.testing.resilience.judging import Finding, judged
from robustfl.testing.resilience.memory import Memory
from robustfl.testing.resilience.mutants import Survivor, audited
from robustfl.testing.resilience.playing import Played, Request, play

__all__ = [
    "Finding",
    "Memory",
    "Played",
    "Request",
    "Survivor",
    "audited",
    "judged",
    "load_baseline",
    "play",
    "save_baseline",
]
