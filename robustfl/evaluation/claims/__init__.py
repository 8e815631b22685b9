"""What papers say, put beside what is measured.

* :mod:`~robustfl.evaluation.claims.claim` is a claim, :mod:`~robustfl.evaluation.claims.language` the small language
  of its measure, :mod:`~robustfl.evaluation.claims.names` what names in it mean in a suite.
* :mod:`~robustfl.evaluation.claims.judging` takes the readings from the results and judges.
"""
