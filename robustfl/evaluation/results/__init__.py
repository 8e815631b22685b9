"""What a run leaves behind: its records, its summary, and what is made of them.

* :mod:`~robustfl.evaluation.results.records` and :mod:`~robustfl.evaluation.results.summaries` declare what records and
  summaries hold, ``measures`` knows the measures by name; ``schema`` and ``shapes`` check stored files against these.
* :mod:`~robustfl.evaluation.results.store` keeps records safely, :mod:`~robustfl.evaluation.results.baseline`
  compactly.
* :mod:`~robustfl.evaluation.results.reporting` is the contract of report formats,
  :mod:`~robustfl.evaluation.results.publishing` packs a run for a repository.
"""
