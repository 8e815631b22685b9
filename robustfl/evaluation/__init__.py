"""From a scenario to numbers that can be trusted: scenario model, trials, run store, executors, score.

* :mod:`~robustfl.evaluation.suite.scenario`: one complete description, and suites of them
* :mod:`~robustfl.evaluation.suite.trial`: one scenario and one seed, the unit of execution, caching and resume
* :mod:`~robustfl.evaluation.results.store`: append-only records that survive a killed process
* :mod:`~robustfl.evaluation.run.runner`: plays a suite and writes its results
* :mod:`~robustfl.evaluation.score.score`: what the records say
* :mod:`~robustfl.evaluation.compare.regression`: whether a change made a defense weaker
"""
