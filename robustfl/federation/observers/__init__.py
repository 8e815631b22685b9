"""Who watches the rounds, and what they measure.

* :mod:`~robustfl.federation.observers.contract` is what an observer is: it hears every round, reports in the end, and
  declares the measures that it adds to records.
* ``accuracy``, ``aims`` (attacks that want something), ``detection`` (who is ignored), ``conduct`` (defenses that
  cheat), ``served`` (who is served worst) and ``traffic`` (bytes and rows) watch every simulation.
* ``staleness``, ``fairness`` (with ``standalone``) and ``evasion`` watch simulations of one kind; ``stopwatch``
  measures the time.
"""
