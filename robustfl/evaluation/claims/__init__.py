"""Claims of papers, and whether the results of a run confirm them.

A newcomer starts with :class:`~robustfl.evaluation.claims.claim.Claim`, which is what a suite's YAML file holds.

* :mod:`~robustfl.evaluation.claims.claim` defines a claim and the range of values that confirms it.
* :mod:`~robustfl.evaluation.claims.language` reads the small language in which a claim says what to measure.
* :mod:`~robustfl.evaluation.claims.names` finds the defenses, attacks and worlds of a suite that a measure names.
* :mod:`~robustfl.evaluation.claims.judging` computes measures from the results of a run and gives the verdicts.
"""
