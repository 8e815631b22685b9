"""Networks of peers as mathematics: who hears whom, with which weights, and how well that mixes.

Start with :class:`~robustfl.graphs.graph.Graph`. The named families of graphs, from which scenarios choose, are in
:mod:`robustfl.federation.graphs`.

* ``graph``: `Graph`, the value that everything about networks takes and gives.
* ``geometric``: random points in the unit square, whose edges are short.
"""
