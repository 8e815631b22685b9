"""Placements: where malicious peers are in a network without a server.

Start with `Cut`. A placement stands before an attack, as in ``Cut() >> SignFlip()``. Their contract is
:class:`~robustfl.threats.Placement`.

* ``random``: `RandomPeers` leaves the places to chance.
* ``degree``, ``betweenness``: `Degree` takes the peers with most neighbours, and `Betweenness` those on most shortest
  paths.
* ``cut``, ``connectivity``: `Cut` takes the ends of the network's weakest cut, and `Connectivity` those without whom
  the rest holds together least.
* ``spread``: `Spread` takes peers far from each other, so that somebody malicious is near to everybody.
* ``attached``: `Attached` joins the network from outside, with so many edges per honest peer.
"""
