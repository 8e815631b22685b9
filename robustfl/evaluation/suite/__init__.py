"""What is to be evaluated: scenarios, suites, their plan, and the frozen lists of attacks.

* :mod:`~robustfl.evaluation.suite.scenario` is one complete description, and suites of them;
  :mod:`~robustfl.evaluation.suite.reading` reads one from YAML, where ``sections`` says what merges.
* :mod:`~robustfl.evaluation.suite.plan` makes cells and trials of it, :mod:`~robustfl.evaluation.suite.trial` is one of
  these, ``sources`` knows the code that decides its result, and :mod:`~robustfl.evaluation.suite.standard` holds the
  attack lists.
"""
