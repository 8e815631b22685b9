"""The catalogue of scenarios: `robustfl list scenarios` lists them, and `robustfl run NAME` runs one.

Start with ``smoke`` and then ``quickstart``. Each scenario is a YAML file. `schema.json` is the JSON schema of these
files, with which editors can check them.

First steps:

* ``smoke``: three defenses against two attacks, in a few seconds, to see that everything works.
* ``quickstart``: eight defenses against eight attacks on scikit-learn's digits, in about two minutes.
* ``fashion_mnist``: six defenses against five attacks on Fashion-MNIST with a small network.

The standard attack list:

* ``leaderboard_digits``: thirteen pipelines under `standard-v2`, at a stable step and with unequal data, in less than
  an hour on two cores.
* ``leaderboard_complete``: every pipeline in four worlds, with f = 1 and 3 of 15; days.
* ``leaderboard_fashion_mnist``: thirteen pipelines on Fashion-MNIST, which takes a night and more.
* ``stress_digits``: every pipeline under `standard-v1` in the worlds of the first leaderboard: the step is too large,
  and training ends early; about 80 minutes on two cores.
* ``weaknesses``: what the standard attacks find out about four kinds of defenses.

Special threats:

* ``sybil_foolsgold``, ``sybil_fashion_mnist``: Sybils that flip one label, also disguised and under changing names.
* ``backdoors``: seven defenses against backdoors and a targeted label flip.
* ``faults``: five defenses under what goes wrong without malice, one fault at a time, in about two minutes.

Privacy:

* ``gradient_inversion``, ``label_leakage``: samples and labels that a curious server recovers, early and late.
* ``malicious_server``: a server that sends weights made to read samples off messages, also behind secure aggregation.
* ``gradient_inversion_fashion_mnist``, ``malicious_server_fashion_mnist``, ``dp_tradeoff_fashion_mnist``: the same on
  Fashion-MNIST, from minutes to a night.
* ``inversion_local_steps``: inversion of several local steps at a model between.
* ``inversion_defenses``: what noise, pruning, rounding and momentum do against inversion.
* ``membership``: who was trained on, asked by a loss threshold, LiRA, RMIA and the messages of clients.
* ``dp_fixed_cohorts``: the price of cohorts of a fixed size beside that of Poisson sampling.
* ``local_dp_and_robustness``: noise at clients behind robust rules, under attack.
* ``dp_tradeoff``: accuracy under epsilon from 1 to 8, for rules that can be released with noise, and one that cannot.
* ``privacy_and_robustness``: poisoning, a backdoor, faults and a curious server in one report.

Networks of peers without a server:

* ``peers_quickstart``: ten rules of peers against thirteen attacks.
* ``degree_sweep``: how many neighbours peers need, undisturbed and under attack.
* ``sybilwall``, ``sybilwall_fashion_mnist``: Sybils with one edge to each peer, which no peer can find on its own.
* ``sybilwall_updates``: the same where peers also publish what their training has changed, truly or not.
* ``gossip_churn``: how far peers get when most of them, or of their letters, go missing.
* ``peers_baselines``, ``peers_baselines_sampled``: how often peers should mix, sharpness-aware steps (DFedSAM), and one
  merging of all models in the end.
* ``modest_byzantine``: what samples of peers need so that malicious members and aggregators do not decide.
* ``topology_attack``: malicious peers at places of their choice, in networks with and without a weak cut.
* ``bristle``, ``bristle_half``, ``bristle_fashion_mnist``: peers that know all classes or four, and try letters out.
* ``monna``: averaging the nearest models with local momentum, and a world in which it fails.
* ``monna_fashion_mnist``, ``topology_attack_fashion_mnist``: the same on Fashion-MNIST, unattended.

Special ways to learn:

* ``flows``, ``sequences``: clients who own flow records, or sequences of events, in place of images.
* ``frl_poisoning``, ``frl_fashion_mnist``: votes over rankings (FRL) beside federated averaging.
* ``rffl_fairness``, ``rffl_fashion_mnist``: reputations and rewards (RFFL).
* ``asynchronous``: updates, rankings and rewards behind a server that waits for nobody, in about two minutes.
* ``staleness_repair``: stale updates that are weighted, corrected, or computed again from data that the server inverts.
* ``large_federation``: a hundred thousand clients, a hundred a round, from one malicious client in a thousand on.
* ``distillation``: clients with models of their own that send predictions, beside clients that send updates.
* ``virtual_data``: clients that send a few synthetic samples in place of updates, before a curious server.
* ``adversarial_training``: clients that train on samples which they have made as hard as they can.
* ``flag_augmented``: the flag aggregator with failing workers and augmented data.
"""
