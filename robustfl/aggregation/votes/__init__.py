"""Votes over rankings: the contract of rules that count them, the ballots, the counting and the coding of messages.

* :mod:`~robustfl.aggregation.votes.contract` is what such a rule promises.
* :mod:`~robustfl.aggregation.votes.ballots` reads and checks the rankings, ``counting`` adds up positions, ``coding``
  says how many bytes a ranking takes.
"""
