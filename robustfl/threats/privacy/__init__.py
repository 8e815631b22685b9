"""Attacks on privacy: what somebody who watches a federation can find out about the data of its clients.

Start with :mod:`~robustfl.threats.privacy.contract`. It holds the contract `PrivacyAttack`; `Analytic` in
:mod:`robustfl.attacks` is its shortest example. An attack declares its :class:`Capability`, as attacks on training
declare their knowledge, and reaching further raises :class:`~robustfl.errors.KnowledgeError`.

* ``capability``: what a spy may look at, and which of it each observer can have.
* ``view``: what was seen (`Sighting`), and what an attack is handed of it (`PrivacyView`).
* ``network``: the model that clients train, as functions that can be differentiated.
* ``findings``: what an attack answers: `Reconstruction`, `Labels` or `Memberships`.

The truth is not in this room. Whoever hands out a view keeps the samples apart, and compares.
"""
