"""The catalogue of scenarios: `robustfl list scenarios` lists them, and `robustfl run NAME` runs one.

Start with ``smoke`` and then ``quickstart``. Each scenario is a YAML file. `schema.json` is the JSON schema of these
files, with which editors can check them.

First steps:

* ``smoke``: three defenses against two attacks, in a few seconds, to see that everything works.
* ``quickstart``: eight defenses against eight attacks on scikit-learn's digits, in about two minutes.
* ``fashion_mnist``: six defenses against five attacks on Fashion-MNIST with a small network.

The standard attack list:

* ``leaderboard_digits``: every aggregation pipeline under `standard-v2`, at a stable step, with f = 1 and 3 of 15.
* ``stress_digits``: the same pipelines under `standard-v1` in the worlds of the published leaderboard: the step is too
  large, and training ends early; about 80 minutes on two cores.
* ``leaderboard_fashion_mnist``: the same pipelines on Fashion-MNIST, which takes a night on two cores.
* ``weaknesses``: what the standard attacks find out about four kinds of defenses.

Special threats:

* ``sybil_foolsgold``, ``sybil_fashion_mnist``: Sybils that flip one label, also disguised and under changing names.
* ``backdoors``: seven defenses against backdoors and a targeted label flip.
* ``faults``: five defenses under what goes wrong without malice, one fault at a time, in about two minutes.

Privacy:

* ``membership``: who was trained on, asked by a loss threshold, LiRA, RMIA and the messages of clients.
* ``dp_fixed_cohorts``: the price of cohorts of a fixed size beside that of Poisson sampling.
* ``local_dp_and_robustness``: noise at clients behind robust rules, under attack.
* ``dp_tradeoff``: accuracy under epsilon from 1 to 8, for rules that can be released with noise, and one that cannot.
* ``privacy_and_robustness``: poisoning, a backdoor, faults and a curious server in one report.

Special ways to learn:

* ``frl_poisoning``, ``frl_fashion_mnist``: votes over rankings (FRL) beside federated averaging.
* ``rffl_fairness``, ``rffl_fashion_mnist``: reputations and rewards (RFFL).
* ``asynchronous``: updates, rankings and rewards behind a server that waits for nobody, in about two minutes.
* ``adversarial_training``: clients that train on samples which they have made as hard as they can.
* ``flag_augmented``: the flag aggregator with failing workers and augmented data.
"""
