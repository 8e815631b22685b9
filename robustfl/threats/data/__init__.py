"""Attacks on the training data of malicious clients: the contracts.

Start with :class:`~robustfl.threats.DataPoisoning` in ``contract``.

* ``contract``: `DataPoisoning` changes labels and features; `PoisonedAttack` is what `poisoning >> attack` makes.
* ``backdoors``: `Backdoor` is a poisoning with a trigger; `Samples` are the task's data from which it can choose.

The attacks themselves are in :mod:`robustfl.attacks`, in its room ``data``.
"""
