"""Playing a suite: trials, the processes that play them, and the runner that keeps everything.

Start here:

* :mod:`~robustfl.evaluation.run.runner` decides which trials to play, stores their records and writes the summary.
* :mod:`~robustfl.evaluation.run.play` plays one trial; :mod:`~robustfl.evaluation.run.executors` plays many.
* :mod:`~robustfl.evaluation.run.checking` says which trials are played once the suite is over, to see whether its
  numbers can be trusted.
* :mod:`~robustfl.evaluation.run.summary` makes the summary from the cells and records that ``played`` puts together.
* :mod:`~robustfl.evaluation.run.ledgers` stores decisions about clients, and ``ledger_check`` verifies them.
* ``provenance`` says where numbers come from, ``budget`` says how long a suite will take, and ``triggers`` draws the
  triggers of backdoors.
"""
