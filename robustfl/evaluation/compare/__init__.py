"""The regression gate: it tells whether a change made a defense weaker.

A newcomer starts with :func:`~robustfl.evaluation.compare.comparison.compare_runs`, which compares two runs.

* :mod:`~robustfl.evaluation.compare.pairing` finds the cells that two runs share, seed by seed.
* :mod:`~robustfl.evaluation.compare.paired` weighs paired differences against their noise.
* :mod:`~robustfl.evaluation.compare.regression` gives a verdict on each cell and on the mean of each defense.
* :mod:`~robustfl.evaluation.compare.comparison` combines the verdicts, and says what to do if they are open.
* :mod:`~robustfl.evaluation.compare.placing` gives a defense of one run its place in a published table.
* :mod:`~robustfl.evaluation.compare.text` shows a comparison on a terminal, as Markdown or as JSON.
"""
