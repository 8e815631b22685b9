"""What clients compute: one path for honest, malicious, trusted and relabelled training.

* :mod:`~robustfl.federation.clients.work` is that path; ``training`` computes gradients and local steps.
* :mod:`~robustfl.federation.clients.participants` says who takes part, with which samples and under which names.
* ``augmentation`` and ``hardening`` change the batches of clients, ``poisoning`` those of malicious ones; ``attackers``
  train in a way of their own; ``trusted`` are clean samples of the server's.
"""
