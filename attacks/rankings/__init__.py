"""Attacks on votes over rankings, for defenses to which clients send rankings of edges.

Start with `ReverseRanking`. Their contract is :class:`~robustfl.threats.RankAttack`.

* ``reverse_ranking``: `ReverseRanking` sends a ranking in reverse order.
* ``shuffled_ranking``: `ShuffledRanking` sends random rankings.
* ``boundary_swap``: `BoundarySwap` moves only the edges near the limit of selection, where votes decide.
"""
