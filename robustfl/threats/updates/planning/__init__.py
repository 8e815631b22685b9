"""Planning ahead: an attacker rolls the training out to its end, and moves its pushes until the last models are bad.

* ``rollout``: the training to come as a function that can be differentiated in what the attacker adds to each round.
* ``replay``: what federations may offer for this, and ``unrolled``: the same function without autograd where they do.
* ``surrogates``: what stands for the defense in it.
* ``rows``: candidates that are more than a point on a line.
* ``aims``: what the attacker wants of the models that count.
* ``planner``: the search for a plan, and the memory of the last one.
* ``imagined``: honest updates that an attacker computes on its own data when it sees those of nobody else.
"""
