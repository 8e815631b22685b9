"""What a run leaves behind: its records, its summary, and what is made of them.

Start here:

* :mod:`~robustfl.evaluation.results.records` and :mod:`~robustfl.evaluation.results.summaries` declare what records and
  summaries hold. ``measures`` knows the measures by name; ``schema`` and ``shapes`` check stored files.
* :mod:`~robustfl.evaluation.results.store` stores records safely; :mod:`~robustfl.evaluation.results.baseline` stores
  the compact results with which later runs are compared.
* :mod:`~robustfl.evaluation.results.reporting` is the contract of report formats.
* :mod:`~robustfl.evaluation.results.publishing` packs a run for a repository.
"""
