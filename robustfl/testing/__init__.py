"""A conformance kit that tests whether an aggregation rule keeps its promises: rules of robustfl, and any other rules.

A newcomer starts with :func:`check_aggregator`. It takes an :class:`~robustfl.aggregation.Aggregator`, a
:class:`~robustfl.aggregation.PreAggregation`, a pipeline, a rule for rankings, or any callable from updates ``[n, d]``
to one update ``[d]``. It asks the rule many small questions, and reports each property as held, violated, not
applicable or not claimed. A violated property comes with the smallest question that was found, as code to paste:

>>> import numpy as np
>>> from robustfl.testing import check_aggregator
>>> def clipped_mean(updates):
...     for row in updates:  # views: the caller's own rows
...         row /= max(1.0, np.linalg.norm(row))
...     return updates.mean(axis=0)
>>> report = check_aggregator(clipped_mean, claims=["mutation", "permutation"], raise_on_violation=False)
>>> print(report)  # doctest: +ELLIPSIS
<function clipped_mean at ...>: 1 of 2 examined properties hold (f=0, n >= 3)
          held  permutation: the order of the rows does not matter
...
      violated  mutation: the input is never changed
    the rows were changed:
        x = np.array([[0.0], [0.0], [2.0]])
        rule(x); x
        # found    np.array([[0.0], [0.0], [1.0]])
        # expected np.array([[0.0], [0.0], [2.0]])
...

What the room holds:

* :func:`check_aggregator` examines all properties of a rule and returns a :class:`ConformanceReport` with one
  :class:`Finding` per property. Without ``raise_on_violation=False``, a violated property raises a
  :class:`ConformanceError`, which test runners see as an ``AssertionError``.
* :func:`aggregator_checks` yields the checks one by one, and :func:`pytest_checks` is a parametrised test of them.
* :func:`properties` lists what is examined.
* :func:`check_attack` does the same for attacks on updates, or a function that makes them.

A rule that does not promise everything (clipping is not translation equivariant) declares the exceptions in its
attribute ``unclaimed``; for a plain callable, pass them as ``skip``.

What a rule withstands is tested by playing it (:mod:`robustfl.testing.resilience`), in pytest by the fixture of
:mod:`robustfl.pytest_plugin`.

The kit needs hypothesis: ``pip install 'robustfl[testing]'``.
"""

from robustfl.testing.attacks import check_attack
from robustfl.testing.conformance import aggregator_checks, check_aggregator, properties, pytest_checks
from robustfl.testing.report import ConformanceError, ConformanceReport, Finding

__all__ = [
    "ConformanceError",
    "ConformanceReport",
    "Finding",
    "aggregator_checks",
    "check_aggregator",
    "check_attack",
    "properties",
    "pytest_checks",
]
