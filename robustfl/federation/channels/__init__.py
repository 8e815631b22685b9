"""What a message is: the channels in which clients and servers talk.

Start here:

* :mod:`~robustfl.federation.channels.contract` says what a channel is.
* :mod:`~robustfl.federation.channels.dense` sends updates; the optimiser in ``server_step`` moves the models.
* :mod:`~robustfl.federation.channels.predictions` sends what clients' own models believe of public samples.
* :mod:`~robustfl.federation.channels.models` sends whole models, from peer to peer.
* :mod:`~robustfl.federation.channels.rankings` sends rankings of the edges of a frozen network; ``supermask`` is this
  network and the training of its scores.
* :mod:`~robustfl.federation.channels.names` finds a channel by the name that defenses use.
"""
