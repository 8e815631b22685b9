"""Attacks on the training data of malicious clients.

Start with `LabelFlip`, the simplest one. Its contract is :class:`~robustfl.threats.DataPoisoning`; that of the other
three is :class:`~robustfl.threats.Backdoor`.

* ``label_flip``: `LabelFlip` gives training samples wrong labels.
* ``bad_nets``: `BadNets` teaches the model a trigger, a bright square in a corner of an image.
* ``dba``: `DBA` splits a trigger into four bars, and each malicious client trains on one of them.
* ``edge_case``: `EdgeCase` needs no mark, because its trigger is that a sample is rare.
"""
