"""Attacks on updates: the contract, and what many of them share.

* :mod:`~robustfl.threats.updates.contract` is the contract and the machine that runs an attack.
* ``directions``, ``constant_directions``, ``geometry`` and ``perturbations`` are directions and lengths that attacks
  use; ``candidates``, ``line_search``, ``searched`` and ``probing`` search for the worst update through the real
  defense; ``local_training`` is for attackers who train in a way of their own.
"""
