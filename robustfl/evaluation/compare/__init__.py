"""The regression gate: whether a change made a defense weaker.

* :mod:`~robustfl.evaluation.compare.pairing` finds the cells that two runs share,
  :mod:`~robustfl.evaluation.compare.regression` judges each, :mod:`~robustfl.evaluation.compare.comparison` puts it all
  together, and :mod:`~robustfl.evaluation.compare.text` shows it.
"""
