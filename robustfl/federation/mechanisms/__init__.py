"""Mechanisms at work: what a federation does for a defense that begins with a privacy mechanism.

Start here:

* :mod:`~robustfl.federation.mechanisms.contract` says what a protector is: a transform that carries out what a
  mechanism declares (:class:`robustfl.aggregation.Protection`), and keeps the accounts.
* :mod:`~robustfl.federation.mechanisms.central` adds noise at the server. :mod:`~robustfl.federation.mechanisms.local`
  lets each client add it.
* :mod:`~robustfl.federation.mechanisms.planning` finds the noise for a target and the rounds that a budget pays for,
  before a training begins. :mod:`~robustfl.federation.mechanisms.accounts` prices what was released.
* :mod:`~robustfl.federation.mechanisms.clipping` bounds the length of messages, whatever they hold.
"""
