"""Attacks on the updates that malicious clients send: the contracts, and what many attacks share.

Start with :mod:`~robustfl.threats.updates.contract`. It holds the contract `UpdateAttack`, its variant `TiledAttack`
for attacks in which all malicious clients send one vector, and `Adversary`, which runs an attack and checks its rows.

Further contracts, from the simplest to the strongest:

* ``perturbations``: attacks that go from the honest mean along one direction, up to a limit.
* ``local_training``: attacks whose malicious clients train in their own way.
* ``line_search``: attacks that search along a single line, as published libraries do.
* ``searched``: white-box attacks that search on several lines through the actual pipeline.
* ``planning``: rolling the training out to its end, for attacks that plan ahead.

Helpers of these contracts:

* ``geometry``: inner products and distances of honest updates.
* ``directions``: pairs of opposite directions that make equal rows look different.
* ``constant_directions``: directions that an attack keeps for a whole run.
* ``candidates``: the searches over lines of candidates.
* ``probing``: `Probe` asks the defense for its answer to a candidate.

The attacks themselves are in :mod:`robustfl.attacks`, in its room ``updates``.
"""
