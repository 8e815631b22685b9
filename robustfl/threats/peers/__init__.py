"""Attacks in networks of peers, which have no server.

Start with :func:`~robustfl.threats.peers.gossip.dissensus`, and its example.

* ``contract``: `PeerAttack` crafts a letter for each victim, from what it sees of all of them at once (``view``).
* ``space``: in which space an attack on updates crafts letters. ``directions`` are those in which victims are pushed.
* ``gossip``: `dissensus` crafts the model that pushes a peer away from its honest neighbours.
* ``rumours``: `RumourAttack` is the contract of attacks by what malicious peers tell about others.
* ``placement``: `place_sybils` chooses the peers to which Sybils attach, `geometric_graph` draws a random network of
  peers, and `k_medoids` and `hop_distances` are the mathematics of this choice.
"""
