"""Attacks on privacy: what somebody who watches finds out about the data of clients.

Start with `Analytic`, the simplest one. Their contract is :class:`~robustfl.threats.PrivacyAttack`; a suite lists them
under `privacy`.

* ``analytic``: `Analytic` reads one sample off the gradient of the first layer.
"""
