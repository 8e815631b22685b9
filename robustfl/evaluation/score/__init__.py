"""What the records say: the score, the ranks, and the axes beside them.

* :mod:`~robustfl.evaluation.score.score` is utility, worst case and resilience of each defense, from its ``inputs``;
  :mod:`~robustfl.evaluation.score.ranking` ranks them, :mod:`~robustfl.evaluation.score.breakdown` finds how many
  malicious clients they withstand.
* :mod:`~robustfl.evaluation.score.targeted`, ``faults`` and ``costs`` are the other axes, ``index`` combines them.
"""
