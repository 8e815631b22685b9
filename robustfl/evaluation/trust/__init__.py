"""The evaluation looks at itself: which of its numbers should not be believed, and why.

* :mod:`~robustfl.evaluation.trust.evidence` is what a score rests on, :mod:`~robustfl.evaluation.trust.checks`
  examine it, :mod:`~robustfl.evaluation.trust.status` says what a score is worth.
* :mod:`~robustfl.evaluation.trust.remark`, ``remarks`` and ``rounds`` are what is said about results; ``explain`` and
  ``pages/`` tell people what each remark means and what to do.
"""
