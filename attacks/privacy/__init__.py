"""Attacks on privacy: what somebody who watches finds out about the data of clients.

Start with `Analytic`, the simplest one. Their contract is :class:`~robustfl.threats.PrivacyAttack`; a suite lists them
under `privacy`.

* ``analytic``: `Analytic` reads one sample off the gradient of the first layer.
* ``exact_batches``: `ExactBatches` recovers small batches exactly, and proves it.
* ``imprint``: `Imprint` reads samples off the differences of neurons, by weights that an active server sends.
* ``inconsistent_model``: `InconsistentModel` turns a secure sum into the message of one client.
"""
