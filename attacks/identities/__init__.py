"""Sybil strategies: under how many names malicious clients take part, and when they change their names.

Start with `Clones`. A strategy stands before an attack, as in ``Clones(count=5) >> LabelFlip()``. Their contract is
:class:`~robustfl.threats.Identities`.

* ``clones``: `Clones` keep their names.
* ``whitewash``: `Whitewash` drops every name after some rounds and never uses it again.
* ``taking_turns``: `TakingTurns` uses several names in turn.
"""
