"""Playing a suite: trials, the processes that play them, and the runner that keeps everything.

* :mod:`~robustfl.evaluation.run.play` plays one trial, :mod:`~robustfl.evaluation.run.executors` many of them, and
  :mod:`~robustfl.evaluation.run.runner` decides which, keeps the records and writes the summary, which
  :mod:`~robustfl.evaluation.run.summary` makes of the questions and answers in ``played``.
* :mod:`~robustfl.evaluation.run.ledgers` keeps decisions about clients, and ``ledger_check`` verifies them.
* ``provenance`` says where numbers come from, ``budget`` how long a suite will take, and ``triggers`` draws what
  backdoors show.
"""
