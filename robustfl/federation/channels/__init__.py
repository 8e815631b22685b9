"""What a message is: the channels in which clients and servers talk.

* :mod:`~robustfl.federation.channels.contract` is what a channel is.
* :mod:`~robustfl.federation.channels.dense` sends updates, and moves models with the optimiser in ``server_step``.
* :mod:`~robustfl.federation.channels.rankings` sends rankings of the edges of a frozen network, the ``supermask``.
"""
