"""What the records say: the score, the ranks, and the other axes.

Start here:

* :mod:`~robustfl.evaluation.score.score` computes the resilience of each defense from the ``inputs``;
  :mod:`~robustfl.evaluation.score.curve` is one point of it: utility and the worst case, for each of the ``levels`` of
  knowledge.
* :mod:`~robustfl.evaluation.score.ranking` ranks the defenses, and :mod:`~robustfl.evaluation.score.breakdown` finds
  how many malicious clients they withstand.
* :mod:`~robustfl.evaluation.score.headline` says the result in a few sentences.
* :mod:`~robustfl.evaluation.score.targeted`, ``faults`` and ``costs`` are the other axes; ``index`` combines axes.
"""
