"""What is to be evaluated: scenarios, suites, their plan, and the frozen lists of attacks.

Start here:

* :mod:`~robustfl.evaluation.suite.scenario` defines scenarios, which are complete descriptions, and suites of them;
  ``schema`` is their JSON schema, ``adversary`` says how many clients are malicious, and ``networks`` reads the network
  of a federation without a server.
* :mod:`~robustfl.evaluation.suite.reading` reads a suite from YAML; ``sections`` says which parts are merged, and
  ``yaml`` reads plain data.
* :mod:`~robustfl.evaluation.suite.plan` turns a suite into cells and trials.
* :mod:`~robustfl.evaluation.suite.trial` is one trial; ``sources`` finds the code that decides its result.
* :mod:`~robustfl.evaluation.suite.standard` reads the frozen attack lists.
"""
